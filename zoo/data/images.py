"""Picture files in and out.

A picture is an array `(H, W, C)` with C in {1, 2, 3, 4}: grey, grey and alpha, colour, colour and
alpha. Its dtype is the file's: uint8, uint16, or float32 within [0, 1].

Which library reads what was settled by a round trip, which `tests/data/test_images.py` keeps:

* PNG: imagecodecs. Pillow and scikit-image hand back 16-bit colour as 8-bit without a word.
* TIFF: tifffile, which imagecodecs feeds with LZW, JPEG and fax strips. It alone keeps 16-bit
  colour and float32.
* JPEG, BMP, WebP: Pillow. All three are 8-bit here, Pillow notices a truncated JPEG, which libjpeg
  pads with grey, and it knows EXIF and CMYK.
"""

import io
import logging
import os
import textwrap
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, WebPImagePlugin

from zoo import files
from zoo.errors import ZooError

PIXEL_LIMIT = 2**30
"""The most pixels a picture may have: 1 gigapixel, 3 GiB of 8-bit colour once decoded."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""The endings, in lower case, by which a folder's pictures are told from its other files."""

_JPEG_QUALITY = 95
_ORIENTATION_TAG = 0x0112

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
# process-wide limit; here `PIXEL_LIMIT` decides, and nothing global is changed.
_PILLOW = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}


def read(path: str | os.PathLike) -> np.ndarray:
    """Read a picture file; its content, not its suffix, tells the format.

    PNG, JPEG, BMP, TIFF and WebP; grey, colour, alpha, palette and 1-bit. A palette is looked up,
    fewer than 8 bits are stretched to 8, CMYK JPEG becomes RGB, and the orientation that JPEG,
    WebP and TIFF note is applied. Of an animation the first frame is read.

    Args:
      path: the file.

    Returns:
      The picture `(H, W, C)`: uint8, uint16, or float32 within [0, 1].

    Raises:
      ZooError: the file is missing, empty, truncated, garbled, of another format, has more than
        `PIXEL_LIMIT` pixels or several pages, or holds values a picture cannot have.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ZooError(f"cannot read {path}: {error.strerror}; mend the path") from None
    return decode(data, str(path))


def decode(data: bytes, name: str) -> np.ndarray:
    """Decode the bytes of a picture file, as `read` does.

    Args:
      data: the file's bytes.
      name: what to call the picture in an error.

    Returns:
      The picture `(H, W, C)`: uint8, uint16, or float32 within [0, 1].

    Raises:
      ZooError: as `read` raises.
    """
    if not data:
        raise ZooError(f"{name} is empty; fetch it again or remove it")
    kind = _format(data, name)
    try:
        if kind == "png":
            picture = _decode_png(data, name)
        elif kind == "tiff":
            picture = _decode_tiff(data, name)
        else:
            picture = _decode_pillow(data, name, _PILLOW[kind])
    except ZooError:
        raise
    except Exception as error:  # a decoder may raise anything when the bytes are garbled
        reason = textwrap.shorten(str(error), 100) or type(error).__name__
        raise ZooError(
            f"{name} is a truncated or broken {kind} file ({reason}); fetch it again or remove it"
        ) from None
    if picture.ndim == 2:
        picture = picture[..., None]
    return check(picture, name)


def check(picture: np.ndarray, name: str) -> np.ndarray:
    """Refuse an array that is no picture.

    Args:
      picture: what was read.
      name: what to call it in the error.

    Returns:
      `picture` itself, or as float32 if it was float16 or float64.

    Raises:
      ZooError: not `(H, W, C)` with C from 1 to 4, no pixels, not uint8, uint16 or a float, or a
        float that is not finite or outside [0, 1].
    """
    if picture.ndim != 3 or not 1 <= picture.shape[-1] <= 4 or picture.size == 0:
        raise ZooError(f"{name} has shape {picture.shape}; a picture is (height, width, 1 to 4)")
    if picture.dtype in (np.uint8, np.uint16):
        return picture
    if picture.dtype not in (np.float16, np.float32, np.float64):
        raise ZooError(f"{name} holds {picture.dtype}; save it as uint8, uint16 or float32")
    if not np.isfinite(picture).all():
        raise ZooError(f"{name} holds NaN or infinity; mend or remove it")
    if picture.min() < 0 or picture.max() > 1:
        raise ZooError(
            f"{name} spans {picture.min():.4g} to {picture.max():.4g}; scale floats to 0 to 1"
        )
    return picture.astype(np.float32, copy=False)


def write(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write a picture; the suffix tells the format, and the file appears whole or not at all.

    PNG takes uint8 and uint16, TIFF float32 too, both any channels and without loss. JPEG
    (quality 95, colour not subsampled) and BMP take uint8 without alpha, WebP (lossless) uint8,
    where grey is repeated because the format has no grey.

    Args:
      path: the file; its folder exists. A file already there is replaced.
      picture: `(H, W, C)`, C in {1, 2, 3, 4}.

    Raises:
      ZooError: the suffix is none of `SUFFIXES`, the format cannot hold the array, or the folder
        cannot be written to.
    """
    path = Path(path)
    data = _encode(check(np.asarray(picture), str(path)), path)
    files.write(path, data)


def _format(data: bytes, name: str) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for kind, magics in _MAGIC.items():
        if data.startswith(magics):
            return kind
    raise ZooError(f"{name} is not png, jpeg, bmp, tiff or webp; convert or remove it")


def _check_pixels(width: int, height: int, name: str) -> None:
    """Called before anything is decoded: a small file may claim, and take, any memory."""
    if width * height > PIXEL_LIMIT:
        raise ZooError(
            f"{name} has {width} x {height} pixels, more than {PIXEL_LIMIT}; cut it into tiles"
        )


def _decode_png(data: bytes, name: str) -> np.ndarray:
    # The header chunk is always first: its width and height follow signature, length and type.
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    _check_pixels(width, height, name)
    return imagecodecs.png_decode(data)


def _decode_pillow(data: bytes, name: str, opener: type[ImageFile.ImageFile]) -> np.ndarray:
    with opener(io.BytesIO(data)) as image:
        _check_pixels(*image.size, name)
        mode = image.mode
        if mode == "1":
            mode = "L"
        elif mode not in ("L", "LA", "RGB", "RGBA"):
            mode = "RGB"
        array = np.asarray(image if mode == image.mode else image.convert(mode))
        return _upright(array, _orientation(image))


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken metadata says nothing about the pixels
        return 1


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
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


def _decode_tiff(data: bytes, name: str) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        # A reduced page is a thumbnail of another.
        pages = [page for page in tiff.pages if not page.is_reduced]
        if len(pages) != 1:
            raise ZooError(f"{name} has {len(pages)} pages; save each as a file of its own")
        page = pages[0]
        _check_pixels(page.imagewidth, page.imagelength, name)
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
        return _upright(array, int(tag.value) if tag else 1)


def _encode(picture: np.ndarray, path: Path) -> bytes:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ZooError(f"cannot tell a format from {path}; end it in {', '.join(sorted(SUFFIXES))}")
    tiff = suffix in (".tif", ".tiff")
    if picture.dtype == np.float32 and not tiff:
        raise ZooError(f"{path} cannot hold float32; write tif, or convert to uint8 or uint16")
    if picture.dtype == np.uint16 and not tiff and suffix != ".png":
        raise ZooError(f"{path} cannot hold 16 bits; write png or tif, or convert to uint8")
    alpha = picture.shape[-1] in (2, 4)
    if alpha and suffix in (".jpg", ".jpeg", ".bmp"):
        raise ZooError(f"{path} cannot hold alpha; write png, tif or webp, or drop it")

    squeezed = picture[..., 0] if picture.shape[-1] == 1 else picture
    if suffix == ".png":
        return imagecodecs.png_encode(np.ascontiguousarray(squeezed))
    out = io.BytesIO()
    if tiff:
        tifffile.imwrite(
            out,
            squeezed,
            photometric="rgb" if picture.shape[-1] >= 3 else "minisblack",
            planarconfig="contig" if picture.shape[-1] > 1 else None,
            extrasamples=["unassalpha"] if alpha else None,
            compression="zlib",
            metadata=None,
        )
        return out.getvalue()
    image = Image.fromarray(np.ascontiguousarray(squeezed))
    if suffix == ".webp":
        image.save(out, "WEBP", lossless=True, exact=True)
    elif suffix == ".bmp":
        image.save(out, "BMP")
    else:
        image.save(out, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return out.getvalue()
