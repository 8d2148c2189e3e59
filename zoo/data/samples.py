"""The plain numpy a recording needs before it meets the device: channels, depth, rate and length.

A recording is an array `(T, C)`, as `zoo.data.recordings` reads it: int16, or float32 where full
scale is [-1, 1]. An int16 is a float in units of 1/32768, so the way there and back is exact.
"""

import math

import numpy as np

from zoo.errors import ZooError

MOST_CHANNELS = 64
"""No recording has more: an axis this long is samples where channels belong."""

SCALE = 32768
"""Full scale of int16: what to divide by for floats in [-1, 1)."""

# How far, in samples of the lower rate, soxr's filter looks about an output sample, with room to
# spare: from 64 on an excerpt equals the whole to the last bits of float32.
_REACH = 256


def to_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """Make a recording mono, or stereo.

    Args:
      x: `(T, C)`, int16 or float.
      channels: 1 averages the channels, and rounds integers to the nearest; 2 repeats a mono one.

    Returns:
      The recording `(T, channels)`, dtype kept.

    Raises:
      ZooError: the recording has other channels and more than one, and `channels` is not 1.
    """
    if x.shape[-1] == channels:
        return x
    if channels == 1:
        mean = x.mean(axis=-1, keepdims=True, dtype=np.float64)
        return (np.rint(mean) if x.dtype.kind == "i" else mean).astype(x.dtype)
    if x.shape[-1] == 1:
        return np.repeat(x, channels, axis=-1)
    raise ZooError(
        f"a recording of {x.shape[-1]} channels cannot become one of {channels}; set channels=1, "
        "which averages them"
    )


def to_int16(x: np.ndarray) -> np.ndarray:
    """To 16 bits, rounded to the nearest; a float outside [-1, 1) is clipped, NaN refused.

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
        raise ZooError("the recording holds NaN and cannot be made integers; mend what computed it")
    # float32 holds every step of 16 bits and its halves, so float64 would round alike.
    return np.clip(np.rint(x * x.dtype.type(SCALE)), -SCALE, SCALE - 1).astype(np.int16)


def to_float(x: np.ndarray) -> np.ndarray:
    """To float32: int16 / 32768, a float as it is, any shape."""
    if x.dtype == np.int16:
        return x.astype(np.float32) / np.float32(SCALE)
    return x.astype(np.float32, copy=False)


def resample(x: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Change the sample rate by soxr's high quality, band-limited and without delay.

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
    """How many samples `resample` makes of `length`: their share, rounded half up."""
    return (2 * length * sample_rate + rate) // (2 * rate)


def reach(start: int, frames: int, rate: int, sample_rate: int) -> tuple[int, int, int]:
    """Which samples of a file an excerpt at another rate is made of.

    The piece begins where a sample of the one rate meets a sample of the other, so that an excerpt
    equals the same place of the whole, resampled.

    Args:
      start: the excerpt's first sample at `sample_rate`.
      frames: its length.
      rate: samples a second of the file.
      sample_rate: samples a second of the excerpt.

    Returns:
      The piece's first sample in the file, how many to read, which may pass the end, and the place
      of the excerpt in the resampled piece.
    """
    common = math.gcd(rate, sample_rate)
    old, new = rate // common, sample_rate // common
    margin = -(-_REACH // min(old, new))
    first = max(start // new - margin, 0)
    last = -(-(start + frames) // new) + margin
    return first * old, (last - first) * old, start - first * new


def lengthen(x: np.ndarray, length: int, *, wrap: bool = False) -> np.ndarray:
    """Make a recording at least so long.

    Args:
      x: `(..., T, C)`.
      length: samples it has at least afterwards; a longer one is left as it is.
      wrap: start over at the end, as steady noise may; otherwise silence follows.
    """
    missing = length - x.shape[-2]
    if missing <= 0:
        return x
    around = [(0, 0)] * (x.ndim - 2) + [(0, missing), (0, 0)]
    return np.pad(x, around, mode="wrap" if wrap else "constant")
