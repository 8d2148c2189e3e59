"""Where the tiles of an image lie, what a model sees of each, and what counts of its output.

An image is padded once, below and to the right, to a multiple of the model's stride and
with the model's own margin; tiles start at multiples of the stride. So the model adds nothing to a
tile, its edges at those of the image see what they see in the whole image, and the pixels
within the halo of its other edges do not count.

Tiles have one of a few lengths along each axis, for each pair of them is a program to compile. Of a
image that is shorter, a model that knows canvases (`zoo.models.canvas`) sees a canvas of such a
length; another sees the padded image, and is compiled for its size.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from zoo.errors import ZooError
from zoo.inference.value_scale import Scale

# The least of the lengths, and up to which they double; from there on there are two an octave, and
# of tiles four from another on, as a pixel too many costs more there than a program.
_SHORTEST, _COARSE, _FINE = 64, 256, 1024
# Pixels of a canvas for a whole image: a larger one is compiled for its size, and takes no more
# memory than it must.
_MOST = 3 * 2**19


class Axis(NamedTuple):
    """Tiles along H or W.

    Attributes:
      length: of the image, in pixels.
      tile: length of every tile.
      starts: of the tiles, ascending, the last one ending where the padded image ends.
      halo: pixels that do not count, or hardly, at inner ends.
      filled: pixels of a tile that are of the padded image; beyond them is canvas.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    halo: int
    filled: int

    def kept(self, number: int) -> slice:
        """The pixels of the image that tile `number` alone gives, half way to its neighbors."""
        ends = [start + self.tile for start in self.starts]
        first = 0 if number == 0 else (self.starts[number] + ends[number - 1]) // 2
        last = number == len(self.starts) - 1
        end = self.length if last else (self.starts[number + 1] + ends[number]) // 2
        return slice(first, min(end, self.length))

    def seen(self, number: int) -> slice:
        """The pixels of the image under tile `number`."""
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
    """All tiles of an image.

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
    def filled(self) -> tuple[int, int]:
        """Height and width of what of a tile is the padded image."""
        return self.rows.filled, self.columns.filled

    @property
    def count(self) -> int:
        """The number of tiles."""
        return len(self.rows.starts) * len(self.columns.starts)

    def place(self, tile: Tile) -> tuple[slice, slice]:
        """The pixels of the image that count of a tile: `kept` if exact, else `seen`."""
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

    def cut(self, image: np.ndarray, tile: Tile, into: np.ndarray, margin: str) -> None:
        """Copies what the model sees of a tile.

        Args:
          image: (H, W, C).
          tile: which.
          into: (*shape, C), zeros.
          margin: what lies below and to the right of the image, a mode of `numpy.pad`.
        """
        rows, columns = self.rows.seen(tile.row), self.columns.seen(tile.column)
        inside, (height, width) = image[rows, columns], self.filled
        margins = [(0, height - inside.shape[0]), (0, width - inside.shape[1]), (0, 0)]
        # Tiles are two strides long at least, so a margin mirrors what lies inside.
        inside = np.pad(inside, margins, mode=margin) if np.any(margins) else inside
        into[:height, :width] = inside


def one(size: tuple[int, int], stride: int, *, canvas: bool) -> Grid:
    """The whole image as one tile.

    Args:
      size: (H, W).
      stride: of the padding.
      canvas: whether the model knows canvases.
    """
    padded = [length + -length % stride for length in size]
    laid = [next(n for n in _lengths(stride) if n >= length) for length in padded]
    if not canvas or math.prod(laid) > _MOST:
        laid = padded
    axes = [
        Axis(length, tile, (0,), 0, filled)
        for length, tile, filled in zip(size, laid, padded, strict=True)
    ]
    return Grid(*axes, exact=True)


def grid(
    size: tuple[int, int],
    side: int,
    halo: int,
    stride: int,
    *,
    exact: bool,
    chosen: bool,
    canvas: bool,
) -> Grid:
    """Lays tiles over an image.

    Args:
      size: (H, W).
      side: of a tile, at most; rounded up to a multiple of the stride.
      halo: see `Axis`.
      stride: of what the starts are multiples.
      exact: see `Grid`.
      chosen: whether the user chose the side; else tiles are shorter where that takes fewer pixels.
      canvas: whether the model knows canvases.

    Raises:
      ZooError: so small a tile would keep nothing.
    """
    least = max(2 * halo + stride, 2 * stride)
    asked, side = side, side + -side % stride
    below = itertools.takewhile(lambda n: n < side, _lengths(stride, fine=not chosen))
    lengths = [*below, side]
    axes = []
    for length in size:
        padded = length + -length % stride
        if padded > side and side < least:
            raise ZooError(
                f"tile={asked} keeps nothing of a tile at an overlap of {halo}; "
                f"take at least {least + -least % stride}, or 0 for the whole image"
            )
        if padded <= side:
            tile = next(n for n in lengths if n >= padded) if canvas else padded
            shorter = [n for n in lengths if least <= n < tile] if canvas and not chosen else []
        else:
            tile, shorter = side, [] if chosen else [n for n in lengths if least <= n < side]
        if not exact:
            # The larger a tile, the more it is like the whole.
            count = _count(padded, tile, halo, stride)
            shorter = [n for n in shorter if _count(padded, n, halo, stride) == count]
        axes.append(_axis(length, padded, [*shorter, tile], halo, stride))
    whole = all(len(axis.starts) == 1 for axis in axes)
    return Grid(*axes, exact=exact or whole)


def _lengths(stride: int, *, fine: bool = False) -> Iterator[int]:
    """The lengths that images or, if `fine`, tiles may have, ascending, multiples of the stride."""
    octave = _SHORTEST
    while True:
        parts = 4 if fine and octave >= _FINE else 2 if octave >= _COARSE else 1
        for part in range(parts):
            length = octave + octave * part // parts
            yield length + -length % stride
        octave *= 2


def _axis(length: int, padded: int, lengths: Sequence[int], halo: int, stride: int) -> Axis:
    """Tiles of that length that takes the fewest pixels, of the shortest such."""
    tile = min(lengths, key=lambda tile: tile * _count(padded, tile, halo, stride))
    count = _count(padded, tile, halo, stride)
    spare = (padded - tile) // stride
    starts = tuple(number * spare // max(count - 1, 1) * stride for number in range(count))
    return Axis(length, tile, starts, halo, min(padded, tile))


def _count(padded: int, side: int, halo: int, stride: int) -> int:
    if padded <= side:
        return 1
    step = (side - 2 * halo) // stride * stride
    return 1 + -(-(padded - side) // step)


class Whole:
    """Tiles that make no difference: the part of each is written once.

    Args:
      grid: of the tiles.
      target: the result (H, W, C); integers are rounded and clipped.
      scale: between what the model gives and the values of the target.
    """

    def __init__(self, grid: Grid, target: np.ndarray, scale: Scale):
        self._grid, self._target, self._scale = grid, target, scale

    def add(self, tile: Tile, output: np.ndarray) -> None:
        """Takes the output of a tile, float32 or of the target's kind."""
        part = output[self._grid.part(tile)]
        self._target[self._grid.place(tile)] = self._scale.leave(part, self._target.dtype)

    def finish(self) -> None:
        """Nothing is left to do, and nothing deviates."""
        return


class Blend:
    """Tiles that see less than the image: where they overlap, their weighted mean.

    Only the rows that tiles, row by row, still come for are held as floats. Beside them goes what
    tiles disagree by, as the weighted variance of all that was seen of a pixel. For the arguments
    see `Whole`.
    """

    def __init__(self, grid: Grid, target: np.ndarray, scale: Scale):
        self._grid, self._target, self._scale = grid, target, scale
        height, (_, width, channels) = grid.rows.tile, target.shape
        self._mean = np.zeros((height, width, channels), np.float32)
        self._weight = np.zeros((height, width, 1), np.float32)
        self._first = 0
        self._spread, self._overlap = 0.0, 0.0

    def add(self, tile: Tile, output: np.ndarray) -> None:
        """Takes the output of a tile, float32."""
        rows, columns = self._grid.place(tile)
        if rows.start > self._first:
            self._write(rows.start)
        part = output[self._grid.part(tile)]
        weight = self._grid.weights(tile)
        here = (slice(rows.start - self._first, rows.stop - self._first), columns)
        mean, before = self._mean[here], self._weight[here]
        # The running weighted mean of West (1979); two tiles add w1 w2 (y1 - y2)^2 to the spread.
        both = before * weight / np.maximum(before + weight, np.finfo(np.float32).tiny)
        change = part - mean
        self._spread += float(np.sum(both * np.square(change), dtype=np.float64))
        self._overlap += float(np.sum(both, dtype=np.float64)) * part.shape[-1]
        mean += change * (weight / np.maximum(before + weight, np.finfo(np.float32).tiny))
        before += weight

    def finish(self) -> float:
        """Writes the last rows; returns the root mean square of what tiles disagree by."""
        self._write(self._target.shape[0])
        return math.sqrt(self._spread / self._overlap) if self._overlap else 0.0

    def _write(self, end: int) -> None:
        """Writes the rows before `end`, and makes room for as many."""
        count = end - self._first
        self._target[self._first : end] = self._scale.leave(self._mean[:count], self._target.dtype)
        for held in (self._mean, self._weight):
            left = len(held) - count
            held[:left] = held[count:].copy()
            held[left:] = 0
        self._first = end
