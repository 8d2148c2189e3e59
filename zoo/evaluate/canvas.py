"""Pictures of many sizes on canvases of few, so that few programs are compiled.

A picture lies in the top left corner of its canvas.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from zoo.data.sources import Example
from zoo.evaluate.protocol import FEW_SHAPES, MULTIPLE

# What one call of a model gets: 64 pictures of 64x64 or as many pixels of larger ones.
_BATCH = 64
_BATCH_PIXELS = 64 * 64 * 64

Size = tuple[int, int]


class Group(NamedTuple):
    """Pictures of one canvas and kind.

    Attributes:
      places: where they stand in the whole set.
      pictures: as many.
      canvas: height and width.
      capacity: B, at least as many: a batch that is not full repeats its last picture, because a
        smaller one would be compiled once more.
    """

    places: list[int]
    pictures: list[Example]
    canvas: Size
    capacity: int

    @property
    def index(self) -> np.ndarray:
        """The places, (B,)."""
        return np.array(self._filled(self.places), np.int32)

    @property
    def sizes(self) -> np.ndarray:
        """The pictures' own heights and widths, (B, 2)."""
        sizes = [picture.target.shape[:2] for picture in self.pictures]
        return np.array(self._filled(sizes), np.int32)

    def lay(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """One array a picture (H, W, C), mirrored to the canvas and stacked: (B, *canvas, C)."""
        return np.stack(self._filled([_mirror(array, self.canvas) for array in arrays]))

    def _filled(self, values: list) -> list:
        return values + values[-1:] * (self.capacity - len(values))


def is_exact(pictures: Sequence[Example], shapes: str) -> bool:
    """Whether `Protocol.shapes` leaves the pictures of a set at their own sizes.

    The whole set decides, however many of it are scored.
    """
    if shapes != "auto":
        return shapes == "exact"
    sizes = set()
    for picture in pictures:
        sizes.add(picture.target.shape[:2])
        if len(sizes) > FEW_SHAPES:
            return False
    return True


def groups(pictures: Sequence[Example], count: int, *, exact: bool) -> Iterator[Group]:
    """The first `count` pictures in batches, each as large as memory and caches like it.

    In their order where sizes are exact; else by canvas, each of which then has one B.
    """
    order: Sequence[int] = range(count)
    if not exact:
        kinds = [_kind(pictures[place], exact=False) for place in range(count)]
        order = sorted(order, key=lambda place: (str(kinds[place]), place))
        numbers = Counter(kinds)
    capacities: dict[tuple, int] = {}
    for kind, places, batch in _batches(pictures, order, exact=exact):
        first = len(batch) if exact else min(numbers[kind], _most(kind[0]))
        capacity = max(capacities.setdefault(kind, first), len(batch))
        yield Group(places, batch, kind[0], capacity)


def _batches(
    pictures: Sequence[Example], order: Sequence[int], *, exact: bool
) -> Iterator[tuple[tuple, list[int], list[Example]]]:
    """Runs of pictures of one kind, none longer than one call's."""
    read = ((place, pictures[place]) for place in order)
    for kind, run in itertools.groupby(read, lambda pair: _kind(pair[1], exact)):
        while batch := list(itertools.islice(run, _most(kind[0]))):
            yield kind, [place for place, _ in batch], [picture for _, picture in batch]


def _most(canvas: Size) -> int:
    return min(_BATCH, max(_BATCH_PIXELS // (canvas[0] * canvas[1]), 1))


def _kind(picture: Example, exact: bool) -> tuple:
    target = picture.target
    height, width = target.shape[:2]
    if not exact:
        height, width = height + -height % MULTIPLE, width + -width % MULTIPLE
    return (height, width), target.shape[-1], target.dtype.name, picture.input is None


def _mirror(array: np.ndarray, canvas: Size) -> np.ndarray:
    height, width = array.shape[:2]
    if (height, width) == canvas:
        return array
    return np.pad(array, ((0, canvas[0] - height), (0, canvas[1] - width), (0, 0)), mode="reflect")
