"""Pages of TIFF files with their metadata, read one at a time.

Reference: Adobe, "TIFF, Revision 6.0", 1992.
"""

import contextlib
import math
import struct
import threading
from collections.abc import Iterable, Iterator

import numpy as np
import tifffile

from zoo import files
from zoo.data import exif, image_decoding, pixels, tiff_decoding
from zoo.data.image_metadata import INCH, MOVED, TEXT_TAGS, Density, Metadata, Page, TiffLayout
from zoo.data.windows import Axes
from zoo.errors import ZooError

_BELOW = 330
# Document and page name, host, IPTC, Photoshop, geographic tags, those of GDAL and of ImageJ.
_MORE = frozenset({269, 285, 316, 33723, 34377, 33550, 33922, 34264, 34735, 34736, 34737})
_IMAGEJ = frozenset({50838, 50839})
_GDAL = frozenset({42112, 42113})
_CARRIED = TEXT_TAGS | _MORE | _GDAL | _IMAGEJ
# Layout and meaning of the pixels; density, predictor and such are kept apart.
_LAYOUT = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281}
    | {282, 283, 284, 292, 293, 296, 297, 317, 320, 322, 323, 324, 325, 338, 339, 340, 341}
    | {347, 529, 530, 531, 532, 50674, exif.XMP, exif.ICC}
)
# Lossless compressions that can be written, and JPEG.
_COMPRESSIONS = {
    "none": "none",
    "lzw": "lzw",
    "adobe_deflate": "zlib",
    "deflate": "zlib",
    "packbits": "packbits",
    "zstd": "zstd",
    "lzma": "lzma",
    "jpeg": "jpeg",
}
_ALPHA = {0: "unspecified", 1: "assocalpha", 2: "unassalpha"}
_UNITS = {2: INCH, 3: 0.01}
_MINISWHITE, _YCBCR, _JPEG, _PLANAR = 0, 6, 7, 2


def count(path: str) -> int:
    """The number of pages of a file, thumbnails excluded; see `read`.

    Raises:
      ZooError: it is broken, or has none.
    """
    with _opened(path) as (_, leaves):
        return sum(_planes(leaf.page) for leaf in leaves)


def axes(path: str) -> Axes:
    """What the pages of a file are counted along, by the names of OME and ImageJ.

    Raises:
      ZooError: it is broken, or its pages lie in the order of no axes.
    """
    with _opened(path) as (tiff, leaves):
        planes = _planes(leaves[0].page)
        total, found, places = sum(_planes(leaf.page) for leaf in leaves), (), []
        with contextlib.suppress(Exception):  # a description is free text
            first = tiff.series[0]
            named = zip(first.axes.lower(), first.shape, strict=True)
            places = [page.index for page in first.pages]
            found = tuple(one for one in named if one[0] not in "yxs")
    if planes * math.prod(size for _, size in found) != total:
        return (("", total),)
    found = _as_stored(found, places, path) if found else ()
    return found + ((("c", planes),) if planes > 1 else ())


def _as_stored(found: Axes, places: list[int], path: str) -> Axes:
    """Axes in the order in which their pages lie in a file, which OME is free to choose."""
    at = np.array(places).reshape([size for _, size in found])
    steps = [at.take(min(1, size - 1), axis).min() for axis, (_, size) in enumerate(found)]
    order = np.argsort(steps, kind="stable")[::-1]
    if (np.diff(at.transpose(order).ravel()) <= 0).any():
        raise ZooError(
            f"the planes of {path} are in the order of no axes; save it again, or choose a model "
            "of single planes"
        )
    return tuple(found[axis] for axis in order)


def read(path: str, numbers: Iterable[int] | None = None) -> Iterator[Page]:
    """The pages of a file, decoded one at a time; gray samples of no color are a page each.

    Args:
      path: the file.
      numbers: of the pages, from 0, each asked for when it is its turn; None for all.

    Raises:
      ZooError: as `zoo.data.image_files.read`.
    """
    with _opened(path) as (tiff, leaves):
        places = [(i, n) for i, leaf in enumerate(leaves) for n in range(_planes(leaf.page))]
        held, pages = -1, []
        for i, plane in places if numbers is None else (places[number] for number in numbers):
            if i != held:
                this = f"page {i + 1} of {path}" if len(leaves) > 1 else path
                held, pages = i, _pages_of(tiff, leaves[i], this, first=i == 0)
            yield pages[plane]


def _pages_of(
    tiff: tifffile.TiffFile, leaf: tiff_decoding.Leaf, name: str, *, first: bool
) -> list[Page]:
    """The page of a directory, or those of its planes."""
    orientation, planes = tiff_decoding.orientation_of(leaf.page), _planes(leaf.page)
    image = pixels.upright(tiff_decoding.decode(leaf, name, planes=planes > 1), orientation)
    image = image[..., None] if image.ndim == 2 else image
    every = [image] if planes == 1 else [image[..., n : n + 1] for n in range(planes)]
    every = [pixels.check(np.ascontiguousarray(one), name, any_range=True) for one in every]
    metadata, lost = _metadata(tiff, leaf.page, every[0])
    if leaf.at is not None and not first:
        # They share a directory, whose text belongs to the first.
        layout = metadata.tiff._replace(tags=())
        metadata, lost = metadata._replace(exif=None, tiff=layout), []
    return [Page(one, metadata, (*leaf.lost, *lost), orientation) for one in every]


class Reader:
    """Pages of a file in any order; it stays open from the first on.

    Args:
      path: the file.
    """

    def __init__(self, path: str):
        self._path = path
        self._lock, self._wanted = threading.Lock(), []
        self._pages: Iterator[Page] | None = None

    def __call__(self, number: int) -> Page:
        """A page by its number, from 0.

        Raises:
          ZooError: as `read`.
        """
        with self._lock:
            self._pages = self._pages or read(self._path, iter(self._wanted.pop, None))
            self._wanted.append(number)
            try:
                return next(self._pages)
            except BaseException:
                self._pages, self._wanted = None, []
                raise


def _planes(page: tifffile.TiffPage) -> int:
    return page.samplesperpixel if tiff_decoding.holds_planes(page) else 1


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[tifffile.TiffFile, list[tiff_decoding.Leaf]]]:
    with (
        image_decoding.intact("tiff", path),
        files.opened(path) as file,
        tiff_decoding.opened(file, path) as both,
    ):
        yield both


def _metadata(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage, image: np.ndarray
) -> tuple[Metadata, list[str]]:
    order, file = tiff.byteorder, tiff.filehandle

    def at(place: int, size: int) -> bytes:
        file.seek(place)
        return file.read(size)

    tags, _ = exif.directory(at, page.offset, order, big=tiff.is_bigtiff)
    quarter = _turn(tags, order)
    lost = []
    in_exif = TEXT_TAGS | {exif.EXIF, exif.GPS}
    text = {code: tags[code] for code in tags if code in in_exif}
    others = sorted(set(tags) - _CARRIED - _LAYOUT - exif.SUBS - {_BELOW})
    if _BELOW in tags:
        lost.append("its images below others, such as a pyramid's, are not kept")
    if others:
        lost.append(f"its TIFF tags {', '.join(map(str, others))} are not kept")
    if exif.has_maker_note(tags):
        lost.append(MOVED)
    lost += _converted(page, image)
    held = tiff_decoding.compression_of(page)
    compression = _COMPRESSIONS.get(held, "zlib")
    if held not in _COMPRESSIONS:
        lost.append(f"its compression {held} became zlib")
    layout = TiffLayout(
        order=order,
        big=tiff.is_bigtiff,
        dtype=image.dtype.name,
        compression=compression,
        predictor=page.predictor not in (1, None),
        tile=(page.tilelength, page.tilewidth) if page.is_tiled else None,
        alpha=_ALPHA.get(int(page.extrasamples[0])) if page.extrasamples else None,
        planar=page.planarconfig == _PLANAR and page.samplesperpixel > 1,
        planes=_planes(page),
        tags=tuple((code, *tags[code][:3]) for code in sorted(tags) if code in _CARRIED),
    )
    return Metadata(
        exif=exif.build(text, order) if text else None,
        icc=tags[exif.ICC].data if exif.ICC in tags else None,
        xmp=exif.upright_xmp(tags[exif.XMP].data) if exif.XMP in tags else None,
        density=_density(page, quarter),
        tiff=layout,
    ), lost


def _converted(page: tifffile.TiffPage, image: np.ndarray) -> list[str]:
    """Conversions of the pixels that are not undone on writing."""
    lost = []
    bits, photometric = page.bitspersample, tiff_decoding.photometric_of(page)
    if isinstance(bits, int) and 8 < bits < 16:
        lost.append(f"its {bits} bits became 16")
    if photometric == _YCBCR and page.compression != _JPEG:
        lost.append("YCbCr became RGB")
    if photometric == _MINISWHITE and image.dtype.kind != "u":
        lost.append("that zero is white is not kept")
    unknown = page.extrasamples and int(page.extrasamples[0]) == 0
    if unknown and pixels.has_alpha(image):
        lost.append("its last channel, which is not marked as alpha, is left as it is")
    return lost


def _density(page: tifffile.TiffPage, quarter: bool) -> Density | None:
    unit = page.tags.get(296)
    values = [page.tags.get(code) for code in (282, 283)]
    if None in values or not all(value.value[0] and value.value[1] for value in values):
        return None
    x, y = (value.value[0] / value.value[1] for value in values)
    x, y = (y, x) if quarter else (x, y)
    unit = 2 if unit is None else int(unit.value)
    # Every file has one; of 1, without a unit, it is no information. ImageJ has its unit elsewhere.
    return None if unit == 1 and x == y == 1 else Density(x, y, _UNITS.get(unit))


def _turn(tags: exif.Tags, order: str) -> bool:
    """Exchange the sides in the EXIF of a page turned by a quarter; return whether it was."""
    if exif.ORIENTATION not in tags:
        return False
    (orientation,) = struct.unpack(order + "H", tags[exif.ORIENTATION].data[:2])
    quarter = orientation in exif.QUARTERS
    below = tags[exif.EXIF].data if exif.EXIF in tags else {}
    x, y = 0xA002, 0xA003
    if quarter and x in below and y in below:
        below[x], below[y] = below[y], below[x]
    return quarter
