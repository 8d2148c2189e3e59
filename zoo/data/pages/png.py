"""PNG: its chunks in, its chunks out.

References:
  W3C, "Portable Network Graphics (PNG) Specification, Third Edition", 2025.
"""

import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np

from zoo.data.pages.facts import Density, Kept
from zoo.errors import ZooError

_SIGNATURE = 8
_HEADER_END = 33
_XMP = b"XML:com.adobe.xmp\0"
_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})
# What the colours are. Bits in use, background and histogram hold no longer after a change.
_COLOURS = frozenset({b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI"})
# What says how the pixels lie, or holds no longer: the last is where Apple's decoders begin.
_UNSAID = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"IEND", b"bKGD", b"hIST", b"sBIT", b"sPLT", b"tIME", b"iDOT")
)
# Of what is compressed: real profiles and packets are far smaller, and a small file may hold more.
_MOST_BYTES = 2**24


def read(data: bytes, name: str) -> tuple[Kept, list[str]]:
    """What lies beside the pixels of a PNG file that can be decoded.

    Args:
      data: the file's bytes.
      name: what to call it in an error.

    Returns:
      That, where EXIF and XMP are as they stand, and what was broken and is lost.

    Raises:
      ZooError: it is animated.
    """
    kept, lost = {}, []
    chunks = []
    for kind, body, intact in _chunks(data):
        if kind == b"acTL" and struct.unpack(">I", body[:4])[0] > 1:
            raise ZooError(f"{name} is animated; save its frames as files of their own")
        if kind[0] & 32 and not intact:
            lost.append(f"a broken {kind.decode('ascii', 'replace')} chunk is not kept")
        elif kind == b"eXIf":
            kept["exif"] = body
        elif kind == b"iCCP" and "icc" not in kept:
            kept["icc"] = _inflated(body[body.index(b"\0") + 2 :])
        elif kind == b"pHYs":
            x, y, metres = struct.unpack(">IIB", body)
            kept["density"] = Density(x, y, 1.0 if metres else None)
        elif kind == b"iTXt" and body.startswith(_XMP):
            if "xmp" not in kept:
                kept["xmp"] = _international(body)
        elif kind in _TEXT or kind in _COLOURS:
            chunks.append((kind, body))
        elif kind not in _UNSAID and kind != b"iCCP":
            lost.append(f"its PNG chunk {kind.decode('ascii', 'replace')} is not kept")
    for field, what in (("icc", "color profile"), ("xmp", "XMP")):
        if kept.get(field, b"") is None:
            lost.append(f"its {what}, of more than {_MOST_BYTES // 2**20} MB, is not kept")
    return Kept(**kept, chunks=tuple(chunks)), list(dict.fromkeys(lost))


def encode(picture: np.ndarray, kept: Kept) -> Iterator[bytes | memoryview]:
    """A PNG file, in pieces.

    Args:
      picture: `(H, W, C)`, C from 1 to 4, uint8 or uint16.
      kept: what goes beside it.
    """
    data = imagecodecs.png_encode(picture[..., 0] if picture.shape[-1] == 1 else picture)
    yield data[:_HEADER_END]
    if kept.icc:
        # It outdoes the colours told in figures, which some would take first.
        yield _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(kept.icc))
    for kind, body in kept.chunks:
        if kind in _COLOURS:
            yield _chunk(kind, body)
    if kept.density:
        x, y = (round(value) for value in kept.density.per(1.0))
        yield _chunk(b"pHYs", struct.pack(">IIB", x, y, kept.density.unit is not None))
    if kept.exif:
        yield _chunk(b"eXIf", kept.exif)
    if kept.xmp:
        yield _chunk(b"iTXt", _XMP + b"\0\0\0\0" + kept.xmp)
    for kind, body in kept.chunks:
        if kind in _TEXT:
            yield _chunk(kind, body)
    yield memoryview(data)[_HEADER_END:]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind, body and whether its sum is right, of all but the pixels."""
    at = _SIGNATURE
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind != b"IDAT":
            body = data[at + 8 : end - 4]
            told = data[end - 4 : end]
            yield kind, body, told == struct.pack(">I", zlib.crc32(kind + body))
        at = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _inflated(data: bytes) -> bytes | None:
    """What is compressed; None where that is too much."""
    found = zlib.decompressobj().decompress(data, _MOST_BYTES + 1)
    return found if len(found) <= _MOST_BYTES else None


def _international(body: bytes) -> bytes | None:
    """The text of an iTXt chunk: keyword, two bytes on compression, language, keyword again."""
    rest = body[body.index(b"\0") + 1 :]
    squeezed, rest = rest[0], rest[2:]
    text = rest.split(b"\0", 2)[2]
    return _inflated(text) if squeezed else text
