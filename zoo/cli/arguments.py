"""Arguments that commands share."""

import argparse


def add_places(parser: argparse.ArgumentParser, word: str) -> None:
    """Adds the arguments of a command that makes a file of each file.

    Args:
      parser: of the command.
      word: what is written into the names of files beside their inputs.
    """
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="files, folders, patterns; - for stdin")
    add(
        *("-o", "--output"),
        metavar="OUTPUT",
        help="a file for one input, or - for stdout; else a folder, which is made (beside the "
        f"input, as NAME.{word}.SUFFIX; of a folder, FOLDER.{word}/; of stdin, stdout)",
    )
    add("--format", metavar="ENDING", help="of the outputs, such as png or wav (their inputs')")
    add("--overwrite", action="store_true", help="replace files that are there")
    add(
        "--skip-existing",
        action="store_true",
        help="leave outputs that are there, of any age (of many inputs those no older than them)",
    )
