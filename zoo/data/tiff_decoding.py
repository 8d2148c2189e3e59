"""TIFF files to arrays: find the pages, check them, decode them.

tifffile reads them, and imagecodecs' libtiff the YCbCr that tifffile does not. Both replace missing
data by black or omit it, so that whether a page is complete is checked here first.

References:
  Adobe, "TIFF, Revision 6.0", 1992; Adobe, "Digital Negative Specification 1.6", 2021.
  ImageJ, `ij.io.TiffDecoder` (stacks of one directory).
"""

import contextlib
import io
import math
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import imagecodecs
import numpy as np
import tifffile

from zoo.data import pixels
from zoo.data.exif import ORIENTATION
from zoo.errors import ZooError

_MOST_PAGES = 2**20
# For each pixel that an image may have: those of 16 bits with color and alpha take as many.
_MOST_BYTES = 8
_MOST_TAGS = 4096
# Classic TIFF and BigTIFF: where the first offset is, the formats of an offset and of the number of
# tags, and the bytes of a tag.
_CLASSIC, _BIG = (4, "I", "H", 12), (8, "Q", "Q", 20)
_PHOTOMETRIC, _DNG, _STK_PLANES = 262, 50706, 33629
_MINISWHITE, _MINISBLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
# A sensor's values, one color a pixel, or three before any development.
_OF_SENSORS = frozenset({32803, 34892})
_COLORS = {5: "CMYK", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32844: "LogL", 32845: "LogLuv"}
_NONE, _JPEG, _LOSSY_JPEG = 1, 7, frozenset({6, 7, 33007, 34892})
# Compressions whose decoders detect missing bytes.
_NOTICED = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
# Compressions whose decoders convert YCbCr to RGB.
_CONVERTED = _LOSSY_JPEG | {33003, 33004, 33005, 34712, 50001, 50002}
_JPEG_END = b"\xff\xd9"


class Leaf(NamedTuple):
    """A page of an open file.

    Attributes:
      page: its directory.
      at: offset of its pixels, for slices without a directory of their own; else None.
      lost: short sentences on parts of the file that are in no page.
    """

    page: tifffile.TiffPage
    at: int | None = None
    lost: tuple[str, ...] = ()


@contextlib.contextmanager
def opened(file: BinaryIO, name: str) -> Iterator[tuple[tifffile.TiffFile, list[Leaf]]]:
    """Open a file and find its pages; thumbnails and masks of other pages are omitted.

    Args:
      file: the file, open for reading.
      name: what to call it in an error.

    Yields:
      The open `TiffFile`, and its pages; at least one.

    Raises:
      ZooError: its directories form a circle, or it is a camera's raw file without its suffix.
      Exception: it is broken; see `zoo.data.image_decoding.intact`.
    """
    _check_directories(file, name)
    with tifffile.TiffFile(file, name=os.path.basename(name)) as tiff:
        yield tiff, _leaves(tiff, name)


def decode(leaf: Leaf, name: str, *, planes: bool = False) -> np.ndarray:
    """Decode a page.

    Args:
      leaf: the page, of an open file.
      name: what to call it in an error.
      planes: whether any number of samples is accepted.

    Returns:
      The image as stored, not upright, `(H, W)` or `(H, W, C)` and as yet unchecked. A palette is
      looked up; fewer than 8 and than 16 bits are stretched to 8 and to 16.

    Raises:
      ZooError: it has too many pixels or channels, or colors or a compression that are not read.
      Exception: it is broken.
    """
    page = leaf.page
    _check_size(page, name, most=page.samplesperpixel if planes else 4)
    if page.compression != _NONE and page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise ZooError(
            f"{name} is compressed by {compression_of(page)}, which is not read; save it again "
            "without compression, or with LZW or deflate"
        )
    _check_segments(page)
    photometric, bits = photometric_of(page), page.bitspersample
    # tifffile converts YCbCr of JPEG only.
    converted = page.compression in _CONVERTED and page.planarconfig == 1
    if photometric == _YCBCR and not converted:
        return _by_libtiff(page)
    array = page.asarray() if leaf.at is None else _slice(page, leaf.at)
    if page.axes == "SYX":
        array = np.moveaxis(array, 0, -1)
    if photometric == _PALETTE:
        return _looked_up(page, array)
    if photometric not in (_MINISBLACK, _MINISWHITE, _RGB, _YCBCR):
        colors = _COLORS.get(photometric, f"colors of kind {photometric}")
        raise ZooError(f"{name} is a TIFF of {colors}; convert it to RGB or gray, and take that")
    if array.dtype.kind in "bu" and isinstance(bits, int) and bits < 16 and bits != 8:
        array = pixels.widened(array, bits)
    if photometric == _MINISWHITE and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    return array


def photometric_of(page: tifffile.TiffPage) -> int:
    """The meaning of the values; gray or RGB where the tag is missing, as in old files."""
    if _PHOTOMETRIC not in page.tags and page.compression not in _LOSSY_JPEG:
        return _RGB if page.samplesperpixel >= 3 else _MINISBLACK
    return int(page.photometric)


def holds_planes(page: tifffile.TiffPage) -> bool:
    """Whether its samples are gray planes of their own, such as the channels of a microscope."""
    gray = photometric_of(page) in (_MINISWHITE, _MINISBLACK)
    return gray and page.samplesperpixel > 1 and not any(map(int, page.extrasamples or ()))


def compression_of(page: tifffile.TiffPage) -> str:
    """The name of the compression in tifffile, in lower case."""
    try:
        return tifffile.COMPRESSION(page.compression).name.lower()
    except ValueError:
        return f"number {int(page.compression)}"


def _check_directories(file: BinaryIO, name: str) -> None:
    """Follow all directories: tifffile loops in circles, and stops silently at a truncated one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", head, 2)
    first, wide, many, entry = _BIG if version == 43 else _CLASSIC
    (at,) = struct.unpack_from(order + wide, head, first)
    seen: dict[int, int] = {}
    while at:
        number = len(seen) + 1
        if at in seen:
            raise ZooError(
                f"{name} leads in a circle, from page {number - 1} to page {seen[at]}; save it "
                "again with the program that wrote it"
            )
        if number > _MOST_PAGES:
            raise ZooError(f"{name} has more than {_MOST_PAGES} pages; cut it into several files")
        seen[at] = number
        file.seek(at)
        count = file.read(struct.calcsize(many))
        if at >= size or len(count) < struct.calcsize(many):
            raise ValueError(f"page {number} lies beyond its end")
        (count,) = struct.unpack(order + many, count)
        if count > _MOST_TAGS:
            raise ValueError(f"page {number} has {count} tags")
        file.seek(count * entry, os.SEEK_CUR)
        link = file.read(struct.calcsize(wide))
        if len(link) < struct.calcsize(wide):
            raise ValueError(f"page {number} is cut off")
        (at,) = struct.unpack(order + wide, link)
    file.seek(0)


def _leaves(tiff: tifffile.TiffFile, name: str) -> list[Leaf]:
    everything = list(tiff.pages)
    if not everything:
        raise ValueError("no pages")
    _refuse_raw(tiff, everything, name)
    pages = [page for page in everything if not (page.is_reduced or page.is_mask)]
    if not pages:
        if len(everything) > 1:
            raise ZooError(f"{name} holds only thumbnails and masks; take the file they belong to")
        # The only page cannot be a thumbnail of another.
        pages = everything
    # tifffile takes all values of a damaged tag, and their product would fill the memory.
    if not all(isinstance(side, int) for page in pages for side in page.shape):
        raise ValueError("the size of a page is not a number")
    lost = []
    if any(page.is_reduced for page in everything if page not in pages):
        lost.append("its reduced pages (thumbnails, pyramids) are not kept")
    if any(page.is_mask for page in everything if page not in pages):
        lost.append("its masks are not kept")
    leaves = [Leaf(page) for page in pages]
    count = _count_slices(tiff, pages[0])
    if len(pages) == 1 and count > 1:
        leaves, note = _slices(pages[0], count)
        lost += [note] if note else []
    elif len(pages) < count:
        lost.append(f"its description mentions {count} slices, and there are {len(pages)}")
    leaves[0] = leaves[0]._replace(lost=tuple(lost))
    return leaves


def _refuse_raw(tiff: tifffile.TiffFile, pages: list[tifffile.TiffPage], name: str) -> None:
    """Refuse raw files: their first page is a preview, followed by the values of the sensor."""
    first = pages[0]
    below = []
    for number, place in enumerate((first.subifds or ())[:16]):
        with contextlib.suppress(Exception):
            tiff.filehandle.seek(place)
            below.append(tifffile.TiffPage(tiff, (0, number)))
    raw = any(page.photometric in _OF_SENSORS for page in (*pages, *below))
    tiff.filehandle.seek(8)
    canon = tiff.filehandle.read(2) == b"CR"
    if raw or canon or (_DNG in first.tags and all(page.is_reduced for page in pages)):
        raise ZooError(
            f"{name} is a camera's raw file, recognized by its suffix alone; save it with that of "
            "one, such as .dng, or develop it to a TIFF of 16 bits"
        )


def _count_slices(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> int:
    """The number of images according to the metadata of STK, ImageJ and tifffile."""
    if page.is_stk:
        return page.tags[_STK_PLANES].count if _STK_PLANES in page.tags else 1
    with contextlib.suppress(Exception):  # a description is free text
        if tiff.is_imagej:
            return int(tiff.imagej_metadata.get("images", 1))
        if page.is_shaped:
            found = tifffile.tifffile.shaped_description_metadata(page.shaped_description)
            return math.prod(found["shape"]) // max(math.prod(page.shape), 1)
    return 1


def _slices(page: tifffile.TiffPage, count: int) -> tuple[list[Leaf], str]:
    """Consecutive images behind one directory, as ImageJ writes beyond 4 GB."""
    one = Leaf(page)
    alone = f"its description mentions {count} slices, and there is one"
    if page.compression != _NONE or not page.is_contiguous or page.fillorder != 1:
        return [one], alone
    start, size = page.dataoffsets[0], page.nbytes
    there = (page.parent.filehandle.size - start) // max(size, 1)
    if there <= 1 < count:
        # A slice that was extracted from a stack keeps its description.
        return [one], alone
    if there < count:
        raise ValueError(f"it has {there} of {count} slices")
    return [Leaf(page, start + i * size) for i in range(count)], ""


def _slice(page: tifffile.TiffPage, at: int) -> np.ndarray:
    file = page.parent.filehandle
    file.seek(at)
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    return file.read_array(dtype, math.prod(page.shape)).reshape(page.shape)


def _check_size(page: tifffile.TiffPage, name: str, most: int) -> None:
    """Refuse sizes and types before decoding, since a small file can fill the memory."""
    width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel
    pixels.check_size(width, height, name)
    if samples > most:
        raise ZooError(
            f"{name} has {samples} samples a pixel, and an image 1 to 4; save its bands as pages"
        )
    if page.axes not in ("YX", "YXS", "SYX"):
        raise ZooError(f"{name} is a volume of {page.imagedepth} layers; save them as pages")
    if page.dtype is None:
        bits, form = page.bitspersample, int(page.sampleformat)
        raise ZooError(
            f"{name} has samples of {bits} bits and format {form}, which are not read; save it "
            "with 8 or 16 bits, or as floats"
        )
    size = width * height * samples * page.dtype.itemsize
    if size > _MOST_BYTES * pixels.PIXEL_LIMIT:
        raise ZooError(f"{name} has {size / 1e9:.1f} GB of pixels; cut it into tiles")
    if page.dtype.kind == "u" and isinstance(page.bitspersample, int):
        bits = page.bitspersample
        if bits > 16 and bits not in (32, 64):
            raise ZooError(f"{name} has {bits} bits a sample; save it with 16 or 32")


def _check_segments(page: tifffile.TiffPage) -> None:
    """Refuse missing data, which tifffile silently makes black, and JPEG decoders gray."""
    offsets, counts = page.dataoffsets, page.databytecounts
    needed = math.prod(page.chunked)
    if min(len(offsets), len(counts)) < needed or not all(offsets) or not all(counts):
        raise ValueError("parts of it have no data")
    if page.compression in _NOTICED:
        return
    file = page.parent.filehandle
    for offset, count in zip(offsets, counts, strict=False):
        if offset + count > file.size:
            raise ValueError("parts of it lie beyond its end")
        if page.compression == _JPEG and page.jpegheader is None:
            tail = min(count, 32)
            file.seek(offset + count - tail)
            if _JPEG_END not in file.read(tail):
                raise ValueError("a part of it is cut off")


def _by_libtiff(page: tifffile.TiffPage) -> np.ndarray:
    """Decode to RGB of 8 bits, the only depth that libtiff converts to."""
    file = page.parent.filehandle
    if page.compression in _NOTICED:
        _check_ycbcr(page)
    file.seek(0)
    # Thumbnails count in this number of the page.
    return imagecodecs.tiff_decode(file.read(), index=page.index, asrgb=True)[..., :3]


def _check_ycbcr(page: tifffile.TiffPage) -> None:
    """Refuse missing bytes, which libtiff replaces by zeros."""
    h, v = page.subsampling or (2, 2)
    h, v = (h, v) if page.planarconfig == 1 else (1, 1)
    width, rows = page.imagewidth, page.rowsperstrip
    if page.is_tiled:
        width, rows = page.tilewidth, page.tilelength
    file, decompress = page.parent.filehandle, tifffile.TIFF.DECOMPRESSORS[page.compression]
    for i, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=False)):
        left = rows if page.is_tiled else min(rows, page.imagelength - i * rows)
        samples = h * v + 2 if page.planarconfig == 1 else 1
        file.seek(offset)
        data = file.read(count)
        if len(data) < count or len(decompress(data)) < -(-width // h) * -(-left // v) * samples:
            raise ValueError("a part of it is cut off")


def _looked_up(page: tifffile.TiffPage, array: np.ndarray) -> np.ndarray:
    colors = np.moveaxis(page.colormap, 0, -1)
    # Color maps have 16 bits in the standard and 8 in some files: v * 257, v * 256, or v.
    if colors.max() > 255:
        colors = colors >> 8
    return colors.astype(np.uint8)[array.astype(np.uint16)]


def decode_single(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """Decode a file of one page.

    Returns:
      The image as stored, and its orientation.

    Raises:
      ZooError: it has several pages, or as `decode`.
      Exception: it is broken.
    """
    with opened(io.BytesIO(data), name) as (_, leaves):
        if len(leaves) != 1:
            raise ZooError(f"{name} has {len(leaves)} pages; save each as a file of its own")
        return decode(leaves[0], name), orientation_of(leaves[0].page)


def orientation_of(page: tifffile.TiffPage) -> int:
    """The orientation by TIFF 6.0, 1 where there is none."""
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag else 1
