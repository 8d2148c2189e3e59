"""What is too large for the page, and how errors read on it."""

import os
import re
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import tifffile

from zoo import files
from zoo.app.jobs import Stopped
from zoo.data import audio_files, file_kinds, image_decoding
from zoo.errors import ZooError, is_out_of_memory

MOST_BYTES = 2**30
"""Of an upload."""

VISIT_BYTES = 3 * 2**30
"""Of all files of a visit: for each tab what was brought and what came of it."""

SERVER_BYTES = 2**34
"""Of all files of all visits."""

FREE_BYTES = 2**30
"""Left free on the disk, whatever is brought."""

MOST_VISITS = 500
"""At once; those with nothing in them make room for new ones."""

MOST_EVENTS = 128
"""Of Gradio's that wait."""

MOST_CONNECTIONS = 256
"""At once, of all visitors; a page has two or three."""

MOST_PIXELS = 64_000_000
"""Of a picture, over all its pages."""

MOST_PAGES = 1000
"""Of a picture."""

MOST_DECODED = 400_000_000
"""Bytes of one page of a picture, decoded; the work on it takes some times as much."""

MOST_SAMPLES = 2**30
"""Of a recording, over all its channels; a compressed file of a few bytes may say any number."""

TRIAL_PIXELS = 8_000_000
"""Of a picture that noise is added to: it is held as floats, several times."""

TRIAL_SECONDS = 600
"""Of a recording that noise is added to."""

TRIAL_SAMPLES = TRIAL_SECONDS * 48000 * 2
"""Of a recording that noise is added to, over all its channels."""

_PAGE = "this page takes; use zoo denoise, which takes any size"
_TRIAL = "a test with noise takes; take a part of it, or use zoo noise and zoo denoise"


def plain(name: str) -> str:
    """A file's name as the last part of a path, without what a terminal or a browser would obey."""
    name = re.split(r"[/\\]", name)[-1]
    stem, suffix = os.path.splitext("".join(one for one in name if one.isprintable()).strip(" ."))
    # File systems hold names of 255 bytes, and the names of results are longer.
    stem, suffix = (
        part.encode()[:most].decode(errors="ignore") for part, most in ((stem, 120), (suffix, 16))
    )
    return stem + suffix or "file"


def number(value: object, low: float, high: float, what: str) -> float:
    """A number that a slider gives.

    Raises:
      ZooError: it is none between these, ends included.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ZooError(f"{what} is from {low:g} to {high:g}; move its slider")
    return float(value)


def check(path: Path) -> None:
    """Refuses a picture that is too large for the page.

    Raises:
      ZooError: it has too many pixels, or takes too much memory.
    """
    _check_pixels(path, MOST_PIXELS, _PAGE)


def check_recording(path: Path) -> None:
    """Refuses a recording that is too long for the page.

    Raises:
      ZooError: it is, or it is none.
    """
    _check_samples(path, MOST_SAMPLES, _PAGE)


def check_trial(path: Path, form: str) -> None:
    """Refuses what is too large for noise to be added to it.

    Args:
      path: the file.
      form: `"image"` or `"audio"`.

    Raises:
      ZooError: it has too many pixels or is too long.
    """
    if form == "image":
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
    """Refuses a picture by what its header says, before anything is decoded.

    Raises:
      ZooError: it has too many pixels, or takes too much memory.
    """
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
    """Pixels of each page of a picture file, and bytes that one of them takes decoded.

    It ends where the file cannot be read: whoever reads the whole of it, by the same libraries,
    says better what is wrong with it.
    """
    with suppress(Exception):
        yield from _headers(path)


def _headers(path: Path) -> Iterator[tuple[int, int]]:
    with files.opened(path) as file:
        head = file.read(file_kinds.HEAD)
    kind = file_kinds.image_format(head, path.name)
    if kind == "png":
        # Pillow does not tell the depth of colours. Their kind: 4 and 6 have alpha, 3 a palette.
        width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
        channels = {0: 2, 4: 2}.get(head[25], 4)
        yield width * height, channels * (2 if head[24] == 16 else 1)
    elif kind == "tiff":
        with tifffile.TiffFile(path) as tiff:
            for page in tiff.pages:
                samples = max(int(page.samplesperpixel), 3 if page.photometric == 3 else 1)
                depth = -(-int(page.bitspersample) // 8)
                yield int(page.imagewidth) * int(page.imagelength), samples * depth
    else:
        width, height = image_decoding.opened(files.read(path), kind, path.name).size
        # Of 16 bits and with alpha, at most.
        yield width * height, 8 if kind in ("avif", "heic") else 4


def told(error: BaseException, path: Path | None = None) -> str:
    """One line on an error: what a user mended it by, or that it is ours.

    Args:
      error: what was raised.
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
    return "Something went wrong that is not your fault; the terminal says what."


def kind(error: BaseException) -> str:
    """How a line on an error looks: "soft" where it is none."""
    return "soft" if isinstance(error, Stopped) else "error"
