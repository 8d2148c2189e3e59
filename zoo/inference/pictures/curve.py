"""Linear light: values in proportion to photons, whose noise grows with them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from zoo.estimate import estimate_poisson_gaussian
from zoo.inference.pictures import crops


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


def fit(picture: np.ndarray, black: float) -> Curve | None:
    """The curve of a picture's noise; None where it does not grow with the light.

    Args:
      picture: (H, W, C), values in proportion to light from black on.
      black: the value of no light.
    """
    found = crops.tall(picture) - black
    # To about 1, which its sums in single precision want.
    unit = float(np.abs(found).max()) or 1.0
    gain, read = (float(value) for value in _fit((found / unit).astype(np.float32)))
    return Curve(gain * unit, read * unit**2) if gain > 0 else None


def middle(curves: Sequence[Curve | None]) -> Curve | None:
    """The curve of several pictures of one camera: the median of each of its figures."""
    found = [one for one in curves if one]
    if not found:
        return None
    return Curve(*(float(np.median(values)) for values in zip(*found, strict=True)))


_fit = jax.jit(estimate_poisson_gaussian)
