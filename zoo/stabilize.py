"""Transformations that make the noise of an image even, and their unbiased inverses.

Noise of photons and of magnitudes depends on the signal. After such a transformation it has a
standard deviation of about 1 wherever the signal is, so that a denoiser of Gaussian noise serves.
The denoised values are means of transformed ones, and the inverse leads from those to the signal:
it inverts the expectation, not the function, so that no bias is left.

Every function is elementwise and pure. Arrays of NumPy are computed by NumPy in float64, others by
JAX in their own float type.

References:
  Foi, "Noise estimation and removal in MR imaging: the variance-stabilization approach", ISBI 2011.
  Makitalo, Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian
    noise", IEEE TIP 2013.
"""

import functools
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# The least mean of a root of Anscombe's, that of no photon.
_DARK = 2 * (3 / 8) ** 0.5
# Of the tables for Rician noise of sigma 1: up to which signal, and its step; the step of the
# values and how far beyond the signal they go.
_SIGNALS, _SIGNAL_STEP = 12.0, 0.05
_VALUE_STEP, _BEYOND = 0.02, 8.0
# Refinements of the transformation: after more it is still more even, but winds.
_ROUNDS = 10


def anscombe(x: jax.Array, *, gain: float, read: float = 0.0, offset: float = 0.0) -> jax.Array:
    """The generalized Anscombe transformation, of `gain * Poisson + Normal(offset, read)`.

    `2 sqrt((x - offset) / gain + 3/8 + (read / gain)^2)`, 0 where the root has no real value. The
    noise has a standard deviation within 3 % of 1 from a mean of 4 photons on.

    Args:
      x: values of any shape, in any unit.
      gain: values for each photon, above 0: the variance grows by so much for each unit of `x`.
      read: standard deviation of the noise without light, at least 0.
      offset: the value of no light. `read^2 - gain * offset` is all that counts, the variance that
        the line has at a value of 0.

    Returns:
      The transformed values, of that shape.

    References:
      Starck, Murtagh, Bijaoui, "Image processing and data analysis", 1998.
    """
    x, xp = _float(x)
    return 2 * xp.sqrt(xp.maximum((x - offset) / gain + (3 / 8 + (read / gain) ** 2), 0.0))


def inverse_anscombe(
    y: jax.Array, *, gain: float, read: float = 0.0, offset: float = 0.0
) -> jax.Array:
    """The signal whose transformed values have the mean `y`, by a closed form.

    For the Poisson part alone it is within 0.03 photons of the exact inverse of the expectation.

    Args:
      y: denoised values of `anscombe`, of any shape.
      gain, read, offset: those it was given.

    Returns:
      The signal in the unit of the image, no less than without light where `read` is 0.

    References:
      Makitalo, Foi, "A closed-form approximation of the exact unbiased inverse of the Anscombe
      variance-stabilizing transformation", IEEE TIP 2011, equation 10; of 2013 for the read noise.
    """
    y, xp = _float(y)
    y = xp.maximum(y, _DARK)
    half = (3 / 2) ** 0.5
    mean = y**2 / 4 - 1 / 8 + (half / 4) / y - (11 / 8) / y**2 + (5 / 8) * half / y**3
    return gain * (mean - (read / gain) ** 2) + offset


def rician(x: jax.Array, *, sigma: float) -> jax.Array:
    """A transformation that makes Rician noise even: magnitudes of complex Gaussian noise.

    Far from black it is `sqrt(x^2 / sigma^2 - 1/2)` but for a constant. Near black it is a table,
    refined until the standard deviation is within 4 % of 1 for every signal, 0 included.

    Args:
      x: magnitudes of any shape; those below 0 count as 0.
      sigma: standard deviation of the noise of each of the two parts, above 0.

    Returns:
      The transformed values, of that shape, from 0 on.

    References:
      Foi 2011 for the asymptote and the unbiased inverse. Foi, "Optimization of
      variance-stabilizing transformations", 2009, for the refinement.
    """
    x, xp = _float(x)
    table = _table()
    x = xp.maximum(x / sigma, 0.0)
    last = float(table.values[-1])
    near = _interpolated(xp, x, table.values, table.transformed)
    far = xp.sqrt(xp.maximum(x, last) ** 2 - 1 / 2) + table.constant
    return xp.where(x < last, near, far)


def inverse_rician(y: jax.Array, *, sigma: float) -> jax.Array:
    """The signal, free of noise, whose transformed magnitudes have the mean `y`.

    It is less than the mean of the magnitudes, which noise makes larger. It is 0 for all means at
    or below that of noise alone.

    Args:
      y: denoised values of `rician`, of any shape.
      sigma: what it was given.

    Returns:
      The signal in the unit of the image, at least 0.
    """
    y, xp = _float(y)
    table = _table()
    near = _interpolated(xp, y, table.means, table.signals)
    # The mean is s + 1 / (4 s), but for the constant and what falls with the third power.
    beyond = xp.maximum(y, float(table.means[-1])) - table.constant
    far = (beyond + xp.sqrt(beyond**2 - 1)) / 2
    return sigma * xp.where(y < float(table.means[-1]), near, far)


class PoissonGaussian(NamedTuple):
    """Noise of photons and of reading them; see `anscombe`.

    Attributes:
      gain: values for each photon, above 0.
      read: standard deviation of the noise without light, at least 0.
      offset: the value of no light.
    """

    gain: float
    read: float = 0.0
    offset: float = 0.0

    def forward(self, x: jax.Array) -> jax.Array:
        """`anscombe` of values."""
        return anscombe(x, **self._asdict())

    def inverse(self, y: jax.Array) -> jax.Array:
        """`inverse_anscombe` of denoised ones."""
        return inverse_anscombe(y, **self._asdict())


class Rician(NamedTuple):
    """Noise of magnitudes, as of magnetic resonance; see `rician`.

    Attributes:
      sigma: standard deviation of the noise of each of the two parts, above 0.
    """

    sigma: float

    def forward(self, x: jax.Array) -> jax.Array:
        """`rician` of values."""
        return rician(x, sigma=self.sigma)

    def inverse(self, y: jax.Array) -> jax.Array:
        """`inverse_rician` of denoised ones."""
        return inverse_rician(y, sigma=self.sigma)


class _Table(NamedTuple):
    """The transformation of Rician noise of sigma 1, as pairs, and the constant far from black."""

    values: np.ndarray
    transformed: np.ndarray
    signals: np.ndarray
    means: np.ndarray
    constant: float


@functools.cache
def _table() -> _Table:
    """Refined from the slope that the delta method gives, 1 over the standard deviation."""
    from scipy import special  # noqa: PLC0415 - only Rician noise needs it

    signals = np.arange(0.0, _SIGNALS + _SIGNAL_STEP / 2, _SIGNAL_STEP)
    values = np.arange(0.0, _SIGNALS + _BEYOND, _VALUE_STEP)
    exponent = -((values - signals[:, None]) ** 2) / 2
    density = values * np.exp(exponent) * special.ive(0, values * signals[:, None])
    density /= density.sum(1, keepdims=True)
    magnitudes = density @ values

    def moments(transformed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = density @ transformed
        return mean, np.sqrt(density @ transformed**2 - mean**2)

    transformed, slopes = values, np.ones(len(values))
    for _ in range(_ROUNDS + 1):
        _, deviations = moments(transformed)
        slopes = slopes / np.interp(values, magnitudes, deviations)
        steps = (slopes[1:] + slopes[:-1]) / 2 * _VALUE_STEP
        transformed = np.concatenate([[0.0], np.cumsum(steps)])
    means, _ = moments(transformed)
    # Beyond the last signal nothing is refined.
    kept = values <= signals[-1]
    values, transformed = values[kept], transformed[kept]
    constant = float(transformed[-1] - np.sqrt(values[-1] ** 2 - 1 / 2))
    return _Table(values, transformed, signals, means, constant)


def _float(x: jax.Array) -> tuple[jax.Array, ModuleType]:
    """Values as floats, and what computes with them: NumPy or JAX."""
    if isinstance(x, np.ndarray | np.generic):
        return np.asarray(x, np.float64), np
    x = jnp.asarray(x)
    return (x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)), jnp


def _interpolated(xp: ModuleType, x: jax.Array, places: np.ndarray, heights: np.ndarray):
    return xp.interp(x, xp.asarray(places, x.dtype), xp.asarray(heights, x.dtype))
