"""`zoo models`: list the models, or describe some."""

import argparse

from zoo import models
from zoo.cli import text


def add_to(commands) -> None:
    """Adds the command to argparse's sub-commands."""
    parser = commands.add_parser("models", help="list the models, or describe some")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a model; all if none is named")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the table."""
    rows = [("model", "parameters", "channels", "size", "takes level", "locality")]
    for name in arguments.names or models.list_models():
        record = models.record(name)
        size = "x".join(map(str, record.size)) if record.size else "any"
        rows.append(
            (
                name,
                f"{models.count_parameters(name):,}",
                str(record.channels),
                size,
                "yes" if record.takes_level else "no",
                record.locality,
            )
        )
    print(text.table(rows))
