"""Files, folders, patterns and streams that a command reads, and streams that it writes."""

import fnmatch
import functools
import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.data import file_kinds
from zoo.errors import ZooError

# What can be read and not written, and what it becomes.
_BECOME = {
    **dict.fromkeys((".gif", ".heic", ".heif", ".hif", ".avif"), ".png"),
    **dict.fromkeys(file_kinds.RAW_SUFFIXES, ".tif"),
    ".mpo": ".jpg",
    **file_kinds.READ_ONLY_AUDIO,
}


class Input(NamedTuple):
    """A file to work on.

    Attributes:
      path: the file.
      place: where its output belongs below an output folder.
      beside: where its output belongs if there is no such folder; the word is still to come.
      kind: of `zoo.data.file_kinds`, or None where it cannot be worked on.
      problem: why not, in one line; empty where it can.
    """

    path: Path
    place: Path
    beside: Path
    kind: str | None = None
    problem: str = ""


class Found(NamedTuple):
    """What was found.

    Attributes:
      inputs: in the order they were named, those of a folder by name.
      skipped: files of folders and patterns that are neither images nor audio.
      single: whether one file was named, or standard input, and nothing else.
    """

    inputs: list[Input]
    skipped: list[Path]
    single: bool


def gather(texts: Sequence[str], *, word: str, output: Path | None = None) -> Found:
    """Finds the files; only their first bytes are read.

    A folder stands for all images and audio below it, hidden ones left out, and so does a
    pattern for all files it matches. What they hold beside those is skipped. What is named itself
    must be one.

    Args:
      texts: what the user wrote: files, folders, and patterns with `*`, `?`, `[...]` and `**`; "-"
        is standard input.
      word: in the names of outputs that lie beside their inputs: `a.word.png`.
      output: a folder below one of these that is not searched, for outputs lie there.

    Raises:
      ZooError: there is no such file or folder at all, and nothing else to work on; or a name is
        empty; or standard input holds nothing to work on.
    """
    inputs, skipped, seen = [], [], set()
    for text in texts:
        if not text:
            raise ZooError("the name of an input is empty; name a file, a folder or a pattern")
        for one in _found(text, word, len(texts) > 1, output):
            if one.kind is None and not one.problem:
                skipped.append(one.path)
            elif (key := (os.path.realpath(one.path), one.place)) not in seen:
                seen.add(key)
                inputs.append(one)
    if not inputs:
        among = f" among {len(skipped)} files" if skipped else ""
        raise ZooError(f"no image and no audio file in {', '.join(texts)}{among}; check the path")
    alone = inputs[0].path
    single = len(texts) == 1 and (texts[0] == "-" or alone == files.expanded(texts[0]))
    return Found(inputs, skipped, single)


def _found(text: str, word: str, several: bool, output: Path | None) -> Iterator[Input]:
    path = read_stdin() if text == "-" else files.expanded(text)
    closed: list[Input] = []

    def unreadable(folder: Path, why: str) -> None:
        problem = f"cannot read the folder {folder}: {why}; repair its permissions, or leave it out"
        closed.append(Input(folder, Path(folder.name), folder, problem=problem))

    if path.is_dir() and not file_kinds.is_whole(path):
        # "." and ".." have no name of their own.
        root = path if path.name not in ("", "..") else path.resolve()
        beside = root.parent / f"{root.name}.{word}"
        without = [output] if output else ()
        for below in files.walk(
            path, without=without, whole=file_kinds.is_whole, unreadable=unreadable
        ):
            place = Path(root.name, below) if several else below
            yield _input(path / below, place, beside / below, named=False)
    # Before it is taken for a pattern: a file may be called a[1].png.
    elif os.path.lexists(path) or not glob.has_magic(str(path)):
        yield _input(path, Path(path.name), _beside(path, word), named=True)
    else:
        fixed = _fixed(path)
        matches = _matches(path, fixed, unreadable)
        if not matches and not closed:
            problem = f"no file matches {text}; check the pattern"
            yield Input(path, Path(path.name), path, problem=problem)
        for match in matches:
            if not match.is_dir() or file_kinds.is_whole(match):
                place = match.relative_to(fixed)
                yield _input(match, place, _beside(match, word), named=False)
    yield from closed


def _input(path: Path, place: Path, beside: Path, *, named: bool) -> Input:
    try:
        kind = file_kinds.kind_of(path)
    except ZooError as error:
        # A pipe or a socket among images is just another file, unless it is called like one.
        special = path.exists() and not path.is_file()
        other = not named and special and not file_kinds.kind_of_suffix(path)
        return Input(path, place, beside, problem="" if other else str(error))
    if kind == file_kinds.WEIGHTS:
        kind = None
    place, beside = (_writable(one, path, kind) for one in (place, beside))
    problem = f"{path} is {file_kinds.description(path)}" if kind is None and named else ""
    return Input(path, place, beside, kind, problem)


def _writable(place: Path, path: Path, kind: str | None) -> Path:
    """The place with an ending that can be written: its own where that can, else by the content."""
    suffix = file_kinds.ending(place)
    if suffix in _BECOME:
        return place.with_suffix(_BECOME[suffix])
    known = {"image": file_kinds.IMAGE_FORMATS, "audio": file_kinds.AUDIO_SUFFIXES}
    if suffix not in known.get(kind, (suffix,)):
        return place.with_name(place.name + file_kinds.output_suffix(path))
    return place


def _matches(pattern: Path, fixed: Path, unreadable: Callable[[Path, str], None]) -> list[Path]:
    """What a pattern matches, sorted; `**` is any number of folders, into none of them twice."""
    if "**" not in pattern.parts:
        return sorted(map(Path, glob.glob(str(pattern))))
    parts = pattern.relative_to(fixed).parts
    below = files.walk(fixed, whole=file_kinds.is_whole, unreadable=unreadable)
    return [fixed / path for path in below if _fits(path.parts, parts)]


def _fits(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_fits(path[start:], pattern[1:]) for start in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _fits(path[1:], pattern[1:])


def _fixed(pattern: Path) -> Path:
    """The folders in front of the first part of a pattern that is none itself."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed = fixed / part
    return fixed


def _beside(path: Path, word: str) -> Path:
    # Files of hospitals are often named by a number with dots, and have no ending.
    known = file_kinds.kind_of_suffix(path) or file_kinds.ending(path) in file_kinds.IMAGE_FORMATS
    ending = path.name[len(path.name) - len(file_kinds.ending(path)) :] if known else ""
    return path.with_name(f"{path.name.removesuffix(ending)}.{word}{ending}")


_INPUT, _OUTPUT = "standard input", "standard output"
_STDOUT = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


def read_stdin() -> Path:
    """All of standard input, in a file that is gone at the end of the process.

    Raises:
      ZooError: it is a terminal, or begins as no image and no audio does; then the rest, of
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


def is_stdin(path: Path) -> bool:
    """Whether a file is the one that `read_stdin` wrote."""
    return bool(_folder.cache_info().currsize) and path == _room() / _INPUT


def is_stream(output: str) -> bool:
    """Whether an output is no file but standard output, a pipe, or a device such as /dev/null."""
    if output in _STDOUT:
        return True
    try:
        mode = os.stat(output).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def stream_place(output: str, suffix: str) -> Path:
    """Where to write what goes to a stream.

    Args:
      output: the stream.
      suffix: the ending that chooses the format.

    Raises:
      ZooError: it is a terminal.
    """
    if output in _STDOUT and sys.stdout.isatty():
        raise ZooError(f"{_OUTPUT} is a terminal; pipe it into a file, or name one by -o")
    return _room() / f"{_OUTPUT if output in _STDOUT else Path(output).name}{suffix}"


def send(file: Path, output: str) -> None:
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


def without_room(text: str) -> str:
    """A text without the temporary folder of streams, which means nothing to a user."""
    return text.replace(f"{_room()}{os.sep}", "") if _folder.cache_info().currsize else text


def _room() -> Path:
    return Path(_folder().name)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    """Kept here, and so removed at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="zoo-")
