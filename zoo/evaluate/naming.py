"""File names for what an evaluation writes."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from zoo import files


def unique(name: str, used: Counter[str], suffixes: Collection[str]) -> str:
    """A file name, without its suffix, that no earlier call with the same `used` gave.

    Args:
      name: of a picture or recording, as its source has it.
      used: what has been given; changed.
      suffixes: endings, in lower case, that the name loses.
    """
    if Path(name).suffix.lower() in suffixes:
        name = str(Path(name).with_suffix(""))
    slug = found = files.slug(name)
    while found in used:
        used[slug] += 1
        found = f"{slug}_{used[slug]}"
    used[found] += 1
    return found
