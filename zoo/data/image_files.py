"""Image files, read and written with their metadata, or their pixels alone.

`read_pages` and `write_pages` keep every page, its depth, alpha and metadata; `read` and `write`
are for callers who want pixels. See `zoo.data.pixels` for the arrays.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from zoo import files
from zoo.data import exif, image_containers, image_decoding, pixels, tiff_pages
from zoo.data.file_kinds import HEAD, IMAGE_FORMATS, image_format
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


class Pages:
    """The pages of an image file, in their order.

    Those of a TIFF file are decoded one at a time during iteration, so that a stack may be larger
    than the memory; until then the file must stay. Other files have one page, decoded already.

    Attributes:
      form: the format, as `zoo.data.file_kinds.image_format` returns it.
      name: what to call the file in an error.
    """

    def __init__(self, form: str, name: str, count: int, each: Callable[[], Iterator[Page]]):
        self.form = form
        self.name = name
        self._count = count
        self._each = each

    def __len__(self) -> int:
        """The number of pages."""
        return self._count

    def __iter__(self) -> Iterator[Page]:
        """Each page, decoded.

        Raises:
          ZooError: as `read_pages`, of this page.
        """
        return self._each()


def read(path: str | os.PathLike, *, any_range: bool = False) -> np.ndarray:
    """Read the pixels of an image file; its content, not its suffix, determines the format.

    PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF and HEIC; gray, color, alpha, palette and 1-bit. A palette
    is looked up, fewer than 8 bits are stretched to 8 and fewer than 16 to 16, CMYK JPEG becomes
    RGB, and the orientation of the metadata is applied. Of an animation the first frame is read.

    Args:
      path: the file.
      any_range: whether any integer or float, of any range, is accepted and kept.

    Returns:
      The image `(H, W, C)`: uint8, uint16, or float32 within [0, 1]; of any range as stored.

    Raises:
      ZooError: the file is missing, empty, truncated, broken, of another format, has more than
        `zoo.data.pixels.PIXEL_LIMIT` pixels or several pages, or holds values that an image cannot
        have.
    """
    name = str(path)
    with files.opened(path) as file:
        head = file.read(HEAD)
        image_format(head, name)
        return decode(head + files.rest(file, path), name, any_range=any_range)


def decode(data: bytes, name: str, *, any_range: bool = False) -> np.ndarray:
    """Decode the bytes of an image file, as `read` does.

    Args:
      data: the file's bytes.
      name: what to call the image in an error.
      any_range: as of `read`.

    Returns:
      The image, as `read` returns it.

    Raises:
      ZooError: as `read`.
    """
    image, _ = _decode(data, name)
    return pixels.check(image, name, any_range=any_range)


def read_pages(path: str | os.PathLike) -> Pages:
    """Read an image file with its metadata; its content, not its suffix, determines the format.

    The formats of `read` in their own depth: any integer or float of any range. EXIF, color
    profile, XMP, resolution, the text of PNG, and the coding of a JPEG, WebP or TIFF file are kept;
    a page reports what is not. The orientation is applied, and is 1 in the metadata.

    Args:
      path: the file.

    Returns:
      Its pages; all but TIFF files have one.

    Raises:
      ZooError: the file is missing, empty, truncated, broken, of another format or animated, has
        more than `zoo.data.pixels.PIXEL_LIMIT` pixels, or holds values that an image cannot have,
        such as complex numbers or five channels.
    """
    name = str(path)
    with files.opened(path) as file:
        data = file.read(HEAD)
        form = image_format(data, name)
        if form == "tiff":
            count = tiff_pages.count(name, name)
            return Pages("tiff", name, count, lambda: tiff_pages.read(name, name))
        data += files.rest(file, path)
    # First, since refusing an animation needs no decoding.
    metadata, lost = image_containers.read(data, form, name)
    image, orientation = _decode(data, name)
    page = Page(pixels.check(image, name, any_range=True), metadata, lost, orientation)
    return Pages(form, name, 1, lambda: iter((page,)))


def _decode(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """The image `(H, W, C)`, upright and as yet unchecked, and its former orientation."""
    form = image_format(data, name)
    with image_decoding.intact(form, name):
        image, orientation = image_decoding.decode(data, form, name)
        image = pixels.upright(image, orientation)
    return (image[..., None] if image.ndim == 2 else image), orientation


def write(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write pixels as they are; the suffix determines the format, and the file appears whole.

    PNG holds uint8 and uint16, TIFF float32 too, both with any channels and without loss. JPEG
    (quality 95, color not subsampled) and BMP hold uint8 without alpha, WebP (lossless) uint8,
    where gray is repeated because the format has no gray.

    Args:
      path: the file; its folder exists. A file already there is replaced.
      image: `(H, W, C)`, C in {1, 2, 3, 4}.

    Raises:
      ZooError: the suffix is not in `IMAGE_FORMATS`, the format cannot hold the array as it is, or
        the folder cannot be written to.
    """
    path = Path(path)
    form = _form(path)
    image = pixels.check(np.asarray(image), str(path))
    if pixels.has_alpha(image) and form in ("jpeg", "bmp"):
        raise ZooError(f"{path} cannot hold alpha; write png, tif or webp, or drop it")
    if _depth_lost(image, form):
        advice = "png or tif" if image.dtype == np.uint16 else "tif"
        raise ZooError(
            f"{path} cannot hold {image.dtype}; write {advice}, or convert it with zoo.data.pixels"
        )
    write_pages(path, [Page(image)], overwrite=True)


def write_pages(
    path: str | os.PathLike, pages: Collection[Page], overwrite: bool = False
) -> tuple[str, ...]:
    """Write an image file; the suffix determines the format, and the file appears whole.

    Metadata is written as far as the format can hold it. JPEG has the quality of the JPEG file that
    the page came from, at least 90, and its subsampling; other pages have 95 without subsampling.
    WebP is lossless, unless the page came from a lossy one: then it has quality 95. TIFF keeps
    compression, tiles and byte order. PNG has the encoder's default compression.

    Args:
      path: the file; its folder exists.
      pages: one, or for TIFF any number.
      overwrite: whether a file already there is replaced.

    Returns:
      Short sentences on what was not kept.

    Raises:
      ZooError: the file exists, the suffix determines no format, the format cannot hold a page (see
        `fitting`), there is no page, or the folder cannot be written to.
    """
    lost: dict[str, None] = {}
    with writing(path, len(pages), overwrite=overwrite) as put:
        for page in pages:
            lost |= dict.fromkeys(put(page))
    return tuple(lost)


@contextmanager
def writing(
    path: str | os.PathLike, count: int = 1, *, overwrite: bool = False
) -> Iterator[Callable[[Page], tuple[str, ...]]]:
    """Write an image file page by page; it appears at the end, whole.

    Args:
      path: as in `write_pages`.
      count: the number of pages.
      overwrite: as in `write_pages`.

    Yields:
      A function that appends a page and returns what of it was not kept.

    Raises:
      ZooError: as `write_pages`; then, as after any other error, nothing of the file is left.
    """
    path = files.free(path, overwrite)
    form = _form(path)
    if count < 1:
        raise ZooError(f"{path} would have no page; give at least one")
    done, writer = 0, None
    with files.staged(path, overwrite=overwrite) as part, part.open("w+b") as file:

        def put(page: Page) -> tuple[str, ...]:
            nonlocal done, writer
            if done == count:
                raise ValueError(f"{path} was to have {count} pages")
            image = pixels.check(page.image, str(path), any_range=True)
            metadata, lost = fitting(page._replace(image=image), path, count)
            page = Page(_converted(image, form), metadata)
            if form == "tiff":
                writer = writer or tiff_pages.Writer(file, metadata, page.image.nbytes * count)
                writer.put(page)
            else:
                file.writelines(_encoded(page, form, path))
            done += 1
            return lost

        yield put
        if done < count:
            raise ValueError(f"{path} got {done} of {count} pages")
        if writer:
            writer.finish()


def fitting(page: Page, path: Path, count: int = 1) -> tuple[Metadata, tuple[str, ...]]:
    """What a file of this name can hold of a page.

    TIFF holds any depth. 16 bits become 8 in JPEG, BMP and WebP; floats from 0 to 1 become 8 bits
    there and 16 in PNG. In JPEG and BMP alpha is dropped where all of it is opaque.

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
    form = _form(path)
    image, metadata, lost = page.image, page.metadata, []
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
    if bits := _depth_lost(image, form):
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


def _form(path: Path) -> str:
    """The format of a suffix.

    Raises:
      ZooError: it has none that can be written.
    """
    suffix = path.suffix.lower()
    if suffix in _READ_ONLY:
        raise ZooError(f"{path}: {_READ_ONLY[suffix]}; end it in .png")
    if suffix not in IMAGE_FORMATS:
        raise ZooError(
            f"cannot tell a format from {path}; end it in {', '.join(sorted(IMAGE_FORMATS))}"
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


def _depth_lost(image: np.ndarray, form: str) -> int:
    """The bits that a format reduces the values to; 0 where it keeps them."""
    if form in _SHALLOW and image.dtype != np.uint8:
        return 8
    return 16 if form == "png" and image.dtype.kind == "f" else 0


def _converted(image: np.ndarray, form: str) -> np.ndarray:
    """The pixels as the format holds them, after `fitting`."""
    if form in ("jpeg", "bmp"):
        image = pixels.without_alpha(image)
    if bits := _depth_lost(image, form):
        image = pixels.to_uint8(image) if bits == 8 else pixels.to_uint16(image)
    if form == "webp" and image.shape[-1] <= 2:
        image = image[..., [0] * 3 + [1] * (image.shape[-1] - 1)]
    return np.ascontiguousarray(image)


def _encoded(page: Page, form: str, path: Path) -> list[bytes | memoryview]:
    try:
        return list(image_containers.encode(page.image, page.metadata, form))
    except (OSError, RuntimeError, ValueError) as error:
        raise ZooError(f"{path} cannot be coded as {form} ({error}); end it in .png") from None
