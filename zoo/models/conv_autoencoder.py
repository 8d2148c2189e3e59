"""The convolutional denoising autoencoder: down to a small code and back, without skips.

The denoising autoencoder of Vincent et al. (ICML 2008) with the strided convolutions, the pooling
and the transposed convolutions of Masci et al., "Stacked Convolutional Auto-Encoders for
Hierarchical Feature Extraction" (ICANN 2011) and Zeiler et al., "Deconvolutional Networks" (CVPR
2010). All detail passes through the code, so it suits pictures of one kind, such as digits.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.registry import register


class ConvAutoencoder(nn.Module):
    """An encoder of convolutions with one max-pool before the last, and its mirror image.

    Any height and width: it pads by itself, by repeating the last row and column.

    Attributes:
      channels: C of the signal.
      widths: channels of each encoder stage, the code last; the decoder mirrors them.
      strides: 1 (a 3x3 convolution either way) or 2 (4x4 down, 4x4 transposed up) for each stage.
        H and W shrink by their product, times 2 for the pool.
      head: `"linear"`, or `"sigmoid"`, whose outputs stay in (0, 1). With a squared error the
        linear one learns much faster: on mostly black digits the sigmoid saturates at black.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    widths: Sequence[int] = (32, 64, 128, 128)
    strides: Sequence[int] = (2, 2, 2, 1)
    head: Literal["sigmoid", "linear"] = "linear"
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    canvas = True

    def __post_init__(self):
        layers.check_choices(self, head=("sigmoid", "linear"))
        if len(self.strides) != len(self.widths) or not set(self.strides) <= {1, 2}:
            raise ZooError(
                f"ConvAutoencoder: strides={self.strides} must be 1 or 2 for each of the "
                f"{len(self.widths)} widths"
            )
        super().__post_init__()

    @property
    def stride(self) -> int:
        """One pixel of the code."""
        return 2 * math.prod(self.strides)

    @property
    def reach(self) -> int:
        """What each layer adds, in pixels of its finer side."""
        total, scale = 0, 1
        for i, stride in enumerate(self.strides):
            if i == len(self.strides) - 1:
                # The patch that the pool takes together.
                total, scale = total + scale, 2 * scale
            # Of a stride of 2: one finer pixel on the way down, two on the way up.
            total, scale = total + (3 if stride == 2 else 2) * scale, stride * scale
        return total

    @nn.compact
    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C), any float dtype, made for [0, 1].
          level: ignored.
          train: ignored.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` has another number of channels.
        """
        layers.check_input(x, self.channels, "ConvAutoencoder")
        dtypes = layers.dtypes(self, x)
        # Eight layers deep and without skips, it would start near constant without the ReLU's gain.
        conv = partial(Conv, kernel_init=nn.initializers.he_normal(), **dtypes)
        y = layers.pad_to_multiple(x, self.stride)
        stages = list(enumerate(zip(self.widths, self.strides, strict=True)))
        last = len(stages) - 1
        for i, (width, stride) in stages:
            if i == last:
                y = layers.max_pool(y)
            kernel = (4, 4) if stride == 2 else (3, 3)
            y = nn.relu(conv(width, kernel, stride, name=f"encoder{i}")(y))
        for i, (_, stride) in reversed(stages):
            width = self.widths[i - 1] if i else self.channels
            if stride == 2:
                y = layers.Up(width, 4, gain=2.0, **dtypes, name=f"decoder{i}")(y)
            else:
                y = conv(width, (3, 3), name=f"decoder{i}")(y)
            if i:
                y = nn.relu(y)
            if i == last:
                y = layers.upsample_nearest(y)
        return layers.head(y[:, : x.shape[1], : x.shape[2]], self.head, x.dtype)


_NARROW = {"widths": (4, 4, 4, 4)}


@register("conv_autoencoder-mnist", parameters=56_545, narrow=_NARROW)
def conv_autoencoder_mnist(**overrides) -> ConvAutoencoder:
    """For 28x28 grey digits, with a code of 7x7x32."""
    return ConvAutoencoder(
        **{"channels": 1, "widths": (32, 32, 32, 32), "strides": (2, 1, 1, 1)} | overrides
    )


@register("conv_autoencoder-photo", parameters=626_243, narrow=_NARROW)
def conv_autoencoder_photo(**overrides) -> ConvAutoencoder:
    """For colour pictures of about 128x128, with a code of 8x8x128."""
    return ConvAutoencoder(**overrides)
