"""Recordings through filters that are drawn at random: microphones, rooms, telephones."""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.noise.audio.fourier import fast_length
from zoo.noise.audio.law import op
from zoo.noise.audio.snr import samples
from zoo.noise.contract import FRACTION, Range

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
