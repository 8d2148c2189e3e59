"""Which picture files lie below a folder."""

import os
from pathlib import Path

from zoo.data import images
from zoo.errors import ZooError


def existing(path: str | os.PathLike, what: str) -> Path:
    """The folder `path`, or the error that it is none.

    Args:
      path: where the folder should be.
      what: what to call it in the error.

    Raises:
      ZooError: it is empty as a name, missing, or a file.
    """
    if not str(path):
        raise ZooError(f"no path to {what}; set path to it")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise ZooError(f"{what} {folder} {reason}; set path to it")
    return folder


def below(folder: Path) -> tuple[list[str], list[str]]:
    """List the files below a folder, in all its sub-folders; hidden ones are passed over.

    Args:
      folder: an existing folder.

    Returns:
      The pictures, told by their suffix, and the other files: both relative to `folder`, with
      forward slashes, sorted by code point, so alike on every system.
    """
    pictures, others = [], []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = Path(parent, name)
                kind = pictures if path.suffix.lower() in images.SUFFIXES else others
                kind.append(path.relative_to(folder).as_posix())
    return sorted(pictures), sorted(others)
