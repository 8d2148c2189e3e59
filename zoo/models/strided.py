"""One-dimensional convolutions whose kernel is two strides long, and their transposes.

Samples are taken a stride at a time: two neighbouring parts make a window. Both directions are then
one matmul, where XLA's strided convolutions of few channels are slow on a CPU.
"""

import jax
import jax.numpy as jnp


def strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution without padding.

    Args:
      x: (N, W, C), W a multiple of the stride and at least two of them.
      kernel: (2 stride, C, features).

    Returns:
      (N, W / stride - 1, features).
    """
    taps, c, features = kernel.shape
    parts = x.reshape(x.shape[0], -1, taps // 2 * c)
    windows = jnp.concatenate([parts[:, :-1], parts[:, 1:]], axis=-1)
    return windows @ kernel.reshape(taps * c, features)


def strided_conv_transpose(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The transpose of `strided_conv`: windows are laid over each other and added.

    Args:
      x: (N, W, C).
      kernel: (2 stride, features, C).

    Returns:
      (N, (W + 1) stride, features).
    """
    taps, features, c = kernel.shape
    windows = x @ kernel.reshape(taps * features, c).T
    first, second = jnp.split(windows, 2, axis=-1)
    parts = jnp.pad(first, ((0, 0), (0, 1), (0, 0))) + jnp.pad(second, ((0, 0), (1, 0), (0, 0)))
    return parts.reshape(x.shape[0], -1, features)
