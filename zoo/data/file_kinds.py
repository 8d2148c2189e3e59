"""Kinds of files, by their first bytes or their suffix: images, audio and weights.

References:
  DICOM PS3.10 2024, 7.1, and PS3.4, annex B (storage classes); NIfTI-1 and NIfTI-2,
  nifti.nimh.nih.gov; FITS 4.0, 4.4; A. Cheng et al., "MRC2014", Journal of Structural
  Biology 192, 2015.
  ISO/IEC 14496-12 (brands of ISO media files); ISO/IEC 23008-12 (HEIF); ISO/IEC 11172-3, 2.4.1.3
  and ISO/IEC 13818-7, 6.2 (frames of mp3 and aac); ID3v2, 3.1.
"""

import os
import re
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zoo import files
from zoo.errors import ZooError, listed

IMAGE, AUDIO, WEIGHTS = "image", "audio", "weights"

HEAD = 348
"""How many of a file's first bytes determine its kind."""

IMAGE_FORMATS = {
    ".png": "png",
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **dict.fromkeys((".bmp", ".dib"), "bmp"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    ".webp": "webp",
    **dict.fromkeys((".nii", ".nii.gz"), "nifti"),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), "dicom"),
    **dict.fromkeys((".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fits.fz", ".fz"), "fits"),
    **dict.fromkeys((".mrc", ".mrcs", ".mrc.gz", ".map", ".map.gz", ".rec", ".st", ".ali"), "mrc"),
    **dict.fromkeys((".npy", ".npz"), "npy"),
    **dict.fromkeys((".zarr", ".ome.zarr"), "zarr"),
}
"""Suffixes, in lower case, of images that are written, and the format of each."""

SCIENCE = frozenset({"nifti", "dicom", "fits", "mrc", "npy", "zarr"})
"""The formats of laboratories and hospitals, which `zoo.data.science` reads and writes."""

_RAW = "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2"
RAW_SUFFIXES = frozenset(f".{end}" for end in (*_RAW.split(), "srf", "srw", "x3f"))
"""Suffixes, in lower case, of raw files of cameras."""

# Other files have such suffixes too, so that only the content of one makes it an image.
_AMBIGUOUS = frozenset({".map", ".map.gz", ".rec", ".st", ".ali", ".npz", ".fz"})

IMAGE_SUFFIXES = (frozenset(IMAGE_FORMATS) - _AMBIGUOUS) | {
    *(".gif", ".mpo", ".heic", ".heif", ".hif", ".avif"),
    *(RAW_SUFFIXES - {".raw"}),
}
"""Suffixes, in lower case, of the images in a folder."""

SCIENCE_SUFFIXES = frozenset(end for end in IMAGE_SUFFIXES if IMAGE_FORMATS.get(end) in SCIENCE)
"""Those of them whose formats are in `SCIENCE`."""

PLAIN_SUFFIXES = IMAGE_SUFFIXES - SCIENCE_SUFFIXES
"""The others."""

AUDIO_FORMATS = {
    **{".wav": ("WAV", "PCM_16"), ".w64": ("W64", "PCM_16"), ".caf": ("CAF", "PCM_16")},
    **dict.fromkeys((".aif", ".aiff", ".aifc"), ("AIFF", "PCM_16")),
    **dict.fromkeys((".au", ".snd"), ("AU", "PCM_16")),
    **{".flac": ("FLAC", "PCM_16"), ".mp3": ("MP3", "MPEG_LAYER_III")},
    **dict.fromkeys((".ogg", ".oga"), ("OGG", "VORBIS")),
    ".opus": ("OGG", "OPUS"),
}
"""Suffixes, in lower case, of audio that is written: libsndfile's format and default subtype."""

MEDIA_FORMATS = {
    **dict.fromkeys((".m4a", ".m4b"), ("ipod", "aac")),
    **dict.fromkeys((".mp4", ".m4v"), ("mp4", "aac")),
    **{".mov": ("mov", "aac"), ".mkv": ("matroska", "aac"), ".mka": ("matroska", "flac")},
    ".webm": ("webm", "opus"),
}
"""Suffixes, in lower case, of audio and films that PyAV writes: FFmpeg's format, default codec."""

READ_ONLY_AUDIO = {
    **dict.fromkeys((".amr", ".mp2", ".wma"), ".wav"),
    **dict.fromkeys((".asf", ".avi", ".wmv"), ".mkv"),
    ".3gp": ".mp4",
    # Its stream has no room for its length and for where its first sample is.
    ".aac": ".m4a",
}
"""Suffixes, in lower case, of audio and films that are only read, and what they are written as."""

AUDIO_SUFFIXES = frozenset({*AUDIO_FORMATS, *MEDIA_FORMATS, *READ_ONLY_AUDIO})
"""Suffixes, in lower case, of the audio files in a folder."""

SUFFIXES = {IMAGE: IMAGE_SUFFIXES, AUDIO: AUDIO_SUFFIXES}
"""Suffixes, in lower case, by the kind of file."""

_SUFFIXES = {
    **{"png": ".png", "jpeg": ".jpg", "bmp": ".bmp", "tiff": ".tif", "webp": ".webp"},
    **{"nifti": ".nii", "dicom": ".dcm", "fits": ".fits", "mrc": ".mrc", "npy": ".npy"},
    **{"zarr": ".ome.zarr", "raw": ".tif"},
}
_DOUBLE = tuple(end for end in IMAGE_FORMATS if end.count(".") == 2)
# Metadata of Zarr 3 and of Zarr 2, a group or an array.
_OF_STORES = ("zarr.json", ".zgroup", ".zarray")
_PACKED = b"\x1f\x8b"
# Bytes of a gzip file that hold the first of its content, whatever name is in its header.
_PACKED_HEAD = 4096

UNFINISHED = ".unfinished"
"""Ending of the name of a Zarr store that is still being written."""

_CONVERT = "convert it to TIFF or PNG, and take that"
_ARRAYS = "save its images as TIFF, NIfTI or .npy, and take that"
_REPORT = (
    "a DICOM file without an image (a report, a plan, an index or the like); leave it out, and "
    "take the images of the study"
)
# Storage classes of DICOM without pixels below 1.2.840.10008: the index of a medium, waveforms,
# presentation states, raw data, references and registrations, reports, documents and plans.
_NO_PIXELS = rb"1\.3\.10|5\.1\.4\.1\.1\.(9\.|11\.|66(\.[12356])?\0|67|88|104|481\.[3-9])"


class _Signature(NamedTuple):
    """First bytes of a kind of file.

    Attributes:
      pattern: a regular expression for the beginning of the file.
      kind: `IMAGE`, `AUDIO`, `WEIGHTS`, or None for a kind that is not read.
      detail: the format of an image, the suffix to write audio with, the remedy where the kind is
        not read.
    """

    pattern: re.Pattern[bytes]
    kind: str | None
    detail: str = ""


def _table(*rows: tuple) -> tuple[_Signature, ...]:
    return tuple(_Signature(re.compile(row[0], re.DOTALL), *row[1:]) for row in rows)


# The first that matches counts: some raw files begin as TIFF files do.
_SIGNATURES = _table(
    (rb"RIFF.{4}WEBP", IMAGE, "webp"),
    (rb"II\*\0\x10\0\0\0CR|IIRO|IIRS|MMOR|IIU\0", IMAGE, "raw"),
    (rb"FUJIFILMCCD-RAW|\0MRM|FOVb|II\x1a\0\0\0HEAPCCDR|.{4}ftypcrx ", IMAGE, "raw"),
    (rb".{208}MAP[ \0]", IMAGE, "mrc"),
    (rb".{128}DICM.{,60}1\.2\.840\.10008\.(" + _NO_PIXELS + rb")", None, _REPORT),
    (rb".{128}DICM", IMAGE, "dicom"),
    # Without a preamble, as old scanners write them: a tag of group 2 or 8, its type or length.
    (rb"\x02\0(\0\0(UL|\x04\0\0\0)|[\1\2\3\x10]\0(OB|UI))", IMAGE, "dicom"),
    (rb"\x08\0(\0\0(UL|\x04\0\0\0)|[\1\5\x08\x12\x16]\0([A-Z]{2}|.\0\0\0))", IMAGE, "dicom"),
    (rb"8BPS", None, f"a Photoshop file, which is not read; {_CONVERT}"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", None, f"JPEG 2000, which is not read; {_CONVERT}"),
    (rb"\0\0\0\x0cJXL |\xff\x0a", None, f"JPEG XL, which is not read; {_CONVERT}"),
    (rb"II\xbc\x01", None, f"JPEG XR, which is not read; {_CONVERT}"),
    (rb"v/1\x01|#\?RADIANCE|#\?RGBE", None, f"an HDR file, which is not read; {_CONVERT}"),
    (rb"P[1-7][\n\r \t#]", None, f"a Netpbm file, which is not read; {_CONVERT}"),
    (rb"qoif|\0\0\x01\0|\x8aMNG", None, f"of a format that is not read; {_CONVERT}"),
    (rb"SIMPLE  =", IMAGE, "fits"),
    (rb"\x93NUMPY|PK\x03\x04.{26}[^\0/]*\.npy", IMAGE, "npy"),
    (rb"\x89HDF\r\n\x1a\n|CDF\x01", None, f"an HDF5 or netCDF file, which is not read; {_ARRAYS}"),
    (rb".{344}n\+1\0|.{4}n\+2\0\r\n\x1a\n", IMAGE, "nifti"),
    (
        rb".{344}ni1\0|.{4}ni2\0\r\n\x1a\n",
        None,
        "the header of a NIfTI pair, .hdr and .img; save it as one .nii, with nibabel or SPM",
    ),
    (rb"%PDF", None, f"a PDF document; extract its images, or {_CONVERT}"),
    (rb"<svg", None, f"an SVG drawing, which has no pixels; {_CONVERT}"),
    (
        rb"<!DOCTYPE html|<!doctype html|<html",
        None,
        "a web page, perhaps in place of an image that could not be fetched; fetch it again",
    ),
    (rb"\x89PNG\r\n\x1a\n", IMAGE, "png"),
    (rb"\xff\xd8\xff", IMAGE, "jpeg"),
    (rb"BM", IMAGE, "bmp"),
    (rb"GIF8[79]a", IMAGE, "gif"),
    # Little and big endian, classic and BigTIFF.
    (rb"II[*+]\0|MM\0[*+]", IMAGE, "tiff"),
    (rb"fLaC", AUDIO, ".flac"),
    (rb"OggS", AUDIO, ".ogg"),
    # The version is a small number, so that text beginning with ID3 does not match.
    (rb"ID3([\0-\x0f]|\Z)", AUDIO, ".mp3"),
    (rb"RIFF.{4}WAVE|FORM.{4}AIF[FC]", AUDIO, ".wav"),
    (rb"RF64|RIFX|\.snd|caff|riff\x2e\x91\xcf\x11", AUDIO, ".wav"),
    # Windows Media and AMR; Matroska and WebM, AVI.
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11|#!AMR", AUDIO, ".wav"),
    (rb"\x1a\x45\xdf\xa3|RIFF.{4}AVI ", AUDIO, ".mkv"),
    # A length in 8 bytes, then JSON.
    (rb".{5}\0{3}\{", WEIGHTS),
)
# Brands of ISO media files that hold images, and brands of any such file.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "heic"),
}
_ANY_BRAND = (b"mif1", b"msf1", b"miaf")
# Details of signatures of audio that may be the sound of a film.
_FILMS = (".mp4", ".mov", ".mkv")
# Of those that hold sound alone, and of QuickTime.
_SOUND_BRANDS = {b"M4A ": ".m4a", b"M4B ": ".m4b", b"qt  ": ".mov"}


def listed_suffixes(suffixes: Collection[str]) -> str:
    """Suffixes for a sentence: one of each format that is written, and how many more there are."""
    formats = [*IMAGE_FORMATS.items(), *AUDIO_FORMATS.items()]
    first = {form: suffix for suffix, form in reversed(formats) if suffix in suffixes}
    usual = sorted(first.values(), key=[suffix for suffix, _ in formats].index)
    return listed([*usual, *sorted(set(suffixes) - set(usual))], most=len(usual))


def image_format(head: bytes, name: str) -> str:
    """The format of an image file: of `SCIENCE`, or one of the names in the error, in lower case.

    Args:
      head: its first bytes, at least 16; what `head` returns gives better errors.
      name: of the file; its suffix distinguishes raw files that begin as TIFF files do.

    Raises:
      ZooError: it is empty, or has none of these formats.
    """
    kind, detail = _signature(head)
    if kind == IMAGE:
        return "raw" if detail == "tiff" and _is_raw(name) else detail
    reason = _refusal(head) or (
        "not png, jpeg, bmp, gif, tiff, webp, avif, heic, raw, DICOM, NIfTI, FITS, MRC, npy or "
        "Zarr; convert it to one of them, or leave it out"
    )
    raise ZooError(f"{name} is {reason}")


def is_store(path: str | os.PathLike) -> bool:
    """Whether a folder is a Zarr store, and so one file."""
    path = Path(path)
    if path.name.endswith(UNFINISHED):
        return False
    return any((path / name).is_file() for name in _OF_STORES)


def is_named_store(path: str | os.PathLike) -> bool:
    """Whether a path ends as those of Zarr stores do, which are folders."""
    return IMAGE_FORMATS.get(ending(path)) == "zarr"


def is_whole(path: str | os.PathLike) -> bool:
    """Whether a folder is not to be searched: a Zarr store, damaged or unfinished ones too."""
    path = Path(path)
    ends = (".zarr", f".zarr{UNFINISHED}")
    return path.name.lower().endswith(ends) or is_store(path)


def kind_of(path: str | os.PathLike) -> str | None:
    """The kind of a file by its content, and where that is unknown or empty, by its suffix.

    A damaged image thus still counts as an image, and its reader reports the damage.

    Returns:
      `IMAGE`, `AUDIO`, `WEIGHTS`, or None for anything else.

    Raises:
      ZooError: it cannot be read.
    """
    if os.path.isdir(path):
        check_store(path)
        return IMAGE
    kind, detail = _kind(_head(path))
    if detail == _REPORT:
        return None
    return kind or kind_of_suffix(path)


def changed(path: str | os.PathLike) -> float:
    """When a file was changed, in seconds; of a Zarr store its metadata, which is written first.

    Raises:
      OSError: it is not there.
    """
    places = [Path(path, name) for name in _OF_STORES] if os.path.isdir(path) else [Path(path)]
    return max(place.stat().st_mtime for place in places if place.is_file() or len(places) == 1)


def check_store(path: str | os.PathLike) -> None:
    """Refuses a folder that is no Zarr store.

    Raises:
      ZooError: it is another folder, or an unfinished or damaged store.
    """
    if is_store(path):
        return
    name = Path(path).name
    if name.endswith(UNFINISHED):
        raise ZooError(
            f"{path} is an unfinished output; finish it with the command that began it, or leave "
            "it out"
        )
    if name.lower().endswith(".zarr"):
        raise ZooError(
            f"{path} holds no metadata of Zarr ({', '.join(_OF_STORES)}); fetch it again"
        )
    raise ZooError(f"{path} is a folder; name files in it")


def kind_of_suffix(path: str | os.PathLike) -> str | None:
    """The kind of a file by its suffix alone, as `kind_of` returns it."""
    suffix = ending(path)
    if suffix in IMAGE_SUFFIXES:
        return IMAGE
    if suffix in AUDIO_SUFFIXES:
        return AUDIO
    return WEIGHTS if suffix == ".safetensors" else None


def description(path: str | os.PathLike) -> str:
    """Description and remedy of a file that is of no kind, as the end of a sentence.

    Raises:
      ZooError: it cannot be read.
    """
    return _refusal(_head(path)) or "neither an image nor audio; convert it, or leave it out"


def output_suffix(path: str | os.PathLike) -> str:
    """The suffix to write an image or audio file with so that it keeps the format of this one.

    Formats that are only read become .png, .wav or, of films, .mkv.

    Raises:
      ZooError: it cannot be read.
    """
    if is_store(path):
        return _SUFFIXES["zarr"]
    kind, detail = _kind(_head(path))
    if kind == IMAGE:
        return _SUFFIXES.get(detail, ".png")
    return detail if kind == AUDIO else ".wav"


def may_hold_video(path: str | os.PathLike) -> bool:
    """Whether a file begins as those do that hold video, or audio alone.

    Raises:
      ZooError: it cannot be read.
    """
    return not os.path.isdir(path) and _kind(_head(path))[1] in _FILMS


def ending(path: str | os.PathLike) -> str:
    """The suffix in lower case, both parts of one such as `.nii.gz`; empty where there is none."""
    name = Path(path).name.lower()
    for double in _DOUBLE:
        if name.endswith(double) and name != double:
            return double
    return Path(path).suffix.lower()


def with_ending(path: Path, suffix: str) -> Path:
    """A path with another suffix in the place of its own, which may be one such as `.nii.gz`."""
    return path.with_name(path.name[: len(path.name) - len(ending(path))] + suffix)


def head(file: BinaryIO) -> bytes:
    """The first bytes of an open file, at most `HEAD`; of a packed NIfTI, FITS or MRC unpacked.

    The file's position is the beginning again.
    """
    data = file.read(_PACKED_HEAD)
    file.seek(0)
    if data.startswith(_PACKED):
        try:
            inner = zlib.decompressobj(31).decompress(data, HEAD)
        except zlib.error:
            inner = b""
        if _signature(inner)[1] in ("nifti", "fits", "mrc"):
            return inner
    return data[:HEAD]


def _head(path: str | os.PathLike) -> bytes:
    with files.opened(path) as file:
        return head(file)


def _refusal(head: bytes) -> str:
    """Description and remedy of a file that is empty or of a kind that is not read; else empty."""
    if not head:
        return "empty; fetch it again"
    kind, detail = _signature(head)
    return detail if kind is None else ""


def _is_raw(path: str | os.PathLike) -> bool:
    """Whether the suffix is that of cameras' raw files, most of which begin as TIFF files do."""
    return Path(path).suffix.lower() in RAW_SUFFIXES


def _kind(head: bytes) -> tuple[str | None, str]:
    """As `_signature`, but text that begins with BM is not an image."""
    kind, detail = _signature(head)
    # The offset of the pixels and the length of the header are small numbers of 32 bits.
    if detail == "bmp" and not (head[13:14] == b"\0" and head[15:16] in (b"", b"\0")):
        return None, ""
    return kind, detail


def _signature(head: bytes) -> tuple[str | None, str]:
    """Kind and detail of the signature that matches."""
    if head[4:8] == b"ftyp":
        end = max(min(int.from_bytes(head[:4], "big"), len(head)), 16)
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
        found = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        if found or brands[0] in _ANY_BRAND:
            return IMAGE, found[0] if found else "heic"
        if brands[0] == b"crx ":
            return IMAGE, "raw"
        return AUDIO, _SOUND_BRANDS.get(brands[0], ".mp4")
    for signature in _SIGNATURES:
        if signature.pattern.match(head):
            return signature.kind, signature.detail
    return (AUDIO, ".mp3") if _is_mpeg_frame(head) else (None, "")


def _is_mpeg_frame(head: bytes) -> bool:
    """Whether an mp3 or aac file without a tag begins here.

    Eleven bits of one; then neither version, layer nor rates may have a reserved value, so that a
    byte order mark of UTF-16 does not match.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if layer == 0:
        # AAC: version and layer as in no other format, and a rate that exists.
        return head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer in (1, 2) and bit_rate != 15 and sample_rate != 3
