"""Files that appear whole or not at all."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from zoo.errors import ZooError


def write(path: str | os.PathLike, data: bytes, *, durable: bool = False) -> None:
    """Writes a file beside its place and moves it there; what stood there stays until then.

    Args:
      path: the file; its folder exists.
      data: all of it.
      durable: whether to wait until it would survive a power cut.

    Raises:
      ZooError: it cannot be written; no piece of it is left behind.
    """
    path = Path(path)
    # In the same folder, for only within one file system is the move one step. Not `tempfile`,
    # whose files only their owner may read.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise ZooError(f"cannot write {path}: {error.strerror}; mend the path") from None
    finally:
        with suppress(OSError):
            part.unlink()


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, where they are missing.

    Raises:
      ZooError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError(f"cannot make {folder}: {error.strerror}; mend the path") from None


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^\w.+=-]+", "_", label).lstrip(".") or "_"
