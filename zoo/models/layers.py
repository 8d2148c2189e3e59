"""Layers that several architectures share, NHWC, written so that XLA runs them as matmuls."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError

Dtype = Any


def space_to_depth(x: jax.Array, factor: int) -> jax.Array:
    """Folds each `factor` x `factor` patch into channels: (N, H, W, C) to (N, H/f, W/f, f*f*C).

    The new channels are ordered row, column, channel. H and W must be multiples of `factor`.
    """
    n, h, w, c = x.shape
    x = x.reshape(n, h // factor, factor, w // factor, factor, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // factor, w // factor, factor * factor * c)


def depth_to_space(x: jax.Array, factor: int) -> jax.Array:
    """The inverse of `space_to_depth`: (N, H, W, f*f*C) to (N, f*H, f*W, C)."""
    n, h, w, c = x.shape
    c //= factor * factor
    x = x.reshape(n, h, w, factor, factor, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * factor, w * factor, c)


def pad_to_multiple(x: jax.Array, multiple: int) -> jax.Array:
    """Repeats the last row and column until H and W are multiples of `multiple`."""
    bottom, right = -x.shape[1] % multiple, -x.shape[2] % multiple
    if bottom or right:
        x = jnp.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
    return x


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Repeats every pixel twice along H and W."""
    n, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (n, h, 2, w, 2, c))
    return x.reshape(n, 2 * h, 2 * w, c)


def level_map(level: jax.Array | float | None, x: jax.Array, model: str) -> jax.Array:
    """One constant channel that holds each example's noise level, (N, H, W, 1).

    Args:
      level: a number, or one per example (N,), in signal units.
      x: the signal (N, H, W, C) the map goes beside.
      model: who asks, for the error.

    Raises:
      ZooError: there is no level.
    """
    if level is None:
        raise ZooError(f"{model} takes a noise level: call it with level=..., in signal units")
    level = jnp.asarray(level, x.dtype)
    level = level.reshape(level.shape + (1,) * (4 - level.ndim))
    return jnp.broadcast_to(level, (*x.shape[:-1], 1))


class Down(nn.Module):
    """A 2x2 convolution with stride 2, run as space-to-depth and a matmul: (N, 2H, 2W, C) to
    (N, H, W, features)."""

    features: int
    use_bias: bool = True
    dtype: Dtype = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Halves H and W, which must be even."""
        kernel = self.param(
            "kernel",
            nn.initializers.lecun_normal(),
            (2, 2, x.shape[-1], self.features),
            self.param_dtype,
        )
        bias = _bias(self)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = space_to_depth(x, 2) @ kernel.reshape(-1, self.features)
        return y if bias is None else y + bias[None, None, None]


class Up(nn.Module):
    """A 2x2 transposed convolution with stride 2, run as a matmul and depth-to-space: (N, H, W, C)
    to (N, 2H, 2W, features)."""

    features: int
    use_bias: bool = True
    dtype: Dtype = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Doubles H and W."""
        kernel = self.param(
            "kernel",
            nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", in_axis=0),
            (x.shape[-1], 2, 2, self.features),
            self.param_dtype,
        )
        bias = _bias(self)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = depth_to_space(x @ kernel.reshape(x.shape[-1], -1), 2)
        return y if bias is None else y + bias[None, None, None]


def _bias(layer: Down | Up) -> jax.Array | None:
    if not layer.use_bias:
        return None
    return layer.param("bias", nn.initializers.zeros, (layer.features,), layer.param_dtype)
