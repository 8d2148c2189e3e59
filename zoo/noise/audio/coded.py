"""What storing in few bits or few samples does to a recording. Nothing is random."""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.noise.audio.fourier import fast_length
from zoo.noise.audio.law import op
from zoo.noise.contract import Range


@op(bits=Range(1, 24, whole=True))
def quantize(key, x, *, bits):
    """Rounds to the nearest multiple of `q = 2**(1 - bits)`, as a converter of so many bits does.

    The error is at most `q / 2`, and for a busy signal uniform, with variance `q**2 / 12`. Zero
    stays zero. Values outside [-1, 1) are rounded to the same multiples; `clip=(-1, 1 - q)`
    saturates them as a converter does.

    Args:
      key: ignored.
      x: recordings of any shape.
      bits: level; bits a sample, a whole number from 1 to 24.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The rounded signal, shape and dtype of `x`.
    """
    del key
    # Rounded, for exp2 of a whole number is not always a power of two.
    steps = jnp.round(jnp.exp2(bits - 1))
    return jnp.round(x * steps) / steps


@op(bits=Range(1, 16, whole=True))
def mu_law(key, x, *, bits, mu=255.0):
    """Rounds the logarithm of the amplitude, as telephones do: finely where it is soft.

    With `c = sign(x) log(1 + mu |x|) / log(1 + mu)` rounded as by `quantize`, the result is
    `sign(c) ((1 + mu)**|c| - 1) / mu`. 8 bits and 255 are the law of ITU-T G.711, whose tables
    draw it by straight lines.

    Args:
      key: ignored.
      x: recordings of any shape.
      bits: level; bits a sample, a whole number from 1 to 16.
      mu: how strongly loud samples are compressed, above 0.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The rounded signal, shape and dtype of `x`.

    Raises:
      ZooError: `mu` is not above 0.
    """
    del key
    if not mu > 0:
        raise ZooError(f"mu_law: mu must be above 0, got {mu!r}")
    steps = jnp.round(jnp.exp2(bits - 1))
    code = jnp.round(jnp.sign(x) * jnp.log1p(mu * jnp.abs(x)) / np.log1p(mu) * steps) / steps
    return jnp.sign(code) * jnp.expm1(jnp.abs(code) * np.float32(np.log1p(mu))) / mu


@op(axes="TC", factor=Range(0, 1, above=True))
def resample(key, x, *, factor, method="linear"):
    """Goes down to `factor` times the sample rate and back, with what is lost on the way.

    Args:
      key: ignored.
      x: recordings `(..., T, C)`.
      factor: level; the rate in between as a part of the rate of `x`, above 0 and up to 1, whole
        divisors or not. Less is worse; 1 changes nothing.
      method: `"ideal"` cuts off what lies above the half of the rate in between, and that is all;
        `"linear"` draws straight lines between the samples both ways without a filter, so that
        high tones come back as lower ones (aliases), and low ones also as higher ones (images);
        `"hold"` repeats the last sample instead, which leaves more of both.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The signal, shape and dtype of `x`, not delayed except by `"hold"`, by half a sample of the
      rate in between.

    Raises:
      ZooError: the method is something else.
    """
    del key
    if method == "ideal":
        return _band_limit(x, factor)
    if method not in ("linear", "hold"):
        raise ZooError(f"resample: method must be 'ideal', 'linear' or 'hold', got {method!r}")
    time = x.shape[-2]
    steps = jnp.arange(time, dtype=x.dtype).reshape((1,) * (x.ndim - 2) + (time, 1))
    # The place of every sample, counted in samples of the rate in between.
    place = steps * factor
    # Rounding must not put a sample that falls on the grid of both rates just before it.
    before = jnp.floor(place + 1e-4)
    first = _at(x, before / factor, method)
    if method == "hold":
        return first
    second = _at(x, (before + 1) / factor, method)
    return first + (second - first) * jnp.clip(place - before, 0.0, 1.0)


def _at(x: jax.Array, place: jax.Array, method: str) -> jax.Array:
    """Values of x (..., T, C) at places (..., T, 1) between its samples; past the end, the last."""
    last = x.shape[-2] - 1
    place = jnp.broadcast_to(jnp.clip(place, 0.0, float(last)), (*x.shape[:-1], 1))
    before = jnp.floor(place + 1e-3)
    first = jnp.take_along_axis(x, before.astype(jnp.int32), axis=-2)
    if method == "hold":
        return first
    after = jnp.minimum(before + 1, last)
    second = jnp.take_along_axis(x, after.astype(jnp.int32), axis=-2)
    return first + (second - first) * jnp.clip(place - before, 0.0, 1.0)


def _band_limit(x: jax.Array, factor: jax.Array) -> jax.Array:
    time = x.shape[-2]
    size = fast_length(time)
    # Forwards and then backwards, the signal has no step at its ends, which would ring.
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, size - time), (0, 0)], mode="edge")
    spectrum = jnp.fft.rfft(jnp.concatenate([padded, jnp.flip(padded, -2)], -2), axis=-2)
    bins = np.linspace(0, 1, size + 1, dtype=np.float32)[:, None]
    bins = jnp.asarray(bins).reshape((1,) * (x.ndim - 2) + bins.shape)
    limited = jnp.fft.irfft(jnp.where(bins <= factor, spectrum, 0), 2 * size, axis=-2)
    return jax.lax.slice_in_dim(limited, 0, time, axis=-2)
