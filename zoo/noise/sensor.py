"""Noise of instruments: photon counts, cameras, magnetic resonance, ultrasound and radar."""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.noise import random_bits
from zoo.noise.develop import linear_to_srgb, srgb_to_linear
from zoo.noise.op_contract import INTENSITY, NOT_NEGATIVE, POSITIVE, op

__all__ = ["camera", "gamma", "poisson", "poisson_gaussian", "rician", "speckle"]

_FEW = 10.0
_NEGLIGIBLE = 1e-8
# At the rate _FEW the probability of this many counts and more is negligible.
_MOST = 32


@op(peak=POSITIVE, examples={"peak": (90.0, 4.0)})
def poisson(key, x, *, peak, exact=False):
    """Samples photon counts (shot noise): `Poisson(peak * x) / peak`.

    Mean `x`, variance `x / peak`. Negative intensities emit no photons: they become 0.

    The default sampler has no loop and takes two to three times as long as `gaussian`, `exact` a
    hundred times. It evaluates the inverse distribution function at one uniform number: by a sum
    of its terms for rates up to 10, by a Cornish-Fisher expansion above. In both cases the counts
    are whole numbers, and the total variation distance from the Poisson distribution is below 2e-4.
    Events rarer than 1e-7, such as any count at a rate below that, do not happen.

    Args:
      x: signal of any shape; intensities, which are proportional to light.
      peak: level; the mean number of photons where the signal is 1, above 0. Fewer are noisier.
      exact: whether to sample by `jax.random.poisson` instead.

    References:
      Giles, "Algorithm 955: approximation of the inverse Poisson cumulative distribution
      function", ACM TOMS 2016.
    """
    # Smaller numbers count as 0, and 0 / 0 would be NaN.
    peak = jnp.maximum(peak, jnp.finfo(x.dtype).tiny)
    light = jnp.maximum(x, 0.0)
    rate = peak * light
    counts = jax.random.poisson(key, rate).astype(x.dtype) if exact else _poisson_counts(key, rate)
    # More photons than float32 can count have no noise that it could show.
    return jnp.where(jnp.isfinite(rate), counts / peak, light)


def _poisson_counts(key: jax.Array, rate: jax.Array) -> jax.Array:
    """The counts of `poisson`, without a loop: the inverse distribution function of a uniform."""
    # Open on both sides, as in random_bits.normal, so that the normal quantile is finite.
    v = random_bits.uniform(key, rate.shape, low=random_bits.ABOVE_MINUS_ONE)
    # Fused with what follows, the sum takes twice as long on CPU.
    few = jax.lax.optimization_barrier(_few_counts(rate, 0.5 + 0.5 * v))
    return jnp.where(rate <= _FEW, few, _many_counts(rate, v))


def _few_counts(rate: jax.Array, u: jax.Array) -> jax.Array:
    """The Poisson quantile at u for rates up to `_FEW`: how many partial sums u has reached."""
    rate = jnp.minimum(rate, _FEW)
    term = total = jnp.exp(-rate)
    count = jnp.zeros_like(rate)
    for k in range(1, _MOST + 1):
        # In float32 the sum may end just below 1. A u beyond that end must not run up the count.
        count = jnp.where((u >= total) & (term > _NEGLIGIBLE), count + 1, count)
        term = term * (rate * (1 / k))
        total = total + term
    return count


def _many_counts(rate: jax.Array, v: jax.Array) -> jax.Array:
    """The Poisson quantile at (1 + v) / 2 for rates above `_FEW`, where the expansion holds."""
    rate = jnp.maximum(rate, _FEW)
    root = jnp.sqrt(rate)
    w = np.float32(np.sqrt(2)) * jax.lax.erf_inv(v)
    # Q(w) = rate + sqrt(rate) w + (1/3 + w^2/6) - (w/36 + w^3/72) / sqrt(rate)
    #        + (-8/405 + 7 w^2/810 + w^4/270) / rate
    w2 = w * w
    quantile = (
        rate
        + root * w
        + (1 / 3 + w2 / 6)
        - w * (1 / 36 + w2 / 72) / root
        + (-8 / 405 + w2 * (7 / 810 + w2 / 270)) / rate
    )
    # A u below 1e-6 or so is out of the expansion's reach at rates near _FEW.
    return jnp.maximum(jnp.floor(quantile), 0.0)


@op(a=NOT_NEGATIVE, b=NOT_NEGATIVE, examples={"a": (0.01, 0.1), "b": 0.01})
def poisson_gaussian(key, x, *, a, b):
    """Adds Gaussian noise with the variance of shot noise and read noise: `a * x + b`.

    Mean `x`, variance `a * max(x, 0) + b`: negative intensities emit no photons. With
    `a = 1 / peak` and `b = 0` it has the mean and variance of `poisson`.

    Args:
      x: signal of any shape; intensities, which are proportional to light.
      a: level; variance of the photon noise where the signal is 1, 0 or more.
      b: variance of the read-out noise, 0 or more; a level too.

    References:
      Foi, Trimeche, Katkovnik, Egiazarian, "Practical Poissonian-Gaussian noise modeling and
      fitting for single-image raw-data", IEEE TIP 2008.
    """
    return _expose(key, x, a, b)


def _expose(key: jax.Array, light: jax.Array, shot: jax.Array, read: jax.Array) -> jax.Array:
    """Light with noise of the variance `shot * light + read`."""
    variance = shot * jnp.maximum(light, 0.0) + read
    return light + _root(variance) * random_bits.normal(key, light.shape)


def _root(x: jax.Array) -> jax.Array:
    """The square root, with slope 0 at 0, where infinity would turn into NaN further on."""
    zero = x == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, x)))


@op(shot=NOT_NEGATIVE, read=NOT_NEGATIVE, examples={"shot": (0.01, 0.1)})
def camera(key, x, *, shot, read=0.0):
    """Adds shot noise and read noise to a developed image (sRGB), in linear light.

    The sRGB curve is undone, `poisson_gaussian` noise is added to the linear light y, and the curve
    is applied again. In linear light: mean `y`, variance `shot * max(y, 0) + read`. The curve makes
    dark parts of the result noisier than bright ones. Below 0 and above 1 the curve is continued by
    its own formula. There is no mosaic, white balance or color matrix.

    Args:
      x: signal of any shape, encoded in sRGB.
      shot: level; variance of the photon noise in linear light at white, 0 or more. It is 1e-4 to
        1.2e-2 for phones.
      read: variance of the read-out noise in linear light, 0 or more; a level too.

    References:
      Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019.
      IEC 61966-2-1 for the curve.
    """
    return linear_to_srgb(_expose(key, srgb_to_linear(x), shot, read))


@op(sigma=INTENSITY, examples={"sigma": (0.1, 0.2)})
def rician(key, x, *, sigma):
    """Adds Rician noise: the magnitude of a complex signal with Gaussian noise, as in MRI.

    `sqrt((x + sigma * n1)**2 + (sigma * n2)**2)`, n1 and n2 standard normal. The mean square is
    `x**2 + 2 * sigma**2`; the mean lies above `x`, and at `x = 0` it is `sigma * sqrt(pi / 2)`.
    The result is never negative, and the same in distribution for `x` and `-x`.

    Args:
      x: signal of any shape; magnitudes.
      sigma: level; standard deviation of either part in units of the signal, 0 or more.

    References:
      Gudbjartsson, Patz, "The Rician distribution of noisy MRI data", MRM 1995.
    """
    # Fused with what follows, the inverse error function would not be vectorized on a CPU.
    real, imaginary = jax.lax.optimization_barrier(random_bits.normal(key, (2, *x.shape)))
    real, imaginary = x + sigma * real, sigma * imaginary
    # By a power of two, which rounds nothing: squares of larger or smaller numbers are no float32.
    largest = jnp.maximum(jnp.abs(real), jnp.abs(imaginary))
    scale = jnp.where(largest > 2.0**60, 2.0**-66, jnp.where(largest < 2.0**-60, 2.0**66, 1.0))
    return _root((real * scale) ** 2 + (imaginary * scale) ** 2) / scale


@op(sigma=NOT_NEGATIVE, examples={"sigma": (0.1, 0.2)})
def speckle(key, x, *, sigma):
    """Multiplies by Gaussian noise of mean 1: `x + x * sigma * n`, n standard normal.

    Mean `x`, variance `(sigma * x)**2`.

    Args:
      x: signal of any shape.
      sigma: level; standard deviation relative to the signal, 0 or more.
    """
    return x + x * sigma * random_bits.normal(key, x.shape)


@op(looks=POSITIVE, examples={"looks": (5.0, 0.7)})
def gamma(key, x, *, looks):
    """Multiplies by gamma noise of mean 1, as speckle in radar intensity images.

    Mean `x`, variance `x**2 / looks`: the more looks are averaged, the less noise. One look is
    exponential noise. Sampling by rejection takes many times as long as `gaussian`.

    Args:
      x: signal of any shape.
      looks: level; the equivalent number of looks, above 0, whole or not.

    References:
      Oliver, Quegan, "Understanding Synthetic Aperture Radar Images", 2004.
    """
    # Smaller numbers count as 0, and 0 / 0 would be NaN.
    looks = jnp.maximum(looks, jnp.finfo(x.dtype).tiny)
    return x * (jax.random.gamma(key, looks, x.shape, x.dtype) / looks)
