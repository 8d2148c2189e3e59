"""Linear filtering of audio: microphones, telephones, low sample rates and rooms."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from zoo.errors import ZooError
from zoo.noise.audio.snr_mixing import along_time, recording, samples
from zoo.noise.op_contract import ANY, FRACTION, POSITIVE, Range, audio_op

__all__ = ["band_pass", "band_stop", "low_pass", "random_filter", "reverb"]

# The slowest of the filters, at the largest strength, has a pole at radius 0.986: what it rings on
# after so many samples is below 1e-6.
_RING = 1000


@audio_op(axes="TC", share=FRACTION, examples={"share": (0.1, 0.5)})
def band_stop(key, x, *, share, sample_rate=16000):
    """Removes a frequency band at a random position, as wide as a fraction of the mel scale.

    The scale is `2595 * log10(1 + f / 700)` up to half the sample rate; the band lies anywhere in
    it with equal chance. The cut is sharp and has no delay.

    Args:
      x: audio `(..., T, C)`.
      share: level; the band's part of the mel scale, from 0 to 1. Up to 0.2 is usual in training.

    References:
      Defossez, Synnaeve, Adi, "Real time speech enhancement in the waveform domain", Interspeech
      2020, where up to 20 % of mel bands are removed.
    """
    samples(0, sample_rate, "band_stop")
    *lead, time, _ = x.shape
    size = next_fast_len(time, real=True)
    mel = np.log1p(np.fft.rfftfreq(size, 1 / sample_rate) / 700)
    # The top a little above the last frequency, so that a share of 1 removes that one as well.
    mel = along_time(mel / (np.log1p(sample_rate / 2 / 700) * (1 + 1e-6)), x)
    low = (1 - share) * jax.random.uniform(key, (*lead, 1, 1), x.dtype)
    stopped = (mel >= low) & (mel < low + share)
    return _respond(x, jnp.where(stopped, 0.0, 1.0), size)


@audio_op(axes="TC", cutoff=POSITIVE, examples={"cutoff": (3400.0, 800.0)})
def low_pass(key, x, *, cutoff, order=8, sample_rate=16000):
    """Removes what lies above a frequency, as a codec, a telephone or a low sample rate does.

    The magnitude is a Butterworth filter's, `1 / sqrt(1 + (f / cutoff)**(2 order))`; there is no
    delay. Sounds of 8, 11.025, 12 and 22.05 kHz end at 4, 5.5, 6 and 11 kHz.

    Args:
      key: ignored.
      x: audio `(..., T, C)`.
      cutoff: level; the frequency in Hz that loses 3 dB, above 0. Less is worse.
      order: how steep it is: 6 dB an octave for each.
    """
    del key
    return _filter(x, lambda hz: _butterworth(hz / cutoff, order), sample_rate, "low_pass")


@audio_op(axes="TC", high=POSITIVE, low=POSITIVE, examples={"high": (3400.0, 1000.0)})
def band_pass(key, x, *, high, low=300.0, order=8, sample_rate=16000):
    """Keeps a frequency band, such as that of telephones, 300 to 3400 Hz (ITU-T G.712).

    It is `low_pass`, and the same the other way round below `low`.

    Args:
      key: ignored.
      x: audio `(..., T, C)`.
      high: level; the upper frequency in Hz that loses 3 dB, above 0. Less is worse.
      low: the lower one, a level too.
      order: how steep it is: 6 dB an octave for each.
    """
    del key
    return _filter(
        x,
        lambda hz: _butterworth(hz / high, order) * _butterworth(low / hz, order),
        sample_rate,
        "band_pass",
    )


@audio_op(axes="TC", strength=Range(0, 0.49), examples={"strength": (0.1, 0.4)})
def random_filter(key, x, *, strength):
    """Applies a random second-order filter, like the differences between microphones.

    `H(z) = (1 + a / z + b / z**2) / (1 + c / z + d / z**2)`, each of the four uniform in
    `[-strength, strength)`, which keeps it stable. All channels of an example share it.

    Args:
      x: audio `(..., T, C)`.
      strength: level; the largest coefficient, from 0 to 0.49; 0.375 is usual.

    References:
      Valin, "A hybrid DSP/deep learning approach to real-time full-band speech enhancement", MMSP
      2018.
    """
    *lead, time, _ = x.shape
    size = next_fast_len(time + _RING, real=True)
    delay = along_time(np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size), x, np.complex64)
    coefficients = jax.random.uniform(key, (4, *lead, 1, 1), x.dtype, minval=-1, maxval=1)
    a, b, c, d = ((strength * value).astype(np.complex64) for value in coefficients)
    response = (1 + delay * (a + delay * b)) / (1 + delay * (c + delay * d))
    # A scan over time is as fast on a CPU, but accelerators do not like steps by the thousand.
    # Padding lets the ring die away before it comes round.
    return _respond(x, response, size)


def _butterworth(ratio: jax.Array, order: float) -> jax.Array:
    # By logarithms, for a power of 16 may be infinite, which older versions of XLA turn into NaN.
    return jnp.exp(-0.5 * jnp.logaddexp(0.0, 2 * order * jnp.log(ratio)))


def _filter(
    x: jax.Array, gain: Callable[[jax.Array], jax.Array], sample_rate: float, op: str
) -> jax.Array:
    """Signals (..., T, C) with a gain by the frequency in Hz, without delay."""
    samples(0, sample_rate, op)
    # It rings on before and behind.
    size = next_fast_len(x.shape[-2] + 2 * _RING, real=True)
    hz = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1e-3)
    return _respond(x, gain(along_time(hz, x)), size)


def _respond(x: jax.Array, response: jax.Array, size: int) -> jax.Array:
    """Signals (..., T, C) by a response to each frequency of a transform of so many samples."""
    spectrum = jnp.fft.rfft(x, size, axis=-2) * response.astype(np.complex64)
    return jax.lax.slice_in_dim(jnp.fft.irfft(spectrum, size, axis=-2), 0, x.shape[-2], axis=-2)


@audio_op(axes="TC", rt60=POSITIVE, drr=ANY, examples={"rt60": (0.1, 0.8)})
def reverb(key, x, *, rt60, drr=0.0, response=None, sample_rate=16000):
    """Convolves with a room impulse response: the direct sound and a decaying tail.

    The random response is 1 at time 0, followed by Gaussian noise whose amplitude falls as
    `10**(-3 * t / rt60)`, by 60 dB in `rt60`, and whose energy lies `drr` below that of the direct
    sound. Channels have independent tails. The tail past the end of `x` is lost.

    A recorded response is shifted and scaled so that its largest value, the direct sound, is 1 at
    time 0: the clean signal stays the target, neither late nor louder.

    Args:
      key: random key; ignored with `response`.
      x: audio `(..., T, C)`.
      rt60: level; reverberation time in seconds, above 0. With `response`, whose decay is its own,
        it is a label only.
      drr: energy of the direct sound over that of the tail, in dB; a level too. Not for
        `response`.
      response: a recorded response `(L, C)`, or one for each example, to take instead; floats. One
        channel serves all channels of `x`.

    Raises:
      ZooError: the response is silent, of integers, or of a shape that does not fit.

    References:
      Polack, "La transmission de l'energie sonore dans les salles", 1988, for noise that decays.
    """
    samples(0, sample_rate, "reverb")
    if response is None:
        return x + _convolve(x, _tail(key, x, rt60, drr, sample_rate))[..., : x.shape[-2], :]
    response = recording("reverb", response, x.shape)
    if not isinstance(response, jax.core.Tracer) and not np.abs(response).max((-2, -1)).all():
        raise ZooError("reverb: response is silent; give one with a direct sound")
    return _through(x, jnp.broadcast_to(response, (*x.shape[:-2], *response.shape[-2:])))


def _tail(key, x, rt60, drr, sample_rate):
    """What follows the direct sound, as long as the signal: later parts would not be heard."""
    *lead, time, channels = x.shape
    seconds = along_time(np.arange(time, dtype=np.float32) / np.float32(sample_rate), x)
    envelope = jnp.exp(-3 * math.log(10) * seconds / rt60)
    # Time 0 belongs to the direct sound.
    envelope = jnp.where(seconds > 0, envelope, 0.0)
    tail = envelope * jax.random.normal(key, (*lead, time, channels), x.dtype)
    energy = jnp.sum(jnp.square(tail), -2, keepdims=True)
    # One sample has no tail, and that of the driest rooms underflows.
    empty = energy == 0
    scale = jnp.where(empty, 0.0, 1.0) / jnp.sqrt(jnp.where(empty, 1.0, energy))
    return tail * scale * 10 ** (-drr / 20)


def _through(x: jax.Array, response: jax.Array) -> jax.Array:
    """Through a response (..., L, C') whose direct sound is moved to time 0."""
    loudest = jnp.max(jnp.abs(response), -1)
    direct = jnp.argmax(loudest, -1)
    peak = jnp.max(loudest, -1)[..., None, None]
    whole = _convolve(x, response / jnp.where(peak == 0, 1.0, peak))
    sign = jnp.take_along_axis(response, direct[..., None, None], axis=-2)
    sign = jnp.where(sign[..., :1] < 0, -1.0, 1.0)

    def cut(whole, start):
        return jax.lax.dynamic_slice_in_dim(whole, start, x.shape[-2])

    for _ in x.shape[:-2]:
        cut = jax.vmap(cut)
    return sign * cut(whole, direct)


def _convolve(x: jax.Array, response: jax.Array) -> jax.Array:
    """The whole convolution over time: (..., T + L - 1, C)."""
    length = x.shape[-2] + response.shape[-2] - 1
    size = next_fast_len(length, real=True)
    product = jnp.fft.rfft(x, size, axis=-2) * jnp.fft.rfft(response, size, axis=-2)
    return jax.lax.slice_in_dim(jnp.fft.irfft(product, size, axis=-2), 0, length, axis=-2)
