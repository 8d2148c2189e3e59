"""Measurements denoised so that their mean stays: intensities are counted on, and do not shift.

Noise has a mean of zero, so that the mean of a plane of many pixels is known far better than any of
them; what a network adds to it is an error. A constant takes it away again, plane by plane, found
for the values as they are stored, rounded and clipped.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zoo.data import pixels
from zoo.data.image_metadata import Page
from zoo.inference.image_denoiser import Denoised
from zoo.inference.value_scale import Scale
from zoo.stabilize import Rician

# Of the residual's standard deviation: an error of the mean that is let be, and the most trials of
# a constant. The second ends it unless rounding hides a part.
_CLOSE, _TRIALS = 1e-4, 16


class Residual(NamedTuple):
    """What was removed, input minus output, summed up.

    Attributes:
      count: the number of values.
      total: their sum.
      squares: the sum of their squares.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, removed: np.ndarray) -> "Residual":
        """With further values, float64."""
        return Residual(
            self.count + removed.size,
            self.total + float(removed.sum()),
            self.squares + float(np.square(removed).sum()),
        )

    @property
    def shift(self) -> float | None:
        """The mean as a share of the standard deviation; None where nothing was removed."""
        if not self.squares:
            return None
        mean = self.total / self.count
        return mean / math.sqrt(max(self.squares / self.count - mean**2, np.finfo(float).tiny))


def denoise(
    page: Page,
    denoiser: Callable[..., Denoised],
    level: float | None,
    progress: Callable[[int, int], None] | None,
    scale: Scale,
    inner: tuple[slice, slice] | None = None,
) -> tuple[Denoised, np.ndarray]:
    """Denoises a gray plane of measurements; its mean stays unless the noise is Rician.

    Args:
      page: the plane; integers of any width, or floats.
      denoiser, level, progress, scale: as of `zoo.inference.ImageDenoiser`.
      inner: the rows and columns that are asked for, of a part of a plane that is given with its
        surroundings; None for all of a plane.

    Returns:
      What the denoiser gives, the image of the type of the page, and what was removed of the values
      that were measured, float64; empty where the mean does not stay. A plane of none is left as
      it is.

    Raises:
      ZooError: as the denoiser.
    """
    inner = inner or (slice(None), slice(None))
    image = page.image[inner]
    colors = pixels.without_alpha(image)[..., 0]
    counted = np.isfinite(colors)
    if page.missing is not None:
        counted &= ~page.missing.reshape(page.image.shape[:2])[inner]
    if not counted.any():
        notes = ("a plane without any measurement is left as it is",)
        return Denoised(image, None, None, 0, scale, notes), np.zeros(0)
    # Not yet rounded: what is below half a step adds up.
    done = denoiser(page.image.astype(wide(image.dtype), copy=False), level, progress, scale)
    out = image.copy()
    result = pixels.without_alpha(out)[..., 0]
    before = colors[counted].astype(np.float64)
    clean = pixels.without_alpha(np.asarray(done.image)[inner])[..., 0].astype(np.float64)
    spread = float((before - clean[counted]).std())
    best, offset, ends = math.inf, 0.0, {}
    # Rician noise shifts the mean.
    shifted = isinstance(scale.noise, Rician)
    for _ in range(1 if shifted else _TRIALS):
        candidate = stored(clean + offset, image.dtype, scale, page)
        error = float((before - candidate[counted]).mean())
        if abs(error) < best:
            best = abs(error)
            result[...] = candidate
        if not spread or best <= _CLOSE * spread:
            break
        # The error falls as the constant grows: by as much, until it has another sign, then halves.
        ends[error > 0] = offset
        offset = sum(ends.values()) / 2 if len(ends) == 2 else 2 * offset + error
    done = done._replace(image=out)
    return done, np.zeros(0) if shifted else before - result[counted].astype(np.float64)


def wide(dtype: np.dtype) -> np.dtype:
    """The floats that hold the values of a dtype."""
    exact = dtype.itemsize > (2 if dtype.kind in "iu" else 4)
    return np.dtype(np.float64 if exact else np.float32)


def stored(values: np.ndarray, dtype: np.dtype, scale: Scale, page: Page) -> np.ndarray:
    """Values as they are stored: integers rounded, and held within their range.

    Args:
      values: of any shape, float64.
      dtype: that of the file.
      scale: what a model saw, whose ends integers may have to keep to.
      page: where they go.
    """
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits, stack = np.iinfo(dtype), page.metadata.stack
    least, most = (stack and stack.ends) or (limits.min, limits.max)
    if scale.closed:
        most = min(most, scale.low + scale.closed * (scale.high - scale.low))
        least = max(least, scale.low)
    # The largest of 64 bits is no float.
    most = most if dtype.itemsize < 8 else min(most, np.nextafter(float(limits.max), 0))
    return np.clip(np.rint(values), least, most).astype(dtype)
