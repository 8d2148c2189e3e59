"""Self-attention inside square windows, plain or shifted, as the Swin Transformer has it.

Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows" (ICCV 2021).
All windows and heads run as one batched matmul.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo.models import canvas, layers

# What the Swin Transformer starts its matrices and tables with.
_START = nn.initializers.truncated_normal(0.02)


def partition(x: jax.Array, window: int) -> jax.Array:
    """Cuts pictures into windows: (N, H, W, C) to (N, windows, window * window, C).

    Windows and the pixels in them are ordered row by row. H and W must be multiples of `window`.
    """
    n, h, w, c = x.shape
    x = x.reshape(n, h // window, window, w // window, window, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, window * window, c)


def merge(x: jax.Array, height: int, width: int) -> jax.Array:
    """The inverse of `partition`: (N, windows, window * window, C) to (N, height, width, C)."""
    n, _, pixels, c = x.shape
    window = math.isqrt(pixels)
    x = x.reshape(n, height // window, width // window, window, window, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, height, width, c)


def regions(x: jax.Array, window: int, shift: int) -> jax.Array:
    """Which pixels of a window were neighbours before a signal (N, H, W, C) was rolled.

    After a roll by `-shift` the last windows hold pixels from opposite borders of the picture, and
    those at its end some from beyond it, if it lies on a canvas.

    Returns:
      (windows, window * window), small integers: the same number within a window, the same side.
    """
    rows, columns = (
        jnp.where(jnp.arange(length) >= length - shift, 2, 0)
        + jnp.where(jnp.arange(length) + shift >= end, 1, 0)
        for length, end in zip(x.shape[1:3], canvas.extent(x), strict=True)
    )
    sides = 4 * rows[:, None] + columns[None]
    return partition(sides[None, ..., None], window)[0, ..., 0]


def offsets(window: int) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel of a window lies below and to the right of each other one.

    Returns:
      Rows and columns, (window * window, window * window) each: of the first pixel less those of
      the second, plus `window - 1`, so that they count from 0.
    """
    at = np.indices((window, window)).reshape(2, -1)
    rows, columns = at[:, :, None] - at[:, None, :] + window - 1
    return rows, columns


class LayerNorm(nn.Module):
    """Norm over the channels of each pixel, computed in float32."""

    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Shape and dtype of `x`."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        y, scale, bias = nn.dtypes.promote_dtype(x, scale, bias, dtype=jnp.float32)
        y = y - y.mean(-1, keepdims=True)
        y = y * lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + 1e-5)
        return (y * scale[None, None, None] + bias[None, None, None]).astype(x.dtype)


class WindowAttention(nn.Module):
    """Multi-head self-attention among the pixels of each window, with a bias for where they lie.

    Attributes:
      heads: among which the channels are divided.
      window: its side in pixels.
      shift: by how many pixels the windows are moved down and right; those at the borders of the
        picture are then cut, as pixels from opposite borders do not see each other.
      dtype: the dtype of the computation.
      param_dtype: the dtype of the parameters.
    """

    heads: int
    window: int
    shift: int = 0
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) to the same; H and W must be multiples of the window."""
        n, h, w, c = x.shape
        dense = partial(nn.Dense, kernel_init=_START, **layers.dtypes(self, x))
        side = 2 * self.window - 1
        table = self.param("position_bias", _START, (side, side, self.heads), self.param_dtype)
        rows, columns = offsets(self.window)
        bias = table[rows, columns].transpose(2, 0, 1).astype(jnp.float32)

        y = jnp.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        y = dense(3 * c, name="qkv")(partition(y, self.window))
        y = y.reshape(*y.shape[:3], 3, self.heads, c // self.heads)
        query, key, value = y.transpose(3, 0, 1, 4, 2, 5)
        scale = np.asarray((c // self.heads) ** -0.5, query.dtype)
        logits = jnp.einsum(
            "nwhpd,nwhqd->nwhpq", scale * query, key, preferred_element_type=jnp.float32
        )
        logits = logits + bias[None, None]
        if self.shift:
            side_of = regions(x, self.window, self.shift)
            visible = side_of[:, :, None] == side_of[:, None, :]
            logits = jnp.where(visible[None, :, None], logits, -jnp.inf)
        weights = nn.softmax(logits).astype(value.dtype)
        y = jnp.einsum("nwhpq,nwhqd->nwhpd", weights, value)
        y = y.swapaxes(2, 3).reshape(n, -1, self.window**2, c)
        y = merge(dense(c, name="project")(y), h, w)
        return jnp.roll(y, (self.shift, self.shift), (1, 2)) if self.shift else y


class SwinBlock(nn.Module):
    """Norm and attention, norm and a two-layer perceptron, each added to its input.

    Attributes:
      heads: of the attention.
      window: its side in pixels.
      shift: of the windows.
      expansion: hidden units of the perceptron over channels.
      dtype: the dtype of the computation.
      param_dtype: the dtype of the parameters.
    """

    heads: int
    window: int
    shift: int = 0
    expansion: float = 2
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) to the same; H and W must be multiples of the window."""
        dtypes = layers.dtypes(self, x)
        dense = partial(nn.Dense, kernel_init=_START, **dtypes)
        y = LayerNorm(**dtypes, name="norm0")(x)
        attention = WindowAttention(self.heads, self.window, self.shift, **dtypes, name="attention")
        x = x + attention(y)
        y = LayerNorm(**dtypes, name="norm1")(x)
        y = layers.gelu(dense(int(self.expansion * x.shape[-1]), name="expand")(y))
        return x + dense(x.shape[-1], name="project")(y)
