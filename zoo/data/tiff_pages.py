"""Pages of TIFF files with their metadata, read and written one at a time.

tifffile writes no sub-directories, which hold EXIF and GPS; so it writes their tags empty, and at
the end the directories are appended to the file and their offsets filled in.

References:
  Adobe, "TIFF, Revision 6.0", 1992; tifffile's documentation for BigTIFF.
"""

import contextlib
import math
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np
import tifffile

from zoo import files
from zoo.data import exif, image_decoding, pixels, tiff_decoding
from zoo.data.image_metadata import INCH, MOVED, TEXT_TAGS, Density, Metadata, Page, TiffLayout
from zoo.data.windows import Axes
from zoo.errors import ZooError

_XMP, _ICC, _BELOW = 700, 34675, 330
# Document and page name, host, IPTC, Photoshop, geographic tags, those of GDAL and of ImageJ.
_MORE = frozenset({269, 285, 316, 33723, 34377, 33550, 33922, 34264, 34735, 34736, 34737})
_IMAGEJ = frozenset({50838, 50839})
_GDAL = frozenset({42112, 42113})
_CARRIED = TEXT_TAGS | _MORE | _GDAL | _IMAGEJ
# Layout and meaning of the pixels; density, predictor and such are kept apart.
_LAYOUT = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281}
    | {282, 283, 284, 292, 293, 296, 297, 317, 320, 322, 323, 324, 325, 338, 339, 340, 341}
    | {347, 529, 530, 531, 532, 50674, _XMP, _ICC}
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
_NAMES = {exif.EXIF: "ExifTag", exif.GPS: "GPSTag"}
_BYTES, _UNDEFINED = 1, 7
_PREDICTED = frozenset({"lzw", "zlib", "zstd"})
_QUALITY = 95
# Pixels of a side of JPEG.
_MOST_JPEG = 65535
# Uncompressed bytes beyond which a file becomes a BigTIFF: offsets otherwise have 32 bits.
_CLASSIC = 2**32 - 2**25


def count(path: str, name: str) -> int:
    """The number of pages of a file, thumbnails excluded; see `read`.

    Raises:
      ZooError: it is broken, or has none.
    """
    with _opened(path, name) as (_, leaves):
        return sum(_planes(leaf.page) for leaf in leaves)


def axes(path: str, name: str) -> Axes:
    """What the pages of a file are counted along, by the names of OME and ImageJ.

    Raises:
      ZooError: it is broken, or its pages lie in the order of no axes.
    """
    with _opened(path, name) as (tiff, leaves):
        planes = _planes(leaves[0].page)
        total, found, places = sum(_planes(leaf.page) for leaf in leaves), (), []
        with contextlib.suppress(Exception):  # a description is free text
            first = tiff.series[0]
            named = zip(first.axes.lower(), first.shape, strict=True)
            places = [page.index for page in first.pages]
            found = tuple(one for one in named if one[0] not in "yxs")
    if planes * math.prod(size for _, size in found) != total:
        return (("", total),)
    found = _as_stored(found, places, name) if found else ()
    return found + ((("c", planes),) if planes > 1 else ())


def _as_stored(found: Axes, places: list[int], name: str) -> Axes:
    """Axes in the order in which their pages lie in a file, which OME is free to choose."""
    at = np.array(places).reshape([size for _, size in found])
    steps = [at.take(min(1, size - 1), axis).min() for axis, (_, size) in enumerate(found)]
    order = np.argsort(steps, kind="stable")[::-1]
    if (np.diff(at.transpose(order).ravel()) <= 0).any():
        raise ZooError(
            f"the planes of {name} are in the order of no axes; save it again, or choose a model "
            "of single planes"
        )
    return tuple(found[axis] for axis in order)


def read(path: str, name: str, numbers: Iterable[int] | None = None) -> Iterator[Page]:
    """The pages of a file, decoded one at a time; gray samples of no color are a page each.

    Args:
      path: the file.
      name: what to call it in an error.
      numbers: of the pages, from 0, each asked for when it is its turn; None for all.

    Raises:
      ZooError: as `zoo.data.image_files.read`.
    """
    with _opened(path, name) as (tiff, leaves):
        places = [(i, n) for i, leaf in enumerate(leaves) for n in range(_planes(leaf.page))]
        held, pages = -1, []
        for i, plane in places if numbers is None else (places[number] for number in numbers):
            if i != held:
                this = f"page {i + 1} of {name}" if len(leaves) > 1 else name
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
      name: what to call it in an error.
    """

    def __init__(self, path: str, name: str):
        self._path, self._name = path, name
        self._lock, self._wanted = threading.Lock(), []
        self._pages: Iterator[Page] | None = None

    def __call__(self, number: int) -> Page:
        """A page by its number, from 0.

        Raises:
          ZooError: as `read`.
        """
        with self._lock:
            self._pages = self._pages or read(self._path, self._name, iter(self._wanted.pop, None))
            self._wanted.append(number)
            try:
                return next(self._pages)
            except BaseException:
                self._pages, self._wanted = None, []
                raise


def _planes(page: tifffile.TiffPage) -> int:
    return page.samplesperpixel if tiff_decoding.holds_planes(page) else 1


@contextlib.contextmanager
def _opened(path: str, name: str) -> Iterator[tuple[tifffile.TiffFile, list[tiff_decoding.Leaf]]]:
    with (
        image_decoding.intact("tiff", name),
        files.opened(path) as file,
        tiff_decoding.opened(file, name) as both,
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
        icc=tags[_ICC].data if _ICC in tags else None,
        xmp=exif.upright_xmp(tags[_XMP].data) if _XMP in tags else None,
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


class Writer:
    """Writer of pages one after another.

    Args:
      file: empty, open for reading and writing.
      metadata: that of the first page; the byte order is that of its EXIF.
      size: bytes of all pixels.
    """

    def __init__(self, file: BinaryIO, metadata: Metadata, size: int):
        tiff = metadata.tiff
        self._order = "<" if tiff is None else tiff.order
        if tiff is None and metadata.exif:
            self._order = ">" if metadata.exif.startswith(b"MM") else "<"
        self._big = size > _CLASSIC or (tiff is not None and tiff.big)
        self._file = file
        self._below: list[exif.Tags] = []
        self._first: Metadata | None = None
        self._waiting: list[Page] = []
        self._writer = tifffile.TiffWriter(file, bigtiff=self._big, byteorder=self._order)

    def put(self, page: Page) -> None:
        """Append a page, or once they are complete the planes of one."""
        planes = page.metadata.tiff.planes if page.metadata.tiff else 1
        if planes == 1 or page.image.shape[-1] > 1:
            self._write(page)
            return
        self._waiting.append(page)
        if len(self._waiting) == planes:
            image = np.concatenate([one.image for one in self._waiting], axis=-1)
            self._waiting = []
            self._write(page._replace(image=image), planes)

    def _write(self, page: Page, planes: int = 1) -> None:
        image, metadata = page.image, page.metadata
        channels, tiff = image.shape[-1], metadata.tiff
        extras, below = self._tags(metadata)
        options = {}
        planar = channels > 1 and tiff is not None and tiff.planar
        if channels > 1:
            options["planarconfig"] = "separate" if planar else "contig"
        if planes > 1:
            options["extrasamples"] = ["unspecified"] * (planes - 1)
        elif pixels.has_alpha(image):
            options["extrasamples"] = [tiff.alpha if tiff and tiff.alpha else "unassalpha"]
        if tiff and tiff.tile and not any(side % 16 for side in tiff.tile):
            options["tile"] = tiff.tile
        if tiff and image.dtype.kind == "f" and tiff.dtype.startswith("float"):
            image = image.astype(tiff.dtype, copy=False)
        if metadata.density:
            unit = {None: 1, 0.01: 3}.get(metadata.density.unit, 2)
            options["resolution"] = metadata.density.per({1: 1.0, 3: 0.01, 2: INCH}[unit])
            options["resolutionunit"] = unit
        compression = _compression(image, metadata)
        if channels == 1:
            image = image[..., 0]
        self._writer.write(
            np.moveaxis(image, -1, 0) if planar else image,
            photometric="rgb" if planes == 1 and channels >= 3 else "minisblack",
            metadata=None,
            software=False,
            extratags=extras,
            contiguous=self._adjoins(metadata, below),
            **compression,
            **options,
        )
        self._below.append(below)
        self._first = self._first or metadata

    def finish(self) -> None:
        """Complete the file, which stays open."""
        for page in self._waiting:
            # Of a page that was not written as a whole.
            self._write(page)
        self._writer.close()
        if any(self._below):
            self._fill(self._file)

    def _adjoins(self, metadata: Metadata, below: exif.Tags) -> bool:
        """Whether a page's pixels follow those of the page before, with all directories behind.

        ImageJ assumes so for the slices of an uncompressed stack. It is done where pages differ
        only in their pixels.
        """
        first, tiff = self._first, metadata.tiff
        if first is None or tiff is None or tiff.compression != "none" or tiff.tile:
            return False
        if below or any(self._below) or tiff.tags not in ((), first.tiff and first.tiff.tags):
            return False
        return _layout(metadata) == _layout(first)

    def _tags(self, metadata: Metadata) -> tuple[list, exif.Tags]:
        """Tags that tifffile writes, and the sub-directories, which it does not."""
        order, found = exif.parse(metadata.exif) if metadata.exif else (self._order, {})
        found = found if order == self._order else {}
        below = {code: found[code] for code in _NAMES if code in found}
        if metadata.tiff is not None:
            tags = list(metadata.tiff.tags)
        else:
            text = {code: found[code] for code in found if code in TEXT_TAGS}
            tags = [(code, *value[:3]) for code, value in text.items()]
        tags = [(code, kind, _many(kind, n, data), data, False) for code, kind, n, data in tags]
        if metadata.xmp:
            tags.append((_XMP, _BYTES, len(metadata.xmp), metadata.xmp, True))
        if metadata.icc:
            tags.append((_ICC, _UNDEFINED, len(metadata.icc), metadata.icc, True))
        kind, size = (16, 8) if self._big else (4, 4)
        tags += [(_NAMES[code], kind, 1, bytes(size), True) for code in below]
        return tags, below

    def _fill(self, file: BinaryIO) -> None:
        def at(place: int, size: int) -> bytes:
            file.seek(place)
            return file.read(size)

        head, wide = (8, "Q") if self._big else (4, "I")
        size = struct.calcsize(wide)
        link = head
        for below in self._below:
            (place,) = struct.unpack(self._order + wide, at(link, size))
            entries = _entries(at, place, self._order, self._big)
            link = entries.pop(None)
            for code, value in below.items():
                end = file.seek(0, 2)
                file.write(b"\0" * (end % 2))
                end += end % 2
                file.write(exif.pack(value.data, end, self._order, big=self._big))
                file.seek(entries[code] + (12 if self._big else 8))
                file.write(struct.pack(self._order + wide, end))


def _entries(
    at: Callable[[int, int], bytes], place: int, order: str, big: bool
) -> dict[int | None, int]:
    """The offset of each tag's entry, and under None that of the link to the next directory."""
    head, entry = (8, 20) if big else (2, 12)
    (many,) = struct.unpack(order + ("Q" if big else "H"), at(place, head))
    body = at(place + head, many * entry)
    found = {
        struct.unpack_from(order + "H", body, i * entry)[0]: place + head + i * entry
        for i in range(many)
    }
    return found | {None: place + head + many * entry}


def _layout(metadata: Metadata) -> Metadata:
    """The metadata without text."""
    return metadata._replace(exif=None, tiff=metadata.tiff and metadata.tiff._replace(tags=()))


def _many(kind: int, count: int, data: bytes) -> int:
    """The number of values, which for bytes tifffile expects to be their number."""
    return len(data) if kind in (1, 2, 6, 7) else count


def _compression(image: np.ndarray, metadata: Metadata) -> dict:
    name = "zlib" if metadata.tiff is None else metadata.tiff.compression
    if name == "none":
        return {}
    if name == "jpeg":
        fits = max(image.shape[:2]) <= _MOST_JPEG
        if image.dtype == np.uint8 and image.shape[-1] in (1, 3) and fits:
            return {"compression": "jpeg", "compressionargs": {"level": _QUALITY}}
        name = "zlib"
    predictor = metadata.tiff is None or metadata.tiff.predictor
    return {"compression": name, "predictor": predictor and name in _PREDICTED}
