"""Which picture or audio files lie below a folder."""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from zoo.data import file_kinds, image_files
from zoo.data.sources import containers
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
    if not is_folder(folder):
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise ZooError(f"{what} {folder} {reason}; set {option} to it")
    return folder


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, a file that holds many pictures or a folder in such a file."""
    if path.is_dir():
        return True
    within = containers.split(path)
    if not within or not within[1]:
        return bool(within)
    return any(name.startswith(f"{within[1]}/") for name in containers.names(within[0])[0])


def below(
    folder: Path, suffixes: Collection[str] = file_kinds.IMAGE_SUFFIXES
) -> tuple[list[str], list[str]]:
    """List the files below a folder, in all its sub-folders; hidden ones are passed over.

    Of pictures, the files that hold many count as folders; see `zoo.data.sources.containers`.

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
    opening = containers.SUFFIXES if suffixes is file_kinds.IMAGE_SUFFIXES else ()
    within = containers.split(folder) if opening else None
    if within:
        start = f"{within[1]}/" if within[1] else ""
        # A single array has no name within its file.
        return tuple(
            sorted(name[len(start) :] for name in names if name.startswith(start))
            for names in containers.names(within[0])
        )
    for path in walk(folder):
        known, suffix = path.as_posix(), path.suffix.lower()
        if suffix in opening:
            try:
                held = containers.names(folder / path)
            except ZooError:
                # Whoever reads it is told, or leaves it out.
                held = [""], []
            for kind, inside in zip((found, others), held, strict=True):
                kind += [f"{known}/{one}" if one else known for one in inside]
        else:
            (found if suffix in suffixes else others).append(known)
    return sorted(found), sorted(others)


def read(path: str) -> np.ndarray:
    """A picture that `below` found, as `zoo.data.image_files.read` gives it.

    Raises:
      ZooError: as that.
    """
    within = containers.split(path)
    return containers.read(*within) if within else image_files.read(path)


def kinds(names: Iterable[str]) -> str:
    """How many files there are of each ending, such as `12 .heic, 1 .txt`."""
    counts = Counter(Path(name).suffix.lower() or "without an ending" for name in names)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
