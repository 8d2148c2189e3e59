"""A denoiser between a curve that makes the noise of an image even and the inverse of that curve.

References:
  Herbreteau, Unser, "Noise2VST: Self-Supervised Image Denoising via Variance-Stabilizing
    Transformations", ICCV 2025.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.models import spec_of
from zoo.models.layers import Dtype

LEVEL = 25 / 255
"""The standard deviation that the noise has after the curve, of the curve's own unit."""

KNOTS = 128
"""Knots of the curve, evenly over [0, 1]."""

# The least step between knots, so that there is an inverse.
_LEAST = 1e-6
# The highest level that the default networks were trained on; louder noise is made fainter.
_LOUDEST = 55 / 255


class AdaptedDenoiser(nn.Module):
    """A network for Gaussian noise, between a curve and its inverse.

    Values from 0 to 1, and beyond along straight lines, become by a curve of 128 knots such whose
    noise has one standard deviation everywhere, of which the network is given the level.

    Attributes:
      base: the network, a denoiser that takes a level.
      dtype: of the network's computation; None leaves it to the network. The curve is computed in
        float32.
    """

    base: nn.Module
    dtype: Dtype | None = None

    takes_level = False
    channels = property(lambda self: spec_of(self.base).channels)
    size = property(lambda self: spec_of(self.base).size)
    multiple = property(lambda self: spec_of(self.base).multiple)
    locality = property(lambda self: spec_of(self.base).locality)
    reach = property(lambda self: spec_of(self.base).reach)
    stride = property(lambda self: spec_of(self.base).stride)
    margin = property(lambda self: spec_of(self.base).margin)
    canvas = property(lambda self: spec_of(self.base).canvas)

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        level: jax.Array | float | None = None,
        *,
        train: bool = False,
        hidden: jax.Array | None = None,
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C), any float dtype.
          level: ignored: the level is one of the curve's.
          train: whether batch norm of the network uses the statistics of this batch.
          hidden: (1, H, W, C) of booleans: values in whose place the network sees the mean of the
            four neighbors; None hides none.

        Returns:
          The clean estimate, shape and dtype of `x`.
        """
        slopes = self.param("slopes", nn.initializers.constant(-math.log(KNOTS - 1)), (KNOTS - 1,))
        line = self.param("line", nn.initializers.zeros, (2,))
        knots, noise = curve_of(slopes)
        seen = stabilize(x.astype(jnp.float32), knots)
        if hidden is not None:
            seen = jnp.where(hidden, _neighbors(seen), seen)
        base = self.base
        if self.dtype is not None and not self.is_initializing():
            # Another module on the same variables, which Flax binds to the field alone.
            inner = {name: values["base"] for name, values in self.variables.items()}
            base = functools.partial(base.clone(dtype=self.dtype, parent=None).apply, inner)
        clean = base(seen, jnp.broadcast_to(noise, x.shape[:1]), train=train).astype(jnp.float32)
        # The inverse of a curve is not that of its mean; the line makes up for most of it.
        return (restore(clean, knots) + line[0] * clean + line[1]).astype(x.dtype)


def curve_of(slopes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The curve of some parameters, and the level of the noise after it.

    The curve is brought to [0, 1], and its noise with it, since that is what networks are trained
    on. The ends of the curve decide, and not those of an image, so that all tiles and all images
    of an instrument are alike. Noise beyond the training is made fainter with all else.

    Args:
      slopes: (127,), logarithms of the steps between knots.

    Returns:
      `(knots, level)`: (128,), ascending from 0, and a scalar; float32.
    """
    steps = jnp.exp(slopes) + _LEAST
    knots = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
    width = jnp.maximum(knots[-1], LEVEL / _LOUDEST)
    return knots / width, LEVEL / width


def stabilize(x: jax.Array, knots: jax.Array) -> jax.Array:
    """The curve at values: between knots, which lie evenly over [0, 1], and beyond, it is straight.

    Args:
      x: any shape.
      knots: (n,), ascending, the curve at each knot.
    """
    last = knots.shape[0] - 1
    at = x * last
    before = jnp.clip(jnp.floor(at), 0, last - 1)
    number = before.astype(jnp.int32)
    return knots[number] + (at - before) * (knots[number + 1] - knots[number])


def restore(y: jax.Array, knots: jax.Array) -> jax.Array:
    """The inverse of `stabilize`.

    Args:
      y: any shape.
      knots: (n,), ascending.
    """
    last = knots.shape[0] - 1
    number = jnp.clip(jnp.searchsorted(knots, y, side="right") - 1, 0, last - 1)
    share = (y - knots[number]) / (knots[number + 1] - knots[number])
    return (number.astype(jnp.float32) + share) / last


def _neighbors(x: jax.Array) -> jax.Array:
    """The mean of the four neighbors of each pixel."""
    wide = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    across = wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    return (wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + across) / 4


def merged(fitted: Mapping, frozen: Mapping) -> dict[str, Any]:
    """The variables of an `AdaptedDenoiser`."""
    inner = {collection: {"base": values} for collection, values in frozen.items()}
    return inner | {"params": {**inner.get("params", {}), **fitted}}
