"""What files a user means by files, folders and patterns."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.cli import kinds, streams
from zoo.data import images
from zoo.errors import ZooError

# What can be read and not written, and what it becomes.
_BECOME = {
    **dict.fromkeys((".gif", ".heic", ".heif", ".hif", ".avif"), ".png"),
    ".mpo": ".jpg",
    **dict.fromkeys((".aif", ".aiff", ".aifc", ".au", ".caf"), ".wav"),
}


class Input(NamedTuple):
    """A file to work on.

    Attributes:
      path: the file.
      place: where its output belongs below an output folder.
      beside: where its output belongs if there is no such folder; the word is still to come.
      kind: one of `kinds`, or None where it cannot be worked on.
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
      skipped: files of folders and patterns that are no pictures and no recordings.
      single: whether one file was named, or standard input, and nothing else.
    """

    inputs: list[Input]
    skipped: list[Path]
    single: bool


def gather(texts: Sequence[str], *, word: str, output: Path | None = None) -> Found:
    """Finds the files; only their first bytes are read.

    A folder stands for all pictures and recordings below it, hidden ones left out, and so does a
    pattern for all files it matches. What they hold beside those is skipped. What is named itself
    must be one.

    Args:
      texts: what the user wrote: files, folders, and patterns with `*`, `?`, `[...]` and `**`; "-"
        is standard input.
      word: what tells outputs from inputs where both lie side by side: `a.word.png`.
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
        told = f" among {len(skipped)} files" if skipped else ""
        raise ZooError(f"no picture and no recording in {', '.join(texts)}{told}; mend the path")
    alone = inputs[0].path
    single = len(texts) == 1 and (texts[0] == "-" or alone == Path(texts[0]).expanduser())
    return Found(inputs, skipped, single)


def _found(text: str, word: str, several: bool, output: Path | None) -> Iterator[Input]:
    path = streams.take() if text == "-" else Path(text).expanduser()
    if path.is_dir():
        # "." and ".." have no name of their own.
        root = path if path.name not in ("", "..") else path.resolve()
        beside = root.parent / f"{root.name}.{word}"
        for below in _walk(path, output):
            place = Path(root.name, below) if several else below
            yield _told(path / below, place, beside / below, named=False)
    # Before it is taken for a pattern: a file may be called a[1].png.
    elif os.path.lexists(path) or not glob.has_magic(str(path)):
        yield _told(path, Path(path.name), _beside(path, word), named=True)
    else:
        fixed = _fixed(path)
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            problem = f"no file matches {text}; mend the pattern"
            yield Input(path, Path(path.name), path, problem=problem)
        for match in map(Path, matches):
            if match.is_file():
                place = match.relative_to(fixed)
                yield _told(match, place, _beside(match, word), named=False)


def _told(path: Path, place: Path, beside: Path, *, named: bool) -> Input:
    try:
        kind = kinds.kind(path)
    except OSError as error:
        problem = f"cannot read {path}: {error.strerror}; mend the path"
        return Input(path, place, beside, problem=problem)
    if kind == kinds.WEIGHTS:
        kind = None
    place, beside = (_writable(one, path, kind) for one in (place, beside))
    problem = f"{path} is {kinds.other(path)}" if kind is None and named else ""
    return Input(path, place, beside, kind, problem)


def _writable(place: Path, path: Path, kind: str | None) -> Path:
    """The place with an ending that can be written: its own where that can, else by the content."""
    suffix = place.suffix.lower()
    if suffix in _BECOME:
        return place.with_suffix(_BECOME[suffix])
    if kind == kinds.PICTURE and suffix not in images.FORMS:
        return place.with_name(place.name + kinds.ending(path))
    return place


def _walk(root: Path, output: Path | None) -> list[Path]:
    """The files below a folder, relative to it, sorted; hidden ones and the outputs are left out.

    Links to folders are followed, but into no folder twice: they may lead in circles.
    """
    found = []
    seen = {os.path.realpath(root)}
    if output is not None:
        seen.add(os.path.realpath(output))
    for parent, folders, names in os.walk(root, followlinks=True):
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(Path(parent, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        visible = (Path(parent, name) for name in names if not name.startswith("."))
        # No pipes and sockets; but links to nothing, of which their reader tells.
        files = (path for path in visible if path.is_file() or not path.exists())
        found += [path.relative_to(root) for path in files]
    return sorted(found)


def _fixed(pattern: Path) -> Path:
    """The folders in front of the first part of a pattern that is none itself."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed = fixed / part
    return fixed


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.stem}.{word}{path.suffix}")
