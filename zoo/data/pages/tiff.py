"""TIFF: page by page in.

References:
  Adobe, "TIFF, Revision 6.0", 1992; tifffile's documentation for BigTIFF.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import tifffile

from zoo import files
from zoo.data import decoding, images, tiffs
from zoo.data.pages import exif
from zoo.data.pages.facts import INCH, MOVED, WORDS, Density, Kept, Page, Tiff

_XMP, _ICC = 700, 34675
# Name of the document, of the page, host, IPTC, Photoshop, places on earth, and GDAL's.
_MORE = frozenset({269, 285, 316, 33723, 34377, 33550, 33922, 34264, 34735, 34736, 34737})
_GDAL = frozenset({42112, 42113})
_CARRIED = WORDS | _MORE | _GDAL
# How the pixels lie and what they mean; density, predictor and such are noted apart.
_LAYOUT = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281}
    | {282, 283, 284, 292, 293, 296, 297, 317, 320, 322, 323, 324, 325, 338, 339, 340, 341}
    | {347, 529, 530, 531, 532, 50674, _XMP, _ICC}
)
# Those that give back what they got, and that can be written.
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
_MINISWHITE, _YCBCR, _JPEG = 0, 6, 7


def count(path: str, name: str) -> int:
    """How many pages a file has, thumbnails apart.

    Raises:
      ZooError: it is broken, or has none.
    """
    with _opened(path, name) as (_, leaves):
        return len(leaves)


def read(path: str, name: str) -> Iterator[Page]:
    """The pages of a file, one decoded at a time.

    Args:
      path: the file.
      name: what to call it in an error.

    Raises:
      ZooError: as `zoo.data.images.read`.
    """
    with _opened(path, name) as (tiff, leaves):
        for i, leaf in enumerate(leaves):
            this = f"page {i + 1} of {name}" if len(leaves) > 1 else name
            array = tiffs.decode(leaf, this, images.PIXEL_LIMIT)
            array = decoding.upright(array, tiffs.orientation_of(leaf.page))
            picture = array[..., None] if array.ndim == 2 else array
            picture = images.check(picture, this, as_is=True)
            kept, lost = _kept(tiff, leaf.page, picture)
            if i and leaf.at is not None:
                # They share a directory, whose words are those of the first.
                kept, lost = kept._replace(exif=None, tiff=kept.tiff._replace(tags=())), []
            yield Page(picture, kept, (*leaf.lost, *lost))


@contextlib.contextmanager
def _opened(path: str, name: str) -> Iterator[tuple[tifffile.TiffFile, list[tiffs.Leaf]]]:
    with (
        decoding.intact("tiff", name),
        files.opened(path) as file,
        tiffs.opened(file, name) as both,
    ):
        yield both


def _kept(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage, picture: np.ndarray
) -> tuple[Kept, list[str]]:
    order, file = tiff.byteorder, tiff.filehandle

    def at(place: int, size: int) -> bytes:
        file.seek(place)
        return file.read(size)

    tags, _ = exif.directory(at, page.offset, order, big=tiff.is_bigtiff)
    quarter = _turn(tags, order)
    lost = []
    words = {code: tags[code] for code in tags if code in WORDS or code in (exif.EXIF, exif.GPS)}
    others = sorted(set(tags) - _CARRIED - _LAYOUT - exif.SUBS)
    if others:
        lost.append(f"its TIFF tags {', '.join(map(str, others))} are not kept")
    if exif.has_makers_note(tags):
        lost.append(MOVED)
    lost += _converted(page, picture)
    held = tiffs.compression_of(page)
    compression = _COMPRESSIONS.get(held, "zlib")
    if held not in _COMPRESSIONS:
        lost.append(f"its compression {held} became zlib")
    layout = Tiff(
        order=order,
        big=tiff.is_bigtiff,
        dtype=picture.dtype.name,
        compression=compression,
        predictor=page.predictor not in (1, None),
        tile=(page.tilelength, page.tilewidth) if page.is_tiled else None,
        alpha=_ALPHA.get(int(page.extrasamples[0])) if page.extrasamples else None,
        tags=tuple((code, *tags[code][:3]) for code in sorted(tags) if code in _CARRIED),
    )
    return Kept(
        exif=exif.build(words, order) if words else None,
        icc=tags[_ICC].data if _ICC in tags else None,
        xmp=exif.upright_xmp(tags[_XMP].data) if _XMP in tags else None,
        density=_density(page, quarter),
        tiff=layout,
    ), lost


def _converted(page: tifffile.TiffPage, picture: np.ndarray) -> list[str]:
    """What the pixels were before they became a picture, where that does not come back."""
    lost = []
    bits, photometric = page.bitspersample, tiffs.photometric_of(page)
    if isinstance(bits, int) and 8 < bits < 16:
        lost.append(f"its {bits} bits became 16")
    if photometric == _YCBCR and page.compression != _JPEG:
        lost.append("YCbCr became RGB")
    if photometric == _MINISWHITE and picture.dtype.kind != "u":
        lost.append("that zero is white is not kept")
    unknown = page.extrasamples and int(page.extrasamples[0]) == 0
    if unknown and picture.shape[-1] in (2, 4):
        lost.append("its last channel, which is not said to be alpha, is left as it is")
    return lost


def _density(page: tifffile.TiffPage, quarter: bool) -> Density | None:
    unit = page.tags.get(296)
    values = [page.tags.get(code) for code in (282, 283)]
    if None in values or not all(value.value[0] and value.value[1] for value in values):
        return None
    x, y = (value.value[0] / value.value[1] for value in values)
    x, y = (y, x) if quarter else (x, y)
    unit = 2 if unit is None else int(unit.value)
    # Every file has some; a square pixel without a unit says nothing.
    return None if unit == 1 and x == y else Density(x, y, _UNITS.get(unit))


def _turn(tags: exif.Tags, order: str) -> bool:
    """Turns what the EXIF says of the sides; whether the page stood turned by a quarter."""
    if exif.ORIENTATION not in tags:
        return False
    told = tags[exif.ORIENTATION].data[:2]
    quarter = int.from_bytes(told, "little" if order == "<" else "big") in exif.QUARTERS
    below = tags[exif.EXIF].data if exif.EXIF in tags else {}
    x, y = 0xA002, 0xA003
    if quarter and x in below and y in below:
        below[x], below[y] = below[y], below[x]
    return quarter
