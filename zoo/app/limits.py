"""What is too large for the page, and how errors read on it."""

import traceback
import warnings
from pathlib import Path

from zoo.app.jobs import Stopped
from zoo.data import recordings
from zoo.errors import ZooError

MOST_BYTES = 2**30
"""Of an upload."""

MOST_PIXELS = 64_000_000
"""Of a picture, over all its pages."""

TRIAL_PIXELS = 8_000_000
"""Of a picture that noise is added to: it is held as floats, several times."""

TRIAL_SECONDS = 600
"""Of a recording that noise is added to."""


_TRIAL = "a test with noise takes; take a part of it, or use zoo noise and zoo denoise"


def check(path: Path) -> None:
    """Refuses a picture that is too large for the page.

    Raises:
      ZooError: it has too many pixels.
    """
    _check_pixels(path, MOST_PIXELS, "this page takes; use zoo denoise, which takes any size")


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
    facts = recordings.info(path)
    if facts.frames > TRIAL_SECONDS * facts.sample_rate:
        raise ZooError(
            f"{path.name} is longer than the {TRIAL_SECONDS // 60} minutes that {_TRIAL}"
        )


def _check_pixels(path: Path, most: int, remedy: str) -> None:
    """Refuses a picture by what its header says, before anything is decoded.

    Raises:
      ZooError: it has too many pixels.
    """
    from PIL import Image  # noqa: PLC0415, only pictures need it

    size = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                size = image.size[0] * image.size[1] * getattr(image, "n_frames", 1)
        except Image.DecompressionBombError:
            size = most + 1
        except Exception:
            # Whoever reads the whole file can say better what is wrong with it.
            return
    if size > most:
        raise ZooError(
            f"{path.name} has more than the {most // 10**6} million pixels that {remedy}"
        )


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
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "That does not fit into memory; take something smaller."
    traceback.print_exception(error)
    return "Something went wrong that is not your fault; the terminal says what."


def kind(error: BaseException) -> str:
    """How a line on an error looks: "soft" where it is none."""
    return "soft" if isinstance(error, Stopped) else "error"
