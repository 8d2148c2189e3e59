"""Checks of an image and of a denoiser's options."""

import math
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from zoo.data import pixels
from zoo.errors import ZooError, first_line

# Rows of an image that are compared at a time.
_ROWS = 256


class Canvas(NamedTuple):
    """An image without its alpha, and where the result goes.

    Attributes:
      source: (H, W, C), C 1 or 3, integers or floats; three channels that are equal throughout are
        one.
      seen: the same, with the nearest values in the place of those that are not finite.
      result: of the shape and dtype of the image that was given, its alpha filled in.
      target: room for the denoised `seen`.
    """

    source: np.ndarray
    seen: np.ndarray
    result: np.ndarray
    target: np.ndarray

    def finish(self) -> np.ndarray:
        """The result, made of the target: equal channels again, what was not finite as it was."""
        if self.seen is not self.source:
            np.copyto(self.target, self.source, where=~np.isfinite(self.source))
        if not np.shares_memory(self.target, self.result):
            self.result[..., :3] = self.target
        return self.result


def canvas(image: ArrayLike, *, part: bool = False) -> Canvas:
    """Holds an array against what an image is, and makes room for the result.

    Args:
      image: the array.
      part: whether it is a part of a larger one, of which equal channels say nothing.

    Raises:
      ZooError: it is no image, or no value of it is finite.
    """
    array = _array(image)
    result = np.empty(array.shape, array.dtype)
    source, target = (a[..., None] if a.ndim == 2 else a for a in (array, result))
    if pixels.has_alpha(source):
        target[..., -1] = source[..., -1]
        target = target[..., :-1]
    source = pixels.without_alpha(source) if part else colors(array)
    if source.shape[-1] < target.shape[-1]:
        target = np.empty(source.shape, source.dtype)
    return Canvas(source, filled(source), result, target)


def colors(image: ArrayLike) -> np.ndarray:
    """The image (H, W, C) without its alpha; gray that is stored as RGB is of one channel.

    Raises:
      ZooError: as `canvas`.
    """
    array = _array(image)
    source = array[..., None] if array.ndim == 2 else array
    source = pixels.without_alpha(source)
    return source[..., :1] if _is_gray(source) else source


def _array(image: ArrayLike) -> np.ndarray:
    if isinstance(image, jax.core.Tracer):
        raise ZooError("an image is denoised outside of jit; inside it, take model.apply")
    if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
        if image.dtype.kind != "f":
            raise ZooError(
                f"the image is masked, and {image.dtype} has no value for that; convert it to "
                "floats, or give .filled(VALUE)"
            )
        image = image.filled(np.nan)
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ZooError(
            f"the image is no array ({first_line(error)}); give one of numbers"
        ) from None
    _check_shape(array)
    if array.dtype.kind not in "iu" and not jax.numpy.issubdtype(array.dtype, np.floating):
        raise ZooError(f"an image is of integers or floats, not {array.dtype}; convert it")
    return array


def _is_gray(source: np.ndarray) -> bool:
    """Whether three channels are equal; of most images the first rows decide."""
    if source.shape[-1] != 3:
        return False
    floats = source.dtype.kind not in "iu"
    for top in range(0, len(source), _ROWS):
        first, *others = np.moveaxis(source[top : top + _ROWS], -1, 0)
        if not all(np.array_equal(first, other, equal_nan=floats) for other in others):
            return False
    return True


def filled(source: np.ndarray) -> np.ndarray:
    """An image with the nearest values in the place of those that are not finite.

    Args:
      source: (H, W, C).

    Returns:
      The same; the source itself where it is finite.

    Raises:
      ZooError: no value of a channel is finite.
    """
    # Without a temporary array of the image's size; both are NaN where one value is.
    if source.dtype.kind in "iu" or (
        math.isfinite(float(source.min())) and math.isfinite(float(source.max()))
    ):
        return source
    missing = ~np.isfinite(source)
    if missing.all(axis=(0, 1)).any():
        raise ZooError("a channel of the image holds no finite value; leave it out")
    return pixels.filled(source.copy(), missing)


def _check_shape(array: np.ndarray) -> None:
    if array.ndim not in (2, 3):
        remedy = "give one at a time" if array.ndim == 4 else "give such an array"
        raise ZooError(f"an image is (H, W) or (H, W, C), got shape {array.shape}; {remedy}")
    if array.size == 0:
        raise ZooError(f"an image of shape {array.shape} has no pixels")
    if array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4):
        remedy = "give 1 to 4 channels"
        if array.shape[0] in (1, 2, 3, 4):
            remedy = "put the channels last, by x.transpose(1, 2, 0)"
        raise ZooError(
            f"an image is (H, W, C) of 1 to 4 channels, got shape {array.shape}; {remedy}"
        )


def pixels_of(name: str, value: int | None) -> int | None:
    """An option in pixels.

    Raises:
      ZooError: it is neither None nor a whole number of 0 or more.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ZooError(f"{name}={value!r} is not a whole number of pixels, at least 0")
    return int(value)


def check_strength(value: float) -> float:
    """The strength of images or audio.

    Raises:
      ZooError: it is no number from 0 to 1.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ZooError(f"strength={value!r} is not from 0 (no change) to 1 (all of the model's)")
    return number
