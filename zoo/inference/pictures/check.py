"""What is taken for a picture, and for the options of a denoiser."""

import math
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from zoo.errors import ZooError

# Floats beyond it were not divided by what white is; noise does not carry them so far.
_MOST = 10


class Canvas(NamedTuple):
    """A picture without its alpha, and where the result goes.

    Attributes:
      source: (H, W, C), C 1 or 3: uint8, uint16 or a float.
      result: of the shape and dtype of the picture that was given, its alpha filled in.
      target: the rest of it, (H, W, C).
    """

    source: np.ndarray
    result: np.ndarray
    target: np.ndarray


def canvas(image: ArrayLike) -> Canvas:
    """Holds an array against what a picture is, and makes room for the result.

    Raises:
      ZooError: it is no picture, or not finite.
    """
    if isinstance(image, jax.core.Tracer):
        raise ZooError("a picture is denoised outside of jit; inside it, take model.apply")
    array = np.asarray(image)
    _check_shape(array)
    _check_values(array)
    result = np.empty(array.shape, array.dtype)
    source, target = (a[..., None] if a.ndim == 2 else a for a in (array, result))
    if source.shape[-1] in (2, 4):
        target[..., -1] = source[..., -1]
        source, target = source[..., :-1], target[..., :-1]
    return Canvas(source, result, target)


def _check_shape(array: np.ndarray) -> None:
    if array.ndim not in (2, 3):
        remedy = "give one at a time" if array.ndim == 4 else "give such an array"
        raise ZooError(f"a picture is (H, W) or (H, W, C), got shape {array.shape}; {remedy}")
    if array.size == 0:
        raise ZooError(f"a picture of shape {array.shape} has no pixels")
    if array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4):
        remedy = "give 1 to 4 channels"
        if array.shape[0] in (1, 2, 3, 4):
            remedy = "put the channels last, by x.transpose(1, 2, 0)"
        raise ZooError(
            f"a picture is (H, W, C) of 1 to 4 channels, got shape {array.shape}; {remedy}"
        )


def _check_values(array: np.ndarray) -> None:
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return
    if not jax.numpy.issubdtype(array.dtype, np.floating):
        raise ZooError(
            f"a picture is uint8, uint16 or a float in [0, 1], not {array.dtype}; convert it"
        )
    # Without a temporary array of the picture's size; both are NaN where one value is.
    least, most = float(array.min()), float(array.max())
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ZooError("the picture holds NaN or infinite values; mend what computed it")
    if max(most, -least) > _MOST:
        raise ZooError(
            f"a picture of floats is in [0, 1], this one reaches {max(most, -least):g}; divide it "
            "by what white is, such as 255"
        )


def whole_number(name: str, value: int | None, least: int) -> int | None:
    """An option in pixels.

    Raises:
      ZooError: it is neither None nor a whole number that large.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ZooError(f"{name}={value!r} is not a whole number of pixels, at least {least}")
    return int(value)


def share(name: str, value: float) -> float:
    """An option from 0 to 1.

    Raises:
      ZooError: it is not.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ZooError(f"{name}={value!r} is not from 0 (no change) to 1 (all of the model's)")
    return number
