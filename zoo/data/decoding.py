"""Bytes of picture files to arrays.

Which library reads what was settled by a round trip, which `tests/data/test_images.py` keeps:

* PNG: imagecodecs. Pillow and scikit-image hand back 16-bit colour as 8-bit without a word.
* TIFF: tifffile, which imagecodecs feeds with LZW, JPEG and fax strips. It alone keeps 16-bit
  colour and float32.
* JPEG, BMP, WebP: Pillow. All three are 8-bit here, Pillow notices a truncated JPEG, which libjpeg
  pads with grey, and it knows EXIF and CMYK.
"""

import io
import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import imagecodecs
import numpy as np
import tifffile
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, WebPImagePlugin

from zoo.errors import ZooError

_ORIENTATION_TAG = 0x0112
# Pixels. Pillow warns of, and refuses, far larger crops as bombs.
_BAND = 2**20

# These log what is odd about a file; without a handler of their own Python would print it on top of
# our one line. Who sets up logging still gets it.
for _library in ("tifffile", "imagecodecs"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

# The first bytes of each format. TIFF: little and big endian, classic and BigTIFF.
_MAGIC = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpeg": (b"\xff\xd8\xff",),
    "bmp": (b"BM",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}

# Opened by class, not by `Image.open`: that one warns of or refuses "decompression bombs" by a
# process-wide limit; here the caller's limit decides, and nothing global is changed.
_PILLOW = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}


def form(data: bytes, name: str) -> str:
    """The format of a picture file: png, jpeg, bmp, tiff or webp.

    Args:
      data: its first bytes, at least 12.
      name: what to call the picture in an error.

    Raises:
      ZooError: it is none of them.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for kind, magics in _MAGIC.items():
        if data.startswith(magics):
            return kind
    raise ZooError(f"{name} is not png, jpeg, bmp, tiff or webp; convert or remove it")


@contextmanager
def intact(kind: str, name: str) -> Iterator[None]:
    """Turns whatever a decoder raises when the bytes are garbled into one line.

    Args:
      kind: the format.
      name: what to call the picture.

    Raises:
      ZooError: something was raised inside.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        reason = textwrap.shorten(str(error), 100) or type(error).__name__
        raise ZooError(
            f"{name} is a truncated or broken {kind} file ({reason}); fetch it again or remove it"
        ) from None


def decode(data: bytes, kind: str, name: str, limit: int) -> np.ndarray:
    """Decode the bytes of a picture file.

    Args:
      data: the file's bytes.
      kind: their format, as `form` tells it.
      name: what to call the picture in an error.
      limit: the most pixels it may have.

    Returns:
      The picture, upright, `(H, W)` or `(H, W, C)`, as yet unchecked.

    Raises:
      ZooError: it has more pixels or several pages, or is a kind of TIFF no picture here is.
      Exception: the bytes are garbled; see `intact`.
    """
    if kind == "png":
        return _decode_png(data, name, limit)
    if kind == "tiff":
        return _decode_tiff(data, name, limit)
    return decode_by_pillow(data, name, _PILLOW[kind], limit)


def whole_pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages of a TIFF file without those that are another's thumbnail."""
    return [page for page in tiff.pages if not page.is_reduced]


def decode_page(page: tifffile.TiffPage, name: str, limit: int) -> np.ndarray:
    """Decode a page of a TIFF file.

    Args:
      page: of a file that is open.
      name: what to call the picture in an error.
      limit: the most pixels it may have.

    Returns:
      The picture, upright, `(H, W)` or `(H, W, C)` and as yet unchecked.

    Raises:
      ZooError: it has too many pixels, or a kind of colour or depth that no picture here has.
    """
    _check_pixels(page.imagewidth, page.imagelength, name, limit)
    if not page.dataoffsets or not all(page.dataoffsets) or not all(page.databytecounts):
        raise ValueError("no data")  # tifffile would make it black
    array = page.asarray()
    if page.axes == "SYX":
        array = np.moveaxis(array, 0, -1)
    photometric = page.photometric.name
    if photometric == "PALETTE":
        # The colour map is 16-bit by the standard and 8-bit by use: v * 257 or v * 256.
        array = (np.moveaxis(page.colormap, 0, -1)[array] >> 8).astype(np.uint8)
    elif photometric not in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR"):
        raise ZooError(f"{name} is a {photometric} tiff; save it as grey or RGB")
    elif array.dtype.kind in "bu" and page.bitspersample not in (8, 16):
        if page.bitspersample > 8:
            raise ZooError(f"{name} has {page.bitspersample} bits; save it with 8 or 16")
        array = array.astype(np.uint8) * np.uint8(255 // (2**page.bitspersample - 1))
    if photometric == "MINISWHITE" and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    tag = page.tags.get(_ORIENTATION_TAG)
    return upright(array, int(tag.value) if tag else 1)


def decode_by_pillow(
    data: bytes, name: str, opener: type[ImageFile.ImageFile], limit: int, mode: str | None = None
) -> np.ndarray:
    """Decode a file that Pillow reads.

    Args:
      data: the file's bytes.
      name: what to call the picture in an error.
      opener: Pillow's class of the format.
      limit: the most pixels it may have.
      mode: the Pillow mode to convert to; None for the file's own, or the nearest one.

    Returns:
      The picture, upright, `(H, W)` or `(H, W, C)`, uint8.

    Raises:
      ZooError: it has too many pixels.
    """
    # In a function of its own, after which Pillow's copy of the picture is gone.
    array, orientation = _decode_pillow(data, name, opener, limit, mode)
    return upright(array, orientation)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn `(H, W)` or `(H, W, C)` by the tag of EXIF 2.32 and TIFF 6.0; unknown values are 1."""
    if orientation not in range(2, 9):
        return array
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _check_pixels(width: int, height: int, name: str, limit: int) -> None:
    """Called before anything is decoded: a small file may claim, and take, any memory."""
    if width * height > limit:
        raise ZooError(
            f"{name} has {width} x {height} pixels, more than {limit}; cut it into tiles"
        )


def _decode_png(data: bytes, name: str, limit: int) -> np.ndarray:
    # The header chunk is always first: its width and height follow signature, length and type.
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    _check_pixels(width, height, name, limit)
    return upright(imagecodecs.png_decode(data), _png_orientation(data))


def _png_orientation(data: bytes) -> int:
    """That of the chunk `eXIf`, which imagecodecs does not look at."""
    at = 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            exif = Image.Exif()
            try:
                exif.load(data[at + 8 : at + 8 + length])
            except Exception:  # broken metadata says nothing about the pixels
                return 1
            return exif.get(_ORIENTATION_TAG, 1)
        at += 12 + length
    return 1


def _decode_pillow(
    data: bytes, name: str, opener: type[ImageFile.ImageFile], limit: int, mode: str | None
) -> tuple[np.ndarray, int]:
    with opener(io.BytesIO(data)) as image:
        _check_pixels(*image.size, name, limit)
        if mode is None:
            mode = "L" if image.mode == "1" else image.mode
            mode = mode if mode in ("L", "LA", "RGB", "RGBA") else "RGB"
        image.load()
        width, height = image.size
        array = np.empty((height, width, len(mode)), np.uint8)
        # Some rows at a time: the whole at once would pass through two more copies of it.
        rows = max(1, _BAND // width)
        for top in range(0, height, rows):
            band = image.crop((0, top, width, min(top + rows, height)))
            band = band if mode == band.mode else band.convert(mode)
            array[top : top + rows] = np.asarray(band).reshape(-1, width, len(mode))
        return array, _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken metadata says nothing about the pixels
        return 1


def _decode_tiff(data: bytes, name: str, limit: int) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        pages = whole_pages(tiff)
        if len(pages) != 1:
            raise ZooError(f"{name} has {len(pages)} pages; save each as a file of its own")
        return decode_page(pages[0], name, limit)
