"""Noise that multiplies the signal, so that bright parts suffer most."""

import jax
import jax.numpy as jnp

from zoo.noise import draw
from zoo.noise.contract import NOT_NEGATIVE, POSITIVE, op


@op(sigma=NOT_NEGATIVE)
def speckle(key, x, *, sigma):
    """Multiplies by Gaussian noise around 1: `x + x * sigma * n`, n standard normal.

    Mean `x`, variance `(sigma * x)**2`.

    Args:
      key: random key.
      x: signal of any shape.
      sigma: level; standard deviation relative to the signal, 0 or more.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The noisy signal, shape and dtype of `x`.
    """
    return x + x * sigma * draw.normal(key, x.shape)


@op(looks=POSITIVE)
def gamma(key, x, *, looks):
    """Multiplies by gamma noise of mean 1, the speckle of radar intensity pictures.

    Mean `x`, variance `x**2 / looks`: the more looks are averaged, the less noise. One look is
    exponential noise. The draw rejects and repeats, so it costs many times `gaussian`.

    Args:
      key: random key.
      x: signal of any shape.
      looks: level; the equivalent number of looks, above 0, whole or not.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The noisy signal, shape and dtype of `x`.

    References:
      Oliver, Quegan, "Understanding Synthetic Aperture Radar Images", 2004.
    """
    # Smaller numbers count as 0, and 0 / 0 would be NaN.
    looks = jnp.maximum(looks, jnp.finfo(x.dtype).tiny)
    return x * (jax.random.gamma(key, looks, x.shape, x.dtype) / looks)
