"""Recordings heard in a room: what the walls add to the direct sound."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.noise.audio.added import recording
from zoo.noise.audio.fourier import fast_length
from zoo.noise.audio.law import op
from zoo.noise.audio.snr import samples
from zoo.noise.contract import ANY, POSITIVE


@op(axes="TC", rt60=POSITIVE, drr=ANY)
def reverb(key, x, *, rt60, drr=0.0, response=None, sample_rate=16000):
    """Convolves with the response of a room: the direct sound, and a tail that decays.

    The drawn response is 1 at time 0, followed by Gaussian noise whose amplitude falls as
    `10**(-3 * t / rt60)`, by 60 dB in `rt60`, and whose energy lies `drr` below that of the direct
    sound. Channels have independent tails. The tail past the end of `x` is lost.

    A recorded response is shifted and scaled so that its largest value, the direct sound, is 1 at
    time 0: the clean signal stays the target, neither late nor louder.

    Args:
      key: random key; ignored with `response`.
      x: recordings `(..., T, C)`.
      rt60: level; reverberation time in seconds, above 0. With `response`, whose decay is its own,
        it is a label only.
      drr: energy of the direct sound over that of the tail, in dB; a level too. Not for
        `response`.
      response: a recorded response `(L, C)`, or one for each example, to take instead; floats. One
        channel serves all channels of `x`.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The reverberant recordings, shape and dtype of `x`.

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
    seconds = np.arange(time, dtype=np.float32)[:, None] / np.float32(sample_rate)
    seconds = jnp.asarray(seconds).reshape((1,) * len(lead) + seconds.shape)
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
    size = fast_length(length)
    product = jnp.fft.rfft(x, size, axis=-2) * jnp.fft.rfft(response, size, axis=-2)
    return jax.lax.slice_in_dim(jnp.fft.irfft(product, size, axis=-2), 0, length, axis=-2)
