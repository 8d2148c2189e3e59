"""Pictures in a folder, by sub-folders or split at random."""

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

from zoo.data import images
from zoo.data.sources import files, split
from zoo.data.sources.contract import SPLITS, Listing
from zoo.errors import ZooError

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
      path: the folder; all its sub-folders are searched, hidden files passed over.
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
    root = files.existing(path, "the folder of pictures")
    named = {"train": _tuple(train), "validation": _tuple(validation), "test": _tuple(test)}
    if not any(named.values()):
        named = {s: tuple(n for n in usual if (root / n).is_dir()) for s, usual in _USUAL.items()}
    excluded = _Excluded(root, _tuple(exclude))

    if not any(named.values()):
        names, ignored = _pictures(root, (".",), excluded)
        chosen = split.by_fractions(names, fractions, seed)
        listings = {s: _listing(root, [names[i] for i in chosen[s]], ignored) for s in SPLITS}
    else:
        listings = {
            s: _listing(root, *_pictures(root, named[s], excluded, is_test=s == "test"))
            for s in SPLITS
        }
        if named["train"] and not named["validation"] and fractions[1]:
            names, ignored = listings["train"].names, listings["train"].ignored
            shares = (1 - fractions[1], fractions[1], 0.0)
            chosen = split.by_fractions(names, shares, seed)
            for s in ("train", "validation"):
                listings[s] = _listing(root, [names[i] for i in chosen[s]], ignored)
    excluded.check()
    _check_disjoint(listings)
    return listings


def _tuple(value: str | Sequence[str]) -> tuple[str, ...]:
    return ((value,) if value else ()) if isinstance(value, str) else tuple(value)


def _pictures(
    root: Path, folders: Sequence[str], excluded: "_Excluded", *, is_test: bool = False
) -> tuple[list[str], list[str]]:
    """Names relative to `root` of the pictures and of the other files below its `folders`."""
    pictures, others = [], []
    for folder in folders:
        found, rest = files.below(files.existing(root / folder, "the folder of pictures"))
        if not found:
            raise ZooError(
                f"{root / folder} has no pictures; they end in {', '.join(sorted(images.SUFFIXES))}"
            )
        prefix = Path(os.path.relpath(root / folder, root)).as_posix()
        pictures += [_join(prefix, name) for name in found]
        others += [_join(prefix, name) for name in rest]
    kept = [name for name in pictures if not excluded(name, is_test=is_test)]
    if pictures and not kept:
        raise ZooError(f"exclude leaves no picture of {root}, {', '.join(folders)}; narrow it")
    return kept, others


def _join(prefix: str, name: str) -> str:
    return name if prefix == "." else f"{prefix}/{name}"


class _Excluded:
    """Which names are left out; remembers which exclusions did something."""

    def __init__(self, root: Path, exclude: tuple[str, ...]):
        self._root = root
        self._unused = dict.fromkeys(exclude)
        self._stems = {
            one: {Path(name).stem for name in files.below(root / one)[0]}
            for one in exclude
            if (root / one).is_dir()
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
                f"exclude {one!r} leaves out no picture of {self._root}: it is no folder with "
                "their stems and no pattern of their names; mend or remove it"
            )


def _listing(root: Path, names: Sequence[str], ignored: Sequence[str] = ()) -> Listing:
    return Listing(names, [str(root / name) for name in names], _read, ignored)


def _check_disjoint(listings: dict[str, Listing]) -> None:
    seen: dict[Path, str] = {}
    for name, listing in listings.items():
        for item in listing.items:
            other = seen.setdefault(Path(item).resolve(), name)
            if other != name:
                raise ZooError(f"{item} is in both {other} and {name}; name disjoint folders")


def _read(path: str):
    return images.read(path), None
