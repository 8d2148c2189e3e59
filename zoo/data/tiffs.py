"""TIFF files to arrays: which pages there are, and what is in them.

tifffile reads them, and imagecodecs' libtiff the YCbCr that it does not. Both take what is missing
for black or leave it out, so what a page needs is looked for here first.

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

from zoo.errors import ZooError

_MOST_PAGES = 2**20
# For each pixel that a picture may have, so that those may be of 16 bits with color and alpha.
_MOST_BYTES = 8
_MOST_TAGS = 4096
# By byte order and version: the formats of the first place, of how many tags, of a tag and a link.
_CLASSIC, _BIG = (4, "I", "H", 12), (8, "Q", "Q", 20)
_ORIENTATION, _PHOTOMETRIC, _DNG, _STK_PLANES = 274, 262, 50706, 33629
_MINISWHITE, _MINISBLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
# A sensor's values, one color a pixel, or three before any development.
_OF_SENSORS = frozenset({32803, 34892})
_COLORS = {5: "CMYK", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32844: "LogL", 32845: "LogLuv"}
_NONE, _JPEG, _LOSSY_JPEG = 1, 7, frozenset({6, 7, 33007, 34892})
# Those whose decoders notice on their own that bytes are missing.
_NOTICED = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
# Those whose decoders turn YCbCr into RGB.
_CONVERTED = _LOSSY_JPEG | {33003, 33004, 33005, 34712, 50001, 50002}
_JPEG_END = b"\xff\xd9"

DEVELOP = (
    "a camera's raw file, which is no picture yet; develop it to a TIFF of 16 bits, with "
    "darktable, RawTherapee, dcraw -T or rawpy, and take that"
)
"""What a raw file is, and what helps."""


class Leaf(NamedTuple):
    """A page of a file that is open.

    Attributes:
      page: its directory.
      at: where its pixels lie, of slices that have no directory of their own; else None.
      lost: short sentences on what of the file is in no page.
    """

    page: tifffile.TiffPage
    at: int | None = None
    lost: tuple[str, ...] = ()


@contextlib.contextmanager
def opened(file: BinaryIO, name: str) -> Iterator[tuple[tifffile.TiffFile, list[Leaf]]]:
    """Opens a file and finds its pages, those that are another's thumbnail or mask left out.

    Args:
      file: of the file's bytes.
      name: what to call it in an error.

    Yields:
      The file as tifffile has it, and its pages; at least one.

    Raises:
      ZooError: its directories lead in a circle, or it is a camera's raw file.
      Exception: it is broken; see `zoo.data.decoding.intact`.
    """
    _check_directories(file, name)
    with tifffile.TiffFile(file, name=os.path.basename(name)) as tiff:
        yield tiff, _leaves(tiff, name)


def decode(leaf: Leaf, name: str, limit: int) -> np.ndarray:
    """Decodes a page.

    Args:
      leaf: of a file that is open.
      name: what to call it in an error.
      limit: the most pixels it may have.

    Returns:
      The picture as it lies in the file, not upright, `(H, W)` or `(H, W, C)` and as yet unchecked.
      A palette is looked up; fewer than 8 and than 16 bits are stretched to 8 and to 16.

    Raises:
      ZooError: it has too many pixels or channels, or colors or a coding that are not read.
      Exception: it is broken.
    """
    page = leaf.page
    _check_size(page, name, limit)
    if page.compression != _NONE and page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise _not_read(page, name)
    _check_segments(page)
    if _is_for_libtiff(page):
        return _by_libtiff(page)
    array = page.asarray() if leaf.at is None else _slice(page, leaf.at)
    if page.axes == "SYX":
        array = np.moveaxis(array, 0, -1)
    photometric, bits = photometric_of(page), page.bitspersample
    if photometric == _PALETTE:
        return _looked_up(page, array)
    if photometric not in (_MINISBLACK, _MINISWHITE, _RGB, _YCBCR):
        colors = _COLORS.get(photometric, f"colors of kind {photometric}")
        raise ZooError(f"{name} is a TIFF of {colors}; convert it to RGB or gray, and take that")
    if array.dtype.kind in "bu" and isinstance(bits, int) and bits < 16 and bits != 8:
        array = widened(array, bits)
    if photometric == _MINISWHITE and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    return array


def widened(array: np.ndarray, bits: int) -> np.ndarray:
    """Values of 1 to 15 bits in all of 8 or, from 9 on, of 16 bits, white staying white."""
    dtype = np.uint8 if bits <= 8 else np.uint16
    return _table(np.arange(2**bits) / (2**bits - 1), dtype)[array.astype(dtype)]


def photometric_of(page: tifffile.TiffPage) -> int:
    """What the values mean; where the tag is missing, as of old files, gray or RGB."""
    if _PHOTOMETRIC not in page.tags and page.compression not in _LOSSY_JPEG:
        return _RGB if page.samplesperpixel >= 3 else _MINISBLACK
    return int(page.photometric)


def compression_of(page: tifffile.TiffPage) -> str:
    """The name of the compression, as tifffile has it in lower case."""
    try:
        return tifffile.COMPRESSION(page.compression).name.lower()
    except ValueError:
        return f"number {int(page.compression)}"


def _check_directories(file: BinaryIO, name: str) -> None:
    """Follows all directories: tifffile goes round in circles, and stops where one is cut off."""
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
                "anew with the program it is from"
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
            raise ZooError(f"{name} holds thumbnails and masks alone; take the file they are of")
        # A mark that means nothing: there is nothing that it is the thumbnail of.
        pages = everything
    # Of a damaged tag tifffile takes all values, and a product with them fills the memory.
    if not all(isinstance(side, int) for page in pages for side in page.shape):
        raise ValueError("the size of a page is no number")
    lost = []
    if any(page.is_reduced for page in everything if page not in pages):
        lost.append("its reduced pages (thumbnails, pyramids) are not kept")
    if any(page.is_mask for page in everything if page not in pages):
        lost.append("its masks are not kept")
    leaves = [Leaf(page) for page in pages]
    told = _slices_told(tiff, pages[0])
    if len(pages) == 1 and told > 1:
        leaves, note = _slices(pages[0], told)
        lost += [note] if note else []
    elif len(pages) < told:
        lost.append(f"its description tells of {told} slices, and there are {len(pages)}")
    leaves[0] = leaves[0]._replace(lost=tuple(lost))
    return leaves


def _refuse_raw(tiff: tifffile.TiffFile, pages: list[tifffile.TiffPage], name: str) -> None:
    """Raw files hold a preview, which is not what is meant, and behind it the sensor's values."""
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
        raise ZooError(f"{name} is {DEVELOP}")


def _slices_told(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> int:
    """How many pictures a file says that it has, apart from its directories."""
    if page.is_stk:
        return page.tags[_STK_PLANES].count if _STK_PLANES in page.tags else 1
    with contextlib.suppress(Exception):  # descriptions are anybody's
        if tiff.is_imagej:
            return int(tiff.imagej_metadata.get("images", 1))
        if page.is_shaped:
            told = tifffile.tifffile.shaped_description_metadata(page.shaped_description)
            return math.prod(told["shape"]) // max(math.prod(page.shape), 1)
    return 1


def _slices(page: tifffile.TiffPage, told: int) -> tuple[list[Leaf], str]:
    """Pictures that follow one another behind one directory, as ImageJ writes beyond 4 GB."""
    one = Leaf(page)
    alone = f"its description tells of {told} slices, and there is one"
    if page.compression != _NONE or not page.is_contiguous or page.fillorder != 1:
        return [one], alone
    start, size = page.dataoffsets[0], page.nbytes
    there = (page.parent.filehandle.size - start) // max(size, 1)
    if there <= 1 < told:
        # A slice that was taken out of a stack keeps its description.
        return [one], alone
    if there < told:
        raise ValueError(f"it tells of {told} slices, and {there} are there")
    return [Leaf(page, start + i * size) for i in range(told)], ""


def _slice(page: tifffile.TiffPage, at: int) -> np.ndarray:
    file = page.parent.filehandle
    file.seek(at)
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    return file.read_array(dtype, math.prod(page.shape)).reshape(page.shape)


def _check_size(page: tifffile.TiffPage, name: str, limit: int) -> None:
    """Called before anything is decoded: a small file may claim, and take, any memory."""
    width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel
    if width * height > limit:
        raise ZooError(
            f"{name} has {width} x {height} pixels, more than {limit}; cut it into tiles"
        )
    if samples > 4:
        raise ZooError(
            f"{name} has {samples} samples a pixel, and a picture 1 to 4; save its bands as pages"
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
    if size > _MOST_BYTES * limit:
        raise ZooError(f"{name} has {size / 1e9:.1f} GB of pixels; cut it into tiles")
    if page.dtype.kind == "u" and isinstance(page.bitspersample, int):
        bits = page.bitspersample
        if bits > 16 and bits not in (32, 64):
            raise ZooError(f"{name} has {bits} bits a sample; save it with 16 or 32")


def _check_segments(page: tifffile.TiffPage) -> None:
    """What is missing, tifffile makes black, and JPEG decoders gray, without a word."""
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
                raise ValueError("a part of it stops half way")


def _is_for_libtiff(page: tifffile.TiffPage) -> bool:
    """Of YCbCr tifffile converts only JPEG's."""
    if photometric_of(page) != _YCBCR:
        return False
    return page.compression not in _CONVERTED or page.planarconfig == 2


def _by_libtiff(page: tifffile.TiffPage) -> np.ndarray:
    """RGB; of 8 bits, which is all that libtiff converts to."""
    file = page.parent.filehandle
    if page.compression in _NOTICED:
        _check_ycbcr(page)
    file.seek(0)
    # The file's own number of the page: thumbnails count.
    picture = imagecodecs.tiff_decode(file.read(), index=page.index, asrgb=True)
    return picture[..., :3]


def _check_ycbcr(page: tifffile.TiffPage) -> None:
    """Whether all bytes are there: libtiff takes what is missing for zeros."""
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
            raise ValueError("a part of it stops half way")


def _not_read(page: tifffile.TiffPage, name: str) -> ZooError:
    return ZooError(
        f"{name} is compressed by {compression_of(page)}, which is not read; save it anew without "
        "compression, or with LZW or deflate"
    )


def _looked_up(page: tifffile.TiffPage, array: np.ndarray) -> np.ndarray:
    colors = np.moveaxis(page.colormap, 0, -1)
    # The color map is of 16 bits by the standard and of 8 by use: v * 257, v * 256, or v.
    if colors.max() > 255:
        colors = colors >> 8
    return colors.astype(np.uint8)[array.astype(np.uint16)]


def _table(shares: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    return np.rint(shares * np.iinfo(dtype).max).astype(dtype)


def decode_alone(data: bytes, name: str, limit: int) -> tuple[np.ndarray, int]:
    """Decodes a file of one page.

    Returns:
      Its picture as it lies in the file, and the orientation that the file notes.

    Raises:
      ZooError: it has several pages, or as `decode`.
      Exception: it is broken.
    """
    with opened(io.BytesIO(data), name) as (_, leaves):
        if len(leaves) != 1:
            raise ZooError(f"{name} has {len(leaves)} pages; save each as a file of its own")
        return decode(leaves[0], name, limit), orientation_of(leaves[0].page)


def orientation_of(page: tifffile.TiffPage) -> int:
    """The number of TIFF 6.0, 1 where there is none."""
    tag = page.tags.get(_ORIENTATION)
    return int(tag.value) if tag else 1
