"""Limits of the page on files and numbers, and its lines on errors."""

import os
import re
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import tifffile

from zoo import files
from zoo.app.jobs import Stopped
from zoo.data import audio_files, file_kinds, image_decoding, raw_photos
from zoo.errors import ZooError, is_out_of_memory

MOST_BYTES = 2**30
"""Largest upload."""

VISIT_BYTES = 3 * 2**30
"""All files of a visit: uploads and results of each tab."""

SERVER_BYTES = 2**34
"""All files of all visits."""

FREE_BYTES = 2**30
"""Left free on the disk."""

MOST_VISITS = 500
"""At once; empty ones make room for new ones."""

MOST_EVENTS = 128
"""Waiting events of Gradio."""

MOST_CONNECTIONS = 256
"""At once, of all visitors; a page holds two or three."""

MOST_PIXELS = 64_000_000
"""Of an image file, over all its pages."""

MOST_PAGES = 1000
"""Of an image file."""

MOST_DECODED = 400_000_000
"""Bytes of one page of an image file, decoded; the work on it takes a multiple."""

MOST_SAMPLES = 2**30
"""Of audio, over all its channels; a compressed file of a few bytes may claim any number."""

TRIAL_PIXELS = 8_000_000
"""Of an image that noise is added to: it is held as floats, several times."""

TRIAL_SECONDS = 600
"""Of an audio file that noise is added to."""

TRIAL_SAMPLES = TRIAL_SECONDS * 48000 * 2
"""Of an audio file that noise is added to, over all its channels."""

_PAGE = "this page takes; use zoo denoise, which takes any size"
_TRIAL = "a test with noise takes; take a part of it, or use zoo noise and zoo denoise"


def plain(name: str) -> str:
    """The last part of a path as a file name, without control characters."""
    name = re.split(r"[/\\]", name)[-1]
    stem, suffix = os.path.splitext("".join(one for one in name if one.isprintable()).strip(" ."))
    # File systems hold names of 255 bytes, and the names of results are longer.
    stem, suffix = (
        part.encode()[:most].decode(errors="ignore") for part, most in ((stem, 120), (suffix, 16))
    )
    return stem + suffix or "file"


def number(value: object, low: float, high: float, what: str) -> float:
    """The value of a slider.

    Raises:
      ZooError: it is not a number from `low` to `high`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ZooError(f"{what} is from {low:g} to {high:g}; move its slider")
    return float(value)


def check_image(path: Path) -> None:
    """Refuses an image file that is too large for the page.

    Raises:
      ZooError: it has too many pixels, or takes too much memory.
    """
    _check_pixels(path, MOST_PIXELS, _PAGE)


def check_recording(path: Path) -> None:
    """Refuses an audio file that is too long for the page.

    Raises:
      ZooError: it is too long, or not an audio file.
    """
    _check_samples(path, MOST_SAMPLES, _PAGE)


def check_trial(path: Path, modality: str) -> None:
    """Refuses a file that is too large for a test with noise.

    Args:
      path: the file.
      modality: `"image"` or `"audio"`.

    Raises:
      ZooError: it has too many pixels or is too long.
    """
    if modality == "image":
        _check_pixels(path, TRIAL_PIXELS, _TRIAL)
        return
    facts = audio_files.info(path)
    if facts.frames > TRIAL_SECONDS * facts.sample_rate:
        raise ZooError(
            f"{path.name} is longer than the {TRIAL_SECONDS // 60} minutes that {_TRIAL}"
        )
    _check_samples(path, TRIAL_SAMPLES, _TRIAL)


def _check_samples(path: Path, most: int, remedy: str) -> None:
    facts = audio_files.info(path)
    if facts.frames * facts.channels > most:
        raise ZooError(
            f"{path.name} has more than the {most // 10**6} million samples that {remedy}"
        )


def _check_pixels(path: Path, most: int, remedy: str) -> None:
    """Refuses an image file by its header, before anything is decoded.

    Raises:
      ZooError: it has too many pixels, or takes too much memory.
    """
    with files.opened(path) as file:
        head = file_kinds.head(file)
    if file_kinds.image_format(head, path.name) in file_kinds.SCIENCE:
        raise ZooError(
            f"{path.name} is a measurement, and this page takes photographs; take zoo denoise "
            "for it"
        )
    pixels = count = 0
    for size, depth in _pages(path):
        pixels, count = pixels + size, count + 1
        if pixels > most:
            raise ZooError(
                f"{path.name} has more than the {most // 10**6} million pixels that {remedy}"
            )
        if count > MOST_PAGES:
            raise ZooError(f"{path.name} has more than the {MOST_PAGES} pages that {_PAGE}")
        if size * depth > MOST_DECODED:
            raise ZooError(
                f"{path.name} takes more than the {MOST_DECODED // 10**6} MB of memory that {_PAGE}"
            )


def _pages(path: Path) -> Iterator[tuple[int, int]]:
    """For each page of an image file, its pixels, and the bytes of one pixel decoded.

    Ends at the first page that cannot be read; reading the whole file reports the fault better.
    """
    with suppress(Exception), files.opened(path) as file:
        head = file.read(file_kinds.HEAD)
        kind = file_kinds.image_format(head, path.name)
        file.seek(0)
        if kind == "png":
            # Pillow does not report the depth of colors. Types 4 and 6 have alpha, 3 a palette.
            width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
            channels = {0: 2, 4: 2}.get(head[25], 4)
            yield width * height, channels * (2 if head[24] == 16 else 1)
        elif kind == "webp":
            width, height = _webp_size(head)
            yield width * height, 4
        elif kind == "raw":
            with raw_photos.opened(file, path.name) as raw:
                yield raw.sizes.width * raw.sizes.height, 6
        elif kind == "tiff":
            with tifffile.TiffFile(path) as tiff:
                for page in tiff.pages:
                    samples = max(int(page.samplesperpixel), 3 if page.photometric == 3 else 1)
                    depth = -(-int(page.bitspersample) // 8)
                    yield int(page.imagewidth) * int(page.imagelength), samples * depth
        else:
            width, height = image_decoding.opened(file, kind, path.name).size
            # Of 16 bits and with alpha, at most.
            yield width * height, 8 if kind in ("avif", "heic") else 4


def _webp_size(head: bytes) -> tuple[int, int]:
    """The sides by the first chunk (RFC 9649), as Pillow would read all and allocate the canvas."""
    if head[12:16] == b"VP8X":
        return tuple(int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    if head[12:16] == b"VP8L":
        sides = int.from_bytes(head[21:25], "little")
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    return tuple(int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))


def explain(error: BaseException, path: Path | None = None) -> str:
    """One line on an error: the user's mistake and its remedy, or that the fault is the page's.

    Args:
      error: the exception.
      path: the visitor's file, of which only the name is shown.
    """
    if isinstance(error, Stopped):
        return "Stopped."
    if isinstance(error, ZooError):
        line = str(error)
        return line if path is None else line.replace(str(path), path.name)
    if is_out_of_memory(error):
        return "That does not fit into memory; take something smaller."
    traceback.print_exception(error)
    return "Something went wrong that is not your fault; the terminal shows the details."
