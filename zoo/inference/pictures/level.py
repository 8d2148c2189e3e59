"""How noisy a picture is that a model takes the level of: as told, or estimated in flat memory."""

import math

import numpy as np
from jax.typing import ArrayLike

from zoo.errors import ZooError
from zoo.estimate import estimate_sigma_smooth

# Pixels up to which the whole picture is looked at.
_WHOLE = 2**20
# Else so many crops along each axis, of so many pixels a side.
_CROPS = 4
_SIDE = 256
# ITU-R BT.601.
_LUMA = np.float32([0.299, 0.587, 0.114])
# Below it the estimate has nothing to go by.
_LEAST = 16


def check_level(level: ArrayLike) -> float:
    """A level that was told.

    Raises:
      ZooError: it is no number above 0 and at most 1.
    """
    try:
        value = float(level) if np.ndim(level) == 0 else math.nan
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value <= 1:
        raise ZooError(
            f"level={level!r} is not the noise's standard deviation in signal units, above 0 and "
            "at most 1; write 25 / 255, or None to estimate it"
        )
    return value


def estimate_level(picture: np.ndarray) -> float:
    """Estimates the level from the picture, or from crops of a large one.

    Of the crops' estimates the median counts, of those above 0: a clipped sky has none.

    Args:
      picture: (H, W, C), uint8, uint16 or a float, without alpha.

    Returns:
      The standard deviation of the noise in signal units, at least 0.

    Raises:
      ZooError: a side is shorter than 16 pixels.
    """
    height, width, _ = picture.shape
    if min(height, width) < _LEAST:
        raise ZooError(
            f"a picture of {height}x{width} pixels is too small to estimate its noise from; "
            "give level=..., in signal units"
        )
    if height * width <= _WHOLE:
        return _estimate(_to_float(picture))
    found = [
        _estimate(_to_float(picture[rows, columns]))
        for rows in _spread(height, width)
        for columns in _spread(width, height)
    ]
    return float(np.median([one for one in found if one > 0] or [0.0]))


def _spread(length: int, other: int) -> list[slice]:
    """Places of crops along an axis; longer ones where the other axis is short."""
    side = min(length, max(_SIDE, _SIDE**2 // other))
    count = min(_CROPS, -(-length // side))
    starts = np.linspace(0, length - side, count).astype(int) if count > 1 else [0]
    return [slice(int(start), int(start) + side) for start in starts]


def _to_float(crop: np.ndarray) -> np.ndarray:
    if crop.dtype.kind == "u":
        return crop.astype(np.float32) / np.float32(np.iinfo(crop.dtype).max)
    return crop.astype(np.float32)


def _estimate(x: np.ndarray) -> float:
    """The level of independent noise in each channel that the picture, or its luma, tells of.

    JPEG, video and demosaicing smooth colour, so that channels judged one by one look cleaner than
    a network trained on independent noise must be told: what is left is noise of the luma.
    """
    # By NumPy: a program for each size of pictures would take longer to compile than a network.
    found = float(estimate_sigma_smooth(x))
    if x.shape[-1] == _LUMA.size:
        luma = estimate_sigma_smooth((x @ _LUMA)[..., None]) / np.linalg.norm(_LUMA)
        found = max(found, float(luma))
    return found
