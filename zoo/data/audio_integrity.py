"""Lengths of audio files by their own headers: which are truncated, which state no length.

libsndfile silently plays a truncated file up to its end, except flac, and guesses the length of an
MPEG file without a header by its first frame; recorders, stations and `ffmpeg -write_xing 0` omit
that header, and mp2 has none.

References:
  Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991 (RIFF).
  Apple, "Audio Interchange File Format", version 1.3, 1989, and "Core Audio Format Specification".
  EBU Tech 3306, "MBWF / RF64: an extended file format for audio", 2009.
  S. Pfeiffer, "The Ogg Encapsulation Format Version 0", RFC 3533, 2003.
"""

import mmap
import os
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from zoo import files

# From here on, lengths stand for unknown: of writers that cannot seek back.
_UNKNOWN = 0x7FFFF000
_UNKNOWN_64 = 2**62
_OGG_HEADER = 27
_OGG_LAST_PAGE = 4
_OGG_PAGE_LIMIT = 65307
_MP3_TAG_WITHIN = 8192
# Kilobits a second, by the layer of MPEG 1, and of MPEG 2 and 2.5.
_MPEG_1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_2 = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: _MPEG_LOW,
    3: _MPEG_LOW,
}
_MPEG_RATES = (44100, 48000, 32000)
_MPEG_HEADERS = (b"Xing", b"Info", b"VBRI")


class _Kind(NamedTuple):
    """Layout of a container made of chunks.

    Attributes:
      first: the offset of the first chunk.
      order: byte order of a length.
      name: bytes of a chunk's name, of which the first four count.
      length: bytes of its length.
      inclusive: whether the length includes the chunk's own head.
      align: chunks begin at multiples of it.
      data: the name of the chunk with the samples.
    """

    first: int = 12
    order: Literal["little", "big"] = "little"
    name: int = 4
    length: int = 4
    inclusive: bool = False
    align: int = 2
    data: bytes = b"data"


_KINDS = {
    b"RIFF": _Kind(),
    b"RF64": _Kind(),
    b"RIFX": _Kind(order="big"),
    b"FORM": _Kind(order="big", data=b"SSND"),
    b"caff": _Kind(first=8, order="big", length=8, align=1),
    b"riff": _Kind(first=40, name=16, length=8, inclusive=True, align=8),
}


class Chunk(NamedTuple):
    """A chunk of a file: its name, the offset of its contents and their stated length."""

    name: bytes
    start: int
    length: int


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a wav, RF64, W64, aiff or caf file, in order; none for other files."""
    file.seek(0)
    kind = _KINDS.get(file.read(4))
    if kind is None:
        return
    at, size = kind.first, file.seek(0, os.SEEK_END)
    head, whole = kind.name + kind.length, None
    while at + head <= size:
        file.seek(at)
        name = file.read(kind.name)[:4]
        length = int.from_bytes(file.read(kind.length), kind.order)
        length -= head if kind.inclusive else 0
        if name == b"ds64":
            # RF64: the length of the whole file, then that of the samples.
            file.seek(at + head + 8)
            whole = int.from_bytes(file.read(8), "little")
        if name == kind.data and whole is not None:
            length = whole
        yield Chunk(name, at + head, length)
        # A length below that of the head would be an endless loop.
        at += head + max(length, 0)
        at += -at % kind.align


def is_truncated(path: str | os.PathLike) -> bool:
    """Whether an audio file lacks its end, as far as that is known without decoding.

    Args:
      path: a file that can be read: wav and its variants, aiff, caf, au, ogg or mp3; False for
        other formats.
    """
    with files.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(4)
        if start in _KINDS:
            return _chunked(file, size, _KINDS[start])
        if start == b".snd":
            return _au(file, size)
        if start == b"OggS":
            return _ogg(file, size)
        return _mp3(file, size)


def _chunked(file: BinaryIO, size: int, kind: _Kind) -> bool:
    for chunk in chunks(file):
        if chunk.name == kind.data:
            unknown = chunk.length in range(_UNKNOWN, 2**32) or not 0 < chunk.length < _UNKNOWN_64
            return not unknown and chunk.start + chunk.length > size
    return False


def _au(file: BinaryIO, size: int) -> bool:
    """The offset of the samples and their length in bytes follow the magic."""
    start, length = (int.from_bytes(file.read(4), "big") for _ in range(2))
    return length < _UNKNOWN and start + length > size


def _ogg(file: BinaryIO, size: int) -> bool:
    """The last page must be marked as such, and be complete."""
    file.seek(max(size - _OGG_PAGE_LIMIT, 0))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < _OGG_HEADER:
        return True
    segments = page[_OGG_HEADER : _OGG_HEADER + page[26]]
    whole = _OGG_HEADER + page[26] + sum(segments)
    return not page[5] & _OGG_LAST_PAGE or len(page) < whole


def _mp3(file: BinaryIO, size: int) -> bool:
    """The tag that encoders put into the first frame may state the number of bytes."""
    begin = id3_length(file)
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
            # Encoders differ by up to a percent in what they count.
            return size - begin < 0.99 * length
    return False


def id3_length(file: BinaryIO) -> int:
    """The bytes of the tag (ID3v2) at the beginning of a file; 0 without one."""
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3":
        return 0
    # Four bytes of seven bits each.
    return 10 + sum(byte << (7 * (3 - i)) for i, byte in enumerate(head[6:10]))


def mpeg_length(path: str | os.PathLike) -> int | None:
    """The samples of an MPEG file by its frames; None if a header states them, or for damage."""
    with files.opened(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, total = id3_length(file), 0
        while at + 4 <= len(data):
            found = _mpeg_frame(data[at : at + 4])
            if found is None:
                rest = data[at : at + 8]
                tagged = rest.startswith((b"TAG", b"APETAGEX", b"ID3", b"LYRICSBE"))
                return total if total and tagged else None
            length, samples = found
            if not total and any(data[at : at + 64].find(name) >= 0 for name in _MPEG_HEADERS):
                return None
            if at + length > len(data):
                return None  # truncated within a frame
            at, total = at + length, total + samples
    return total or None


def _mpeg_frame(head: bytes) -> tuple[int, int] | None:
    """Bytes and samples of the frame with this header; None if it is not one."""
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if head[0] != 255 or head[1] < 224 or version == 1 or layer == 4:
        return None
    if bits in (0, 15) or rate == 3:
        return None
    speed = 1000 * (_MPEG_1 if version == 3 else _MPEG_2)[layer][bits - 1]
    hertz = _MPEG_RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    if layer == 1:
        return (12 * speed // hertz + padding) * 4, 384
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * speed // hertz + padding, samples
