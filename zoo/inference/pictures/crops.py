"""Parts of a picture by which its noise is judged, in flat memory."""

import numpy as np

# Pixels up to which the whole picture is looked at.
_WHOLE = 2**20
# Else so many crops along each axis, of so many pixels a side.
_CROPS = 4
_SIDE = 256


def of(picture: np.ndarray) -> list[np.ndarray]:
    """A picture (H, W, C), or crops of a large one."""
    height, width, _ = picture.shape
    if height * width <= _WHOLE:
        return [picture]
    return [
        picture[rows, columns]
        for rows in _spread(height, width)
        for columns in _spread(width, height)
    ]


def finite(crop: np.ndarray) -> np.ndarray:
    """The lowest value in the place of those that are not finite: estimates leave such out."""
    known = np.isfinite(crop)
    if known.all():
        return crop
    return np.where(known, crop, crop[known].min() if known.any() else 0).astype(crop.dtype)


def tall(picture: np.ndarray) -> np.ndarray:
    """The crops one below the other, but for some at the edges, float64."""
    every = np.concatenate(of(picture))
    # A program for each size would take longer than all the rest.
    every = every[tuple(_inner(length) for length in every.shape[:2])]
    return finite(every.astype(np.float64))


def _inner(length: int) -> slice:
    """The middle of an axis, of a length that many pictures have."""
    spare = length % (64 if length >= 512 else 16)
    return slice(spare // 2, length - (spare - spare // 2))


def _spread(length: int, other: int) -> list[slice]:
    """Places of crops along an axis; longer ones where the other axis is short."""
    side = min(length, max(_SIDE, _SIDE**2 // other))
    count = min(_CROPS, -(-length // side))
    starts = np.linspace(0, length - side, count).astype(int) if count > 1 else [0]
    return [slice(int(start), int(start) + side) for start in starts]
