"""Batches of examples for evaluation: each file decoded once, few shapes to compile programs for.

An example lies at the start of its canvas: an image in the top left corner, audio at time 0.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from zoo.data.sources import Example
from zoo.errors import ZooError

# The values a model gets in one call: 64 images of 64x64, or as many values of larger ones.
_BATCH = 64
_BATCH_VALUES = 64 * 64 * 64
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
        self._lengths: list[int] | None = None

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
        """`frames` samples of recording `index` from `start` on, or an example of any kind whole.

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

    def length(self, index: int) -> int:
        """The samples of recording `index`, without decoding it where the source knows them.

        Raises:
          ZooError: it cannot be read, or is not a recording.
        """
        if not hasattr(self._source, "lengths"):
            return len(self[index].target)
        if self._lengths is None:
            self._lengths = self._source.lengths()
        return self._lengths[index]

    def converted(self, convert: Callable[[np.ndarray], np.ndarray], channels: int) -> "Decoded":
        """The same examples, those at hand not decoded again, with every array converted.

        Args:
          convert: the conversion of an array.
          channels: that it gives.
        """
        other = Decoded(self, lambda x, name: convert(x), keep=0)
        other.channels = channels
        return other

    def _read(self, index: int, start: int, frames: int | None) -> Example:
        if frames is not None and not hasattr(self._source, "excerpt"):
            name, target, noisy = self[index]
            part = slice(start, start + frames)
            return Example(name, target[part], None if noisy is None else noisy[part])
        if frames is None:
            name, target, noisy = self._source[index]
        else:
            name, target, noisy = self._source.excerpt(index, start, frames)
        if noisy is not None and noisy.shape != target.shape:
            raise ZooError(
                f"{name}: the input is {noisy.shape}, its target {target.shape}; correct the pair"
            )
        target = self._check(target, name)
        return Example(
            name, target, None if noisy is None else self._check(noisy, f"the input of {name}")
        )


class Item(NamedTuple):
    """An example, or as much of a long recording as is scored at once.

    Attributes:
      place: of the example in its set.
      name: its name, and where the piece begins if there are several.
      target: the clean signal, integers or floats.
      input: the noisy one where it brings its own, else None.
      start: the first sample of a piece.
    """

    place: int
    name: str
    target: np.ndarray
    input: np.ndarray | None
    start: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What identifies it within its set."""
        return self.place, self.start


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
    mode: str = "reflect"

    @property
    def paired(self) -> bool:
        """Whether the items bring their own noise."""
        return self.items[0].input is not None

    @property
    def index(self) -> np.ndarray:
        """The places of the items in their set, (B,) int32."""
        return np.array(self._filled([item.place for item in self.items]), np.int32)

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


def groups(examples: Sequence[Example], count: int, *, multiple: int = 1) -> Iterator[Group]:
    """The first `count` examples in batches, each as large as memory and caches allow.

    Args:
      examples: the set.
      count: how many.
      multiple: what sides are padded to multiples of; 1 leaves every example at its own size and
        in its place, otherwise the batches are sorted by canvas, each of which has one B.
    """
    order: Sequence[int] = range(count)
    if multiple > 1:
        kinds = [_kind(examples[place], multiple) for place in range(count)]
        order = sorted(order, key=lambda place: (str(kinds[place]), place))
        numbers = Counter(kinds)
    capacities: dict[tuple, int] = {}
    for kind, items in _batches(examples, order, multiple):
        most = len(items) if multiple == 1 else min(numbers[kind], _most(kind[0]))
        capacity = max(capacities.setdefault(kind, most), len(items))
        yield Group(items, kind[0], capacity)


def _batches(
    examples: Sequence[Example], order: Sequence[int], multiple: int
) -> Iterator[tuple[tuple, list[Item]]]:
    """Runs of examples of one kind, none longer than one call takes."""
    read = (Item(place, *examples[place]) for place in order)
    for kind, run in itertools.groupby(read, lambda item: _kind(item, multiple)):
        while batch := list(itertools.islice(run, _most(kind[0]))):
            yield kind, batch


def _most(canvas: Size) -> int:
    return min(_BATCH, max(_BATCH_VALUES // int(np.prod(canvas)), 1))


def _kind(example: Example | Item, multiple: int) -> tuple:
    """What the examples of a batch have in common."""
    target = example.target
    canvas = tuple(side + -side % multiple for side in target.shape[:-1])
    return canvas, target.shape[-1], target.dtype.name, example.input is None
