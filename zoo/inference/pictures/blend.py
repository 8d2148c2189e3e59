"""Where the outputs of tiles go: each to its own part, or blended where they overlap."""

import math

import numpy as np

from zoo.inference.pictures.scale import Scale
from zoo.inference.pictures.tiles import Grid, Tile


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
    """Tiles that see less than the picture: where they overlap, their weighted mean.

    Only the rows that tiles still come for are held as floats. Beside them goes what tiles
    disagree by, as the weighted variance of all that was seen of a pixel.

    Args:
      grid: of the tiles, which come row by row.
      target: the result (H, W, C); integers are rounded and clipped.
      scale: between what the model gives and the values of the target.
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
