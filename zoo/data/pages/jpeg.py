"""JPEG: its segments in, its segments out.

References:
  ITU-T T.81, 1992, annexes B and K; ITU-T T.871, 2011 (JFIF).
  ICC.1:2022, annex B.4; Adobe, "XMP Specification Part 3", 2020, 1.1.3.
"""

import re
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np

from zoo.data.pages.facts import INCH, Density, Kept

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_ICC = b"ICC_PROFILE\0"
# Where in the file other pictures lie, of which is told elsewhere; and how the colors are coded.
_OF_LAYOUT = (b"MPF\0", b"FPXR\0", b"Adobe")
_MOST = 65533
# The standard's table for brightness, at libjpeg's quality 50, in rows.
_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_SUBSAMPLING = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411"}
_USUAL_QUALITY = 95
_LEAST_QUALITY = 90
# Where the entropy-coded data ends: any marker but a stuffed zero, a fill byte or a restart.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


def read(data: bytes) -> tuple[Kept, list[str]]:
    """What lies beside the pixels of a JPEG file that can be decoded.

    Args:
      data: the file's bytes.

    Returns:
      That, where EXIF and XMP are as they stand, and what is lost.
    """
    kept, lost = {}, []
    segments, profile, at_scan = [], {}, len(data)
    for marker, body, at in _segments(data):
        if marker == 0xDA:
            at_scan = at
            break
        if marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            unit, x, y = struct.unpack_from(">BHH", body, 7)
            if x and y and (unit or x != y):
                kept["density"] = Density(x, y, {1: INCH, 2: 0.01}.get(unit))
        elif marker == 0xE1 and body.startswith((_EXIF, _XMP)):
            field, mark = ("exif", _EXIF) if body.startswith(_EXIF) else ("xmp", _XMP)
            kept.setdefault(field, body[len(mark) :])
        elif marker == 0xE1 and body.startswith(_MORE_XMP):
            lost.append("the part of its XMP beyond 64 KB is not kept")
        elif marker == 0xE2 and body.startswith(_ICC) and len(body) > 14:
            profile[body[12]] = body[14:]
        elif marker in (0xED, 0xFE):
            segments.append((marker, body))
        elif 0xE1 <= marker <= 0xEF and not body.startswith(_OF_LAYOUT):
            lost.append(f"its JPEG segment APP{marker - 0xE0} is not kept")
        elif marker == 0xDB and body[0] % 16 == 0:
            kept.setdefault("quality", _quality(body))
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            lost += _frame(body, kept)
    if profile:
        kept["icc"] = b"".join(profile[number] for number in sorted(profile))
    lost += _beyond(data, at_scan, kept)
    return Kept(**kept, segments=tuple(segments)), sorted(set(lost))


def encode(picture: np.ndarray, kept: Kept) -> Iterator[bytes | memoryview]:
    """A JPEG file, in pieces.

    Args:
      picture: `(H, W, C)`, C in {1, 3}, uint8.
      kept: what goes beside it, and the quality and subsampling, of which the usual ones are 95
        and none; quality is at least 90.
    """
    level = _USUAL_QUALITY if kept.quality is None else max(kept.quality, _LEAST_QUALITY)
    grey = picture.shape[-1] == 1
    data = imagecodecs.jpeg8_encode(
        picture[..., 0] if grey else picture,
        level=level,
        subsampling=None if grey else kept.subsampling or "444",
    )
    yield data[:2]
    unit, x, y = 0, 1, 1
    if kept.density:
        unit = {None: 0, 0.01: 2}.get(kept.density.unit, 1)
        x, y = kept.density.per(INCH if unit == 1 else 0.01)
    x, y = (min(max(round(value), 1), 65535) for value in (x, y))
    yield _segment(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, x, y, 0, 0))
    if kept.exif:
        yield _segment(0xE1, _EXIF + kept.exif)
    if kept.xmp:
        yield _segment(0xE1, _XMP + kept.xmp)
    if kept.icc:
        room = _MOST - len(_ICC) - 2
        parts = [kept.icc[at : at + room] for at in range(0, len(kept.icc), room)]
        for i, part in enumerate(parts):
            yield _segment(0xE2, _ICC + bytes([i + 1, len(parts)]) + part)
    for marker, body in kept.segments:
        yield _segment(marker, body)
    # The encoder's own JFIF segment is of 18 bytes.
    yield memoryview(data)[20 if data[2:4] == b"\xff\xe0" else 2 :]


def fits(blob: bytes | None, *, xmp: bool = False) -> bool:
    """Whether EXIF or XMP fits into the one segment it may have."""
    return len(blob or b"") <= _MOST - len(_XMP if xmp else _EXIF)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, body and end of each, up to the scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, data[at + 4 : at + 2 + length], at + 2 + length
        at += 2 + length


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _quality(body: bytes) -> int:
    """Of libjpeg's qualities the one whose table is, in sum, nearest to that of brightness."""
    total = sum(struct.unpack_from(">64H", body, 1) if body[0] >= 16 else body[1:65])
    return min(range(100, 0, -1), key=lambda quality: abs(_sum(quality) - total))


def _sum(quality: int) -> int:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((value * scale + 50) // 100, 1), 255) for value in _LUMA)


def _frame(body: bytes, kept: dict) -> list[str]:
    """Notes the subsampling; a frame of four components is CMYK."""
    many = body[5]
    if many == 4:
        return ["CMYK became RGB by the plain formula, without its colour profile"]
    if many == 3:
        sampling = [divmod(body[7 + 3 * i], 16) for i in range(3)]
        (h, v), (h2, v2), _ = sampling
        kept["subsampling"] = _SUBSAMPLING.get((h // max(h2, 1), v // max(v2, 1)), "444")
    return []


def _beyond(data: bytes, at: int, kept: dict) -> list[str]:
    """Looks for what phones put behind the picture: a gain map, a preview, a video."""
    while found := _MARKER.search(data, at):
        marker, at = data[found.end() - 1], found.end()
        if marker == 0xD9:
            break
        if at + 2 <= len(data):
            at += struct.unpack_from(">H", data, at)[0]
    if not found or not data[at:].strip(b"\0\xff\r\n "):
        return []
    lost = ["what follows the picture in its file (a gain map, a preview, a video) is not kept"]
    if any(word in kept.get("xmp", b"") for word in (b"Container:", b"MotionPhoto")):
        del kept["xmp"]
        lost.append("its XMP, which tells where in the file that lies, is not kept")
    return lost
