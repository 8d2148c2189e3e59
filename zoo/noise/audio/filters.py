"""Recordings through filters: microphones, telephones, low sample rates."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from zoo.noise.audio.fourier import fast_length
from zoo.noise.audio.law import op
from zoo.noise.audio.snr import samples
from zoo.noise.contract import FRACTION, POSITIVE, Range

# The slowest of the filters, at the largest strength, has a pole at radius 0.986: what it rings on
# after so many samples is below 1e-6.
_RING = 1000


@op(axes="TC", share=FRACTION)
def band_stop(key, x, *, share, sample_rate=16000):
    """Removes a band at a random place, as wide as a share of the mel scale.

    The scale is `2595 * log10(1 + f / 700)` up to half the sample rate; the band lies anywhere in
    it with equal chance. The cut is sharp and has no delay.

    Args:
      key: random key.
      x: recordings `(..., T, C)`.
      share: level; the band's part of the mel scale, from 0 to 1. Up to 0.2 is usual in training.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The signal without the band, shape and dtype of `x`.

    References:
      Defossez, Synnaeve, Adi, "Real time speech enhancement in the waveform domain", Interspeech
      2020, where up to 20 % of mel bands are removed.
    """
    samples(0, sample_rate, "band_stop")
    *lead, time, _ = x.shape
    size = fast_length(time)
    mel = np.log1p(np.fft.rfftfreq(size, 1 / sample_rate) / 700)
    # The top a little above the last frequency, so that a share of 1 removes that one as well.
    mel = (mel / (np.log1p(sample_rate / 2 / 700) * (1 + 1e-6))).astype(np.float32)[:, None]
    mel = jnp.asarray(mel).reshape((1,) * len(lead) + mel.shape)
    low = (1 - share) * jax.random.uniform(key, (*lead, 1, 1), x.dtype)
    stopped = (mel >= low) & (mel < low + share)
    spectrum = jnp.fft.rfft(x, size, axis=-2)
    kept = jnp.fft.irfft(jnp.where(stopped, 0, spectrum), size, axis=-2)
    return jax.lax.slice_in_dim(kept, 0, time, axis=-2)


@op(axes="TC", cutoff=POSITIVE)
def low_pass(key, x, *, cutoff, order=8, sample_rate=16000):
    """Takes away what lies above a frequency, as a codec, a telephone or a low sample rate does.

    The magnitude is a Butterworth filter's, `1 / sqrt(1 + (f / cutoff)**(2 order))`; there is no
    delay. Sounds of 8, 11.025, 12 and 22.05 kHz end at 4, 5.5, 6 and 11 kHz.

    Args:
      key: ignored.
      x: recordings `(..., T, C)`.
      cutoff: level; the frequency in Hz that loses 3 dB, above 0. Less is worse.
      order: how steep it is: 6 dB an octave for each.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The signal, shape and dtype of `x`.
    """
    del key
    return _filter(x, lambda hz: _butterworth(hz / cutoff, order), sample_rate, "low_pass")


@op(axes="TC", high=POSITIVE, low=POSITIVE)
def band_pass(key, x, *, high, low=300.0, order=8, sample_rate=16000):
    """Leaves a band, such as that of telephones, 300 to 3400 Hz (ITU-T G.712).

    It is `low_pass`, and the same the other way round below `low`.

    Args:
      key: ignored.
      x: recordings `(..., T, C)`.
      high: level; the upper frequency in Hz that loses 3 dB, above 0. Less is worse.
      low: the lower one, a level too.
      order: how steep it is: 6 dB an octave for each.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The signal, shape and dtype of `x`.
    """
    del key
    return _filter(
        x,
        lambda hz: _butterworth(hz / high, order) * _butterworth(low / hz, order),
        sample_rate,
        "band_pass",
    )


@op(axes="TC", strength=Range(0, 0.49))
def random_filter(key, x, *, strength):
    """Applies a random filter of second order, as differences between microphones.

    `H(z) = (1 + a / z + b / z**2) / (1 + c / z + d / z**2)`, each of the four drawn uniformly from
    `[-strength, strength)`, which keeps it stable. All channels of an example share it.

    Args:
      key: random key.
      x: recordings `(..., T, C)`.
      strength: level; the largest coefficient, from 0 to 0.49; 0.375 is usual.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The filtered signal, shape and dtype of `x`.

    References:
      Valin, "A hybrid DSP/deep learning approach to real-time full-band speech enhancement", MMSP
      2018.
    """
    *lead, time, _ = x.shape
    size = fast_length(time + _RING)
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)[:, None].astype(np.complex64)
    delay = jnp.asarray(delay).reshape((1,) * len(lead) + delay.shape)
    drawn = jax.random.uniform(key, (4, *lead, 1, 1), x.dtype, minval=-1, maxval=1)
    a, b, c, d = ((strength * value).astype(np.complex64) for value in drawn)
    response = (1 + delay * (a + delay * b)) / (1 + delay * (c + delay * d))
    # A scan over time is as fast on a CPU, but accelerators do not like steps by the thousand.
    # Padding lets the ring die away before it comes round.
    filtered = jnp.fft.irfft(response * jnp.fft.rfft(x, size, axis=-2), size, axis=-2)
    return jax.lax.slice_in_dim(filtered, 0, time, axis=-2)


def _butterworth(ratio: jax.Array, order: float) -> jax.Array:
    # By logarithms, for a power of 16 may be infinite, which older versions of XLA turn into NaN.
    return jnp.exp(-0.5 * jnp.logaddexp(0.0, 2 * order * jnp.log(ratio)))


def _filter(
    x: jax.Array, gain: Callable[[jax.Array], jax.Array], sample_rate: float, op: str
) -> jax.Array:
    """Signals (..., T, C) with a gain by the frequency in Hz, without delay."""
    samples(0, sample_rate, op)
    *lead, time, _ = x.shape
    # It rings on before and behind.
    size = fast_length(time + 2 * _RING)
    hz = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1e-3).astype(np.float32)[:, None]
    gains = gain(jnp.asarray(hz).reshape((1,) * len(lead) + hz.shape))
    spectrum = jnp.fft.rfft(x, size, axis=-2) * gains.astype(np.complex64)
    return jax.lax.slice_in_dim(jnp.fft.irfft(spectrum, size, axis=-2), 0, time, axis=-2)
