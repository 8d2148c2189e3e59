"""The convolution of all models."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo.models.canvas import cleared
from zoo.models.winograd import conv3x3


class Conv(nn.Module):
    """A convolution, zero-padded so that a stride of 1 keeps H and W: (N, H, W, C) to (N, H', W',
    features).

    The parameters are those of `flax.linen.Conv`. Unlike there, the bias is added in float32 or
    better, so that its gradient is summed there: a bfloat16 sum over all pixels stops growing.

    Attributes:
      features: channels of the output.
      kernel_size: (height, width).
      strides: pixels from one window to the next, along both axes.
      kernel_init: makes the kernel (height, width, C, features).
    """

    features: int
    kernel_size: Sequence[int]
    strides: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: jnp.dtype | None = None
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Keeps N, and H and W where the stride is 1; dtype as `dtype`."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        x = cleared(x) if max(self.kernel_size) > 1 else x
        if tuple(self.kernel_size) == (3, 3) and self.strides == 1:
            y = conv3x3(x, kernel)
        else:
            y = lax.conv_general_dilated(
                x,
                kernel,
                (self.strides, self.strides),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        return y if bias is None else add_bias(y, bias)


def add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """Adds (C,) to (N, H, W, C), in float32 or better; dtype of `y`."""
    wide = np.promote_types(y.dtype, np.float32)
    return (y.astype(wide) + bias.astype(wide)[None, None, None]).astype(y.dtype)
