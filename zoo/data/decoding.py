"""Bytes of picture files to arrays.

Which library reads what was settled by a round trip, which `tests/data/test_images.py` keeps:

* PNG: imagecodecs. Pillow and scikit-image hand back 16-bit colour as 8-bit without a word.
* TIFF: tifffile, which imagecodecs feeds with LZW, JPEG and fax strips; see `zoo.data.tiffs`. It
  alone keeps 16-bit colour and floats.
* JPEG, BMP, WebP, GIF: Pillow. All are 8-bit here, Pillow notices a truncated JPEG, which libjpeg
  pads with grey, and it knows EXIF and CMYK.
* AVIF: imagecodecs, which keeps 10 and 12 bits; Pillow knows what lies beside the pixels.
* HEIC: pillow-heif, an extra.
"""

import io
import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import imagecodecs
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    WebPImagePlugin,
)

from zoo.data import tiffs
from zoo.errors import ZooError

_ORIENTATION_TAG = 0x0112
# Pixels. Pillow warns of, and refuses, far larger crops as bombs.
_BAND = 2**20

# These log what is odd about a file; without a handler of their own Python would print it on top of
# our one line. Who sets up logging still gets it.
for _library in ("tifffile", "imagecodecs"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

HEAD = 348
"""How many of a file's first bytes tell what it is."""

# The first bytes of each format. TIFF: little and big endian, classic and BigTIFF.
_MAGIC = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpeg": (b"\xff\xd8\xff",),
    "bmp": (b"BM",),
    "gif": (b"GIF87a", b"GIF89a"),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
# Kinds of ISO media files, by their brands.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "heic"),
}
_ANY_BRAND = (b"mif1", b"msf1", b"miaf")

# Opened by class, not by `Image.open`: that one warns of or refuses "decompression bombs" by a
# process-wide limit; here the caller's limit decides, and nothing global is changed.
PILLOW = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
}
"""Pillow's classes of the formats that it reads."""

_TO_TIFF = "convert it to TIFF or PNG, and take that"
_DICOM = "export it as TIFF or PNG of 16 bits, with pydicom, DCMTK or ITK, and take that"
_SCIENCE = "save its pictures as TIFF, with tifffile in Python or with ImageJ, and take that"
# What people take for pictures, or that holds some, and what helps: first bytes, and where.
_FOREIGN = (
    (0, (b"II*\0\x10\0\0\0CR", b"IIRO", b"IIRS", b"MMOR", b"IIU\0"), tiffs.DEVELOP),
    (0, (b"FUJIFILMCCD-RAW", b"\0MRM", b"FOVb", b"II\x1a\0\0\0HEAPCCDR"), tiffs.DEVELOP),
    (4, (b"ftypcrx ",), tiffs.DEVELOP),
    (128, (b"DICM",), f"a DICOM file, which is not read yet; {_DICOM}"),
    (0, (b"8BPS",), f"a Photoshop file, which is not read; {_TO_TIFF}"),
    (0, (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), f"JPEG 2000, which is not read; {_TO_TIFF}"),
    (0, (b"\0\0\0\x0cJXL ", b"\xff\x0a"), f"JPEG XL, which is not read; {_TO_TIFF}"),
    (0, (b"II\xbc\x01",), f"JPEG XR, which is not read; {_TO_TIFF}"),
    (0, (b"v/1\x01", b"#?RADIANCE", b"#?RGBE"), f"an HDR file, which is not read; {_TO_TIFF}"),
    (0, tuple(b"P%d%c" % (n, c) for n in range(1, 8) for c in b"\n\r \t#"),
     f"a Netpbm file, which is not read; {_TO_TIFF}"),
    (0, (b"qoif", b"\0\0\1\0", b"\x8aMNG"), f"of a format that is not read; {_TO_TIFF}"),
    (0, (b"SIMPLE  =",), f"a FITS file, which is not read; {_SCIENCE}"),
    (0, (b"\x93NUMPY",), f"a NumPy array, which is not read; {_SCIENCE}"),
    (0, (b"\x89HDF\r\n\x1a\n", b"CDF\1"), f"an HDF5 or netCDF file, which is not read; {_SCIENCE}"),
    (344, (b"n+1\0", b"ni1\0"), f"a NIfTI file, which is not read; {_SCIENCE}"),
    (0, (b"%PDF",), f"a PDF document; take the pictures out of it, or {_TO_TIFF}"),
    (0, (b"<svg",), f"an SVG drawing, which has no pixels; {_TO_TIFF}"),
    (0, (b"<!DOCTYPE html", b"<!doctype html", b"<html"),
     "a web page, perhaps in place of a picture that could not be fetched; fetch it again"),
)  # fmt: skip
_RAW = "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2"
RAW_SUFFIXES = frozenset(f".{end}" for end in (*_RAW.split(), "srf", "srw", "x3f"))
"""The endings, in lower case, of cameras' raw files, most of which begin as TIFF files do."""


def form(data: bytes, name: str) -> str:
    """The format of a picture file: png, jpeg, bmp, gif, tiff, webp, avif or heic.

    Args:
      data: its first bytes, at least 16; `HEAD` of them tell more of what is none.
      name: what to call the picture in an error.

    Raises:
      ZooError: it is none of them.
    """
    found = sniffed(data)
    if found is None:
        told = foreign(data) or (
            "not png, jpeg, bmp, gif, tiff, webp, avif or heic; convert it to one of them, or "
            "leave it out"
        )
        raise ZooError(f"{name} is {told}")
    return found


def sniffed(data: bytes) -> str | None:
    """The format of a picture file by its first bytes, as `form` names it, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        end = max(min(int.from_bytes(data[:4], "big"), len(data)), 16)
        brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
        known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        return known[0] if known else "heic" if brands[0] in _ANY_BRAND else None
    if foreign(data):
        return None
    for kind, magics in _MAGIC.items():
        if data.startswith(magics):
            return kind
    return None


def foreign(data: bytes) -> str:
    """What a file is that is no picture here, and what helps, by its first bytes; or nothing."""
    for at, magics, told in _FOREIGN:
        if data[at:].startswith(magics):
            return told
    return ""


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
    except MemoryError:
        raise ZooError(f"{name} does not fit into memory; cut it into tiles") from None
    except Exception as error:
        reason = textwrap.shorten(str(error), 100) or type(error).__name__
        if isinstance(error, (ImportError, NotImplementedError)):
            # Of a codec that a library was built without; imagecodecs' error is an ImportError.
            raise ZooError(
                f"{name} is {kind} of a sort that is not read here ({reason}); {_TO_TIFF}"
            ) from None
        raise ZooError(
            f"{name} is a truncated or broken {kind} file ({reason}); fetch it again, or save it "
            "anew with the program it is from"
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
      ZooError: it has more pixels or several pages, or is of a sort that is not read.
      Exception: the bytes are garbled; see `intact`.
    """
    if kind == "png":
        return _decode_png(data, name, limit)
    if kind == "tiff":
        return upright(*tiffs.decode_alone(data, name, limit))
    if kind == "avif":
        return _decode_avif(data, name, limit)
    if kind == "heic":
        return _decode_heic(data, name, limit)
    # In a function of its own, after which Pillow's copy of the picture is gone.
    return upright(*_decode_pillow(data, name, PILLOW[kind], limit))


def opened_avif(data: bytes, name: str) -> ImageFile.ImageFile:
    """An AVIF file as Pillow has it, with what lies beside the pixels.

    Raises:
      ZooError: Pillow was built without the library.
    """
    try:
        from PIL import AvifImagePlugin  # noqa: PLC0415 - of Pillow 11.3

        if AvifImagePlugin.SUPPORTED:
            return AvifImagePlugin.AvifImageFile(io.BytesIO(data))
    except ImportError:
        pass
    raise ZooError(f"{name} is AVIF, which this Pillow does not read; pip install -U pillow")


def opened_heic(data: bytes, name: str):
    """A HEIC file as pillow-heif has it, in its own depth.

    Raises:
      ZooError: pillow-heif is not there.
    """
    try:
        import pillow_heif  # noqa: PLC0415 - an extra
    except ImportError:
        raise ZooError(
            f"{name} is HEIC, which needs pillow-heif; pip install 'denoising-zoo[heic]'"
        ) from None
    return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)


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


def _decode_avif(data: bytes, name: str, limit: int) -> np.ndarray:
    with opened_avif(data, name) as image:
        _check_pixels(*image.size, name, limit)
        orientation = _orientation(image)
    array = imagecodecs.avif_decode(data, index=0)
    if array.dtype == np.uint16:
        # It does not say whether they are of 10 or 12 bits; the header does.
        array = tiffs.widened(array, 12 if _avif_is_12_bit(data) else 10)
    return upright(array, orientation)


def _avif_is_12_bit(data: bytes) -> bool:
    """By the third byte of the AV1 configuration (AV1-ISOBMFF 2.3.3)."""
    at = data.find(b"av1C")
    return at >= 0 and data[at + 6 : at + 7] and bool(data[at + 6] & 0x20)


def _decode_heic(data: bytes, name: str, limit: int) -> np.ndarray:
    image = opened_heic(data, name)
    _check_pixels(*image.size, name, limit)
    array = np.asarray(image)
    if array.dtype == np.uint16:
        # They lie in the upper of 16 bits.
        bits = image.info["bit_depth"]
        array = tiffs.widened(array >> (16 - bits), bits)
    # It has been turned as the file says, and its EXIF is not to be asked (ISO/IEC 23008-12).
    return array


def _decode_pillow(
    data: bytes, name: str, opener: type[ImageFile.ImageFile], limit: int
) -> tuple[np.ndarray, int]:
    with opener(io.BytesIO(data)) as image:
        _check_pixels(*image.size, name, limit)
        for coding, _, offset, *more in image.tile:
            # Pillow makes room for all of the picture before it looks for its end.
            if coding == "raw" and offset + more[0][1] * image.height > len(data):
                raise ValueError("it ends in the middle")
        gray = image.mode in ("1", "L", "LA")
        alpha = image.mode in ("LA", "RGBA") or "transparency" in image.info
        mode = ("L" if gray else "RGB") + "A" * alpha
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
