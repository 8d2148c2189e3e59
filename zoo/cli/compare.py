"""Scores of a noisy file and its denoised version against a clean reference."""

import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from zoo import files, metrics
from zoo.cli.job_plan import Job
from zoo.data import audio_files, file_kinds, pixels
from zoo.errors import ZooError

# Rows of an image compared at a time, so that memory stays flat.
_ROWS = 512


def find(reference: str | None, job: Job) -> Path | None:
    """The reference of a job.

    In a folder it has the relative path of the output, or its name, with any suffix.

    Args:
      reference: a file, or a folder; None gives None.
      job: the job.

    Raises:
      ZooError: there is none.
    """
    if reference is None:
        return None
    path = files.expanded(reference)
    if not path.is_dir():
        return path
    for place in (job.place, Path(job.place.name)):
        if (path / place).is_file():
            return path / place
        known = file_kinds.SUFFIXES[job.kind]
        for end in sorted(known | {one.upper() for one in known}):
            if (other := file_kinds.with_ending(path / place, end)).is_file():
                return other
    raise ZooError(f"there is no reference of {job.source} in {reference}; put it there")


def images(reference: np.ndarray, noisy: np.ndarray, denoised: np.ndarray) -> str:
    """PSNR and SSIM before and after, in a line.

    Args:
      reference: `(H, W, C)`, any dtype of an image; alpha is left out.
      noisy: of the same size, any dtype.
      denoised: likewise.

    Raises:
      ZooError: the sizes differ.
    """
    figures = [_of_images(reference, one) for one in (noisy, denoised)]
    (psnr, ssim), (better, closer) = figures
    text = f"PSNR {psnr:.2f} to {better:.2f} dB"
    return text if ssim is None else f"{text}, SSIM {ssim:.4f} to {closer:.4f}"


def audio(reference: Path, noisy: Path, denoised: Path) -> str:
    """SI-SDR before and after, in a line, the mean over the channels.

    Raises:
      ZooError: a file cannot be read, or they are of several rates, lengths or channels.
    """
    facts = [audio_files.info(path) for path in (reference, noisy, denoised)]
    if len({(one.sample_rate, one.channels, one.frames) for one in facts}) > 1:
        raise ZooError(
            f"{reference} and {noisy} differ in rate, channels or length; use the clean original"
        )
    clean, before, after = (audio_files.read(path) for path in (reference, noisy, denoised))
    figures = [float(metrics.si_sdr(jnp.asarray(x), jnp.asarray(clean))) for x in (before, after)]
    return f"SI-SDR {figures[0]:.2f} to {figures[1]:.2f} dB"


def _of_images(reference: np.ndarray, other: np.ndarray) -> tuple[float, float | None]:
    if reference.shape[:2] != other.shape[:2]:
        sizes = " and ".join(f"{x.shape[1]} x {x.shape[0]}" for x in (reference, other))
        raise ZooError(f"the reference and the image have {sizes} pixels; use the clean original")
    channels = 1 if other.shape[-1] <= 2 else 3
    height, width = other.shape[:2]
    windows = (height - metrics.WINDOW + 1) * (width - metrics.WINDOW + 1)
    error = similarity = 0.0
    for top in range(0, height, _ROWS):
        # Windows that begin in these rows; those of the last ones end below.
        bottom = min(top + _ROWS + metrics.WINDOW - 1, height)
        strips = (pixels.to_channels(x[top:bottom], channels) for x in (reference, other))
        a, b = map(pixels.to_float, strips)
        error += float(np.sum(np.square(a[:_ROWS].astype(np.float64) - b[:_ROWS])))
        if min(a.shape[:2]) >= metrics.WINDOW:
            # Strips but the last have one shape, and so one program.
            places = metrics.ssim_map(jnp.asarray(a), jnp.asarray(b), data_range=1.0)
            similarity += float(np.asarray(places, np.float64).sum()) / channels
    mse = error / (height * width * channels)
    psnr = math.inf if mse == 0 else -10 * math.log10(mse)
    return psnr, similarity / windows if min(height, width) >= metrics.WINDOW else None
