"""What a format can hold of a page: settled before the work, done after it."""

from pathlib import Path

import numpy as np

from zoo.data import pixels
from zoo.data.pages import exif, jpeg
from zoo.data.pages.facts import MOVED, Kept, Page, form_of
from zoo.errors import ZooError

# Pixels of a side, by the formats' own fields.
_SIDES = {"jpeg": 65535, "webp": 16383}
_NAMES = {"png": "PNG", "jpeg": "JPEG", "bmp": "BMP", "tiff": "TIFF", "webp": "WebP"}
_ROWS = 2**22
_SHALLOW = frozenset({"jpeg", "bmp", "webp"})
# Floats so far beyond 0 and 1 are of another unit, rather than a little over.
_SLACK = 0.5


def fitting(page: Page, path: Path, count: int = 1) -> tuple[Kept, tuple[str, ...]]:
    """What a file of this name will keep of a page.

    TIFF holds any depth. 16 bits become 8 in JPEG, BMP and WebP; floats from 0 to 1 become 8 bits
    there and 16 in PNG. In JPEG and BMP alpha is dropped where all of it is opaque.

    Args:
      page: it, as it was read.
      path: the file to write; its suffix tells the format.
      count: how many pages the file is to have.

    Returns:
      What will go beside the pixels, and short sentences on what will not be kept.

    Raises:
      ZooError: the suffix tells no format, or the format cannot hold the page: it has several, its
        sides are too long, its values are of another range, or parts of it are transparent.
    """
    form = form_of(path)
    picture, kept, lost = page.picture, page.kept, []
    height, width, channels = picture.shape
    if count > 1 and form != "tiff":
        raise ZooError(f"{path} cannot hold {count} pages; end it in .tif")
    if max(height, width) > _SIDES.get(form, max(height, width)):
        raise ZooError(f"{path}: no side of {form} exceeds {_SIDES[form]} pixels; end it in .png")
    if form != "tiff":
        _check_range(picture, path)
    if channels in (2, 4) and form in ("jpeg", "bmp"):
        full = 1 if picture.dtype.kind == "f" else np.iinfo(picture.dtype).max
        if not (picture[..., -1] == full).all():
            raise ZooError(f"{path} cannot hold what is transparent; end it in .png, .tif or .webp")
        lost.append(f"{_NAMES[form]} has no alpha; it was opaque throughout")
    if picture.dtype != np.uint8 and form in _SHALLOW:
        lost.append(f"{pixels.depth(picture.dtype)} became 8 bits, all that {_NAMES[form]} holds")
    elif picture.dtype.kind == "f" and form == "png":
        lost.append(f"{pixels.depth(picture.dtype)} became 16 bits, all that PNG holds")
    colour = channels >= 3 or form == "webp"
    if kept.icc and kept.icc[16:20] != (b"RGB " if colour else b"GRAY"):
        kept = kept._replace(icc=None)
        lost.append("its colour profile, which is of other colours than the file, is not kept")
    return _room(kept, form, lost)


def _check_range(picture: np.ndarray, path: Path) -> None:
    """Refuses values that only TIFF holds."""
    if picture.dtype in (np.uint8, np.uint16):
        return
    if picture.dtype.kind in "iu":
        raise ZooError(f"{path} cannot hold {pixels.depth(picture.dtype)}; end it in .tif")
    low, high = float(picture.min()), float(picture.max())
    # Written so that NaN is refused too.
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ZooError(f"{path} cannot hold floats from {low:.4g} to {high:.4g}; end it in .tif")


def fit(picture: np.ndarray, path: Path) -> np.ndarray:
    """The pixels as a file of this name holds them, where `fitting` says that it does."""
    form = form_of(path)
    if picture.shape[-1] in (2, 4) and form in ("jpeg", "bmp"):
        picture = picture[..., :-1]
    if form in _SHALLOW:
        picture = _in_rows(picture, pixels.to_uint8, np.uint8)
    elif picture.dtype.kind == "f" and form == "png":
        picture = _in_rows(picture, pixels.to_uint16, np.uint16)
    if form == "webp" and picture.shape[-1] <= 2:
        picture = picture[..., [0] * 3 + [1] * (picture.shape[-1] - 1)]
    return np.ascontiguousarray(picture)


def _room(kept: Kept, form: str, lost: list[str]) -> tuple[Kept, tuple[str, ...]]:
    """Drops what the format has no place for."""
    name = _NAMES[form]
    if form == "bmp":
        if kept.exif or kept.icc or kept.xmp:
            lost.append("BMP holds no EXIF, colour profile or XMP")
        kept = kept._replace(exif=None, icc=None, xmp=None)
    if form == "jpeg" and not jpeg.fits(kept.exif):
        kept = kept._replace(exif=None)
        lost.append("its EXIF is too long for JPEG")
    if form == "jpeg" and not jpeg.fits(kept.xmp, xmp=True):
        kept = kept._replace(xmp=None)
        lost.append("its XMP is too long for JPEG")
    if form == "tiff" and kept.exif and exif.has_makers_note(exif.parse(kept.exif)[1]):
        lost.append(MOVED)
    if kept.chunks and form != "png":
        lost.append(f"{name} has no place for the text and colour notes of PNG")
    if kept.segments and form != "jpeg":
        lost.append(f"{name} has no place for the comment and Photoshop block of JPEG")
    if kept.tiff and form != "tiff" and kept.tiff.more:
        lost.append(f"{name} has no place for the TIFF tags {', '.join(map(str, kept.tiff.more))}")
    return kept, tuple(lost)


def _in_rows(picture: np.ndarray, convert, dtype: type) -> np.ndarray:
    """Some rows at a time: the sums are done in far wider numbers."""
    if picture.dtype == dtype:
        return picture
    out = np.empty(picture.shape, dtype)
    rows = max(1, _ROWS // (picture.shape[1] * picture.shape[2]))
    for top in range(0, len(picture), rows):
        out[top : top + rows] = convert(picture[top : top + rows])
    return out
