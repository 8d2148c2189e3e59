"""Pictures of many sizes on canvases of few, so that few programs are compiled.

A picture lies in the top left corner of its canvas.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from zoo.data.sources import Picture
from zoo.evaluate.protocol import FEW_SHAPES, MULTIPLE

# What one call of a model gets: 64 pictures of 64x64 or as many pixels of larger ones.
_BATCH = 64
_BATCH_PIXELS = 64 * 64 * 64

Size = tuple[int, int]


class Group(NamedTuple):
    """Pictures of one canvas and kind that follow each other.

    Attributes:
      start: the first one's place in the whole set.
      pictures: B of them.
      canvas: height and width.
    """

    start: int
    pictures: list[Picture]
    canvas: Size

    @property
    def sizes(self) -> np.ndarray:
        """The pictures' own heights and widths, (B, 2)."""
        return np.array([picture.target.shape[:2] for picture in self.pictures], np.int32)

    def lay(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """One array a picture (H, W, C), mirrored to the canvas and stacked: (B, *canvas, C)."""
        return np.stack([_mirror(array, self.canvas) for array in arrays])


def is_exact(pictures: Sequence[Picture], count: int, shapes: str) -> bool:
    """Whether `Protocol.shapes` leaves the first `count` pictures at their own sizes."""
    if shapes != "auto":
        return shapes == "exact"
    sizes = set()
    for index in range(count):
        sizes.add(pictures[index].target.shape[:2])
        if len(sizes) > FEW_SHAPES:
            return False
    return True


def groups(pictures: Sequence[Picture], count: int, *, exact: bool) -> Iterator[Group]:
    """The first `count` pictures in batches, each as large as memory and caches like it."""
    batch: list[Picture] = []
    start, canvas = 0, (0, 0)
    for index in range(count):
        picture = pictures[index]
        if batch:
            full = len(batch) >= min(_BATCH, max(_BATCH_PIXELS // (canvas[0] * canvas[1]), 1))
            if full or _kind(picture, exact) != _kind(batch[0], exact):
                yield Group(start, batch, canvas)
                batch, start = [], index
        canvas = _canvas(picture, exact)
        batch.append(picture)
    yield Group(start, batch, canvas)


def _canvas(picture: Picture, exact: bool) -> Size:
    height, width = picture.target.shape[:2]
    return (height, width) if exact else (height + -height % MULTIPLE, width + -width % MULTIPLE)


def _kind(picture: Picture, exact: bool) -> tuple:
    target = picture.target
    return _canvas(picture, exact), target.shape[-1], target.dtype, picture.input is None


def _mirror(array: np.ndarray, canvas: Size) -> np.ndarray:
    height, width = array.shape[:2]
    if (height, width) == canvas:
        return array
    return np.pad(array, ((0, canvas[0] - height), (0, canvas[1] - width), (0, 0)), mode="reflect")
