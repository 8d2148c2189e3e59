"""Audio arrays on the host: validity, channels, depth, sample rate and length.

Audio is an array `(T, C)`, T samples of C channels, as `zoo.data.audio_files` reads it: int16, or
float32 where full scale is [-1, 1]. An int16 is a float in units of 1/32768, so that the conversion
there and back is exact. Float files may exceed full scale, as mixers write them; integers are
clipped to it.
"""

import math

import numpy as np

from zoo.errors import ZooError

MOST_CHANNELS = 64
"""The most channels: a longer axis holds samples where channels belong."""

LOUDEST = 32.0
"""The largest magnitude of float audio; beyond it the values are no signal in [-1, 1]."""

SCALE = 32768
"""Full scale of int16: the divisor for floats in [-1, 1)."""

# Reach of soxr's filter around an output sample, in samples of the lower rate, with a margin: from
# 64 on an excerpt equals the whole to the last bits of float32.
_REACH = 256


def check(x: np.ndarray, name: str) -> np.ndarray:
    """Refuse an array that is not audio.

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
        raise ZooError(f"{name} has shape {x.shape}; audio is (samples, channels)")
    if x.shape[1] > MOST_CHANNELS:
        raise ZooError(f"{name} has shape {x.shape}; audio is (samples, channels), so transpose it")
    if x.dtype == np.int16:
        return x
    if x.dtype not in (np.float16, np.float32, np.float64):
        raise ZooError(f"{name} holds {x.dtype}; make it int16 or float32 in [-1, 1]")
    if not np.isfinite(x).all():
        raise ZooError(f"{name} holds NaN or infinity; correct its values, or leave it out")
    if max(x.max(), -x.min()) > LOUDEST:
        raise ZooError(f"{name} spans {x.min():.4g} to {x.max():.4g}; scale floats to -1 to 1")
    return x.astype(np.float32, copy=False)


def to_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """Convert audio to mono or stereo.

    Args:
      x: `(T, C)`, int16 or float.
      channels: 1 averages the channels, and rounds integers to the nearest; 2 repeats a mono one.

    Returns:
      The audio `(T, channels)`, dtype kept.

    Raises:
      ZooError: it has several channels, not as many as `channels`, and that is not 1.
    """
    if x.shape[-1] == channels:
        return x
    if channels == 1:
        mean = x.mean(axis=-1, keepdims=True, dtype=np.float64)
        return (np.rint(mean) if x.dtype.kind == "i" else mean).astype(x.dtype)
    if x.shape[-1] == 1:
        return np.repeat(x, channels, axis=-1)
    raise ZooError(
        f"audio of {x.shape[-1]} channels cannot be converted to {channels}; set channels=1, "
        "which averages them"
    )


def to_int16(x: np.ndarray) -> np.ndarray:
    """Convert to 16 bits, rounded to the nearest; floats are clipped to [-1, 1), NaN refused.

    Args:
      x: int16 or float, any shape.

    Returns:
      The same shape as int16: float * 32768.

    Raises:
      ZooError: a float is NaN.
    """
    if x.dtype == np.int16:
        return x
    if np.isnan(x).any():
        raise ZooError("the audio holds NaN and cannot become integers; correct its values")
    # float32 holds every step of 16 bits and its halves, so that float64 would round the same.
    return np.clip(np.rint(x * x.dtype.type(SCALE)), -SCALE, SCALE - 1).astype(np.int16)


def to_float(x: np.ndarray) -> np.ndarray:
    """Convert to float32: int16 / 32768, a float as it is, any shape."""
    if x.dtype == np.int16:
        return x.astype(np.float32) / np.float32(SCALE)
    return x.astype(np.float32, copy=False)


def resample(x: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Change the sample rate by soxr at high quality, band-limited and without delay.

    Args:
      x: `(T, C)` float32.
      rate: samples a second of `x`.
      sample_rate: samples a second of the result.

    Returns:
      `(resampled_length(T, rate, sample_rate), C)` float32; near full scale it may overshoot 1.
    """
    if rate == sample_rate:
        return x
    import soxr  # noqa: PLC0415 - only other rates need it

    found = soxr.resample(np.ascontiguousarray(x), rate, sample_rate)
    return lengthen(found, length := resampled_length(len(x), rate, sample_rate))[:length]


def resampled_length(length: int, rate: int, sample_rate: int) -> int:
    """The number of samples that `resample` returns for `length`, rounded half up."""
    return (2 * length * sample_rate + rate) // (2 * rate)


def reach(start: int, frames: int, rate: int, sample_rate: int) -> tuple[int, int, int]:
    """The samples of a file that an excerpt at another rate depends on.

    The piece begins where samples of both rates coincide, so that the excerpt equals the same
    section of the whole, resampled.

    Args:
      start: the excerpt's first sample at `sample_rate`.
      frames: its length.
      rate: samples a second of the file.
      sample_rate: samples a second of the excerpt.

    Returns:
      The piece's first sample in the file, its length, which may pass the end, and the position of
      the excerpt in the resampled piece.
    """
    common = math.gcd(rate, sample_rate)
    old, new = rate // common, sample_rate // common
    margin = -(-_REACH // min(old, new))
    first = max(start // new - margin, 0)
    last = -(-(start + frames) // new) + margin
    return first * old, (last - first) * old, start - first * new


def lengthen(x: np.ndarray, length: int, *, wrap: bool = False) -> np.ndarray:
    """Extend audio to a length.

    Args:
      x: `(..., T, C)`.
      length: the least number of samples; longer audio is left as it is.
      wrap: start over at the end, as steady noise may; otherwise append silence.
    """
    missing = length - x.shape[-2]
    if missing <= 0:
        return x
    around = [(0, 0)] * (x.ndim - 2) + [(0, missing), (0, 0)]
    return np.pad(x, around, mode="wrap" if wrap else "constant")
