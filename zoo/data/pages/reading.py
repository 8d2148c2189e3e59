"""Picture files in, with all that lies beside the pixels."""

import io
import os
from collections.abc import Callable, Iterator

from PIL import GifImagePlugin

from zoo import files
from zoo.data import decoding, images
from zoo.data.pages import exif, heif, jpeg, png, tiff, webp
from zoo.data.pages.facts import Density, Kept, Page
from zoo.errors import ZooError


class Pages:
    """The pages of a picture file, in their order.

    Those of a TIFF file are decoded when they are asked for, one at a time, so that a stack larger
    than the memory can be gone through; the one page of another file already is. Until then the
    file must stay.

    Attributes:
      form: the format, as `zoo.data.decoding.form` names it.
      name: what it is called in an error.
    """

    def __init__(self, form: str, name: str, count: int, each: Callable[[], Iterator[Page]]):
        self.form = form
        self.name = name
        self._count = count
        self._each = each

    def __len__(self) -> int:
        """How many pages there are."""
        return self._count

    def __iter__(self) -> Iterator[Page]:
        """Each page, decoded.

        Raises:
          ZooError: as `read_pages`, of this page.
        """
        return self._each()


def read_pages(path: str | os.PathLike) -> Pages:
    """Reads a picture file with all that is in it; its content, not its suffix, tells the format.

    PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF and HEIC, in their own depth: any integer or float of any
    range. A palette is looked up, fewer than 8 bits are stretched to 8 and fewer than 16 to 16,
    CMYK JPEG becomes RGB, and the orientation that the file notes is applied, and 1 from then on.
    EXIF, colour profile, XMP, resolution, the text of PNG, and how a JPEG, WebP or TIFF file was
    coded are kept; what is not, a page says.

    Args:
      path: the file.

    Returns:
      Its pages; all but TIFF files have one.

    Raises:
      ZooError: the file is missing, empty, truncated, garbled, of another format or animated, has
        more pixels than `zoo.data.images.PIXEL_LIMIT`, or holds what a picture cannot have, such
        as complex numbers or five channels.
    """
    name = str(path)
    with files.opened(path) as file:
        data = file.read(decoding.HEAD)
        form = decoding.form(data, name) if data else "none"
        if form == "tiff":
            count = tiff.count(name, name)
            return Pages("tiff", name, count, lambda: tiff.read(name, name))
        data += files.rest(file, path)
    # What refuses an animation comes first: it costs no decoding.
    kept, lost = _beside(data, form, name)
    pages = (Page(images.decode(data, name, as_is=True), kept, tuple(lost)),)
    return Pages(form, name, 1, lambda: iter(pages))


def _beside(data: bytes, form: str, name: str) -> tuple[Kept, list[str]]:
    """What lies beside the pixels, upright; broken metadata says nothing about the pixels."""
    try:
        if form == "png":
            kept, lost = png.read(data, name)
        elif form == "jpeg":
            kept, lost = jpeg.read(data)
        elif form == "webp":
            kept, lost = webp.read(data, name)
        elif form in ("avif", "heic"):
            kept, lost = heif.read(data, form, name)
        elif form == "gif":
            kept, lost = _gif(data, name), []
        elif form == "bmp":
            kept, lost = _bmp(data), []
        else:
            return Kept(), []
    except ZooError:
        raise
    except Exception:
        return Kept(), ["what lies beside its pixels is broken and not kept"]
    return _upright(kept, list(lost))


def _upright(kept: Kept, lost: list[str]) -> tuple[Kept, list[str]]:
    if kept.xmp:
        kept = kept._replace(xmp=exif.upright_xmp(kept.xmp))
    if not kept.exif:
        return kept, lost
    try:
        blob, preview, orientation = exif.upright(kept.exif)
    except Exception:
        return kept._replace(exif=None), [*lost, "its EXIF is broken and not kept"]
    if preview:
        lost = [*lost, "the small preview in its EXIF is not kept"]
    density = kept.density
    if density and orientation in exif.QUARTERS:
        density = Density(density.y, density.x, density.unit)
    return kept._replace(exif=blob, density=density), lost


def _bmp(data: bytes) -> Kept:
    """The resolution, which the older, shorter headers lack; it is in pixels a metre."""
    header = int.from_bytes(data[14:18], "little")
    x, y = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (38, 42))
    return Kept(density=Density(x, y, 1.0)) if header >= 40 and x > 0 and y > 0 else Kept()


def _gif(data: bytes, name: str) -> Kept:
    with GifImagePlugin.GifImageFile(io.BytesIO(data)) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ZooError(f"{name} is animated; save its frames as files of their own")
    return Kept()
