"""Whether an audio file is shorter than it says.

libsndfile plays a cut file to where it ends without a word, so the files' own notes of their length
are read here. A cut flac file it notices itself.

References:
  Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991 (RIFF).
  Apple, "Audio Interchange File Format", version 1.3, 1989, and "Core Audio Format Specification".
  EBU Tech 3306, "MBWF / RF64: an extended file format for audio", 2009.
  S. Pfeiffer, "The Ogg Encapsulation Format Version 0", RFC 3533, 2003.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from zoo import files

# What a writer that cannot go back notes for the length it does not know, and what is more.
_UNKNOWN = 0x7FFFF000
_UNKNOWN_64 = 2**62
_OGG_HEADER = 27
_OGG_LAST_PAGE = 4
_OGG_PAGE_LIMIT = 65307
_MP3_TAG_WITHIN = 8192


class _Kind(NamedTuple):
    """How a container made of chunks is laid out.

    Attributes:
      first: where the first chunk begins.
      order: of the bytes of a length.
      name: bytes of a chunk's name; the first four tell it.
      length: bytes of its length.
      inclusive: whether the length counts the chunk's own head.
      align: what chunks begin at a multiple of.
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
    """A chunk of a file: its name, where its contents begin and how long they say they are."""

    name: bytes
    start: int
    length: int


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a wav, RF64, W64, aiff or caf file, in turn; of other files none."""
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
            # RF64: here is the whole file's length, and then that of the samples.
            file.seek(at + head + 8)
            whole = int.from_bytes(file.read(8), "little")
        if name == kind.data and whole is not None:
            length = whole
        yield Chunk(name, at + head, length)
        # A chunk that claims less than its head would be read for ever.
        at += head + max(length, 0)
        at += -at % kind.align


def is_truncated(path: str | os.PathLike) -> bool:
    """Whether an audio file lacks its end, as far as it can be known without decoding.

    Args:
      path: a file that can be read: wav and its kin, aiff, caf, au, ogg or mp3; of another format
        nothing is known.
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
    """Where the samples begin and how many bytes they are, after the mark."""
    start, length = (int.from_bytes(file.read(4), "big") for _ in range(2))
    return length < _UNKNOWN and start + length > size


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
            # A percent less may be another encoder's way to count.
            return size - begin < 0.99 * length
    return False


def id3_length(file: BinaryIO) -> int:
    """The bytes of the tag (ID3v2) that a file begins with; 0 where there is none."""
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3":
        return 0
    # Four bytes of seven bits each.
    return 10 + sum(byte << (7 * (3 - i)) for i, byte in enumerate(head[6:10]))
