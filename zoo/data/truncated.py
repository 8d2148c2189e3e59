"""Whether an audio file is shorter than it says.

libsndfile plays a cut wav, ogg or mp3 file to where it ends without a word, so their own notes of
their length are read here. A cut flac file it notices itself.

References:
  Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991 (RIFF).
  S. Pfeiffer, "The Ogg Encapsulation Format Version 0", RFC 3533, 2003.
"""

import os
from typing import BinaryIO

from zoo import files

# What a writer that cannot go back notes for the length it does not know.
_UNKNOWN = 0x7FFFF000
_OGG_HEADER = 27
_OGG_LAST_PAGE = 4
_OGG_PAGE_LIMIT = 65307
_MP3_TAG_WITHIN = 8192


def is_truncated(path: str | os.PathLike) -> bool:
    """Whether a wav, ogg or mp3 file lacks its end, as far as it can be known without decoding.

    Args:
      path: a file that can be read; of another format nothing is known.
    """
    with files.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(4)
        if start == b"RIFF":
            return _riff(file, size)
        if start == b"OggS":
            return _ogg(file, size)
        return _mp3(file, size)


def _riff(file: BinaryIO, size: int) -> bool:
    at = 12
    while at + 8 <= size:
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], "little")
        at += 8
        if chunk[:4] == b"data":
            return 0 < length < _UNKNOWN and at + length > size
        at += length + length % 2
    return False


def _ogg(file: BinaryIO, size: int) -> bool:
    """The last page must be marked as such, and be whole."""
    file.seek(max(size - _OGG_PAGE_LIMIT, 0))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < _OGG_HEADER:
        return True
    segments = page[_OGG_HEADER : _OGG_HEADER + page[26]]
    whole = _OGG_HEADER + page[26] + sum(segments)
    return not page[5] & _OGG_LAST_PAGE or len(page) < whole


def _mp3(file: BinaryIO, size: int) -> bool:
    """The tag that encoders put into the first frame may say how many bytes there are."""
    file.seek(0)
    head = file.read(10)
    begin = 0
    if head[:3] == b"ID3":
        # Four bytes of seven bits each.
        begin = 10 + sum(byte << (7 * (3 - i)) for i, byte in enumerate(head[6:10]))
    file.seek(begin)
    frame = file.read(_MP3_TAG_WITHIN)
    if frame[:1] != b"\xff":
        return False
    for mark in (b"Xing", b"Info"):
        at = frame.find(mark, 0, 64)
        if at >= 0:
            flags = int.from_bytes(frame[at + 4 : at + 8], "big")
            field = at + 8 + (4 if flags & 1 else 0)
            length = int.from_bytes(frame[field : field + 4], "big") if flags & 2 else 0
            # A percent less may be another encoder's way to count.
            return size - begin < 0.99 * length
    return False
