"""Pictures in a folder, by sub-folders or split at random; and other files, in the same way."""

import fnmatch
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data import file_kinds
from zoo.data.sources import files, split
from zoo.data.sources.contract import SPLITS, Listing
from zoo.errors import ZooError


class Files(NamedTuple):
    """What sort of files a folder is searched for.

    Attributes:
      what: what to call them in an error, a plural with s.
      suffixes: their endings, in lower case.
      option: what the user sets to the folder.
      read: as `Listing` has it; items are paths.
      length: as `Listing` has it.
    """

    what: str
    suffixes: Collection[str]
    read: Callable
    option: str = "path"
    length: Callable[..., int] | None = None

    def listing(self, root: Path, names: Sequence[str], ignored: Sequence[str] = ()) -> Listing:
        """The listing of the files of these names below `root`."""
        items = [str(root / name) for name in names]
        return Listing(names, items, self.read, ignored, self.length)


_USUAL = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}


def splits(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    train: str | Sequence[str] = (),
    validation: str | Sequence[str] = (),
    test: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
) -> dict[str, Listing]:
    """List the pictures below a folder.

    Sub-folders named by `train`, `validation` and `test` make the splits. When none is named, the
    usual `train`, `validation` or `val`, and `test` do, where one of them exists; otherwise all
    pictures below the folder are split by `fractions`. If train has sub-folders and validation
    has none, it takes `fractions[1]` of train.

    BSDS500 without its leak into BSD68: `train=("train", "test"), validation="val",
    test="../cbsd68", exclude="../cbsd68"`.

    Args:
      path: the folder; all its sub-folders are searched, hidden files passed over. A zip file of
        pictures, and a `.npy` or `.npz` file, is a folder of them.
      fractions: shares of train, validation and test.
      seed: of the split by fractions.
      train: sub-folders of `path` (or absolute folders) with the pictures to train on.
      validation: the same to select on.
      test: the same to test on.
      exclude: glob patterns for the names, `"*_mask.png"`, or folders, relative to `path` or
        absolute: a picture with the stem of one in such a folder is left out, whatever the
        suffixes. That keeps a test set out of train and validation; from the sub-folders of test
        only patterns leave out, so that the test set may be named in both.

    Returns:
      The listings; names are relative to `path`, with forward slashes.

    Raises:
      ZooError: a folder is missing or has no pictures, a picture is in two splits, or `exclude`
        leaves out nothing.
    """
    return listings(
        path,
        fractions,
        seed,
        PICTURES,
        named={"train": train, "validation": validation, "test": test},
        exclude=exclude,
    )


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
    """List the files of any sort below a folder, as `splits` lists pictures.

    Args:
      path: the folder.
      fractions: shares of train, validation and test.
      seed: of the split by fractions.
      sort: what files.
      named: for each split its sub-folders.
      exclude: patterns and folders.
      group: from a name to its group; a split by fractions keeps groups together.

    Raises:
      ZooError: as `splits` raises.
    """
    root = files.existing(path, f"the folder of {sort.what}", sort.option)
    named = {split_name: _tuple(named[split_name], split_name) for split_name in SPLITS}
    if not any(named.values()):
        named = {
            s: tuple(n for n in usual if files.is_folder(root / n)) for s, usual in _USUAL.items()
        }
    excluded = _Excluded(root, _tuple(exclude, "exclude"), sort)

    if not any(named.values()):
        names, ignored = _found(root, (".",), excluded, sort)
        chosen = split.by_fractions(names, fractions, seed, group)
        found = {s: sort.listing(root, [names[i] for i in chosen[s]], ignored) for s in SPLITS}
    else:
        found = {
            s: sort.listing(root, *_found(root, named[s], excluded, sort, is_test=s == "test"))
            for s in SPLITS
        }
        if named["train"] and not named["validation"] and fractions[1]:
            names, ignored = found["train"].names, found["train"].ignored
            shares = (1 - fractions[1], fractions[1], 0.0)
            chosen = split.by_fractions(names, shares, seed, group)
            for s in ("train", "validation"):
                found[s] = sort.listing(root, [names[i] for i in chosen[s]], ignored)
    excluded.check()
    _check_disjoint(found)
    return found


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
    """Names relative to `root` of the files looked for and of the others below its `folders`."""
    wanted, others = [], []
    for folder in folders:
        where = files.existing(root / folder, f"the folder of {sort.what}", sort.option)
        found, rest = files.below(where, sort.suffixes)
        if not found:
            only = f" but {files.kinds(rest)}" if rest else ""
            raise ZooError(
                f"{root / folder} has no {sort.what}{only}; they end in "
                f"{', '.join(sorted(sort.suffixes))}"
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
    """Which names are left out; remembers which exclusions did something."""

    def __init__(self, root: Path, exclude: tuple[str, ...], sort: Files):
        self._root = root
        self._sort = sort
        self._unused = dict.fromkeys(exclude)
        self._stems = {
            one: {Path(name).stem for name in files.below(root / one, sort.suffixes)[0]}
            for one in exclude
            if files.is_folder(root / one)
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
        """An exclusion that excludes nothing is likely misspelt, and then a leak."""
        for one in self._unused:
            raise ZooError(
                f"exclude {one!r} leaves out no {self._sort.what[:-1]} of {self._root}: it is no "
                "folder with their stems and no pattern of their names; mend it, or leave it out"
            )


def _check_disjoint(listings: dict[str, Listing]) -> None:
    seen: dict[Path, str] = {}
    for name, listing in listings.items():
        for item in listing.items:
            other = seen.setdefault(Path(item).resolve(), name)
            if other != name:
                raise ZooError(f"{item} is in both {other} and {name}; name disjoint folders")


def _read(path: str):
    return files.read(path), None


PICTURES = Files("pictures", file_kinds.IMAGE_SUFFIXES, _read)
