"""Standard input and output, and pipes, as files: formats are read and written back and forth."""

import functools
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from zoo.data import file_kinds
from zoo.errors import ZooError

_INPUT, _OUTPUT = "standard input", "standard output"
_STDOUT = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


def take() -> Path:
    """All of standard input, in a file that is gone at the end of the process.

    Raises:
      ZooError: it is a terminal, or begins as no picture and no recording does; then the rest, of
        which there may be no end, is not read.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise ZooError("standard input is a terminal; pipe a file into it, or name one")
    place = _room() / _INPUT
    with place.open("wb") as file:
        file.write(sys.stdin.buffer.read(file_kinds.HEAD))
        file.flush()
        if file_kinds.kind_of(place) not in (file_kinds.IMAGE, file_kinds.AUDIO):
            raise ZooError(f"{_INPUT} is {file_kinds.description(place)}")
        shutil.copyfileobj(sys.stdin.buffer, file)
    return place


def is_taken(path: Path) -> bool:
    """Whether a file is the one that `take` wrote."""
    return bool(_folder.cache_info().currsize) and path == _room() / _INPUT


def is_one(output: str) -> bool:
    """Whether an output is no file but standard output, a pipe, or a device such as /dev/null."""
    if output in _STDOUT:
        return True
    try:
        mode = os.stat(output).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def place(output: str, suffix: str) -> Path:
    """Where to write what goes to a stream.

    Args:
      output: the stream.
      suffix: the ending that tells the format.

    Raises:
      ZooError: it is a terminal.
    """
    if output in _STDOUT and sys.stdout.isatty():
        raise ZooError(f"{_OUTPUT} is a terminal; pipe it into a file, or name one by -o")
    return _room() / f"{_OUTPUT if output in _STDOUT else Path(output).name}{suffix}"


def put(file: Path, output: str) -> None:
    """Copies a file into a stream, and removes it."""
    with file.open("rb") as source:
        if output in _STDOUT:
            sys.stdout.flush()
            shutil.copyfileobj(source, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with open(output, "wb") as sink:
                shutil.copyfileobj(source, sink)
    file.unlink()


def told(text: str) -> str:
    """A text without where the files of streams lie, which says nothing to anybody."""
    return text.replace(f"{_room()}{os.sep}", "") if _folder.cache_info().currsize else text


def _room() -> Path:
    return Path(_folder().name)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    """Kept here, and so removed at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="zoo-")
