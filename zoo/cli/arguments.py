"""Arguments that commands share."""

import argparse


def add_places(parser: argparse.ArgumentParser, word: str) -> None:
    """Adds the arguments of a command that makes a file of each file.

    Args:
      parser: of the command.
      word: what is written into the names of files beside their inputs.
    """
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders or patterns")
    parser.add_argument(
        *("-o", "--output"),
        metavar="OUTPUT",
        help="a file for one input, else a folder, which is made (beside the input, as "
        f"NAME.{word}.SUFFIX; of a folder, FOLDER.{word}/)",
    )
