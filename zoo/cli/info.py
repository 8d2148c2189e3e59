"""`zoo info`: what a picture, a recording or a weight file is."""

import argparse
import os
import sys

_DESCRIPTION = """Tell what files are: the format, size, depth and noise of a picture, the rate,
length and loudness of a recording, the record of weights."""

_EXAMPLES = """examples:
  zoo info photo.jpg
  zoo info *.wav
  zoo info runs/unet/weights.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("files", nargs="+", metavar="FILE", help="pictures, recordings, weights")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints a block of lines for each file; returns 1 if one cannot be told, else 0."""
    from zoo.cli import text  # noqa: PLC0415
    from zoo.errors import ZooError  # noqa: PLC0415

    code, first = 0, True
    for name in arguments.files:
        try:
            rows = _facts(os.path.expanduser(name))
        except ZooError as error:
            print(f"error: {text.line(str(error))}", file=sys.stderr)
            code = 1
            continue
        print("" if first else "\n", end="")
        shown = [(key, text.line(value)) for key, value in (("file", name), *rows)]
        print(text.table(shown), flush=True)
        first = False
    return code


def _facts(path: str) -> list[tuple[str, str]]:
    from zoo.cli import facts, kinds  # noqa: PLC0415
    from zoo.errors import ZooError  # noqa: PLC0415

    if os.path.isdir(path):
        raise ZooError(f"{path} is a folder; name files in it")
    try:
        kind = kinds.kind(path)
    except OSError as error:
        raise ZooError(f"cannot read {path}: {error.strerror}; mend the path") from None
    if kind == kinds.PICTURE:
        return facts.of_picture(path)
    if kind == kinds.RECORDING:
        return facts.of_recording(path)
    if kind == kinds.WEIGHTS:
        return facts.of_weights(path)
    raise ZooError(f"{path} is no picture, no recording and no weight file")
