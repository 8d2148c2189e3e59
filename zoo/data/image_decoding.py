"""Bytes of image files to arrays.

The choice of library was settled by a round trip, which `tests/data/test_images.py` keeps:

* PNG: imagecodecs. Pillow and scikit-image silently return 16-bit color as 8-bit.
* TIFF: tifffile, for which imagecodecs decodes LZW, JPEG and fax strips; see
  `zoo.data.tiff_decoding`. It alone keeps 16-bit color and floats.
* JPEG, BMP, WebP, GIF: Pillow. All have 8 bits; Pillow detects a truncated JPEG, which libjpeg pads
  with gray, and supports EXIF and CMYK.
* AVIF: imagecodecs, which keeps 10 and 12 bits; Pillow reads its metadata.
* HEIC: pillow-heif, an extra.
* Raw files of cameras: rawpy, an extra; see `zoo.data.raw_photos`.
"""

import io
import logging
import struct
import textwrap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    WebPImagePlugin,
)

from zoo.data import pixels, raw_photos, tiff_decoding
from zoo.data.exif import ORIENTATION
from zoo.errors import ZooError

# Pixels. Pillow warns of, and refuses, far larger crops as bombs.
_BAND = 2**20

# These log oddities of a file; without a handler of their own Python would print them next to our
# one line. An application that sets up logging still gets them.
for _library in ("tifffile", "imagecodecs"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

# Opened by class, not by `Image.open`: that one warns of or refuses "decompression bombs" by a
# process-wide limit; here `pixels.PIXEL_LIMIT` decides, and nothing global is changed.
_PILLOW = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
}


@contextmanager
def intact(kind: str, name: str) -> Iterator[None]:
    """Turn any exception of a decoder, raised when bytes are broken, into one line.

    Args:
      kind: the format.
      name: what to call the image.

    Raises:
      ZooError: something was raised inside.
    """
    try:
        yield
    except ZooError:
        raise
    except MemoryError:
        raise ZooError(f"{name} does not fit into memory; cut it into tiles") from None
    except Exception as error:
        reason = textwrap.shorten(str(error), 100) or type(error).__name__
        if isinstance(error, (ImportError, NotImplementedError)):
            # Of a codec that a library was built without; imagecodecs' error is an ImportError.
            raise ZooError(
                f"{name} is a variant of {kind} that is not read here ({reason}); convert it to "
                "TIFF or PNG, and take that"
            ) from None
        raise ZooError(
            f"{name} is a truncated or broken {kind} file ({reason}); fetch it again, or save "
            "it again with the program that wrote it"
        ) from None


def decode(data: bytes, kind: str, name: str) -> tuple[np.ndarray, int]:
    """Decode the bytes of an image file.

    Args:
      data: the file's bytes.
      kind: its format, as `zoo.data.file_kinds.image_format` returns it.
      name: what to call the image in an error.

    Returns:
      The image as stored, `(H, W)` or `(H, W, C)`, as yet unchecked, and its orientation by EXIF
      2.32 and TIFF 6.0.

    Raises:
      ZooError: it has too many pixels or several pages, or is a variant that is not read.
      Exception: the bytes are broken; see `intact`.
    """
    decoders = {"png": _decode_png, "tiff": tiff_decoding.decode_single}
    decoders |= {"avif": _decode_avif, "heic": _decode_heic, "raw": raw_photos.decode}
    # Each a function of its own, after which copies of the image are freed.
    return decoders.get(kind, partial(_decode_pillow, kind))(data, name)


def opened(file: BinaryIO, kind: str, name: str) -> ImageFile.ImageFile:
    """A JPEG, BMP, WebP, GIF, AVIF or HEIC file in Pillow: its size and metadata, not decoded.

    Of JPEG, BMP and GIF only the header is read.

    Raises:
      ZooError: the library that reads it is missing.
      Exception: it is broken.
    """
    if kind == "heic":
        try:
            import pillow_heif  # noqa: PLC0415 - an extra
        except ImportError:
            raise ZooError(
                f"{name} is HEIC, which needs pillow-heif; pip install 'denoising-zoo[heic]'"
            ) from None
        return pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    if kind == "avif" and not AvifImagePlugin.SUPPORTED:
        raise ZooError(f"{name} is AVIF, which this Pillow does not read; pip install -U pillow")
    return _PILLOW[kind](file)


def _decode_png(data: bytes, name: str) -> tuple[np.ndarray, int]:
    # The header chunk is always first: its width and height follow signature, length and type.
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    pixels.check_size(width, height, name)
    return imagecodecs.png_decode(data), _png_orientation(data)


def _png_orientation(data: bytes) -> int:
    """The orientation in the chunk `eXIf`, which imagecodecs ignores."""
    exif = Image.Exif()
    # Broken metadata does not affect the pixels.
    with suppress(Exception):
        exif.load(next(body for kind, body, _ in png_chunks(data) if kind == b"eXIf"))
        return exif.get(ORIENTATION, 1)
    return 1


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind, body and whether the checksum is right, of all chunks of a PNG but the pixels."""
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind != b"IDAT":
            body = data[at + 8 : end - 4]
            yield kind, body, data[end - 4 : end] == struct.pack(">I", zlib.crc32(kind + body))
        at = end


def _decode_avif(data: bytes, name: str) -> tuple[np.ndarray, int]:
    with opened(io.BytesIO(data), "avif", name) as image:
        pixels.check_size(*image.size, name)
        orientation = _orientation(image)
    array = imagecodecs.avif_decode(data, index=0)
    if array.dtype == np.uint16:
        # It does not return whether they have 10 or 12 bits; the header says so.
        array = pixels.widened(array, 12 if _avif_is_12_bit(data) else 10)
    return array, orientation


def _avif_is_12_bit(data: bytes) -> bool:
    """Whether the third byte of the AV1 configuration says so (AV1-ISOBMFF 2.3.3)."""
    at = data.find(b"av1C")
    return at >= 0 and data[at + 6 : at + 7] and bool(data[at + 6] & 0x20)


def _decode_heic(data: bytes, name: str) -> tuple[np.ndarray, int]:
    image = opened(io.BytesIO(data), "heic", name)
    pixels.check_size(*image.size, name)
    array = np.asarray(image)
    if array.dtype == np.uint16:
        # The values are in the upper bits of the 16.
        bits = image.info["bit_depth"]
        array = pixels.widened(array >> (16 - bits), bits)
    # libheif has turned it; the orientation in its EXIF is void (ISO/IEC 23008-12).
    return array, 1


def _decode_pillow(kind: str, data: bytes, name: str) -> tuple[np.ndarray, int]:
    with opened(io.BytesIO(data), kind, name) as image:
        pixels.check_size(*image.size, name)
        for coding, _, offset, *more in image.tile:
            # Pillow allocates the whole image before it reaches the end of the file.
            if coding == "raw" and offset + more[0][1] * image.height > len(data):
                raise ValueError("it ends in the middle")
        gray = image.mode in ("1", "L", "LA")
        alpha = image.mode in ("LA", "RGBA") or "transparency" in image.info
        mode = ("L" if gray else "RGB") + "A" * alpha
        image.load()
        width, height = image.size
        array = np.empty((height, width, len(mode)), np.uint8)
        # In bands of rows: the whole at once would make two more copies of it.
        rows = max(1, _BAND // width)
        for top in range(0, height, rows):
            band = image.crop((0, top, width, min(top + rows, height)))
            band = band if mode == band.mode else band.convert(mode)
            array[top : top + rows] = np.asarray(band).reshape(-1, width, len(mode))
        return array, _orientation(image)


def _orientation(image: Image.Image) -> int:
    with suppress(Exception):  # broken metadata does not affect the pixels
        return image.getexif().get(ORIENTATION, 1)
    return 1
