"""`zoo report`: a report of a training run as one web page."""

import argparse

from zoo import report
from zoo.cli import text

_DESCRIPTION = """Write one HTML page on a run: config, curves, tables, images and audio. It needs
no other file and no network. A run in progress has a page too, of what is there so far."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command to its parser."""
    parser.description = _DESCRIPTION
    parser.add_argument("workdir", metavar="WORKDIR", help="the folder of the run, as runs/unet")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the page; WORKDIR/report.html by default"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the page; prints its place and the parts that are missing in it."""
    written = report.write(arguments.workdir, arguments.output)
    for note in written.notes:
        print(text.line(note))
    print(text.line(f"{written.path}, {written.size / 1e6:.2f} MB"))
