"""Picture files in and out.

A picture is an array `(H, W, C)` with C in {1, 2, 3, 4}: grey, grey and alpha, colour, colour and
alpha. Its dtype is the file's: uint8, uint16, or float32 within [0, 1]; with `as_is` any integer or
float of any range.

Which library reads what: `zoo.data.decoding`.
"""

import io
import os
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from zoo import files
from zoo.data import decoding
from zoo.errors import ZooError

PIXEL_LIMIT = 2**30
"""The most pixels a picture may have: 1 gigapixel, 3 GiB of 8-bit colour once decoded."""

FORMS = {
    ".png": "png",
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **dict.fromkeys((".bmp", ".dib"), "bmp"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    ".webp": "webp",
}
"""The format that is written for an ending, in lower case."""

SUFFIXES = frozenset(FORMS) | {".gif", ".mpo", ".heic", ".heif", ".hif", ".avif"}
"""The endings, in lower case, by which a folder's pictures are told from its other files."""

_JPEG_QUALITY = 95
_NUMBERS = frozenset(np.dtype(kind) for kind in (*np.typecodes["AllInteger"], *"efd"))


def read(path: str | os.PathLike) -> np.ndarray:
    """Read a picture file; its content, not its suffix, tells the format.

    PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF and HEIC; grey, colour, alpha, palette and 1-bit. A
    palette is looked up, fewer than 8 bits are stretched to 8 and fewer than 16 to 16, CMYK JPEG
    becomes RGB, and the orientation that the file notes is applied. Of an animation the first frame
    is read.

    Args:
      path: the file.

    Returns:
      The picture `(H, W, C)`: uint8, uint16, or float32 within [0, 1].

    Raises:
      ZooError: the file is missing, empty, truncated, garbled, of another format, has more than
        `PIXEL_LIMIT` pixels or several pages, or holds values a picture cannot have.
    """
    name = str(path)
    with files.opened(path) as file:
        head = file.read(decoding.HEAD)
        if head:
            decoding.form(head, name)
        return decode(head + files.rest(file, path), name)


def decode(data: bytes, name: str, *, as_is: bool = False) -> np.ndarray:
    """Decode the bytes of a picture file, as `read` does.

    Args:
      data: the file's bytes.
      name: what to call the picture in an error.
      as_is: whether any integer or float, of any range, is a picture.

    Returns:
      The picture `(H, W, C)`: uint8, uint16, or float32 within [0, 1], or as the file has it.

    Raises:
      ZooError: as `read` raises.
    """
    if not data:
        raise ZooError(f"{name} is empty; fetch it again")
    kind = decoding.form(data, name)
    with decoding.intact(kind, name):
        picture = decoding.decode(data, kind, name, PIXEL_LIMIT)
    if picture.ndim == 2:
        picture = picture[..., None]
    return check(picture, name, as_is=as_is)


def check(picture: np.ndarray, name: str, *, as_is: bool = False) -> np.ndarray:
    """Refuse an array that is no picture.

    Args:
      picture: what was read.
      name: what to call it in the error.
      as_is: whether any integer or float, of any range, is a picture.

    Returns:
      `picture` itself, or as float32 if it was float16 or float64 and not `as_is`.

    Raises:
      ZooError: not `(H, W, C)` with C from 1 to 4, no pixels, no integer and no float; unless
        `as_is`, not uint8, uint16 or a float, or a float that is not finite or outside [0, 1].
    """
    if picture.ndim != 3 or not 1 <= picture.shape[-1] <= 4 or picture.size == 0:
        raise ZooError(f"{name} has shape {picture.shape}; a picture is (height, width, 1 to 4)")
    if picture.dtype in (np.uint8, np.uint16) or (as_is and picture.dtype in _NUMBERS):
        return picture
    if picture.dtype not in (np.float16, np.float32, np.float64):
        raise ZooError(f"{name} holds {picture.dtype}; save it as uint8, uint16 or float32")
    if not np.isfinite(picture).all():
        raise ZooError(f"{name} holds NaN or infinity; mend it")
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
      ZooError: the suffix is none of `FORMS`, the format cannot hold the array, or the folder
        cannot be written to.
    """
    path = Path(path)
    data = _encode(check(np.asarray(picture), str(path)), path)
    files.write(path, data)


def _encode(picture: np.ndarray, path: Path) -> bytes:
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise ZooError(f"cannot tell a format from {path}; end it in {', '.join(sorted(FORMS))}")
    if picture.dtype == np.float32 and form != "tiff":
        raise ZooError(f"{path} cannot hold float32; write tif, or convert to uint8 or uint16")
    if picture.dtype == np.uint16 and form not in ("tiff", "png"):
        raise ZooError(f"{path} cannot hold 16 bits; write png or tif, or convert to uint8")
    alpha = picture.shape[-1] in (2, 4)
    if alpha and form in ("jpeg", "bmp"):
        raise ZooError(f"{path} cannot hold alpha; write png, tif or webp, or drop it")

    squeezed = picture[..., 0] if picture.shape[-1] == 1 else picture
    if form == "png":
        return imagecodecs.png_encode(np.ascontiguousarray(squeezed))
    out = io.BytesIO()
    if form == "tiff":
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
    if form == "webp":
        image.save(out, "WEBP", lossless=True, exact=True)
    elif form == "bmp":
        image.save(out, "BMP")
    else:
        image.save(out, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return out.getvalue()
