"""Raw files of cameras, developed to images by LibRaw."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import tifffile

from zoo.data import pixels
from zoo.errors import ZooError

if TYPE_CHECKING:
    import rawpy

DEVELOPED = "it was developed by LibRaw: white balance of the camera, sRGB, automatic brightness"
"""What a page of a raw file reports."""

# The curve of IEC 61966-2-1.
_SRGB = (2.4, 12.92)
_DNG_VERSION = 50706


@contextmanager
def opened(file: BinaryIO, name: str) -> "Iterator[rawpy.RawPy]":
    """A raw file in rawpy: its size and preview, not yet decoded.

    Raises:
      ZooError: rawpy is missing, or does not know the camera or the coding, or it is too large.
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
        # LibRaw's own come as bytes, those of rawpy as text.
        reason = error.args[0] if error.args else type(error).__name__
        reason = reason.decode("ascii", "replace") if isinstance(reason, bytes) else str(reason)
        unable = (
            rawpy.LibRawFileUnsupportedError,
            rawpy.LibRawNotImplementedError,
            rawpy.LibRawTooBigError,
            rawpy.LibRawUnsufficientMemoryError,
        )
        if isinstance(error, unable):
            raise ZooError(
                f"{name} is a camera's raw file that rawpy does not read ({reason}); develop it to "
                "a TIFF of 16 bits, and take that"
            ) from None
        raise ValueError(reason) from None


def decode(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """Develop a raw file.

    Demosaicking is by pixel grouping (PPG). Brightness: 1 % of the pixels become white.

    Args:
      data: the file's bytes.
      name: what to call it in an error.

    Returns:
      The image in sRGB, uint16 `(H, W, 3)`, upright, and 1, its orientation.

    Raises:
      ZooError: as `opened`, or the image has too many pixels.
      ValueError: it is broken.
    """
    _check_length(data)
    with opened(io.BytesIO(data), name) as raw:
        pixels.check_size(raw.sizes.width, raw.sizes.height, name)
        from rawpy import DemosaicAlgorithm  # noqa: PLC0415 - an extra

        # LibRaw's method that is most like `zoo.noise.develop.demosaic_along_edges`, with whose
        # noise `unet-photo` was trained.
        options = {"demosaic_algorithm": DemosaicAlgorithm.PPG, "use_camera_wb": True}
        return raw.postprocess(**options, gamma=_SRGB, output_bps=16), 1


def preview(data: bytes, name: str) -> bytes:
    """The JPEG file inside a raw file, whose EXIF tells of the photograph; empty if it is none.

    Raises:
      ZooError: as `opened`.
      Exception: it is broken, or there is none.
    """
    with opened(io.BytesIO(data), name) as raw:
        found = raw.extract_thumb().data
        return found if isinstance(found, bytes) else b""


def _check_length(data: bytes) -> None:
    """Refuses a DNG file that ends before its sensor values do.

    LibRaw leaves tiles black whose beginning is missing. Of other raw files many state no true
    lengths.

    Raises:
      ValueError: it is truncated.
    """
    ends = [0]
    # A directory that cannot be read is reported by LibRaw.
    with suppress(Exception), tifffile.TiffFile(io.BytesIO(data)) as tiff:
        first = tiff.pages.first
        if _DNG_VERSION in first.tags:
            for page in (first, *(first.pages or ())):
                if page.subfiletype == 0:
                    ends += map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
    if max(ends) > len(data):
        raise ValueError("it ends in the middle")
