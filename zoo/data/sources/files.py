"""Which picture or audio files lie below a folder."""

import os
from collections.abc import Collection
from pathlib import Path

from zoo.data import images
from zoo.errors import ZooError
from zoo.files import expanded, walk


def existing(path: str | os.PathLike, what: str, option: str = "path") -> Path:
    """The folder `path`, or the error that it is none.

    Args:
      path: where the folder should be.
      what: what to call it in the error.
      option: what to set to mend it.

    Raises:
      ZooError: it is empty as a name, missing, or a file.
    """
    if not str(path):
        raise ZooError(f"no path to {what}; set {option} to it")
    folder = expanded(path)
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise ZooError(f"{what} {folder} {reason}; set {option} to it")
    return folder


def below(folder: Path, suffixes: Collection[str] = images.SUFFIXES) -> tuple[list[str], list[str]]:
    """List the files below a folder, in all its sub-folders; hidden ones are passed over.

    Args:
      folder: an existing folder.
      suffixes: the endings, in lower case, of the files looked for.

    Returns:
      The files looked for, told by their suffix, and the other files: both relative to `folder`,
      with forward slashes, sorted by code point, so alike on every system.

    Raises:
      ZooError: the folder cannot be read, or one below it.
    """
    found, others = [], []
    for path in walk(folder):
        (found if path.suffix.lower() in suffixes else others).append(path.as_posix())
    return sorted(found), sorted(others)
