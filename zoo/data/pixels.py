"""The plain numpy a picture needs before it meets the device: channels, depth and size.

A picture is an array `(H, W, C)`, as `zoo.data.images` reads it.
"""

import numpy as np
from PIL import Image

from zoo.errors import ZooError


def to_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Make a picture grey or colour.

    Alpha is dropped, not composited: a background nobody chose would enter the picture, and where
    alpha is opaque, as in most photographs, both are the same.

    Args:
      picture: `(H, W, C)`, C in {1, 2, 3, 4}, any dtype `read` returns.
      channels: 1 for luma, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601-7, 2.5.1), rounded to the
        nearest; 3 for colour, where grey is repeated.

    Returns:
      The picture `(H, W, channels)`, dtype kept.

    Raises:
      ZooError: `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise ZooError(f"channels is {channels}; a picture is made grey with 1 or colour with 3")
    colour = picture.shape[-1] >= 3
    if channels == 3:
        return picture[..., :3] if colour else np.repeat(picture[..., :1], 3, axis=-1)
    if not colour:
        return picture[..., :1]
    if picture.dtype == np.float32:
        # In double, so that white stays 1 and does not become 1.0000001.
        luma = picture[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        return np.minimum(luma, 1.0).astype(np.float32)[..., None]
    # In thousandths all is exact: 65535 * 1000 fits in 32 bits.
    weights = np.array([299, 587, 114], np.uint32)
    thousandths = (picture[..., :3] * weights).sum(axis=-1, dtype=np.uint32, keepdims=True)
    return ((thousandths + 500) // 1000).astype(picture.dtype)


def depth(dtype: np.dtype) -> str:
    """The depth of a picture in words, such as "8 bits", "16 bits, signed", "floats of 32 bits"."""
    bits = 8 * dtype.itemsize
    if dtype.kind == "f":
        return f"floats of {bits} bits"
    return f"{bits} bits, signed" if dtype.kind == "i" else f"{bits} bits"


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """To 8 bits, rounded to the nearest; a float outside [0, 1] is clipped, NaN refused.

    Args:
      picture: uint8, uint16 or float, any shape.

    Returns:
      The same shape as uint8: uint16 / 257, or float * 255.

    Raises:
      ZooError: a float is NaN.
    """
    if picture.dtype == np.uint8:
        return picture
    if picture.dtype == np.uint16:
        return ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return _from_float(picture, np.uint8)


def to_uint16(picture: np.ndarray) -> np.ndarray:
    """To 16 bits, rounded to the nearest; a float outside [0, 1] is clipped, NaN refused.

    Args:
      picture: uint8, uint16 or float, any shape.

    Returns:
      The same shape as uint16: uint8 * 257, so that white stays white, or float * 65535.

    Raises:
      ZooError: a float is NaN.
    """
    if picture.dtype == np.uint16:
        return picture
    if picture.dtype == np.uint8:
        return picture.astype(np.uint16) * np.uint16(257)
    return _from_float(picture, np.uint16)


def to_float(picture: np.ndarray) -> np.ndarray:
    """To float32 in [0, 1].

    Args:
      picture: uint8, uint16 or float, any shape.

    Returns:
      The same shape as float32: uint8 / 255, uint16 / 65535, a float as it is.
    """
    if picture.dtype.kind == "f":
        return picture.astype(np.float32, copy=False)
    return picture.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a picture by Pillow's bicubic filter, which widens on shrinking and so antialiases.

    Args:
      picture: `(H, W, C)`, any dtype `read` returns.
      size: height and width in pixels; the aspect ratio is not kept.

    Returns:
      The picture `(*size, C)`, dtype kept, integers rounded to the nearest, clipped to the range.
    """
    height, width = size
    if picture.shape[:2] == (height, width):
        return picture
    # Channel by channel in float32: Pillow resizes colour only as 8-bit, and float32 holds every
    # uint16 exactly.
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(picture[..., c], np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
        for c in range(picture.shape[-1])
    ]
    scaled = np.stack(planes, axis=-1)
    if picture.dtype == np.float32:
        return np.clip(scaled, 0, 1)
    return np.clip(np.rint(scaled), 0, np.iinfo(picture.dtype).max).astype(picture.dtype)


def _from_float(picture: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    if np.isnan(picture).any():
        raise ZooError("the picture holds NaN and cannot be made integers; mend what computed it")
    scaled = np.clip(picture.astype(np.float64), 0, 1) * np.iinfo(dtype).max
    return np.rint(scaled).astype(dtype)
