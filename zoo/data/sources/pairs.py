"""Real noise: pairs of a noisy and a clean picture of the same scene, in a folder."""

import os
import re
from typing import NamedTuple

from zoo.data import file_kinds
from zoo.data.sources import containers, files, split
from zoo.data.sources.contract import SPLITS, Listing
from zoo.errors import ZooError


class _Pair(NamedTuple):
    noisy: str
    clean: str


def splits(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    noisy: str,
    clean: str,
    scene: str = "",
) -> dict[str, Listing]:
    r"""List the pairs below a folder, split by scene.

    PolyU: `noisy="*_real.JPG", clean="*_mean.JPG", scene=r"([A-Za-z]+)_+\d+_real$"`, the object
    photographed, for several cameras photographed the same ones.

    Args:
      path: the folder; all its sub-folders are searched, hidden files passed over.
      fractions: shares of train, validation and test by pictures, as near as whole scenes allow.
      seed: of the split.
      noisy: the pattern of the noisy files' names relative to `path`, such as `"*_real.JPG"` or
        `"noisy/*.png"`; a star stands for anything, slashes too. A pattern that ends in a star
        takes all pictures' endings for it.
      clean: the pattern of the clean ones. A pair's stars stand for the same text; a clean pattern
        with fewer stars has the first of them, so that several noisy pictures share a clean one:
        `noisy="*/noisy_*.png", clean="*/clean.png"`. A file that fits both patterns belongs to the
        longer one.
      scene: a regular expression searched for in the stem of the noisy file; what its first group
        matches, or all of it without a group, names the scene. Pictures of one scene fall into
        one split. Without it every clean picture is a scene.

    Returns:
      The listings, named by the noisy files, relative to `path`. Files that fit neither pattern
      are ignored, those without a partner told as `unpaired`.

    Raises:
      ZooError: the folder is missing or has no pairs, or a stem no scene.
        On reading: the two pictures differ in size or depth.
    """
    root = files.existing(path, "the folder of pairs")
    pictures, ignored = files.below(root)
    if noisy == clean or not 0 <= clean.count("*") <= noisy.count("*") or "*" not in noisy:
        raise ZooError(
            f"patterns noisy {noisy!r} and clean {clean!r} must differ and have stars, the clean "
            "one as many or fewer"
        )
    found: dict[str, dict[str, tuple[str, ...]]] = {noisy: {}, clean: {}}
    for name in pictures:
        for pattern in sorted(found, key=len, reverse=True):
            stars = _stars(pattern, name)
            if stars is not None:
                found[pattern][name] = stars[: clean.count("*")]
                break
        else:
            ignored.append(name)
    if not any(found.values()):
        raise ZooError(f"{root} has no pictures named {noisy!r} and {clean!r}; mend the patterns")
    takes: dict[tuple[str, ...], str] = {}
    for name, stars in found[clean].items():
        if takes.setdefault(stars, name) != name:
            raise ZooError(
                f"{root / takes[stars]} and {root / name} are both the clean picture of the same "
                "noisy ones; narrow the pattern clean"
            )

    unpaired = {
        name: f"{root / name} has no partner {clean!r}"
        for name, stars in found[noisy].items()
        if stars not in takes
    } | {
        name: f"{root / name} has no partner {noisy!r}"
        for stars, name in takes.items()
        if stars not in found[noisy].values()
    }
    names = sorted(name for name in found[noisy] if name not in unpaired)
    pairs = [(name, takes[found[noisy][name]]) for name in names]
    # Those that share a clean picture stay together, called as the first of them.
    first: dict[str, str] = {}
    for name, partner in pairs:
        first.setdefault(partner, name)
    alone = {name: first[partner] for name, partner in pairs}
    group = split.namer("scene", scene) if scene else alone.__getitem__
    chosen = split.by_fractions(names, fractions, seed, group)
    return {
        s: Listing(
            [names[i] for i in chosen[s]],
            [_Pair(*(str(root / name) for name in pairs[i])) for i in chosen[s]],
            _read,
            sorted(ignored),
            unpaired=unpaired if s == "train" else {},
        )
        for s in SPLITS
    }


def _stars(pattern: str, name: str) -> tuple[str, ...] | None:
    """What the stars of a pattern stand for in a name, or None where it does not fit."""
    match = re.fullmatch("(.*)".join(map(re.escape, pattern.split("*"))), name)
    if match is None or not pattern.endswith("*"):
        return match and match.groups()
    # The same picture may be kept in another format.
    *others, last = match.groups()
    stem, suffix = os.path.splitext(last)
    return (
        *others,
        stem if suffix.lower() in file_kinds.IMAGE_SUFFIXES | containers.SUFFIXES else last,
    )


def _read(pair: _Pair):
    noisy, clean = files.read(pair.noisy), files.read(pair.clean)
    if noisy.shape[:2] != clean.shape[:2] or noisy.dtype != clean.dtype:
        raise ZooError(
            f"{pair.noisy} is {_size(noisy)} but {pair.clean} is {_size(clean)}; "
            "mend the pair, or leave it out"
        )
    return clean, noisy


def _size(picture) -> str:
    return f"{picture.shape[0]} x {picture.shape[1]} {picture.dtype}"
