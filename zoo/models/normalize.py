"""Batch norm and the activation after it, with a backward pass that reads the batch but twice.

Differentiated by itself, a norm and a SiLU keep and reread several arrays of the batch's size;
small networks on a CPU spend much of a training step on that.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


class BatchNorm(nn.Module):
    """`flax.linen.BatchNorm` with its variables, then an activation; (M, W, C) is kept.

    Statistics and their sums are float32 or better, however low the precision of the input. In
    training its gradient is one in reverse mode and cannot be differentiated again.

    Attributes:
      activation: `"silu"` or `"none"`.
      train: whether it uses and updates the statistics of this batch.
      axis_name: the device axis over which they are averaged.
      momentum: how much of the running statistics a batch leaves.
      epsilon: added to the variance.
      param_dtype: the dtype of the parameters and the statistics.
    """

    activation: Literal["silu", "none"] = "none"
    train: bool = False
    axis_name: str | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Keeps shape and dtype."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, self.param_dtype)
        var = self.variable("batch_stats", "var", jnp.ones, shape, self.param_dtype)
        if not self.train:
            gain = scale * lax.rsqrt(var.value + self.epsilon)
            return activate(x, gain, bias - mean.value * gain, self.activation)
        # At init there is no axis of that name yet.
        axis_name = None if self.is_initializing() else self.axis_name
        y, now, spread = _normalize(x, scale, bias, self.activation, self.epsilon, axis_name)
        if not self.is_initializing():
            m = self.momentum
            mean.value = m * mean.value + (1 - m) * now
            var.value = m * var.value + (1 - m) * spread
        return y


def activate(x: jax.Array, gain: jax.Array, offset: jax.Array, activation: str) -> jax.Array:
    """The activation of gain * x + offset, of (M, W, C) and (C,), in float32; dtype of `x`."""
    u = x.astype(gain.dtype) * gain[None, None] + offset[None, None]
    return (nn.silu(u) if activation == "silu" else u).astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _normalize(x, scale, bias, activation, epsilon, axis_name):
    """The output, and the mean and variance of the batch, whose gradient is zero."""
    wide = x.astype(scale.dtype)
    mean, square = _means((wide, wide * wide), axis_name)
    var = jnp.maximum(square - mean * mean, 0)
    gain = scale * lax.rsqrt(var + epsilon)
    return activate(x, gain, bias - mean * gain, activation), mean, var


def _forward(x, scale, bias, activation, epsilon, axis_name):
    y, mean, var = _normalize(x, scale, bias, activation, epsilon, axis_name)
    return (y, mean, var), (x, scale, bias, mean, var)


def _backward(activation, epsilon, axis_name, saved, cotangents):
    x, scale, bias, mean, var = saved
    g = cotangents[0].astype(scale.dtype)
    inverse = lax.rsqrt(var + epsilon)
    unit = (x.astype(scale.dtype) - mean[None, None]) * inverse[None, None]
    if activation == "silu":
        u = unit * scale[None, None] + bias[None, None]
        s = nn.sigmoid(u)
        g = g * (s * (1 + u * (1 - s)))
    own = _means((g, g * unit), None)
    both = own if axis_name is None else lax.pmean(own, axis_name)
    dx = (scale * inverse)[None, None] * (g - both[0][None, None] - unit * both[1][None, None])
    count = x.shape[0] * x.shape[1]
    return dx.astype(x.dtype), own[1] * count, own[0] * count


_normalize.defvjp(_forward, _backward)


def _means(arrays, axis_name):
    """The mean of each channel of each array, over all devices."""
    means = tuple(array.mean((0, 1)) for array in arrays)
    return means if axis_name is None else lax.pmean(means, axis_name)
