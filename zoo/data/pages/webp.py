"""WebP: its chunks in; out by Pillow.

References:
  "WebP Container Specification", RFC 9649, 2024.
"""

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from zoo.data.pages.facts import Kept
from zoo.errors import ZooError

_EXIF = b"Exif\0\0"
_QUALITY = 95
# Some writers end the name of the last with a zero.
_FIELDS = {b"EXIF": "exif", b"ICCP": "icc", b"XMP ": "xmp", b"XMP\0": "xmp"}
_PIXELS = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})


def read(data: bytes, name: str) -> tuple[Kept, list[str]]:
    """What lies beside the pixels of a WebP file that can be decoded.

    Args:
      data: the file's bytes.
      name: what to call it in an error.

    Returns:
      That, where EXIF and XMP are as they stand, and what is lost.

    Raises:
      ZooError: it is animated.
    """
    kept, lost = {}, []
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"ANMF":
            raise ZooError(f"{name} is animated; save its frames as files of their own")
        if kind == b"VP8 ":
            kept["webp"] = "lossy"
        if kind in _FIELDS:
            kept[_FIELDS[kind]] = data[at + 8 : at + 8 + length]
        elif kind not in _PIXELS:
            lost.append(f"its WebP chunk {kind.decode('ascii', 'replace').strip()} is not kept")
        at += 8 + length + length % 2
    if kept.get("exif", b"").startswith(_EXIF):
        kept["exif"] = kept["exif"][len(_EXIF) :]
    return Kept(**kept), list(dict.fromkeys(lost))


def encode(picture: np.ndarray, kept: Kept) -> Iterator[bytes | memoryview]:
    """A WebP file.

    Args:
      picture: `(H, W, C)`, C in {3, 4}, uint8.
      kept: what goes beside it; where it says "lossy", quality is 95, else nothing is lost.
    """
    lossless = kept.webp != "lossy"
    out = io.BytesIO()
    Image.fromarray(picture).save(
        out,
        "WEBP",
        lossless=lossless,
        quality=80 if lossless else _QUALITY,
        exact=True,
        icc_profile=kept.icc or b"",
        exif=_EXIF + kept.exif if kept.exif else b"",
        xmp=kept.xmp or b"",
    )
    yield out.getvalue()
