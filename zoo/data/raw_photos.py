"""Raw files of cameras, developed to images by LibRaw."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from zoo.data import pixels
from zoo.errors import ZooError

if TYPE_CHECKING:
    import rawpy

DEVELOPED = "it was developed by LibRaw: white balance of the camera, sRGB, automatic brightness"
"""What a page of a raw file reports."""

# The curve of IEC 61966-2-1.
_SRGB = (2.4, 12.92)


@contextmanager
def opened(file: BinaryIO, name: str) -> "Iterator[rawpy.RawPy]":
    """A raw file in rawpy: its size and preview, not yet decoded.

    Raises:
      ZooError: rawpy is missing, or does not know the camera.
      ValueError: it is broken, or a part that is asked for is missing.
    """
    try:
        import rawpy  # noqa: PLC0415 - an extra
    except ImportError:
        raise ZooError(
            f"{name} is a camera's raw file, which needs rawpy; pip install 'denoising-zoo[raw]', "
            "or develop it to a TIFF of 16 bits, and take that"
        ) from None
    try:
        with rawpy.imread(file) as raw:
            yield raw
    except rawpy.LibRawError as error:
        # It comes as bytes.
        reason = str(error.args[0], "ascii", "replace")
        if isinstance(error, rawpy.LibRawFileUnsupportedError):
            raise ZooError(
                f"{name} is a camera's raw file that rawpy does not read ({reason}); develop it to "
                "a TIFF of 16 bits, and take that"
            ) from None
        raise ValueError(reason) from None


def decode(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """Develop a raw file.

    Demosaicking is LibRaw's default, AHD. Brightness: 1 % of the pixels become white.

    Args:
      data: the file's bytes.
      name: what to call it in an error.

    Returns:
      The image in sRGB, uint16 `(H, W, 3)`, upright, and 1, its orientation.

    Raises:
      ZooError: as `opened`, or the image has too many pixels.
      ValueError: it is broken.
    """
    with opened(io.BytesIO(data), name) as raw:
        pixels.check_size(raw.sizes.width, raw.sizes.height, name)
        return raw.postprocess(use_camera_wb=True, gamma=_SRGB, output_bps=16), 1


def preview(data: bytes, name: str) -> bytes:
    """The JPEG file inside a raw file, whose EXIF tells of the photograph; empty without one.

    Raises:
      ZooError: as `opened`.
    """
    # `decode` reports a broken file.
    with suppress(ValueError), opened(io.BytesIO(data), name) as raw:
        found = raw.extract_thumb().data
        return found if isinstance(found, bytes) else b""
    return b""
