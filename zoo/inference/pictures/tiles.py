"""Where the tiles of a picture lie, what a model sees of each, and what counts of its output.

A picture is thought padded once, below and to the right, to a multiple of the model's stride and
with the model's own margin; tiles start at multiples of the stride. So the model adds nothing to a
tile, its edges at those of the picture see what they see in the whole picture, and the pixels
within the halo of its other edges do not count.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zoo.errors import ZooError

# Tiles whose size nobody chose are rounded up to it, so that pictures share compiled programs.
_QUANTUM = 64


class Axis(NamedTuple):
    """Tiles along H or W.

    Attributes:
      length: of the picture, in pixels.
      tile: length of every tile.
      starts: of the tiles, ascending, the last one ending where the padded picture ends.
      halo: pixels that do not count, or hardly, at inner ends.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    halo: int

    def kept(self, number: int) -> slice:
        """The pixels of the picture that tile `number` alone gives, half way to its neighbours."""
        ends = [start + self.tile for start in self.starts]
        first = 0 if number == 0 else (self.starts[number] + ends[number - 1]) // 2
        last = number == len(self.starts) - 1
        end = self.length if last else (self.starts[number + 1] + ends[number]) // 2
        return slice(first, min(end, self.length))

    def seen(self, number: int) -> slice:
        """The pixels of the picture under tile `number`."""
        start = self.starts[number]
        return slice(start, min(start + self.tile, self.length))

    def weights(self, number: int) -> np.ndarray:
        """How much the pixels of `seen` count, float32: over all tiles they add up to 1."""
        at = np.arange(self.length)[self.seen(number)]
        total = sum(self._raw(other, at) for other in range(len(self.starts)))
        return (self._raw(number, at) / total).astype(np.float32)

    def _raw(self, number: int, at: np.ndarray) -> np.ndarray:
        start = self.starts[number]
        end = start + self.tile
        ramp = np.ones(at.shape)
        for inner, depth in (
            (number > 0, at - start),
            (number < len(self.starts) - 1, end - 1 - at),
        ):
            if inner:
                # A raised cosine over both halos, no steeper than a pixel.
                share = np.clip((depth + 0.5) / max(2 * self.halo, 1), 0, 1)
                ramp = ramp * np.sin(np.pi / 2 * share) ** 2
        return np.where((at >= start) & (at < end), ramp, 0.0)


class Tile(NamedTuple):
    """One tile: its number along H and along W."""

    row: int
    column: int


@dataclasses.dataclass(frozen=True)
class Grid:
    """All tiles of a picture.

    Attributes:
      rows: along H.
      columns: along W.
      exact: whether tiles make no difference, so that each gives its part; else they are blended.
    """

    rows: Axis
    columns: Axis
    exact: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a tile."""
        return self.rows.tile, self.columns.tile

    def __iter__(self) -> Iterator[Tile]:
        """Row by row."""
        for row in range(len(self.rows.starts)):
            for column in range(len(self.columns.starts)):
                yield Tile(row, column)

    @property
    def count(self) -> int:
        """The number of tiles."""
        return len(self.rows.starts) * len(self.columns.starts)

    def place(self, tile: Tile) -> tuple[slice, slice]:
        """The pixels of the picture that count of a tile: `kept` if exact, else `seen`."""
        if self.exact:
            return self.rows.kept(tile.row), self.columns.kept(tile.column)
        return self.rows.seen(tile.row), self.columns.seen(tile.column)

    def part(self, tile: Tile) -> tuple[slice, slice]:
        """The same in the tile's own pixels."""
        return tuple(
            slice(inside.start - axis.starts[number], inside.stop - axis.starts[number])
            for axis, number, inside in zip(
                (self.rows, self.columns), tile, self.place(tile), strict=True
            )
        )

    def weights(self, tile: Tile) -> np.ndarray:
        """(h, w, 1) of the pixels of `place`."""
        rows, columns = self.rows.weights(tile.row), self.columns.weights(tile.column)
        return (rows[:, None] * columns)[..., None]

    def cut(self, picture: np.ndarray, tile: Tile, into: np.ndarray, margin: str) -> None:
        """Copies what the model sees of a tile.

        Args:
          picture: (H, W, C).
          tile: which.
          into: (*shape, C).
          margin: what lies below and to the right of the picture, a mode of `numpy.pad`.
        """
        rows, columns = self.rows.seen(tile.row), self.columns.seen(tile.column)
        inside = picture[rows, columns]
        margins = [(0, whole - part) for whole, part in zip(into.shape, inside.shape, strict=True)]
        # Tiles are two strides long at least, so a margin mirrors what lies inside.
        into[...] = np.pad(inside, margins, mode=margin) if np.any(margins) else inside


def one(size: tuple[int, int], stride: int) -> Grid:
    """The whole picture as one tile."""
    axes = [Axis(length, length + -length % stride, (0,), 0) for length in size]
    return Grid(*axes, exact=True)


def grid(
    size: tuple[int, int], side: int, halo: int, stride: int, *, exact: bool, chosen: bool
) -> Grid:
    """Lays tiles over a picture.

    Args:
      size: (H, W).
      side: of a tile, at most; rounded up to a multiple of the stride.
      halo: see `Axis`.
      stride: of what the starts are multiples.
      exact: see `Grid`.
      chosen: whether the user chose the side; else tiles are made smaller where as many do.

    Raises:
      ZooError: so small a tile would keep nothing.
    """
    least = max(2 * halo + stride, 2 * stride)
    asked, side = side, side + -side % stride
    axes = []
    for length in size:
        padded = length + -length % stride
        if padded > side and side < least:
            raise ZooError(
                f"tile={asked} keeps nothing of a tile at an overlap of {halo}; "
                f"take at least {least + -least % stride}, or 0 for the whole picture"
            )
        axes.append(_axis(length, padded, side, halo, stride, chosen=chosen))
    whole = all(len(axis.starts) == 1 for axis in axes)
    return Grid(*axes, exact=exact or whole)


def _axis(length: int, padded: int, side: int, halo: int, stride: int, *, chosen: bool) -> Axis:
    if padded <= side:
        return Axis(length, padded, (0,), halo)
    count = _count(padded, side, halo, stride)
    if not chosen:
        fitting = -(-(padded + (count - 1) * (2 * halo + stride)) // count)
        side = min(side, fitting + -fitting % math.lcm(stride, _QUANTUM))
        count = _count(padded, side, halo, stride)
    spare = (padded - side) // stride
    starts = tuple(number * spare // (count - 1) * stride for number in range(count))
    return Axis(length, side, starts, halo)


def _count(padded: int, side: int, halo: int, stride: int) -> int:
    step = (side - 2 * halo) // stride * stride
    return 1 + -(-(padded - side) // step)
