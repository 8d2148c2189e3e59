"""Linear light: values in proportion to photons, whose noise grows with them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from zoo.estimate import estimate_poisson_gaussian

# Pixels up to which the whole image is looked at.
_WHOLE = 2**20
# Else so many crops along each axis, of so many pixels a side.
_CROPS = 4
_SIDE = 256


def crops(image: np.ndarray) -> list[np.ndarray]:
    """An image (H, W, C), or crops of a large one."""
    height, width, _ = image.shape
    if height * width <= _WHOLE:
        return [image]
    return [
        image[rows, columns]
        for rows in _spread(height, width)
        for columns in _spread(width, height)
    ]


def fill_missing(crop: np.ndarray) -> np.ndarray:
    """The lowest value in the place of those that are not finite: estimates leave such out."""
    known = np.isfinite(crop)
    if known.all():
        return crop
    return np.where(known, crop, crop[known].min() if known.any() else 0).astype(crop.dtype)


def crop_column(image: np.ndarray) -> np.ndarray:
    """The crops one below the other, but for some at the edges, float64."""
    every = np.concatenate(crops(image))
    # A program for each size would take longer than all the rest.
    every = every[tuple(_inner(length) for length in every.shape[:2])]
    return fill_missing(every.astype(np.float64))


def _inner(length: int) -> slice:
    """The middle of an axis, of a length that many images have."""
    spare = length % (64 if length >= 512 else 16)
    return slice(spare // 2, length - (spare - spare // 2))


def _spread(length: int, other: int) -> list[slice]:
    """Places of crops along an axis; longer ones where the other axis is short."""
    side = min(length, max(_SIDE, _SIDE**2 // other))
    count = min(_CROPS, -(-length // side))
    starts = np.linspace(0, length - side, count).astype(int) if count > 1 else [0]
    return [slice(int(start), int(start) + side) for start in starts]


class Curve(NamedTuple):
    """Anscombe's root, which gives noise of variance `gain * value + read` a deviation of 1.

    Attributes:
      gain: variance for each unit of the value, above 0.
      read: variance at black, at least 0.

    References:
      Starck, Murtagh, Bijaoui, "Image processing and data analysis", 1998, for the root.
      Mäkitalo, Foi, "Optimal inversion of the generalized Anscombe transformation for
      Poisson-Gaussian noise", IEEE TIP 2013, for the way back, which keeps the mean.
    """

    gain: float
    read: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The root of values, float64; 0 at black."""
        return self._root(values) - self._root(np.float64(0))

    def back(self, roots: np.ndarray) -> np.ndarray:
        """The values whose mean root is this, float64."""
        quiet = self.read / self.gain**2
        d = np.maximum(roots + self._root(np.float64(0)), 2 * np.sqrt(3 / 8))
        half = np.sqrt(3 / 2)
        mean = d**2 / 4 - 1 / 8 + (half / 4) / d - (11 / 8) / d**2 + (5 / 8) * half / d**3
        return self.gain * (mean - quiet)

    def _root(self, values: np.ndarray) -> np.ndarray:
        inside = values / self.gain + 3 / 8 + self.read / self.gain**2
        return 2 * np.sqrt(np.maximum(inside, 0.0))


def gain_and_read(image: np.ndarray, black: float) -> tuple[float, float]:
    """The line of the noise's variance: its slope, and what it is at black.

    Args:
      image: (H, W, C), both sides at least 16.
      black: the value of no light.
    """
    found = crop_column(image) - black
    # To about 1, which its sums in single precision want.
    unit = float(np.abs(found).max()) or 1.0
    gain, read = (float(value) for value in _fit((found / unit).astype(np.float32)))
    return gain * unit, read * unit**2


def fit(image: np.ndarray, black: float) -> Curve | None:
    """The curve of an image's noise; None where it does not grow with the light.

    Args:
      image: (H, W, C), values in proportion to light from black on.
      black: the value of no light.
    """
    gain, read = gain_and_read(image, black)
    return Curve(gain, read) if gain > 0 else None


def middle(curves: Sequence[Curve | None]) -> Curve | None:
    """The curve of several images of one camera: the median of each of its figures."""
    found = [one for one in curves if one]
    if not found:
        return None
    return Curve(*(float(np.median(values)) for values in zip(*found, strict=True)))


_fit = jax.jit(estimate_poisson_gaussian)
