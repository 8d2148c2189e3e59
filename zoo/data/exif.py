"""EXIF: a small TIFF file without pixels; and the tag directories of TIFF.

EXIF is patched in place rather than rewritten: a maker note contains offsets into the file, and
only the maker knows which.

References:
  CIPA DC-008-2019, "Exchangeable image file format for digital still cameras: Exif 2.32".
  Adobe, "TIFF, Revision 6.0", 1992; XMP Specification Part 1, 2012.
"""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

ORIENTATION = 0x0112
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
XMP, ICC = 700, 34675
_MAKER_NOTE = 0x927C
QUARTERS = (5, 6, 7, 8)
"""Orientations that exchange height and width."""

SUBS = frozenset({EXIF, GPS, INTEROPERABILITY})
"""Tags whose value is the offset of a directory of more tags."""

# Bytes of a value of each type, 1 to 13, and of BigTIFF's 16 to 18.
SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
# Tags of the two sides of the image, exchanged when it is turned.
_SIDES = ((0x0100, 0x0101), (0x011A, 0x011B), (0xA002, 0xA003))
_MOST_ENTRIES = 4096
# Of a value, and of all values of a directory: any number of them may share one place.
_MOST_BYTES, _MOST_IN_ALL = 2**24, 2**26

# Tags of a directory by their number.
Tags = dict[int, "Value"]


class Value(NamedTuple):
    """The value of a tag.

    Attributes:
      kind: its type, a number of TIFF 6.0.
      count: the number of values.
      data: their bytes in the file's order, or the tags of a sub-directory.
      at: the offset of the entry itself.
    """

    kind: int
    count: int
    data: "bytes | Tags"
    at: int = 0


def directory(
    read: Callable[[int, int], bytes], at: int, order: str, *, big: bool = False, depth: int = 0
) -> tuple[Tags, int]:
    """Read a directory and its sub-directories.

    Args:
      read, at, order, big: as of `entries`.
      depth: the number of directories above it.

    Returns:
      Its tags, and the offset of the link to the next directory. Values outside the file, larger
      than 16 MiB, or beyond 64 MiB in all are omitted.

    Raises:
      ValueError: it is outside the file, or has more than 4096 tags.
    """
    tags: Tags = {}
    left = _MOST_IN_ALL
    found, link = entries(read, at, order, big=big)
    for code, (kind, count, field, here) in found:
        if code in SUBS and kind in (4, 13, 16, 18):
            (place,) = struct.unpack_from(order + ("Q" if kind in (16, 18) else "I"), field)
            if depth < 2:
                try:
                    below, _ = directory(read, place, order, big=big, depth=depth + 1)
                except ValueError:
                    continue
                tags[code] = Value(kind, count, below, here)
            continue
        size = count * SIZES[kind] if kind < len(SIZES) else 0
        if not 0 < size <= min(_MOST_BYTES, left):
            continue
        left -= size
        if size > len(field):
            (place,) = struct.unpack(order + ("Q" if big else "I"), field)
            value = read(place, size)
        else:
            value = field[:size]
        if len(value) == size:
            tags[code] = Value(kind, count, value, here)
    return tags, link


def entries(
    read: Callable[[int, int], bytes], at: int, order: str, *, big: bool = False
) -> tuple[list[tuple[int, Value]], int]:
    """Read the entries of a directory, but not what they point to.

    Args:
      read: a function (offset, count) to the bytes there, fewer at the end of the file.
      at: the offset of the directory.
      order: "<" or ">", the byte order.
      big: whether the file is a BigTIFF.

    Returns:
      Tags in their order, whose data are the value or its offset, and the offset of the link to the
      next directory.

    Raises:
      ValueError: it is outside the file, or has more than 4096 tags.
    """
    head, size, inline, wide = (8, 20, 8, "Q") if big else (2, 12, 4, "I")
    (many,) = struct.unpack(order + ("Q" if big else "H"), _all(read(at, head), head))
    if many > _MOST_ENTRIES:
        raise ValueError("too many tags")
    body = _all(read(at + head, many * size), many * size)
    found = []
    for start in range(0, many * size, size):
        code, kind, count = struct.unpack_from(f"{order}HH{wide}", body, start)
        field = body[start + size - inline : start + size]
        found.append((code, Value(kind, count, field, at + head + start)))
    return found, at + head + many * size


def pack(tags: Tags, base: int, order: str, *, big: bool = False) -> bytes:
    """Serialize a directory and its sub-directories.

    Args:
      tags: its tags.
      base: the offset it will have.
      order: "<" or ">", the byte order.
      big: whether the file is a BigTIFF.
    """
    head, entry, inline, wide = (8, 20, 8, "Q") if big else (2, 12, 4, "I")
    lines, rest = [], b""
    after = base + head + len(tags) * entry + inline
    for code, value in sorted(tags.items()):
        place = after + len(rest)
        if isinstance(value.data, dict):
            # LONG, and in a BigTIFF LONG8.
            kind, count = 16 if big else 4, 1
            field = struct.pack(order + wide, place)
            rest += pack(value.data, place, order, big=big)
        else:
            kind, count, field = value.kind, value.count, value.data
            if len(field) > inline:
                field = struct.pack(order + wide, place)
                rest += value.data
        rest += b"\0" * (len(rest) % 2)
        line = struct.pack(f"{order}HH{wide}", code, kind, count)
        lines.append(line + field.ljust(inline, b"\0"))
    many = struct.pack(order + ("Q" if big else "H"), len(tags))
    return many + b"".join(lines) + b"\0" * inline + rest


def parse(blob: bytes) -> tuple[str, Tags]:
    """The byte order and the first directory of EXIF.

    Raises:
      ValueError: it is broken.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(blob[:4])
    if order is None or len(blob) < 8:
        raise ValueError("not EXIF")
    tags, _ = directory(_reader(blob), *struct.unpack_from(order + "I", blob, 4), order)
    return order, tags


def build(tags: Tags, order: str) -> bytes:
    """EXIF from its first directory."""
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(order + "I", 8)
        + pack(tags, 8, order)
    )


def upright(blob: bytes) -> tuple[bytes, bool, int]:
    """Update the EXIF of an image whose orientation has been applied.

    The orientation becomes 1, widths and heights are exchanged for quarter turns, and the embedded
    preview, which shows the image as it was, is unlinked.

    Args:
      blob: the EXIF.

    Returns:
      The new EXIF, whether there was a preview, and the former orientation.

    Raises:
      ValueError: it is broken.
    """
    order, tags = parse(blob)
    out = bytearray(blob)
    orientation = 1
    if ORIENTATION in tags:
        _, _, data, at = tags[ORIENTATION]
        (orientation,) = struct.unpack(order + "H", data[:2])
        struct.pack_into(order + "HIHH", out, at + 2, 3, 1, 1, 0)
    below = tags[EXIF].data if EXIF in tags else {}
    for x, y in _SIDES if orientation in QUARTERS else ():
        for held in (tags, below):
            if x in held and y in held:
                one, two = held[x].at + 2, held[y].at + 2
                out[one : one + 10], out[two : two + 10] = (
                    out[two : two + 10],
                    out[one : one + 10],
                )
    (first,) = struct.unpack_from(order + "I", blob, 4)
    _, link = directory(_reader(blob), first, order)
    preview = any(out[link : link + 4])
    out[link : link + 4] = bytes(len(out[link : link + 4]))
    return bytes(out), preview, orientation


def upright_xmp(xmp: bytes) -> bytes:
    """The XMP packet of an image whose orientation has been applied, of the same length."""
    return re.sub(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1", xmp)


def has_maker_note(tags: Tags) -> bool:
    """Whether there is a maker note, which may contain offsets into its original file."""
    return EXIF in tags and _MAKER_NOTE in tags[EXIF].data


def _reader(blob: bytes) -> Callable[[int, int], bytes]:
    return lambda at, size: blob[at : at + size]


def _all(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError("truncated")
    return data
