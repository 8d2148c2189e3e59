"""What the notes beside a picture say of how its values came about."""

import struct

from zoo.data.pages import exif
from zoo.data.pages.facts import Kept

# Tags of EXIF and TIFF.
_MAKE, _MODEL = 271, 272
# Of PNG: a gamma of 1, in hundred thousandths, and the transfer of H.273 that is linear.
_GAMMA, _TRANSFER = 100_000, 8
_CURVES = (b"rTRC", b"gTRC", b"bTRC", b"kTRC")
_MOST_TAGS = 256


def camera(kept: Kept) -> str:
    """Maker and model, from EXIF or from the tags of a TIFF file; empty where none is told."""
    tags = {number: data for number, _, _, data in kept.tiff.tags} if kept.tiff else {}
    if kept.exif:
        try:
            tags |= {number: value.data for number, value in exif.parse(kept.exif)[1].items()}
        except ValueError:
            return ""
    words = [
        bytes(tags[number]).split(b"\0")[0].decode("latin-1").strip()
        for number in (_MAKE, _MODEL)
        if number in tags
    ]
    # Many models begin with their maker.
    if len(words) == 2 and words[1].startswith(words[0]):
        words = words[1:]
    return " ".join(words)


def is_linear(kept: Kept) -> bool:
    """Whether values are in proportion to light: by the color profile, else by the chunks of PNG.

    References:
      ICC.1:2022, 10.6 and 10.18, for the curves of a profile.
      W3C, "Portable Network Graphics (PNG) Specification, Third Edition", 2025, 11.3.2.
    """
    chunks = dict(kept.chunks)
    told = chunks.get(b"cICP", b"")
    if len(told) == 4:
        return told[1] == _TRANSFER
    if kept.icc:
        return _is_linear(kept.icc)
    gamma = chunks.get(b"gAMA", b"")
    return b"sRGB" not in chunks and gamma == struct.pack(">I", _GAMMA)


def _is_linear(icc: bytes) -> bool:
    """Whether every curve of a profile is a straight line; one without curves has tables."""
    (count,) = struct.unpack_from(">I", icc, 128) if len(icc) >= 132 else (0,)
    found = []
    for number in range(min(count, _MOST_TAGS)):
        entry = icc[132 + 12 * number : 144 + 12 * number]
        if len(entry) == 12 and entry[:4] in _CURVES:
            at, size = struct.unpack(">II", entry[4:])
            found.append(_is_line(icc[at : at + size]))
    return bool(found) and all(found)


def _is_line(curve: bytes) -> bool:
    if curve[:4] == b"para" and len(curve) >= 16:
        kind, _, power = struct.unpack_from(">HHi", curve, 8)
        return kind == 0 and power == 1 << 16
    if curve[:4] != b"curv" or len(curve) < 12:
        return False
    (count,) = struct.unpack_from(">I", curve, 8)
    if count <= 1:
        # A single value is a power, in 256ths.
        return count == 0 or curve[12:14] == b"\1\0"
    values = struct.unpack_from(f">{count}H", curve, 12) if len(curve) >= 12 + 2 * count else ()
    last = max(len(values) - 1, 1)
    return bool(values) and all(
        abs(value - 65535 * place / last) <= 1 for place, value in enumerate(values)
    )
