"""How long an MPEG file without a header of its own is: libsndfile guesses it by the first frame.

Recorders, stations and `ffmpeg -write_xing 0` leave the header out, mp2 has none.
"""

import mmap
import os

from zoo import files
from zoo.data.truncated import id3_length

# Kilobits a second, by the layer of MPEG 1, and of MPEG 2 and 2.5.
_ONE = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_TWO = {1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256), 2: _LOW, 3: _LOW}
_RATES = (44100, 48000, 32000)
_HEADERS = (b"Xing", b"Info", b"VBRI")


def count(path: str | os.PathLike) -> int | None:
    """The samples of an MPEG file; None if it tells them, is cut or has other bytes."""
    with files.opened(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, total = id3_length(file), 0
        while at + 4 <= len(data):
            found = _frame(data[at : at + 4])
            if found is None:
                rest = data[at : at + 8]
                tagged = rest.startswith((b"TAG", b"APETAGEX", b"ID3", b"LYRICSBE"))
                return total if total and tagged else None
            length, samples = found
            if not total and any(data[at : at + 64].find(name) >= 0 for name in _HEADERS):
                return None
            if at + length > len(data):
                return None  # cut within a frame
            at, total = at + length, total + samples
    return total or None


def _frame(head: bytes) -> tuple[int, int] | None:
    """Bytes and samples of the frame that begins so; None if none does."""
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if head[0] != 255 or head[1] < 224 or version == 1 or layer == 4:
        return None
    if bits in (0, 15) or rate == 3:
        return None
    speed = 1000 * (_ONE if version == 3 else _TWO)[layer][bits - 1]
    hertz = _RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    if layer == 1:
        return (12 * speed // hertz + padding) * 4, 384
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * speed // hertz + padding, samples
