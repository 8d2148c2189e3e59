"""`zoo report`: one page that tells of a run."""

import argparse

from zoo import report
from zoo.cli import text
from zoo.report.numbers import size

_DESCRIPTION = """Write one HTML page of a run: config, curves, tables, pictures and sound. It needs
no other file and no network. A run still at work has one too, of what is there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description = _DESCRIPTION
    parser.add_argument("workdir", metavar="WORKDIR", help="the folder of the run, as runs/unet")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the page; WORKDIR/report.html by default"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the page and says where it is, and what is not in it."""
    written = report.write(arguments.workdir, arguments.output)
    for note in written.notes:
        print(text.line(note))
    print(text.line(f"{written.path}, {size(written.size)}"))
