"""Where an artefact may be written, found out before the work is done."""

import os
from pathlib import Path

from zoo import files
from zoo.errors import ZooError


def check_place(path: str | os.PathLike, overwrite: bool) -> Path:
    """The path, if something can be written there.

    Args:
      path: the file.
      overwrite: whether it may be there already.

    Raises:
      ZooError: it is there, is a folder, or its folder is missing or read-only.
    """
    path = files.free(path, overwrite)
    if not path.parent.is_dir():
        raise ZooError(f"there is no folder {path.parent}; make it, or mend the path")
    if not os.access(path.parent, os.W_OK):
        raise ZooError(f"cannot write in {path.parent}; name a file elsewhere")
    return path
