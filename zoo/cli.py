"""The `zoo` command: parse, call, print."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import ZooError

_EXAMPLES = """examples:
  zoo models
  zoo models unet-small
  zoo weights runs/unet/weights.safetensors
  zoo weights --json runs/*/weights.safetensors
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code, 2 for a mistake of the user's."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python must not complain on exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zoo",
        description="A model zoo for denoising, on files and names.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    models = commands.add_parser("models", help="list the models, or describe some")
    models.add_argument("names", nargs="*", metavar="NAME", help="a model; all if none is named")
    models.set_defaults(run=_models)

    weights = commands.add_parser("weights", help="tell what weight files hold")
    weights.add_argument("files", nargs="*", metavar="FILE", help="files; all under runs/ if none")
    weights.add_argument("--json", action="store_true", help="print the whole records")
    weights.set_defaults(run=_weights)
    return parser


def _models(arguments: argparse.Namespace) -> None:
    from zoo import models  # noqa: PLC0415 - `zoo --help` should not wait for jax

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
    print(_table(rows))


def _weights(arguments: argparse.Namespace) -> None:
    from zoo import weights  # noqa: PLC0415

    files = arguments.files or sorted(map(str, Path("runs").glob("*/weights.safetensors")))
    if not files:
        raise ZooError("there is no weight file under runs/; train one, or name a file")
    records = {file: weights.read_record(file) for file in files}
    if arguments.json:
        print(json.dumps(records, indent=2))
        return
    rows = [("file", "model", "noise", "step", "validation PSNR", "commit")]
    for file, record in records.items():
        noise = record.get("noise", {})
        score = record.get("scores", {}).get("validation_psnr")
        rows.append(
            (
                file,
                record["model"],
                f"{noise.get('name')} {noise.get('level')} {noise.get('unit')}",
                str(record.get("step")),
                "-" if score is None else f"{score:.2f} dB",
                record.get("commit") or "-",
            )
        )
    print(_table(rows))


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    sys.exit(main())
