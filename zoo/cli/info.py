"""`zoo info`: what a picture, a recording or a weight file is."""

import argparse
import os
import sys

from zoo.data import file_kinds

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
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="pictures, recordings, weights; - for stdin"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints a block of lines for each file; returns 1 if one cannot be told, else 0."""
    from zoo.cli import text  # noqa: PLC0415
    from zoo.errors import in_words  # noqa: PLC0415

    code, first = 0, True
    for name in arguments.files:
        try:
            rows = _facts(os.path.expanduser(name))
        except Exception as error:
            told = in_words(error)
            if told is None:
                raise
            print(f"error: {text.line(told)}", file=sys.stderr)
            code = 1
            continue
        print("" if first else "\n", end="")
        print(text.table([("file", name), *rows]), flush=True)
        first = False
    return code


def _facts(path: str) -> list[tuple[str, str]]:
    from zoo.cli import facts, streams  # noqa: PLC0415
    from zoo.errors import ZooError  # noqa: PLC0415

    if path == "-":
        path = streams.take()
    if os.path.isdir(path):
        raise ZooError(f"{path} is a folder; name files in it")
    kind = file_kinds.kind_of(path)
    if kind == file_kinds.IMAGE:
        return facts.of_picture(path)
    if kind == file_kinds.AUDIO:
        return facts.of_recording(path)
    if kind == file_kinds.WEIGHTS:
        return facts.of_weights(path)
    raise ZooError(f"{path} is {file_kinds.description(path)}")
