"""Image arrays on the host: validity, orientation, alpha, channels, depth and size.

An image is an array `(H, W, C)` with C in {1, 2, 3, 4}: gray, gray and alpha, color, color and
alpha. Files hold uint8, uint16 or float32 within [0, 1]; where metadata and depth are kept, any
integer or float of any range.
"""

from collections.abc import Callable

import numpy as np

from zoo.errors import ZooError

PIXEL_LIMIT = 2**30
"""The most pixels an image may have: 1 gigapixel, 3 GiB of 8-bit color once decoded."""

_NUMBERS = frozenset(np.dtype(kind) for kind in (*np.typecodes["AllInteger"], *"efd"))
# Values of a band.
_BAND = 2**22


def check(image: np.ndarray, name: str, *, any_range: bool = False) -> np.ndarray:
    """Refuse an array that is not an image.

    Args:
      image: the array.
      name: what to call it in the error.
      any_range: whether any integer or float, of any range, is accepted.

    Returns:
      `image` itself, or as float32 if it was float16 or float64 and not `any_range`.

    Raises:
      ZooError: not `(H, W, C)` with C from 1 to 4, no pixels, neither integer nor float; unless
        `any_range`, not uint8, uint16 or a float, or a float that is not finite or outside [0, 1].
    """
    if image.ndim != 3 or not 1 <= image.shape[-1] <= 4 or image.size == 0:
        raise ZooError(f"{name} has shape {image.shape}; an image is (height, width, 1 to 4)")
    if image.dtype in (np.uint8, np.uint16) or (any_range and image.dtype in _NUMBERS):
        return image
    if image.dtype not in (np.float16, np.float32, np.float64):
        raise ZooError(f"{name} holds {image.dtype}; save it as uint8, uint16 or float32")
    if not np.isfinite(image).all():
        raise ZooError(f"{name} holds NaN or infinity; correct its values")
    if image.min() < 0 or image.max() > 1:
        raise ZooError(
            f"{name} spans {image.min():.4g} to {image.max():.4g}; scale floats to 0 to 1"
        )
    return image.astype(np.float32, copy=False)


def check_size(width: int, height: int, name: str) -> None:
    """Refuse too many pixels; for use before decoding, since a small file can fill the memory.

    Raises:
      ZooError: there are more than `PIXEL_LIMIT`.
    """
    if width * height > PIXEL_LIMIT:
        raise ZooError(
            f"{name} has {width} x {height} pixels, more than {PIXEL_LIMIT}; cut it into tiles"
        )


def has_alpha(image: np.ndarray) -> bool:
    """Whether the last channel of `(H, W, C)` is alpha: for C of 2 and 4."""
    return image.shape[-1] in (2, 4)


def without_alpha(image: np.ndarray) -> np.ndarray:
    """A view of the gray or color channels, `(H, W, 1)` or `(H, W, 3)`."""
    return image[..., :-1] if has_alpha(image) else image


def is_blank(image: np.ndarray) -> bool:
    """Whether a channel of `(H, W, C)` holds floats of which none is finite."""
    return image.dtype.kind == "f" and not np.isfinite(image).any(axis=(0, 1)).all()


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn `(H, W)` or `(H, W, C)` by the tag of EXIF 2.32 and TIFF 6.0; unknown values are 1."""
    if orientation not in range(2, 9):
        return image
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Convert an image to gray or color.

    Alpha is dropped, not composited: compositing would add an arbitrary background, and where
    alpha is opaque, as in most photographs, both are the same.

    Args:
      image: `(H, W, C)`, C in {1, 2, 3, 4}, any integers or floats.
      channels: 1 for luma, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601-7, 2.5.1), rounded to the
        nearest; 3 for color, where gray is repeated.

    Returns:
      The image `(H, W, channels)`, dtype kept.

    Raises:
      ZooError: `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise ZooError(f"channels is {channels}; choose 1 for gray or 3 for color")
    color = image.shape[-1] >= 3
    if channels == 3:
        return image[..., :3] if color else np.repeat(image[..., :1], 3, axis=-1)
    if not color:
        return image[..., :1]
    if image.dtype not in (np.uint8, np.uint16):
        # In double, so that white stays 1 and does not become 1.0000001.
        colors = image[..., :3].astype(np.float64)
        luma = np.minimum(colors @ np.array([0.299, 0.587, 0.114]), colors.max(-1))[..., None]
        return (luma if image.dtype.kind == "f" else np.rint(luma)).astype(image.dtype)
    # In thousandths all is exact: 65535 * 1000 fits in 32 bits.
    weights = np.array([299, 587, 114], np.uint32)
    thousandths = (image[..., :3] * weights).sum(axis=-1, dtype=np.uint32, keepdims=True)
    return ((thousandths + 500) // 1000).astype(image.dtype)


def depth(dtype: np.dtype) -> str:
    """A dtype in words, such as "8 bits", "16 bits, signed" or "floats of 32 bits"."""
    bits = 8 * dtype.itemsize
    if dtype.kind == "f":
        return f"floats of {bits} bits"
    return f"{bits} bits, signed" if dtype.kind == "i" else f"{bits} bits"


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Convert to 8 bits, rounded to the nearest; floats are clipped to [0, 1], NaN refused.

    Args:
      image: uint8, uint16 or float, any shape.

    Returns:
      The same shape as uint8: uint16 / 257, or float * 255.

    Raises:
      ZooError: a float is NaN.
    """
    return _to_integers(image, np.uint8)


def to_uint16(image: np.ndarray) -> np.ndarray:
    """Convert to 16 bits, rounded to the nearest; floats are clipped to [0, 1], NaN refused.

    Args:
      image: uint8, uint16 or float, any shape.

    Returns:
      The same shape as uint16: uint8 * 257, so that white stays white, or float * 65535.

    Raises:
      ZooError: a float is NaN.
    """
    return _to_integers(image, np.uint16)


def to_float(image: np.ndarray) -> np.ndarray:
    """Convert to float32 in [0, 1].

    Args:
      image: uint8, uint16 or float, any shape.

    Returns:
      The same shape as float32: uint8 / 255, uint16 / 65535, a float as it is.
    """
    if image.dtype.kind == "f":
        return image.astype(np.float32, copy=False)
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def filled(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Put the nearest values in the place of those that are missing.

    Args:
      image: `(H, W, C)`, any type; overwritten.
      missing: bool, `(H, W)` or `(H, W, C)`. A channel that is missing throughout stays.

    Returns:
      `image`.
    """
    from scipy import ndimage  # noqa: PLC0415 - only such images need it

    every = missing if missing.ndim == 3 else np.repeat(missing[..., None], image.shape[-1], -1)
    for channel, gone in zip(np.moveaxis(image, -1, 0), np.moveaxis(every, -1, 0), strict=True):
        if gone.any() and not gone.all():
            nearest = ndimage.distance_transform_edt(
                gone, return_distances=False, return_indices=True
            )
            channel[gone] = channel[tuple(nearest)][gone]
    return image


def widened(values: np.ndarray, bits: int) -> np.ndarray:
    """Stretch integers of 1 to 15 bits to the range of uint8 or, from 9 bits on, of uint16."""
    dtype = np.uint8 if bits <= 8 else np.uint16
    table = np.arange(2**bits) / (2**bits - 1) * np.iinfo(dtype).max
    return np.rint(table).astype(dtype)[values.astype(dtype)]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale an image by Pillow's bicubic filter, which widens on shrinking and so antialiases.

    Args:
      image: `(H, W, C)`, any integers or floats.
      size: height and width in pixels; the aspect ratio is not kept.

    Returns:
      The image `(*size, C)`, dtype kept, integers rounded to the nearest, clipped to the range of
      the type, of floats to [0, 1] or, where they have values beyond, to those.
    """
    from PIL import Image  # noqa: PLC0415 - models run without it

    height, width = size
    if image.shape[:2] == (height, width):
        return image
    # Channel by channel in float32: Pillow resizes color only as 8-bit, and float32 holds every
    # uint16 exactly.
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., c], np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
        for c in range(image.shape[-1])
    ]
    scaled = np.stack(planes, axis=-1)
    if image.dtype.kind == "f":
        return np.clip(scaled, min(image.min(), 0), max(image.max(), 1)).astype(image.dtype)
    limits = np.iinfo(image.dtype)
    return np.clip(np.rint(scaled), limits.min, limits.max).astype(image.dtype)


def in_bands(
    values: np.ndarray, dtype: type, convert: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Convert some rows at a time, since intermediate values are wider than both ends.

    Args:
      values: any shape.
      dtype: of the result.
      convert: from some rows to as many of the result.

    Returns:
      The result, of the same shape.
    """
    out = np.empty(values.shape, dtype)
    source, target = np.atleast_1d(values), np.atleast_1d(out)
    rows = max(_BAND * len(source) // max(source.size, 1), 1)
    for top in range(0, len(source), rows):
        band = slice(top, top + rows)
        target[band] = convert(source[band])
    return out


def _to_integers(image: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    if image.dtype == dtype:
        return image
    return in_bands(image, dtype, lambda band: _converted(band, dtype))


def _converted(values: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) + 128) // 257
    if values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(257)
    if np.isnan(values).any():
        raise ZooError("the image holds NaN and cannot become integers; correct its values")
    return np.rint(np.clip(values.astype(np.float64), 0, 1) * np.iinfo(dtype).max)
