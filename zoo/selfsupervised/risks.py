"""Estimates of the error to the clean image that need only the noisy one.

The map that each returns has, over the noise, the mean of the squared error to the clean image
(SURE and its variants) or of an error whose smallest value is the same model's. A model that copies
its input has a large divergence, and that is what they charge for. The divergence is estimated by
one random probe: `b * J b`, whose mean over signs `b` is the diagonal of the Jacobian.

`J b` is a difference over a small step and not a derivative. Where ReLUs switch, the divergence of
a network jumps. A change of the parameters moves these places, which changes the mean of the
divergence; automatic differentiation of a derivative leaves that out, and such a gradient is
biased. Over a step the ReLUs that switch count in full.

References:
  Stein, "Estimation of the mean of a multivariate normal distribution", 1981.
  Ramani, Blu, Unser, "Monte-Carlo SURE", IEEE TIP 2008.
  Le Montagner, Angelini, Olivo-Marin, "An unbiased risk estimator for image denoising in the
    presence of mixed Poisson-Gaussian noise", IEEE TIP 2014.
  Tachella, Davies, Jacques, "UNSURE", ICLR 2025.
  Huang et al., "Neighbor2Neighbor", CVPR 2021.
  Mansour, Heckel, "Zero-shot Noise2Noise" (ZS-N2N), CVPR 2023.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from zoo.errors import ZooError
from zoo.selfsupervised.methods import Apply, check_size, risk
from zoo.selfsupervised.pairs_of_halves import diagonal_means, neighbors, sub_image

# Of the probe, as a share of the noise's standard deviation, and at least so much of white, where
# rounding is still small.
_STEP = 0.1
_LEAST_STEP = 1e-4


@risk("sigma")
def sure(
    keys: jax.Array, apply: Apply, params: Any, noisy: jax.Array, level: jax.Array
) -> jax.Array:
    """Stein's unbiased risk estimate for Gaussian noise of known sigma.

    Args:
      keys: (B,) typed keys.
      apply: the model.
      params: its parameters.
      noisy: (B, H, W, C).
      level: (B,), sigma, in signal units.

    Returns:
      (B, H, W, C): (f(y) - y)^2 - sigma^2 + 2 sigma^2 b J b.
    """
    variance = jnp.square(_along(level, noisy))
    return _stein(keys, lambda x: apply(params, x, level), noisy, variance) - variance


@risk("peak")
def poisson_sure(
    keys: jax.Array, apply: Apply, params: Any, noisy: jax.Array, level: jax.Array
) -> jax.Array:
    """The same for photon noise, to the first order in the gain: PURE.

    Args:
      keys: (B,) typed keys.
      apply: the model.
      params: its parameters.
      noisy: (B, H, W, C).
      level: (B,), the mean number of photons where the signal is 1.

    Returns:
      (B, H, W, C): (f(y) - y)^2 - y / level + 2 (y / level) b J b.
    """
    variance = noisy / _along(level, noisy)
    return _stein(keys, lambda x: apply(params, x, level), noisy, variance) - variance


@risk("sigma")
def poisson_gaussian_sure(
    keys: jax.Array,
    apply: Apply,
    params: Any,
    noisy: jax.Array,
    level: jax.Array,
    *,
    gain: float,
) -> jax.Array:
    """The same for noise of variance `gain * signal + sigma^2`.

    The term of the second order, `-2 gain sigma^2` times the second derivatives, is left out.

    Args:
      keys: (B,) typed keys.
      apply: the model.
      params: its parameters.
      noisy: (B, H, W, C).
      level: (B,), sigma of the Gaussian part, in signal units.
      gain: the variance of the other part where the signal is 1, `a` of
        `zoo.noise.poisson_gaussian`.

    Returns:
      (B, H, W, C).
    """
    if gain < 0:
        raise ZooError(f"gain={gain!r} is negative; make it 0 or more")
    variance = gain * noisy + jnp.square(_along(level, noisy))
    return _stein(keys, lambda x: apply(params, x, level), noisy, variance) - variance


@risk(learns_level=True)
def unsure(
    keys: jax.Array, apply: Apply, params: Any, noisy: jax.Array, level: jax.Array
) -> jax.Array:
    """SURE for Gaussian noise of unknown sigma, which is found on the way.

    Among models of zero mean divergence the best is sought. The multiplier of that constraint is
    `level`^2: the parameters make the result small and `level` makes it large.

    With the best model, whose mean squared error is r sigma^2, `level` ends at sigma / sqrt(1 - r)
    and the error is higher by the factor 1 / (1 - r). While a model still learns, its r and so
    `level` are higher.

    Args:
      keys: (B,) typed keys.
      apply: the model.
      params: its parameters.
      noisy: (B, H, W, C).
      level: (B,), in signal units.

    Returns:
      (B, H, W, C): (f(y) - y)^2 + 2 level^2 b J b.
    """
    # The model is given the level and is not what moves it.
    given = jax.lax.stop_gradient(level)
    variance = jnp.square(_along(level, noisy))
    return _stein(keys, lambda x: apply(params, x, given), noisy, variance)


@risk(halves=True)
def neighbor2neighbor(
    keys: jax.Array,
    apply: Apply,
    params: Any,
    noisy: jax.Array,
    level: jax.Array,
    *,
    ratio: float = 1.0,
) -> jax.Array:
    """One of two neighbors in each 2x2 pixels predicts the other, and both agree with the whole.

    Args:
      keys: (B,) typed keys.
      apply: the model.
      params: its parameters.
      noisy: (B, H, W, C), both sides at least 2.
      level: (B,), passed to the model.
      ratio: of the second term, which keeps detail that neighbors differ in. It stays the same;
        the authors let it grow with the epoch, from 0 to 2 at the end of 100 epochs. In 800 steps
        of `unet-tiny` on photographs at sigma 25 that reached 25.74 dB, 1 throughout 26.02, 2
        throughout 25.57 and 0 throughout 26.15.

    Returns:
      (B, H // 2, W // 2, C): (f(a) - b)^2 + ratio (f(a) - b - (A f(y) - B f(y)))^2, where A and B
      take the sub-images a and b out of an image, without gradient through f(y).
    """
    check_size(noisy, 2, "neighbor2neighbor")
    first, second = jax.vmap(partial(neighbors, size=noisy.shape[1:3]))(keys)
    take = jax.vmap(sub_image)
    whole = jax.lax.stop_gradient(apply(params, noisy, level))
    difference = apply(params, take(noisy, first), level) - take(noisy, second)
    expected = take(whole, first) - take(whole, second)
    return jnp.square(difference) + ratio * jnp.square(difference - expected)


@risk(halves=True)
def zs_n2n(
    keys: jax.Array, apply: Apply, params: Any, noisy: jax.Array, level: jax.Array
) -> jax.Array:
    """The two diagonals of each 2x2 pixels predict each other's mean and agree with the whole.

    Args:
      keys: (B,); nothing is random.
      apply: the model.
      params: its parameters.
      noisy: (B, H, W, C), both sides at least 2.
      level: (B,), passed to the model.

    Returns:
      (B, H // 2, W // 2, C).
    """
    del keys
    check_size(noisy, 2, "zs_n2n")
    halves = diagonal_means(noisy)
    of_halves = [apply(params, half, level) for half in halves]
    of_whole = diagonal_means(apply(params, noisy, level))
    across = sum(jnp.square(of_halves[i] - halves[1 - i]) for i in (0, 1))
    consistent = sum(jnp.square(of_halves[i] - of_whole[i]) for i in (0, 1))
    return (across + consistent) / 2


def _stein(
    keys: jax.Array,
    model: Callable[[jax.Array], jax.Array],
    noisy: jax.Array,
    variance: jax.Array,
) -> jax.Array:
    """(f(y) - y)^2 + 2 variance * b (f(y + h b) - f(y)) / h for random signs b."""

    def signs(key: jax.Array) -> jax.Array:
        return jax.random.rademacher(key, noisy.shape[1:], noisy.dtype)

    probe = jax.vmap(signs)(keys)
    typical = jnp.mean(jax.lax.stop_gradient(variance), range(1, noisy.ndim), keepdims=True)
    step = jnp.maximum(_STEP * jnp.sqrt(jnp.maximum(typical, 0)), _LEAST_STEP)
    clean = model(noisy)
    along = (model(noisy + step * probe) - clean) / step
    return jnp.square(clean - noisy) + 2 * variance * probe * along


def _along(level: jax.Array, x: jax.Array) -> jax.Array:
    """(B,) as (B, 1, 1, 1)."""
    return level.reshape(-1, *(1,) * (x.ndim - 1))
