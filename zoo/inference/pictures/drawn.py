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
    if picture.dtype != np.uint8 or min(height, width) < _SIDE:
        return False
    if few_values(picture):
        return True
    drawn, counted = 0, 0
    for top in _places(height):
        for left in _places(width):
            part = picture[top : top + _SIDE, left : left + _SIDE]
            if part.min() == part.max() and part.flat[0] in (0, 255):
                continue
            counted += 1
            drawn += _is_drawn(part)
    return counted > 0 and drawn > _MOST * counted


def few_values(picture: np.ndarray) -> bool:
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


def _is_drawn(part: np.ndarray) -> bool:
    part = part.astype(np.int16)
    equal = np.ones((_SIDE - 2, _SIDE - 2), bool)
    for down in range(3):
        for right in range(3):
            moved = part[down : down + _SIDE - 2, right : right + _SIDE - 2]
            equal &= (moved == part[1:-1, 1:-1]).all(-1)
    # Rows and columns beside those where squares meet.
    middle = equal[_MEETING], equal[:, _MEETING]
    if np.mean([one.mean() for one in middle]) >= _FLAT:
        return True
    bend = [np.abs(np.diff(part, 2, axis=axis)).max() for axis in (0, 1)]
    return max(bend) <= _STEP


_MEETING = slice(_SQUARE // 2 - 2, _SQUARE // 2)
