"""Picture files out: whole or not at all."""

import io
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from zoo import files
from zoo.data import images
from zoo.data.pages import jpeg, png, webp
from zoo.data.pages.facts import INCH, Page, form_of
from zoo.data.pages.fitting import fit, fitting
from zoo.data.pages.tiff_out import Writer
from zoo.errors import ZooError


def write_pages(
    path: str | os.PathLike, pages: Collection[Page], overwrite: bool = False
) -> tuple[str, ...]:
    """Writes a picture file; the suffix tells the format, and it appears whole or not at all.

    What goes beside the pixels is carried over as far as the format has a place for it. JPEG is
    written at the quality of the JPEG file that the page came from, at least 90, and with its
    subsampling; other pages at 95 without subsampling. WebP is lossless, unless the page came from
    a lossy one: then it is of quality 95. TIFF keeps compression, tiles and byte order. PNG takes
    the encoder's usual compression.

    Args:
      path: the file; its folder exists.
      pages: one, or for TIFF any number.
      overwrite: whether a file already there is replaced.

    Returns:
      Short sentences on what the format did not keep.

    Raises:
      ZooError: there is a file, the suffix tells no format, the format cannot hold a page (see
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
    """Writes a picture file page by page; it appears at the end, whole.

    Args:
      path: as `write_pages` takes it.
      count: how many pages there will be.
      overwrite: as `write_pages` takes it.

    Yields:
      A function that appends a page and returns what the format did not keep of it.

    Raises:
      ZooError: as `write_pages`; then, as after any other error, nothing of the file is left.
    """
    path = files.free(path, overwrite)
    form = form_of(path)
    done, writer = 0, None
    with files.beside(path, overwrite=overwrite) as part, part.open("w+b") as file:

        def put(page: Page) -> tuple[str, ...]:
            nonlocal done, writer
            if done == count:
                raise ValueError(f"{path} was to have {count} pages")
            picture = images.check(page.picture, str(path), as_is=True)
            kept, lost = fitting(page._replace(picture=picture), path, count)
            page = Page(fit(picture, path), kept)
            with _room(path):
                if form == "tiff":
                    writer = writer or Writer(file, kept, page.picture.nbytes * count)
                    writer.put(page)
                else:
                    for piece in _encoded(page, form, path):
                        file.write(piece)
            done += 1
            return lost

        yield put
        if done < count:
            raise ValueError(f"{path} got {done} of {count} pages")
        with _room(path):
            if writer:
                writer.finish()
            file.flush()


@contextmanager
def _room(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # NumPy does not say why the disk took only a part.
        why = error.strerror or "the disk took only a part"
        raise ZooError(f"cannot write {path} whole: {why}; make room on its disk") from None


def _encoded(page: Page, form: str, path: Path) -> list[bytes | memoryview]:
    picture, kept = page.picture, page.kept
    try:
        if form == "png":
            return list(png.encode(picture, kept))
        if form == "jpeg":
            return list(jpeg.encode(picture, kept))
        if form == "webp":
            return list(webp.encode(picture, kept))
        return [_bmp(page)]
    except (OSError, RuntimeError, ValueError) as error:
        raise ZooError(f"{path} cannot be coded as {form} ({error}); end it in .png") from None


def _bmp(page: Page) -> bytes:
    picture = page.picture
    out = io.BytesIO()
    density = page.kept.density
    # Pillow takes pixels an inch, and 96 where it is told none.
    options = {"dpi": density.per(INCH)} if density and density.unit else {}
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(
        out, "BMP", **options
    )
    return out.getvalue()
