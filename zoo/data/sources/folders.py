"""Files below a folder, by sub-folders or split at random; archives of images count as folders."""

import fnmatch
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.data import file_kinds, image_files
from zoo.data.file_kinds import IMAGE_SUFFIXES
from zoo.data.sources import archives
from zoo.data.sources.source import SPLITS, Listing, by_fractions
from zoo.errors import ZooError
from zoo.files import expanded, opened, walk

_USUAL = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}


class Files(NamedTuple):
    """The files that a folder is searched for.

    Attributes:
      what: their name in an error, a plural with s.
      suffixes: their suffixes, in lower case.
      option: the option that the user sets to the folder.
      read: as in `Listing`; items are paths.
      length: as in `Listing`.
      read_any: as in `Listing`.
      around: as in `Listing`.
    """

    what: str
    suffixes: Collection[str]
    read: Callable
    option: str = "path"
    length: Callable[..., int] | None = None
    read_any: Callable | None = None
    around: Callable[..., list[str]] | None = None

    def listing(self, root: Path, names: Sequence[str], ignored: Sequence[str] = ()) -> Listing:
        """The listing of files, by their names below `root`."""
        items = [str(root / name) for name in names]
        own = {"read_any": self.read_any, "around": self.around}
        return Listing(names, items, self.read, ignored, self.length, **own)


def existing(path: str | os.PathLike, what: str, option: str = "path") -> Path:
    """The path of a folder that exists.

    Args:
      path: the folder.
      what: what to call it in the error.
      option: the option to set to it.

    Raises:
      ZooError: the path is empty, missing, or a file.
    """
    if not str(path):
        raise ZooError(f"no path to {what}; set {option} to it")
    folder = expanded(path)
    if not is_folder(folder):
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise ZooError(f"{what} {folder} {reason}; set {option} to an existing folder")
    return folder


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, an archive of images or a folder in an archive."""
    if path.is_dir():
        return True
    within = archives.split(path)
    if not within or not within[1]:
        return bool(within)
    return any(name.startswith(f"{within[1]}/") for name in archives.names(within[0])[0])


def below(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> tuple[list[str], list[str]]:
    """List the files in a folder and all its sub-folders; hidden ones are ignored.

    For images, archives count as folders; see `zoo.data.sources.archives`.

    Args:
      folder: an existing folder.
      suffixes: the suffixes, in lower case, of the files to find.

    Returns:
      The files with these suffixes, and the other files: both relative to `folder`, with forward
      slashes, sorted by code point, so that they are the same on every system.

    Raises:
      ZooError: the folder or a sub-folder cannot be read.
    """
    found, others = [], []
    opening = archives.SUFFIXES if suffixes is IMAGE_SUFFIXES else ()
    within = archives.split(folder) if opening else None
    if within:
        start = f"{within[1]}/" if within[1] else ""
        # A single array has no name within its file.
        return tuple(
            sorted(name[len(start) :] for name in names if name.startswith(start))
            for names in archives.names(within[0])
        )
    for path in walk(folder, whole=file_kinds.is_whole):
        known, suffix = path.as_posix(), file_kinds.ending(path)
        if suffix in opening:
            try:
                held = archives.names(folder / path)
            except ZooError:
                # Reading it raises the error, or skips it.
                held = [""], []
            for kind, inside in zip((found, others), held, strict=True):
                kind += [f"{known}/{one}" if one else known for one in inside]
        else:
            # Files of hospitals often have no suffix.
            named = suffix in suffixes or (opening and not suffix and _is_dicom(folder / path))
            (found if named else others).append(known)
    return sorted(found), sorted(others)


def _is_dicom(path: Path) -> bool:
    try:
        with opened(path) as file:
            return file_kinds.image_format(file_kinds.head(file), "") == "dicom"
    except ZooError:
        return False


def read_image(path: str, *, any_range: bool = False) -> np.ndarray:
    """Read an image that `below` found, as `zoo.data.image_files.read` does.

    Raises:
      ZooError: as that function.
    """
    within = archives.split(path)
    if within:
        return archives.read(*within, any_range=any_range)
    return image_files.read(path, any_range=any_range)


def around(path: str, window: int, *, frames: bool) -> list[str]:
    """The paths of a window of planes, by that of the center; see `zoo.data.windows.around`.

    Raises:
      ZooError: it is no plane of a stack, or the stack is not so deep.
    """
    file, name = archives.split(path) or (path, "")
    found = archives.around(file, name, window, frames=frames)
    return [f"{file}/{one}" if one else file for one in found]


def count_suffixes(names: Iterable[str]) -> str:
    """The number of files with each suffix, such as `12 .heic, 1 .txt`."""
    counts = Counter(Path(name).suffix.lower() or "without an ending" for name in names)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def listings(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    sort: Files,
    *,
    named: dict[str, str | Sequence[str]],
    exclude: str | Sequence[str] = (),
    group: Callable[[str], Any] = lambda name: name,
) -> dict[str, Listing]:
    """List files below a folder, as `zoo.data.sources.image_sources.list_folder` lists images.

    Args:
      path: the folder.
      fractions: shares of train, validation and test.
      seed: of the split by fractions.
      sort: the files to list.
      named: for each split its sub-folders.
      exclude: patterns and folders.
      group: from a name to its group; a split by fractions keeps groups together, and the planes
        of a stack, unless there is one stack alone.

    Raises:
      ZooError: as `list_folder`.
    """
    root = existing(path, f"the folder of {sort.what}", sort.option)
    named = {split_name: _tuple(named[split_name], split_name) for split_name in SPLITS}
    if not any(named.values()):
        named = {s: tuple(n for n in usual if is_folder(root / n)) for s, usual in _USUAL.items()}
    excluded = _Excluded(root, _tuple(exclude, "exclude"), sort)

    if not any(named.values()):
        names, ignored = _found(root, (".",), excluded, sort)
        whole = sort.listing(root, names, ignored)
        chosen = by_fractions(names, fractions, seed, _together(names, group))
        found = {s: whole.subset(chosen[s]) for s in SPLITS}
    else:
        found = {
            s: sort.listing(root, *_found(root, named[s], excluded, sort, is_test=s == "test"))
            for s in SPLITS
        }
        if named["train"] and not named["validation"] and fractions[1]:
            whole = found["train"]
            shares, group = (1 - fractions[1], fractions[1], 0.0), _together(whole.names, group)
            chosen = by_fractions(whole.names, shares, seed, group)
            found |= {s: whole.subset(chosen[s]) for s in ("train", "validation")}
    excluded.check()
    _check_disjoint(found)
    return found


def _together(names: Sequence[str], group: Callable[[str], Any]) -> Callable[[str], Any]:
    """A group of examples by name that keeps the planes of a stack together, unless all are its."""

    def of_stack(name: str) -> Any:
        return group(archives.stack_of(name))

    return of_stack if len({*map(archives.stack_of, names)}) > 1 else group


def _tuple(value: str | Sequence[str], option: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise ZooError(f"data.options.{option} is {value!r}; give names, such as 'a' or ('a', 'b')")


def _found(
    root: Path,
    folders: Sequence[str],
    excluded: "_Excluded",
    sort: Files,
    *,
    is_test: bool = False,
) -> tuple[list[str], list[str]]:
    """Names relative to `root` of the files to list, and of the others, below its `folders`."""
    wanted, others = [], []
    for folder in folders:
        where = existing(root / folder, f"the folder of {sort.what}", sort.option)
        found, rest = below(where, sort.suffixes)
        if not found:
            only = f" but {count_suffixes(rest)}" if rest else ""
            raise ZooError(
                f"{root / folder} has no {sort.what}{only}; they end in "
                f"{file_kinds.listed_suffixes(sort.suffixes)}"
            )
        prefix = Path(os.path.relpath(root / folder, root)).as_posix()
        wanted += [_join(prefix, name) for name in found]
        others += [_join(prefix, name) for name in rest]
    kept = [name for name in wanted if not excluded(name, is_test=is_test)]
    if wanted and not kept:
        raise ZooError(
            f"exclude leaves no {sort.what[:-1]} of {root}, {', '.join(folders)}; narrow it"
        )
    return kept, others


def _join(prefix: str, name: str) -> str:
    return name if prefix == "." else f"{prefix}/{name}"


class _Excluded:
    """Excluded names, and which exclusions had an effect."""

    def __init__(self, root: Path, exclude: tuple[str, ...], sort: Files):
        self._root = root
        self._sort = sort
        self._unused = dict.fromkeys(exclude)
        self._stems = {
            one: {Path(name).stem for name in below(root / one, sort.suffixes)[0]}
            for one in exclude
            if is_folder(root / one)
        }
        self._patterns = [one for one in exclude if one not in self._stems]

    def __call__(self, name: str, *, is_test: bool) -> bool:
        path = Path(name)
        because = [
            pattern
            for pattern in self._patterns
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(path.name, pattern)
        ]
        if not is_test:
            because += [folder for folder, stems in self._stems.items() if path.stem in stems]
        for exclusion in because:
            self._unused.pop(exclusion, None)
        return bool(because)

    def check(self) -> None:
        """Refuse an exclusion without effect: it is probably misspelled, and then a leak."""
        for one in self._unused:
            raise ZooError(
                f"exclude {one!r} leaves out no {self._sort.what[:-1]} of {self._root}: it matches "
                "neither the stems in a folder nor names; correct it, or leave it out"
            )


def _check_disjoint(listings: dict[str, Listing]) -> None:
    seen: dict[Path, str] = {}
    for name, listing in listings.items():
        for item in listing.items:
            other = seen.setdefault(Path(item).resolve(), name)
            if other != name:
                raise ZooError(f"{item} is in both {other} and {name}; name disjoint folders")
