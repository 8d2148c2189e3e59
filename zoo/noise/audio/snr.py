"""Adding one signal to another at a signal-to-noise ratio, and what the ratio means here.

`10 * log10(P_x / P_n) == snr`. P_n is the mean power of the noise over the whole length. P_x is
that of the signal, over its active parts (`active=True`) or over the whole length too: pauses
lower the mean power of speech, and so the noise that a given ratio allows, by as much as they
last. Active are the frames of 32 ms, side by side from the first sample, whose mean power is no
more than 40 dB below that of the loudest frame of the same example (the range of the
silence detector of Taal et al., "An algorithm for intelligibility prediction of time-frequency
weighted noisy speech", IEEE TASLP 2011). Power is the mean over samples and channels.

A silent signal has no ratio to anything: nothing is added, which is also where ever quieter
signals lead. Silent noise adds nothing.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError

_FRAME = 0.032
_RANGE = 1e-4


def add(
    x: jax.Array,
    noise: jax.Array,
    snr: jax.Array,
    *,
    op: str,
    active: bool = True,
    sample_rate: float = 16000,
) -> jax.Array:
    """Scales the noise to the ratio and adds it.

    Args:
      x: signal (..., T, C), float32.
      noise: of the shape of `x`, or with one channel for all.
      snr: ratio in dB, of the rank of `x`.
      op: who asks, for the error.
      active: whether P_x is measured over the active parts only.
      sample_rate: in Hz; what the 32 ms are counted with.

    Returns:
      (..., T, C).

    Raises:
      ZooError: `sample_rate` is not above 0.
    """
    measure = active_power(x, samples(_FRAME, sample_rate, op)) if active else power(x)
    level = power(noise)
    silent = (measure == 0) | (level == 0)
    # Both quotients are replaced, not only the result: the slope of a root at 0 is infinite.
    ratio = jnp.where(silent, 1.0, measure) / jnp.where(silent, 1.0, level)
    scale = jnp.where(silent, 0.0, jnp.sqrt(ratio))[..., None, None]
    return x + noise * (scale * 10 ** (-snr / 20))


def power(x: jax.Array) -> jax.Array:
    """The mean power (...) of signals (..., T, C)."""
    return jnp.mean(jnp.square(x), (-2, -1))


def active_power(x: jax.Array, frame: int) -> jax.Array:
    """The mean power over the active frames.

    Args:
      x: signal (..., T, C).
      frame: samples in a frame; the last one may be shorter.

    Returns:
      (...), 0 for silence.
    """
    *lead, time, channels = x.shape
    frames = -(-time // frame)
    last = frames * frame - time
    padded = jnp.pad(x, [(0, 0)] * len(lead) + [(0, last), (0, 0)])
    energy = jnp.square(padded).reshape(*lead, frames, frame * channels).sum(-1)
    count = np.full(frames, frame * channels, np.float32)
    count[-1] -= last * channels
    count = jnp.broadcast_to(count, energy.shape)
    mean = energy / count
    loud = mean >= _RANGE * mean.max(-1, keepdims=True)
    return jnp.where(loud, energy, 0.0).sum(-1) / jnp.where(loud, count, 0.0).sum(-1)


def samples(seconds: float, sample_rate: float, op: str) -> int:
    """How many samples, one or more, a time takes.

    Raises:
      ZooError: the rate is not above 0 or the time is below.
    """
    if not 0 < sample_rate < math.inf:
        raise ZooError(f"{op}: sample_rate must be above 0 Hz, such as 16000, got {sample_rate}")
    if not 0 <= seconds < math.inf:
        raise ZooError(f"{op}: a time must be 0 s or more, got {seconds}")
    return max(1, round(seconds * sample_rate))
