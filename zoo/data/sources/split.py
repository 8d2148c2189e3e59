"""Which picture falls into which split, the same on every machine."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from zoo.data.sources.contract import SPLITS


def by_fractions(
    names: Sequence[str],
    fractions: tuple[float, float, float],
    seed: int,
    group: Callable[[str], Any] = lambda name: name,
) -> dict[str, list[int]]:
    """Split pictures at random, keeping those of one group together.

    The order is by SHA-256 of seed and group, not by a generator: NumPy does not promise its
    streams for ever, and this way a picture more or less hardly moves the others.

    Args:
      names: what the pictures are called.
      fractions: the shares of train, validation and test by pictures. A group goes where its
        middle falls, so the shares are met as nearly as the groups allow.
      seed: another seed, another split.
      group: from a name to its group; without it every picture is one.

    Returns:
      For each split the indices into `names`, ascending; together each index once.
    """
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(str(group(name)), []).append(index)
    order = sorted(members, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
    ends = [fractions[0] * len(names), (fractions[0] + fractions[1]) * len(names)]
    chosen: dict[str, list[int]] = {split: [] for split in SPLITS}
    before = 0
    for key in order:
        middle = before + len(members[key]) / 2
        before += len(members[key])
        chosen[SPLITS[sum(middle > end for end in ends)]] += members[key]
    return {split: sorted(indices) for split, indices in chosen.items()}


def last(count: int, fraction: float) -> int:
    """Where the last `fraction` of `count` pictures begins, rounded to the nearest."""
    return count - round(fraction * count)
