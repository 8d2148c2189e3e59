"""Recorrupted2Recorrupted: more noise makes of one noisy image two with independent noise.

The input has noise added and the target has as much taken away that, given the clean image, the
noise of the two is uncorrelated (Gaussian) or independent (Poisson, gamma). The noise level is to
be known, and the noise to be of this kind and not clipped.

References:
  Pang et al., "Recorrupted-to-Recorrupted", CVPR 2021.
  Monroy, Bacca, Tachella, "Generalized Recorrupted-to-Recorrupted", CVPR 2025.
"""

import jax
import jax.numpy as jnp

from zoo.errors import ZooError
from zoo.losses import Example
from zoo.selfsupervised.methods import target


@target("sigma")
def recorrupted_gaussian(
    key: jax.Array, noisy: jax.Array, level: jax.Array, *, alpha: float = 0.15
) -> Example:
    """For Gaussian noise.

    Args:
      key: a typed key.
      noisy: (H, W, C).
      level: scalar, sigma, in signal units.
      alpha: in (0, 1); more of it gives the input more noise and the target less.

    Returns:
      The example; the level is that of the input, sigma / sqrt(1 - alpha).
    """
    _check(alpha)
    more = level * jnp.sqrt(alpha / (1 - alpha)) * jax.random.normal(key, noisy.shape)
    return _example(noisy, noisy + more, alpha, level / jnp.sqrt(1 - alpha))


@target("peak")
def recorrupted_poisson(
    key: jax.Array, noisy: jax.Array, level: jax.Array, *, alpha: float = 0.15
) -> Example:
    """For photon noise: each photon of the image is left out of the input by a chance of `alpha`.

    Args:
      key: a typed key.
      noisy: (H, W, C), multiples of 1 / level, 0 or more.
      level: scalar, the mean number of photons where the signal is 1.
      alpha: in (0, 1).

    Returns:
      The example; the level is that of the input, `level * (1 - alpha)` photons.
    """
    _check(alpha)
    counts = jnp.round(noisy * level)
    left_out = jax.random.binomial(key, counts, alpha, shape=noisy.shape, dtype=jnp.float32)
    return _example(noisy, (counts - left_out) / (level * (1 - alpha)), alpha, level * (1 - alpha))


@target("looks")
def recorrupted_gamma(
    key: jax.Array, noisy: jax.Array, level: jax.Array, *, alpha: float = 0.15
) -> Example:
    """For multiplicative gamma noise, the speckle of radar.

    Args:
      key: a typed key.
      noisy: (H, W, C), 0 or more.
      level: scalar, the number of looks.
      alpha: in (0, 1).

    Returns:
      The example; the level is that of the input, `level * (1 - alpha)` looks.
    """
    _check(alpha)
    share = jax.random.beta(key, level * alpha, level * (1 - alpha), noisy.shape)
    return _example(noisy, noisy * (1 - share) / (1 - alpha), alpha, level * (1 - alpha))


def _example(noisy: jax.Array, more: jax.Array, alpha: float, level: jax.Array) -> Example:
    less = (noisy - (1 - alpha) * more) / alpha
    return Example(more, less, jnp.ones((1,) * noisy.ndim), level)


def _check(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ZooError(f"alpha={alpha!r} is not a share; make it greater than 0 and less than 1")
