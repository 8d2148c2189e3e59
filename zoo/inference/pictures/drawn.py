"""Pictures that a program drew: text, diagrams, gradients. They have no noise to take."""

import numpy as np

# Parts of so many pixels a side, and how many of them along each axis are looked at.
_SIDE, _PARTS = 16, 64
# JPEG fills squares of so many pixels with one value.
_SQUARE = 8
# Shares of a part that is flat, and of the parts that are drawn.
_FLAT, _MOST = 0.1, 0.5
# In steps of 8 bits: how far from a plane a drawn gradient is.
_STEP = 1.0
# Noise has more values than black and white text or a halftone.
_VALUES = 8


def is_drawn(picture: np.ndarray) -> bool:
    """Whether most of what is to be seen in a picture has no noise at all.

    All of it is drawn where it has very few values. Else a part of it counts as drawn where some
    3x3 pixels are equal, next to others that are not, or where all lie in a plane. The pixels are
    looked for where squares of JPEG meet, which may be of one value each. Parts of black or of
    white alone do not count: that is what overexposure makes.

    Args:
      picture: (H, W, C), without alpha; only of 8 bits it is told.
    """
    height, width, _ = picture.shape
    if min(height, width) < _SIDE:
        return False
    if picture.dtype != np.uint8 or _few_values(picture):
        return picture.dtype == np.uint8
    drawn, counted = 0, 0
    for top in _places(height):
        band = picture[top : top + _SIDE]
        parts = np.stack([band[:, left : left + _SIDE] for left in _places(width)])
        flat = parts.reshape(len(parts), -1)
        least, most = flat.min(-1), flat.max(-1)
        parts = parts[(least < most) | ((least > 0) & (least < 255))]
        counted += len(parts)
        drawn += int(_are_drawn(parts).sum())
    return counted > 0 and drawn > _MOST * counted


def _few_values(picture: np.ndarray) -> bool:
    """Whether a picture has no more values than noise of any level leaves."""
    # The first rows tell of most pictures.
    return all(
        len(np.unique(part)) <= _VALUES for part in (picture[:_SIDE], picture[::2], picture[1::2])
    )


def _places(length: int) -> np.ndarray:
    """Half a square from where squares begin, so that they meet in the middle of a part."""
    spare = (length - _SIDE) // _SQUARE
    starts = np.unique(np.linspace(0, spare, min(_PARTS, spare + 1)).astype(int)) * _SQUARE
    return np.minimum(starts + _SQUARE // 2, length - _SIDE)


def _are_drawn(parts: np.ndarray) -> np.ndarray:
    """Of each of the parts (n, side, side, C)."""
    parts = parts.astype(np.int16)
    inner = slice(1, -1)
    equal = np.ones((len(parts), _SIDE - 2, _SIDE - 2), bool)
    for down in range(3):
        for right in range(3):
            moved = parts[:, down : down + _SIDE - 2, right : right + _SIDE - 2]
            equal &= (moved == parts[:, inner, inner]).all(-1)
    # Rows and columns beside those where squares meet.
    flat = (equal[:, _MEETING].mean((1, 2)) + equal[:, :, _MEETING].mean((1, 2))) / 2
    bends = [np.abs(np.diff(parts, 2, axis=axis)).max((1, 2, 3)) for axis in (1, 2)]
    return (flat >= _FLAT) | (np.maximum(*bends) <= _STEP)


_MEETING = slice(_SQUARE // 2 - 2, _SQUARE // 2)
