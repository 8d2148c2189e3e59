"""TIFF: page by page out.

tifffile writes no directories below a page's own, where EXIF and GPS lie; so it writes their tags
empty, and at the end the directories go behind the last page and their places into the tags.
"""

import struct
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import tifffile

from zoo.data.pages import exif
from zoo.data.pages.facts import INCH, WORDS, Kept, Page

_NAMES = {exif.EXIF: "ExifTag", exif.GPS: "GPSTag"}
_XMP, _ICC = 700, 34675
_BYTES, _UNDEFINED = 1, 7
_PREDICTED = frozenset({"lzw", "zlib", "zstd"})
_QUALITY = 95
# Pixels of a side of JPEG.
_MOST_JPEG = 65535
# Beyond it, of pixels not compressed, a file becomes a BigTIFF: its places have 32 bits.
_CLASSIC = 2**32 - 2**25


class Writer:
    """Writes pages one after another.

    Args:
      file: empty, open for reading and writing.
      kept: what goes beside the first page; the byte order is that of its EXIF.
      size: bytes of all pixels.
    """

    def __init__(self, file: BinaryIO, kept: Kept, size: int):
        tiff = kept.tiff
        self._order = "<" if tiff is None else tiff.order
        if tiff is None and kept.exif:
            self._order = ">" if kept.exif.startswith(b"MM") else "<"
        self._big = size > _CLASSIC or (tiff is not None and tiff.big)
        self._file = file
        self._below: list[exif.Tags] = []
        self._first: Kept | None = None
        self._writer = tifffile.TiffWriter(file, bigtiff=self._big, byteorder=self._order)

    def put(self, page: Page) -> None:
        """Appends a page."""
        picture, kept = page.picture, page.kept
        channels, tiff = picture.shape[-1], kept.tiff
        extras, below = self._tags(kept)
        options = {}
        if channels > 1:
            options["planarconfig"] = "contig"
        if channels in (2, 4):
            options["extrasamples"] = [tiff.alpha if tiff and tiff.alpha else "unassalpha"]
        if tiff and tiff.tile and not any(side % 16 for side in tiff.tile):
            options["tile"] = tiff.tile
        if tiff and picture.dtype.kind == "f" and tiff.dtype.startswith("float"):
            picture = picture.astype(tiff.dtype, copy=False)
        if kept.density:
            unit = {None: 1, 0.01: 3}.get(kept.density.unit, 2)
            options["resolution"] = kept.density.per({1: 1.0, 3: 0.01, 2: INCH}[unit])
            options["resolutionunit"] = unit
        self._writer.write(
            picture[..., 0] if channels == 1 else picture,
            photometric="rgb" if channels >= 3 else "minisblack",
            metadata=None,
            software=False,
            extratags=extras,
            contiguous=self._adjoins(kept, below),
            **_compression(picture, kept),
            **options,
        )
        self._below.append(below)
        self._first = self._first or kept

    def finish(self) -> None:
        """Ends the file, which stays open."""
        self._writer.close()
        if any(self._below):
            self._fill(self._file)

    def _adjoins(self, kept: Kept, below: exif.Tags) -> bool:
        """Whether a page's pixels follow those of the page before, and all directories come after.

        ImageJ takes the slices of a stack that is not compressed for such, wherever they are. It
        is done where pages differ in their pixels alone.
        """
        first, tiff = self._first, kept.tiff
        if first is None or tiff is None or tiff.compression != "none" or tiff.tile:
            return False
        if below or any(self._below) or tiff.tags not in ((), first.tiff and first.tiff.tags):
            return False
        return _layout(kept) == _layout(first)

    def _tags(self, kept: Kept) -> tuple[list, exif.Tags]:
        """Tags that tifffile writes, and the directories that it does not."""
        order, found = exif.parse(kept.exif) if kept.exif else (self._order, {})
        found = found if order == self._order else {}
        below = {code: found[code] for code in _NAMES if code in found}
        if kept.tiff is not None:
            tags = list(kept.tiff.tags)
        else:
            words = {code: found[code] for code in found if code in WORDS}
            tags = [(code, *value[:3]) for code, value in words.items()]
        tags = [(code, kind, _many(kind, n, data), data, False) for code, kind, n, data in tags]
        if kept.xmp:
            tags.append((_XMP, _BYTES, len(kept.xmp), kept.xmp, True))
        if kept.icc:
            tags.append((_ICC, _UNDEFINED, len(kept.icc), kept.icc, True))
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
    """Where each tag's entry lies, and under None where the place of the next directory is."""
    head, entry = (8, 20) if big else (2, 12)
    (many,) = struct.unpack(order + ("Q" if big else "H"), at(place, head))
    body = at(place + head, many * entry)
    found = {
        struct.unpack_from(order + "H", body, i * entry)[0]: place + head + i * entry
        for i in range(many)
    }
    return found | {None: place + head + many * entry}


def _layout(kept: Kept) -> Kept:
    """What goes beside the pixels, apart from words."""
    return kept._replace(exif=None, tiff=kept.tiff and kept.tiff._replace(tags=()))


def _many(kind: int, count: int, data: bytes) -> int:
    """How many values: tifffile takes bytes by their number."""
    return len(data) if kind in (1, 2, 6, 7) else count


def _compression(picture: np.ndarray, kept: Kept) -> dict:
    name = "zlib" if kept.tiff is None else kept.tiff.compression
    if name == "none":
        return {}
    if name == "jpeg":
        fits = max(picture.shape[:2]) <= _MOST_JPEG
        if picture.dtype == np.uint8 and picture.shape[-1] in (1, 3) and fits:
            return {"compression": "jpeg", "compressionargs": {"level": _QUALITY}}
        name = "zlib"
    predictor = kept.tiff is None or kept.tiff.predictor
    return {"compression": name, "predictor": predictor and name in _PREDICTED}
