"""The kind of a file, an image, a recording or weights, by its first bytes."""

import os
from pathlib import Path

from zoo import files
from zoo.data import decoding, images, recordings, tiffs

IMAGE, RECORDING, WEIGHTS = "image", "recording", "weights"
MODALITIES = {IMAGE: "image", RECORDING: "audio"}
"""Modalities by the kinds of files that are denoised."""

# The endings of formats that can be written; of recordings by their first bytes.
_ENDINGS = {"png": ".png", "jpeg": ".jpg", "bmp": ".bmp", "tiff": ".tif", "webp": ".webp"}
_OF_RECORDINGS = {b"fLaC": ".flac", b"OggS": ".ogg"}
# What libsndfile reads, whether or not the zoo can write it.
_RECORDINGS = (
    b"fLaC",
    b"OggS",
    b"RF64",
    b"RIFX",
    b".snd",
    b"caff",
    b"riff\x2e\x91\xcf\x11",
    # What PyAV reads: Matroska and WebM, Windows Media, AMR.
    b"\x1a\x45\xdf\xa3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"#!AMR",
)
# Brands of MP4 and its kin that are of pictures (ISO/IEC 23008-12).
_IMAGE_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
_IMAGE_BRANDS += (b"crx ",)
# Files that hold others, by the word at their ninth byte.
_HELD = {
    (b"RIFF", b"WAVE"): RECORDING,
    (b"RIFF", b"AVI "): RECORDING,
    (b"FORM", b"AIFF"): RECORDING,
    (b"FORM", b"AIFC"): RECORDING,
}


def named(kind: str) -> str:
    """A kind with its article: `an image`."""
    return f"an {kind}" if kind == IMAGE else f"a {kind}"


def kind(path: str | os.PathLike) -> str | None:
    """The kind by the content, or by the suffix where that is inconclusive or empty.

    So a damaged image still is one, and its reader can name the damage.

    Args:
      path: a file.

    Returns:
      `IMAGE`, `RECORDING`, `WEIGHTS`, or None for anything else.

    Raises:
      ZooError: it cannot be read.
    """
    with files.opened(path) as file:
        head = file.read(decoding.HEAD)
    found = _by_content(head)
    if found == IMAGE and _is_raw(path):
        return None
    return found or by_suffix(path)


def by_suffix(path: str | os.PathLike) -> str | None:
    """The kind by the suffix alone."""
    suffix = Path(path).suffix.lower()
    if suffix in images.SUFFIXES:
        return IMAGE
    if suffix in recordings.SUFFIXES:
        return RECORDING
    return WEIGHTS if suffix == ".safetensors" else None


def other(path: str | os.PathLike) -> str:
    """A file of another kind, and the remedy, as the end of a sentence.

    Raises:
      ZooError: it cannot be read.
    """
    with files.opened(path) as file:
        head = file.read(decoding.HEAD)
    if not head:
        return "empty; fetch it again"
    hint = tiffs.DEVELOP if _is_raw(path) else decoding.foreign(head)
    return hint or "no image and no recording; convert it, or leave it out"


def ending(path: str | os.PathLike) -> str:
    """The ending that a picture or a recording of this file's format is written with.

    Of what is only read, .png or .wav.

    Raises:
      ZooError: it cannot be read.
    """
    with files.opened(path) as file:
        head = file.read(decoding.HEAD)
    if _by_content(head) == IMAGE:
        return _ENDINGS.get(decoding.sniffed(head), ".png")
    if _is_tagged(head) or _is_mpeg_frame(head):
        return ".mp3"
    return _OF_RECORDINGS.get(head[:4], ".wav")


def _is_raw(path: str | os.PathLike) -> bool:
    """Whether it is named as cameras' raw files are, which begin as TIFF files do."""
    return Path(path).suffix.lower() in decoding.RAW_SUFFIXES


def _by_content(head: bytes) -> str | None:
    form = decoding.sniffed(head)
    if form and (form != "bmp" or _is_bmp(head)):
        return IMAGE
    if head.startswith(_RECORDINGS) or _is_tagged(head) or _is_mpeg_frame(head):
        return RECORDING
    if head[4:8] == b"ftyp" and head[8:12] not in _IMAGE_BRANDS:
        return RECORDING
    # A length in 8 bytes, and then JSON.
    if head[8:9] == b"{" and head[5:8] == b"\0\0\0":
        return WEIGHTS
    return _HELD.get((head[:4], head[8:12]))


def _is_bmp(head: bytes) -> bool:
    """Whether it is no text that begins with BM.

    Where the pixels begin, and how long the header is, are small numbers of 32 bits.
    """
    return head[:2] == b"BM" and head[13:14] == b"\0" and head[15:16] in (b"", b"\0")


def _is_tagged(head: bytes) -> bool:
    """Whether it is no text that begins with ID3: the version is a small number (ID3v2, 3.1)."""
    return head[:3] == b"ID3" and head[3:4] < b"\x10"


def _is_mpeg_frame(head: bytes) -> bool:
    """Whether an mp3 or aac file begins here without a tag (ISO/IEC 11172-3, 2.4.1.3).

    Eleven bits of one; then neither the version, nor the layer, nor the rates may be a reserved
    one. So no mark of UTF-16 is taken for sound.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if layer == 0:
        # AAC (ISO/IEC 13818-7, 6.2): version and layer as in no other, and a rate that exists.
        return head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer in (1, 2) and bit_rate != 15 and sample_rate != 3
