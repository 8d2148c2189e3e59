"""A small hourglass of 3x3 convolutions that upsamples by repeating pixels.

Upsampling and then convolving leaves none of the checkerboards of transposed convolutions (Odena
et al., "Deconvolution and Checkerboard Artifacts", Distill 2016). The variant with skips adds the
U-Net's connections (Ronneberger et al., 2015).
"""

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


class UpsampleCNN(nn.Module):
    """Two strided convolutions down and two upsampled ones back, each but the last LeakyReLU'd.

    Any height and width: it pads by itself, by repeating the last row and column.

    Attributes:
      channels: C of the signal.
      widths: channels at a half, at a quarter, and at a half of the resolution again.
      skip: whether the two last convolutions also see the first one's output and the input, as if
        concatenated. Without it all detail passes through the quarter resolution.
      slope: of the LeakyReLU below 0.
      head: `"sigmoid"`, whose outputs stay in (0, 1), or `"linear"`.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    widths: Sequence[int] = (32, 32, 64)
    skip: bool = False
    slope: float = 0.1
    head: Literal["sigmoid", "linear"] = "sigmoid"
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    stride = 4
    # To the right and below; the strided convolutions look 6 ahead, the others 3.
    reach = 9
    canvas = True

    def __post_init__(self):
        layers.check_choices(self, head=("sigmoid", "linear"))
        if len(self.widths) != 3:
            raise ZooError(f"UpsampleCNN: widths={self.widths} must be three numbers")
        super().__post_init__()

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
        layers.check_input(x, self.channels, "UpsampleCNN")
        dtypes = layers.dtypes(self, x)
        activate = partial(nn.leaky_relu, negative_slope=self.slope)
        conv = partial(Conv, kernel_size=(3, 3), kernel_init=nn.initializers.he_normal(), **dtypes)
        half, quarter, half_again = self.widths

        full = layers.pad_to_multiple(x, self.stride)
        fine = activate(conv(half, strides=2, name="down1")(full))
        y = activate(conv(quarter, strides=2, name="down2")(fine))
        y = layers.UpsampleConv(half_again, gain=2.0, **dtypes, name="up2")(y)
        # The sum of two convolutions is the convolution of the concatenation.
        if self.skip:
            y = y + conv(half_again, use_bias=False, name="skip2")(fine)
        y = layers.UpsampleConv(self.channels, **dtypes, name="up1")(activate(y))
        if self.skip:
            y = y + conv(self.channels, use_bias=False, name="skip1")(full)
        return layers.head(y[:, : x.shape[1], : x.shape[2]], self.head, x.dtype)


_NARROW = {"widths": (4, 4, 4)}


@register("upsample_cnn-base", parameters=30_371, narrow=_NARROW)
def upsample_cnn_base(**overrides) -> UpsampleCNN:
    """Five layers without skips: smooths strongly, for small pictures and heavy noise."""
    return UpsampleCNN(**overrides)


@register("upsample_cnn-skip", parameters=48_884, narrow=_NARROW)
def upsample_cnn_skip(**overrides) -> UpsampleCNN:
    """With skips, which keep the detail of the input."""
    return UpsampleCNN(**{"skip": True} | overrides)
