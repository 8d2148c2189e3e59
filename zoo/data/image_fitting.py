"""What a format of image files can hold of a page: depth, range, alpha, pages and metadata."""

from pathlib import Path

import numpy as np

from zoo.data import exif, image_containers, pixels, science
from zoo.data.file_kinds import IMAGE_FORMATS, RAW_SUFFIXES, SCIENCE, ending, listed_suffixes
from zoo.data.image_metadata import MOVED, Metadata, Page
from zoo.errors import ZooError

_READ_ONLY = {
    ".gif": "gif holds 256 colors, which bring noise back",
    ".mpo": "mpo holds several images",
    **dict.fromkeys((".heic", ".heif", ".hif"), "heic is read and not written"),
    ".avif": "avif is read and not written",
}
_NAMES = {"png": "PNG", "jpeg": "JPEG", "bmp": "BMP", "tiff": "TIFF", "webp": "WebP"}
# Pixels of a side, by the formats' own fields.
_SIDES = {"jpeg": 65535, "webp": 16383}
_SHALLOW = frozenset({"jpeg", "bmp", "webp"})
# Floats farther beyond 0 and 1 are of another unit, rather than slightly out of range.
_SLACK = 0.5


def fitting(page: Page, path: Path, count: int = 1) -> tuple[Metadata, tuple[str, ...]]:
    """What a file of this name can hold of a page.

    TIFF holds any depth, and files of `zoo.data.science` what their types hold. 16 bits become 8 in
    JPEG, BMP and WebP; floats from 0 to 1 become 8 bits there and 16 in PNG. In JPEG and BMP alpha
    is dropped where all of it is opaque.

    Args:
      page: the page, as it was read.
      path: the file to write; its suffix determines the format.
      count: the number of pages that the file is to have.

    Returns:
      The metadata that will be written, and short sentences on what will not be kept.

    Raises:
      ZooError: the suffix determines no format, or the format cannot hold the page: it has several,
        its sides are too long, its values are of another range, or parts of it are transparent.
    """
    form = form_of(path)
    if form in SCIENCE:
        return science.fitting(page, path, form, count)
    image, metadata = page.image, page.metadata
    lost = [*science.header_lost(metadata, _NAMES[form])]
    if count > 1 and form != "tiff":
        raise ZooError(f"{path} cannot hold {count} pages; end it in .tif")
    if max(image.shape[:2]) > _SIDES.get(form, max(image.shape[:2])):
        raise ZooError(f"{path}: no side of {form} exceeds {_SIDES[form]} pixels; end it in .png")
    if form != "tiff":
        _check_range(image, path)
    if pixels.has_alpha(image) and form in ("jpeg", "bmp"):
        opaque = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
        if not (image[..., -1] == opaque).all():
            raise ZooError(f"{path} cannot hold transparency; end it in .png, .tif or .webp")
        lost.append(f"{_NAMES[form]} has no alpha; it was opaque throughout")
    if bits := depth_lost(image, form):
        lost.append(
            f"{pixels.depth(image.dtype)} became {bits} bits, all that {_NAMES[form]} holds"
        )
    color = image.shape[-1] >= 3 or form == "webp"
    if metadata.icc and metadata.icc[16:20] != (b"RGB " if color else b"GRAY"):
        metadata = metadata._replace(icc=None)
        lost.append("its color profile, which is for other colors than the file, is not kept")
    metadata, more = _fitting_metadata(metadata, form)
    return metadata, (*lost, *more)


def _fitting_metadata(metadata: Metadata, form: str) -> tuple[Metadata, list[str]]:
    """The metadata that a format can hold, and what else there was."""
    name, lost = _NAMES[form], []
    if form == "bmp":
        if metadata.exif or metadata.icc or metadata.xmp:
            lost.append("BMP holds no EXIF, color profile or XMP")
        metadata = metadata._replace(exif=None, icc=None, xmp=None)
    if form == "jpeg" and not image_containers.fits_jpeg(metadata.exif):
        metadata = metadata._replace(exif=None)
        lost.append("its EXIF is too long for JPEG")
    if form == "jpeg" and not image_containers.fits_jpeg(metadata.xmp, xmp=True):
        metadata = metadata._replace(xmp=None)
        lost.append("its XMP is too long for JPEG")
    if form == "tiff" and metadata.exif and exif.has_maker_note(exif.parse(metadata.exif)[1]):
        lost.append(MOVED)
    if metadata.chunks and form != "png":
        lost.append(f"{name} has no place for the text and color chunks of PNG")
    if metadata.segments and form != "jpeg":
        lost.append(f"{name} has no place for the comment and Photoshop block of JPEG")
    if metadata.tiff and form != "tiff" and metadata.tiff.more:
        tags = ", ".join(map(str, metadata.tiff.more))
        lost.append(f"{name} has no place for the TIFF tags {tags}")
    return metadata, lost


def form_of(path: Path) -> str:
    """The format of a suffix.

    Raises:
      ZooError: it has none that can be written.
    """
    suffix = ending(path)
    if suffix in _READ_ONLY:
        raise ZooError(f"{path}: {_READ_ONLY[suffix]}; end it in .png")
    if suffix in RAW_SUFFIXES:
        raise ZooError(f"{path}: raw files of cameras are read and not written; end it in .tif")
    if suffix not in IMAGE_FORMATS:
        raise ZooError(
            f"cannot tell a format from {path}; end it in {listed_suffixes(IMAGE_FORMATS)}"
        )
    return IMAGE_FORMATS[suffix]


def _check_range(image: np.ndarray, path: Path) -> None:
    """Refuse values that only TIFF holds."""
    if image.dtype in (np.uint8, np.uint16):
        return
    if image.dtype.kind in "iu":
        raise ZooError(f"{path} cannot hold {pixels.depth(image.dtype)}; end it in .tif")
    low, high = float(image.min()), float(image.max())
    # Written so that NaN is refused too.
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ZooError(f"{path} cannot hold floats from {low:.4g} to {high:.4g}; end it in .tif")


def depth_lost(image: np.ndarray, form: str) -> int:
    """The bits that a format reduces the values to; 0 where it keeps them."""
    if form in _SHALLOW and image.dtype != np.uint8:
        return 8
    return 16 if form == "png" and image.dtype.kind == "f" else 0


def converted(image: np.ndarray, form: str) -> np.ndarray:
    """The pixels as the format holds them, after `fitting`."""
    if form in ("jpeg", "bmp"):
        image = pixels.without_alpha(image)
    if bits := depth_lost(image, form):
        image = pixels.to_uint8(image) if bits == 8 else pixels.to_uint16(image)
    if form == "webp" and image.shape[-1] <= 2:
        image = image[..., [0] * 3 + [1] * (image.shape[-1] - 1)]
    return np.ascontiguousarray(image)
