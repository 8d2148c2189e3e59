"""Which picture falls into which split, the same on every machine."""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo.data.sources.contract import SPLITS
from zoo.errors import ZooError


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


def namer(option: str, expression: str) -> Callable[[str], str]:
    """A function from a file's name to its group, for `by_fractions`.

    Args:
      option: what the user calls the expression, for an error.
      expression: searched for in the stem; what its first group matches, or all of it without a
        group, names the group of the file. Empty makes every file one of its own.

    Raises:
      ZooError: it is no regular expression; from the function, that it does not match a stem.
    """
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ZooError(
            f"{option} {expression!r} is no regular expression: {error}; mend it"
        ) from None

    def name_group(name: str) -> str:
        if not expression:
            return name
        match = pattern.search(Path(name).stem)
        if match is None:
            raise ZooError(f"{option} {expression!r} does not match the stem of {name}; mend it")
        return match[1] if pattern.groups else match[0]

    return name_group


def last(count: int, fraction: float) -> int:
    """Where the last `fraction` of `count` pictures begins, rounded to the nearest."""
    return count - round(fraction * count)
