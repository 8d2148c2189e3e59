"""Image files, read and written with their metadata, or their pixels alone.

`read_pages` and `write_pages` keep every page, its depth, alpha and metadata; `read` and `write`
are for callers who want pixels. See `zoo.data.pixels` for the arrays.
"""

import functools
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo import files
from zoo.data import (
    file_kinds,
    image_containers,
    image_decoding,
    pixels,
    science,
    tiff_pages,
    tiff_writing,
)
from zoo.data.file_kinds import SCIENCE, image_format
from zoo.data.image_fitting import converted, depth_lost, fitting, form_of
from zoo.data.image_metadata import Page
from zoo.data.science.stacks import Stack
from zoo.data.windows import Axes
from zoo.errors import ZooError


class Pages:
    """The pages of an image file, in their order.

    Those of TIFF and of `zoo.data.science` are decoded one at a time during iteration, so that a
    stack may be larger than the memory; until then, and until a copy of one of `zoo.data.science`
    is written, the file must stay. Other files have one page, decoded already.

    Attributes:
      form: the format, as `zoo.data.file_kinds.image_format` returns it.
      name: what to call the file in an error.
      stack: of a file of `zoo.data.science` its planes; else None.
    """

    def __init__(
        self,
        form: str,
        name: str,
        count: int,
        each: Callable[..., Iterator[Page]],
        stack: Stack | None = None,
        at: Callable[[int], Page] | None = None,
    ):
        self.form = form
        self.stack = stack
        self.name = name
        self._count = count
        self._each = each
        self._at = at or (lambda number: next(each([number])))

    def __len__(self) -> int:
        """The number of pages."""
        return self._count

    def __iter__(self) -> Iterator[Page]:
        """Each page, decoded.

        Raises:
          ZooError: as `read_pages`, of this page.
        """
        return self._each()

    def __getitem__(self, number: int) -> Page:
        """A page by its number, without those before it."""
        return self._at(range(self._count)[number])

    @functools.cached_property
    def stacks(self) -> tuple[Axes, ...]:
        """What the pages are counted along, of each array of the file; see `zoo.data.windows`."""
        if self.form == "tiff":
            return (tiff_pages.axes(self.name),)
        named = getattr(self.stack, "axes", None)
        if named is None:
            blocks = getattr(self.stack, "blocks", ())
            leads = [block.lead for block in blocks] or [(self._count,)]
            names = ("z", "t") if self.form == "nifti" else ()
            named = [tuple(_named(lead, names)) for lead in leads]
        return tuple(named)


def _named(lead: Sequence[int], names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Sizes of axes with their names, which are given the last axis first."""
    for axis, size in enumerate(lead):
        back = len(lead) - 1 - axis
        yield (names[back] if back < len(names) else "", size)


def read(path: str | os.PathLike, *, any_range: bool = False) -> np.ndarray:
    """Read the pixels of an image file; its content, not its suffix, determines the format.

    PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF and HEIC; gray, color, alpha, palette and 1-bit. A palette
    is looked up, fewer than 8 bits are stretched to 8 and fewer than 16 to 16, CMYK JPEG becomes
    RGB, and the orientation of the metadata is applied. Of an animation the first frame is read.
    Of files of `zoo.data.science`, which have one plane, the values as stored.

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
    if not os.path.isdir(path):
        with files.opened(path) as file:
            if image_format(file_kinds.head(file), name) not in SCIENCE:
                return decode(files.rest(file, path), name, any_range=any_range)
    pages = read_pages(path)
    if len(pages) > 1:
        raise ZooError(f"{name} has {len(pages)} planes; save each as a file of its own")
    return pixels.check(next(iter(pages)).image, name, any_range=any_range)


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
    a page reports what is not. The orientation is applied, and is 1 in the metadata. Files of
    `zoo.data.science` keep all but the values, and their planes lie as they are stored.

    Args:
      path: the file.

    Returns:
      Its pages; all but TIFF files and those of `zoo.data.science` have one.

    Raises:
      ZooError: the file is missing, empty, truncated, broken, of another format or animated, has
        more than `zoo.data.pixels.PIXEL_LIMIT` pixels, or holds values that an image cannot have,
        such as complex numbers or five channels.
    """
    name = str(path)
    if os.path.isdir(path):
        file_kinds.check_store(path)
        stack = science.opened("zarr", name)
        return Pages("zarr", name, len(stack), stack.pages, stack)
    with files.opened(path) as file:
        form = image_format(file_kinds.head(file), name)
        if form == "tiff":
            count, reader = tiff_pages.count(name), tiff_pages.Reader(name)
            return Pages("tiff", name, count, lambda: tiff_pages.read(name), at=reader)
        if form in SCIENCE:
            stack = science.opened(form, name)
            return Pages(form, name, len(stack), stack.pages, stack)
        data = files.rest(file, path)
    # First, since refusing an animation needs no decoding.
    metadata, lost = image_containers.read(data, form, name)
    image, orientation = _decode(data, name)
    page = Page(pixels.check(image, name, any_range=True), metadata, lost, orientation)
    return Pages(form, name, 1, lambda: iter((page,)), at=lambda number: page)


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
      ZooError: the suffix is not in `zoo.data.file_kinds.IMAGE_FORMATS`, the format cannot hold the
        array as it is, or the folder cannot be written to.
    """
    path = Path(path)
    form = form_of(path)
    image = pixels.check(np.asarray(image), str(path))
    if pixels.has_alpha(image) and form in ("jpeg", "bmp"):
        raise ZooError(f"{path} cannot hold alpha; write png, tif or webp, or drop it")
    if depth_lost(image, form):
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
    compression, tiles and byte order. PNG has the encoder's default compression. A file of
    `zoo.data.science` is a copy of the one that all its pages come from, if it is of that format.

    Args:
      path: the file; its folder exists.
      pages: one, or for TIFF and the formats of `zoo.data.science` any number.
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
    path: str | os.PathLike, count: int = 1, *, overwrite: bool = False, word: str = "denoised"
) -> Iterator[Callable[[Page], tuple[str, ...]]]:
    """Write an image file page by page; it appears at the end, whole.

    Args:
      path: as in `write_pages`.
      count: the number of pages.
      overwrite: as in `write_pages`.
      word: what was done to the pages, which DICOM notes.

    Yields:
      A function that appends a page and returns what of it was not kept.

    Raises:
      ZooError: as `write_pages`; then, as after any other error, nothing of the file is left.
    """
    path = free(path, overwrite)
    form = form_of(path)
    if count < 1:
        raise ZooError(f"{path} would have no page; give at least one")
    done, writer = 0, None
    with _staged(path, form, overwrite) as file:

        def put(page: Page) -> tuple[str, ...]:
            nonlocal done, writer
            if done == count:
                raise ValueError(f"{path} was to have {count} pages")
            image = pixels.check(page.image, str(path), any_range=True)
            metadata, lost = fitting(page._replace(image=image), path, count)
            page = Page(converted(image, form), metadata)
            if form == "tiff":
                writer = writer or tiff_writing.Writer(file, metadata, page.image.nbytes * count)
                writer.put(page)
            elif form in SCIENCE:
                writer = writer or science.writer(form, file, path, page, count, word)
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


def free(path: str | os.PathLike, overwrite: bool) -> Path:
    """As `zoo.files.free`, of a file that may be a Zarr store."""
    path = Path(path)
    if not (os.path.isdir(path) and file_kinds.is_named_store(path)):
        return files.free(path, overwrite)
    if not overwrite:
        raise ZooError(f"{path} is there already; set overwrite=True, or choose another name")
    file_kinds.check_store(path)
    return Path(os.path.realpath(path))


@contextmanager
def _staged(path: Path, form: str, overwrite: bool) -> Iterator[BinaryIO | Path]:
    """An empty file, or the folder of a Zarr store, that is moved to its path at the end."""
    if form == "zarr":
        with files.staged_folder(path, overwrite=overwrite) as folder:
            yield folder
        return
    with files.staged(path, overwrite=overwrite) as part, part.open("w+b") as file:
        yield file


def _encoded(page: Page, form: str, path: Path) -> list[bytes | memoryview]:
    try:
        return list(image_containers.encode(page.image, page.metadata, form))
    except (OSError, RuntimeError, ValueError) as error:
        raise ZooError(f"{path} cannot be coded as {form} ({error}); end it in .png") from None
