"""Pages of TIFF files with their metadata, written one at a time.

tifffile writes no sub-directories, which hold EXIF and GPS; so it writes their tags empty, and at
the end the directories are appended to the file and their offsets filled in.

References:
  Adobe, "TIFF, Revision 6.0", 1992; tifffile's documentation for BigTIFF.
"""

import struct
from typing import BinaryIO

import numpy as np
import tifffile

from zoo.data import exif, pixels
from zoo.data.image_metadata import INCH, TEXT_TAGS, Metadata, Page

_NAMES = {exif.EXIF: "ExifTag", exif.GPS: "GPSTag"}
_BYTES, _UNDEFINED, _OF_BYTES = 1, 7, (1, 2, 6, 7)
_PREDICTED = frozenset({"lzw", "zlib", "zstd"})
_QUALITY = 95
# Pixels of a side of JPEG.
_MOST_JPEG = 65535
# Uncompressed bytes beyond which a file becomes a BigTIFF: offsets otherwise have 32 bits.
_CLASSIC = 2**32 - 2**25


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
        # Of bytes tifffile wants their number rather than that of the values.
        tags = [
            (code, kind, len(data) if kind in _OF_BYTES else n, data, False)
            for code, kind, n, data in tags
        ]
        if metadata.xmp:
            tags.append((exif.XMP, _BYTES, len(metadata.xmp), metadata.xmp, True))
        if metadata.icc:
            tags.append((exif.ICC, _UNDEFINED, len(metadata.icc), metadata.icc, True))
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
            entries, link = exif.entries(at, place, self._order, big=self._big)
            places = {code: entry.at for code, entry in entries}
            for code, value in below.items():
                end = file.seek(0, 2)
                file.write(b"\0" * (end % 2))
                end += end % 2
                file.write(exif.pack(value.data, end, self._order, big=self._big))
                file.seek(places[code] + (12 if self._big else 8))
                file.write(struct.pack(self._order + wide, end))


def _layout(metadata: Metadata) -> Metadata:
    """The metadata without text."""
    return metadata._replace(exif=None, tiff=metadata.tiff and metadata.tiff._replace(tags=()))


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
