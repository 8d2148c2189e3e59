"""What a source is: the law every kind of source obeys."""

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from zoo.data import pixels
from zoo.errors import ZooError

SPLITS = ("train", "validation", "test")


class Picture(NamedTuple):
    """One picture of a source.

    Attributes:
      name: what the picture is called, unique within its split.
      target: the clean picture `(H, W, C)`, uint8 or uint16.
      input: the noisy picture of the same shape and dtype for paired data, else None: the noise is
        then ours to add.
    """

    name: str
    target: np.ndarray
    input: np.ndarray | None


class Listing(NamedTuple):
    """What a kind of source knows of one split before it reads a single picture.

    Attributes:
      names: what the pictures are called.
      items: what `read` needs to read each of them, as long as `names`.
      read: takes an item and returns `(target, input or None)` as the files hold them, or raises
        `ZooError`. A module's function or a `partial` of one, so that it can be pickled.
      ignored: names of files in the split's folder that are no part of it.
    """

    names: Sequence[str]
    items: Sequence[Any]
    read: Callable[[Any], tuple[np.ndarray, np.ndarray | None]]
    ignored: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Source(Sequence):
    """The pictures of one split: a read-only sequence that decodes on access.

    Nothing read is kept and nothing changes, so threads may share a source and processes may be
    sent one.

    Attributes:
      listing: what there is, and how it is read.
      channels: how many channels every picture comes out with, 1 or 3.
      size: height and width every picture is resized to, or None to leave them.
      skipped: the unreadable pictures that `load(on_error="skip")` left out: name to reason.
    """

    listing: Listing
    channels: int
    size: tuple[int, int] | None = None
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> Sequence[str]:
        """What the pictures are called, in order."""
        return self.listing.names

    @property
    def ignored(self) -> Sequence[str]:
        """Names of files in this split's folder that are no part of it."""
        return self.listing.ignored

    def __len__(self) -> int:
        return len(self.listing.items)

    def __getitem__(self, index: int) -> Picture:
        """Read picture `index`, negative from the end.

        Raises:
          IndexError: there is no such picture.
          ZooError: it cannot be read, or is no picture; the error names it.
        """
        index = range(len(self))[operator.index(index)]
        name = self.listing.names[index]
        target, noisy = self.listing.read(self.listing.items[index])
        return Picture(name, self._finish(target), None if noisy is None else self._finish(noisy))

    def __repr__(self) -> str:
        return f"Source({len(self)} pictures, channels={self.channels}, size={self.size})"

    def _finish(self, picture: np.ndarray) -> np.ndarray:
        picture = pixels.to_channels(picture, self.channels)
        if picture.dtype == np.float32:
            # The host holds integers by the house's law; 16 bits keep what a photograph has.
            picture = pixels.to_uint16(picture)
        if self.size is not None:
            picture = pixels.resize(picture, self.size)
        return np.ascontiguousarray(picture)

    def without_unreadable(self) -> "Source":
        """Read every picture once and leave out the unreadable; see `skipped`."""
        with ThreadPoolExecutor() as pool:
            problems = list(pool.map(self._problem, range(len(self))))
        skipped = {name: why for name, why in zip(self.names, problems, strict=True) if why}
        kept = [index for index, why in enumerate(problems) if not why]
        listing = self.listing._replace(
            names=[self.listing.names[i] for i in kept],
            items=[self.listing.items[i] for i in kept],
        )
        return dataclasses.replace(self, listing=listing, skipped=skipped)

    def _problem(self, index: int) -> str:
        """Why a picture cannot be read; empty if it can."""
        try:
            self[index]
        except ZooError as error:
            return str(error)
        return ""
