"""Batches of examples for evaluation: each file decoded once, few shapes to compile programs for.

An example lies at the start of its canvas: an image in the top left corner, audio at time 0.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from zoo.data.sources import Example
from zoo.errors import ZooError

# Bytes of decoded examples that are kept; what does not fit is decoded again at each level.
_KEPT = 2**30

Size = tuple[int, ...]


class Decoded(Sequence):
    """A source whose examples are checked, decoded once and kept as long as memory is meant for it.

    Args:
      source: a `zoo.data.sources.Source` or any other sequence of examples; its other attributes
        are passed through.
      check: `(array, name) -> array`, applied to every target and input.
      keep: bytes to keep.
    """

    def __init__(
        self,
        source: Sequence[Example],
        check: Callable[[np.ndarray, str], np.ndarray] = lambda x, name: x,
        *,
        keep: int = _KEPT,
    ):
        self._source = source
        self._check = check
        self._free = keep
        self._kept: dict[tuple[int, int, int | None], Example] = {}

    def __getattr__(self, name: str):
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        """Example `index`, checked.

        Raises:
          ZooError: it cannot be read, or its input does not fit its target.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.excerpt(index)

    def excerpt(self, index: int, start: int = 0, frames: int | None = None) -> Example:
        """`frames` samples of signal `index` from `start` on, or an example of any kind whole.

        Raises:
          ZooError: as for `[]`.
        """
        key = (index, start, frames)
        if key not in self._kept:
            example = self._read(index, start, frames)
            size = sum(x.nbytes for x in example[1:] if x is not None)
            if size > self._free:
                return example
            self._free -= size
            self._kept[key] = example
        return self._kept[key]

    @functools.cached_property
    def lengths(self) -> list[int]:
        """The samples of each signal, without decoding it where the source knows them.

        Raises:
          ZooError: one cannot be read, or is not an audio signal.
        """
        known = getattr(self._source, "lengths", None)
        return known() if known else [len(example.target) for example in self]

    def _read(self, index: int, start: int, frames: int | None) -> Example:
        if frames is None:
            name, target, noisy = self._source[index]
        elif hasattr(self._source, "excerpt"):
            name, target, noisy = self._source.excerpt(index, start, frames)
        else:
            name, *whole = self[index]
            return Example(name, *(x if x is None else x[start : start + frames] for x in whole))
        if noisy is not None:
            # A window of planes has one of them as its target.
            whole, part = noisy.shape, target.shape
            if whole[:-1] != part[:-1] or whole[-1] % part[-1] or whole[-1] // part[-1] % 2 == 0:
                raise ZooError(
                    f"{name}: the input is {noisy.shape}, its target {target.shape}; correct the "
                    "pair"
                )
            noisy = self._check(noisy, f"the input of {name}")
        return Example(name, self._check(target, name), noisy)


class Piece(NamedTuple):
    """An example, or as much of a long signal as is scored at once.

    Attributes:
      place: of the example in its set.
      name: its name, and where the piece begins if there are several.
      kind: what the items of a batch have in common: the canvas first.
      start: the first sample of a piece.
      frames: how many samples it has; None for a whole example.
    """

    place: int
    name: str
    kind: tuple
    start: int = 0
    frames: int | None = None

    @property
    def key(self) -> tuple[int, int]:
        """What identifies it within its set."""
        return self.place, self.start

    @property
    def paired(self) -> bool:
        """Whether it brings its own noise."""
        return self.kind[-1]


class Item(NamedTuple):
    """A piece that is decoded.

    Attributes:
      piece: which.
      target: the clean signal, integers or floats.
      input: the noisy one where it brings its own, else None.
    """

    piece: Piece
    target: np.ndarray
    input: np.ndarray | None

    @property
    def name(self) -> str:
        """Of the piece."""
        return self.piece.name


class Group(NamedTuple):
    """Items that one call of a model takes.

    Attributes:
      items: at least one.
      canvas: the spatial size each is padded to.
      capacity: B, at least as many: a batch that is not full repeats its last item, because a
        smaller one would be compiled once more.
      mode: of the padding, for `numpy.pad`.
    """

    items: list[Item]
    canvas: Size
    capacity: int
    mode: str

    @property
    def paired(self) -> bool:
        """Whether the items bring their own noise."""
        return self.items[0].input is not None

    @property
    def index(self) -> np.ndarray:
        """The places of the items in their set, (B,) int32."""
        return np.array(self._filled([item.piece.place for item in self.items]), np.int32)

    @property
    def sizes(self) -> np.ndarray:
        """The items' own spatial sizes, (B, number of spatial axes) int32."""
        return np.array(self._filled([item.target.shape[:-1] for item in self.items]), np.int32)

    def lay(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """One array for each item, padded to the canvas and stacked: (B, *canvas, C)."""
        return np.stack(self._filled([self._padded(array) for array in arrays]))

    def _filled(self, values: list) -> list:
        return values + values[-1:] * (self.capacity - len(values))

    def _padded(self, array: np.ndarray) -> np.ndarray:
        if array.shape[:-1] == self.canvas:
            return array
        room = [(0, most - side) for most, side in zip(self.canvas, array.shape, strict=False)]
        return np.pad(array, [*room, (0, 0)], mode=self.mode)


def kind_of(canvas: Size, target: np.ndarray, noisy: np.ndarray | None) -> tuple:
    """What the items of a batch have in common."""
    return canvas, target.shape[-1], target.dtype.name, noisy is not None


def groups(
    source: Decoded, pieces: Sequence[Piece], most: Callable[[Size], int], mode: str
) -> Iterator[Group]:
    """All pieces in batches of one kind, small canvases first.

    Args:
      source: the set.
      pieces: of its examples.
      most: from a canvas to the number of items that one call of a model takes.
      mode: as for `Group`.
    """
    kinds: dict[tuple, list[Piece]] = {}
    for piece in pieces:
        kinds.setdefault(piece.kind, []).append(piece)
    for kind, own in sorted(kinds.items()):
        # As even as can be: 17 pieces are 9 and 8, not 16 and one that is computed 16 times.
        capacity = math.ceil(len(own) / math.ceil(len(own) / most(kind[0])))
        for first in range(0, len(own), capacity):
            batch = own[first : first + capacity]
            items = [Item(p, *source.excerpt(p.place, p.start, p.frames)[1:]) for p in batch]
            yield Group(items, kind[0], capacity, mode)
