"""What a recording is, on the host and in a file."""

from typing import NamedTuple

import numpy as np

from zoo.data import samples
from zoo.data.samples import MOST_CHANNELS
from zoo.errors import ZooError

FORMATS = {
    **{".wav": ("WAV", "PCM_16"), ".w64": ("W64", "PCM_16"), ".caf": ("CAF", "PCM_16")},
    **dict.fromkeys((".aif", ".aiff", ".aifc"), ("AIFF", "PCM_16")),
    **dict.fromkeys((".au", ".snd"), ("AU", "PCM_16")),
    **{".flac": ("FLAC", "PCM_16"), ".mp3": ("MP3", "MPEG_LAYER_III")},
    **dict.fromkeys((".ogg", ".oga"), ("OGG", "VORBIS")),
    ".opus": ("OGG", "OPUS"),
}
"""The endings of files that are written, each with libsndfile's name of the format and the usual
coding."""

READ_ONLY = frozenset(
    {".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".aac", ".wma", ".wmv", ".asf", ".webm"}
    | {".mkv", ".mka", ".avi", ".mp2", ".amr"}
)
"""The endings of files that are only read; what is made of them is wav."""

SUFFIXES = frozenset({*FORMATS, *READ_ONLY})
"""The endings, in lower case, by which a folder's recordings are told from its other files."""

LOUDEST = 32.0
"""The largest magnitude of a float recording; beyond it the values are no signal in [-1, 1]."""


class Info(NamedTuple):
    """What a file says of its recording.

    Attributes:
      sample_rate: samples a second.
      channels: how many.
      frames: samples of each channel.
      subtype: how a sample is coded, in libsndfile's words: `"PCM_16"`, `"FLOAT"`, `"VORBIS"`.
      format: the container: `"WAV"` or its kin `"WAVEX"` and `"RF64"`, `"FLAC"`, `"OGG"`, `"MP3"`.
    """

    sample_rate: int
    channels: int
    frames: int
    subtype: str
    format: str

    def length(self, sample_rate: int | None = None) -> int:
        """Samples of each channel after resampling; None for the file's own rate."""
        rate = sample_rate or self.sample_rate
        return samples.resampled_length(self.frames, self.sample_rate, rate)


def check(x: np.ndarray, name: str) -> np.ndarray:
    """Refuse an array that is no recording.

    Args:
      x: what was read or computed.
      name: what to call it in the error.

    Returns:
      `x` itself, or as float32 if it was float16 or float64.

    Raises:
      ZooError: not `(T, C)`, no samples, more than `MOST_CHANNELS` channels, not int16 or a float,
        or a float that is not finite or above `LOUDEST`.
    """
    if x.ndim != 2 or x.size == 0:
        raise ZooError(f"{name} has shape {x.shape}; a recording is (samples, channels)")
    if x.shape[1] > MOST_CHANNELS:
        raise ZooError(
            f"{name} has shape {x.shape}; a recording is (samples, channels), so transpose it"
        )
    if x.dtype == np.int16:
        return x
    if x.dtype not in (np.float16, np.float32, np.float64):
        raise ZooError(f"{name} holds {x.dtype}; make it int16 or float32 in [-1, 1]")
    if not np.isfinite(x).all():
        raise ZooError(f"{name} holds NaN or infinity; mend it, or leave it out")
    if max(x.max(), -x.min()) > LOUDEST:
        raise ZooError(f"{name} spans {x.min():.4g} to {x.max():.4g}; scale floats to -1 to 1")
    return x.astype(np.float32, copy=False)


def reason(error: Exception) -> str:
    """What libsndfile says of an error."""
    return getattr(error, "error_string", "").strip(" .") or "it ends early"
