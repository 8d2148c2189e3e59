"""Real noise: pairs of a noisy and a clean picture of the same scene, in a folder."""

import re
from typing import NamedTuple

from zoo.data import images
from zoo.data.sources import files, split
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
        `"noisy/*.png"`; a star stands for anything, slashes too.
      clean: the pattern of the clean ones. A pair's stars stand for the same text. A file that
        fits both patterns belongs to the longer one.
      scene: a regular expression searched for in the stem of the noisy file; what its first group
        matches, or all of it without a group, names the scene. Pictures of one scene fall into
        one split. Without it every pair is a scene.

    Returns:
      The listings, named by the noisy files, relative to `path`. Files that fit neither pattern
      are ignored.

    Raises:
      ZooError: the folder is missing or has no pairs, a file has no partner, or a stem no scene.
        On reading: the two pictures differ in size or depth.
    """
    root = files.existing(path, "the folder of pairs")
    pictures, ignored = files.below(root)
    by_star: dict[str, dict[tuple[str, ...], str]] = {noisy: {}, clean: {}}
    if len(by_star) < 2 or noisy.count("*") != clean.count("*") or "*" not in noisy:
        raise ZooError(
            f"patterns noisy {noisy!r} and clean {clean!r} must differ and have as many stars"
        )
    for name in pictures:
        for pattern in sorted(by_star, key=len, reverse=True):
            stars = _stars(pattern, name)
            if stars is not None:
                by_star[pattern][stars] = name
                break
        else:
            ignored.append(name)
    for stars in sorted(by_star[noisy].keys() ^ by_star[clean].keys()):
        pattern, other = (noisy, clean) if stars in by_star[noisy] else (clean, noisy)
        raise ZooError(f"{root / by_star[pattern][stars]} has no partner {other!r}; add or remove")
    if not by_star[noisy]:
        raise ZooError(f"{root} has no pictures named {noisy!r} and {clean!r}; mend the patterns")

    pairs = sorted((name, by_star[clean][stars]) for stars, name in by_star[noisy].items())
    names = [name for name, _ in pairs]
    chosen = split.by_fractions(names, fractions, seed, split.namer("scene", scene))
    return {
        s: Listing(
            [names[i] for i in chosen[s]],
            [_Pair(*(str(root / name) for name in pairs[i])) for i in chosen[s]],
            _read,
            sorted(ignored),
        )
        for s in SPLITS
    }


def _stars(pattern: str, name: str) -> tuple[str, ...] | None:
    """What the stars of a pattern stand for in a name, or None where it does not fit."""
    match = re.fullmatch("(.*)".join(map(re.escape, pattern.split("*"))), name)
    return match and match.groups()


def _read(pair: _Pair):
    noisy, clean = images.read(pair.noisy), images.read(pair.clean)
    if noisy.shape[:2] != clean.shape[:2] or noisy.dtype != clean.dtype:
        raise ZooError(
            f"{pair.noisy} is {_size(noisy)} but {pair.clean} is {_size(clean)}; "
            "mend or remove the pair"
        )
    return clean, noisy


def _size(picture) -> str:
    return f"{picture.shape[0]} x {picture.shape[1]} {picture.dtype}"
