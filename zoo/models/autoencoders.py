"""Autoencoders: networks that pass the image through a small code, dense or convolutional.

After Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders" (ICML
2008).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register


class MLPAutoencoder(Denoiser):
    """Dense layers down to a code and back, for images of one size.

    The denoising autoencoder of Vincent et al. (ICML 2008), with one hidden layer; the deeper
    variant is their stacked one (JMLR 11, 2010). Weights are untied.

    Attributes:
      size: (H, W) of the images, in pixels.
      widths: units of each encoder layer, the code last; the decoder mirrors them.
      head: `"sigmoid"`, whose outputs stay in (0, 1), or `"linear"`.
    """

    size: tuple[int, int] = (28, 28)
    channels: int = 1
    widths: Sequence[int] = (128,)
    head: Literal["sigmoid", "linear"] = "sigmoid"

    family = "mlp_autoencoder"
    locality = "global"
    output = property(lambda self: self.head)

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        dtypes = self.dtypes(x)
        dense = partial(nn.Dense, kernel_init=nn.initializers.he_normal(), **dtypes)
        y = x.reshape(x.shape[0], -1)
        pixels = y.shape[-1]
        for i, width in enumerate(self.widths):
            y = nn.relu(dense(width, name=f"encoder{i}")(y))
        for i in reversed(range(1, len(self.widths))):
            y = nn.relu(dense(self.widths[i - 1], name=f"decoder{i}")(y))
        y = nn.Dense(pixels, **dtypes, name="decoder0")(y)
        return y.reshape(x.shape)


class ConvAutoencoder(Denoiser):
    """An encoder of convolutions with one max-pool before the last, and its mirror image.

    The strided convolutions, the pooling and the transposed convolutions are those of Masci et al.,
    "Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction" (ICANN 2011) and
    Zeiler et al., "Deconvolutional Networks" (CVPR 2010). All detail passes through the code, so it
    suits images of one kind, such as digits.

    With `skip` the decoder also gets the encoder's outputs, and it suits any image: a U-Net in all
    but the pool (Mao et al., "Image Restoration Using Very Deep Convolutional Encoder-Decoder
    Networks with Symmetric Skip Connections", NeurIPS 2016).

    Attributes:
      widths: channels of each encoder stage, the code last; the decoder mirrors them.
      strides: 1 (a 3x3 convolution either way) or 2 (4x4 down, 4x4 transposed up) for each stage.
        H and W shrink by their product, times 2 for the pool.
      skip: whether each output of the encoder is added to that of the decoder of its shape.
      blocks: residual blocks after each stage of the encoder, and of the decoder but its last.
      head: `"linear"`; `"sigmoid"`, whose outputs stay in (0, 1); or `"residual"`, added to the
        input. With a squared error the linear one learns much faster than the sigmoid: on mostly
        black digits that saturates at black.
    """

    widths: Sequence[int] = (32, 64, 128, 128)
    strides: Sequence[int] = (2, 2, 2, 1)
    skip: bool = False
    blocks: int = 0
    head: Literal["linear", "sigmoid", "residual"] = "linear"

    family = "conv_autoencoder"
    canvas = True
    output = property(lambda self: self.head)

    def __post_init__(self):
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
                # The patch that the pool reduces.
                total, scale = total + scale, 2 * scale
            # Of a stride of 2: one finer pixel on the way down, two on the way up.
            total, scale = total + (3 if stride == 2 else 2) * scale, stride * scale
            # Two convolutions a block, on either way but at the code.
            total += (2 if i == len(self.strides) - 1 else 4) * self.blocks * scale
        return total

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        dtypes = self.dtypes(x)
        # Eight layers deep and without skips, it would start near constant without the ReLU's gain.
        conv = partial(Conv, kernel_init=nn.initializers.he_normal(), **dtypes)
        blocks = partial(_residual_blocks, number=self.blocks, activate=nn.relu, **dtypes)
        y, skips = x, []
        stages = list(enumerate(zip(self.widths, self.strides, strict=True)))
        last = len(stages) - 1
        for i, (width, stride) in stages:
            skips.append(y)
            if i == last:
                y = layers.max_pool(y)
            kernel = (4, 4) if stride == 2 else (3, 3)
            y = nn.relu(conv(width, kernel, stride, name=f"encoder{i}")(y))
            y = blocks(y, f"encoder{i}")
        for i, (_, stride) in reversed(stages):
            width = self.widths[i - 1] if i else self.channels
            gain = 2.0 if i or self.head != "residual" else 1e-4
            if stride == 2:
                up = layers.Up(width, 4, gain=gain, **dtypes, name=f"decoder{i}")
            else:
                init = layers.scaled_kernel(gain)
                up = conv(width, (3, 3), kernel_init=init, name=f"decoder{i}")
            y = up(y)
            if i == last:
                y = layers.upsample_nearest(y)
            if i:
                y = nn.relu(y)
                y = blocks(y + skips[i] if self.skip else y, f"decoder{i}")
        return y


class UpsampleCNN(Denoiser):
    """Two strided convolutions down and two upsampled ones back, each but the last LeakyReLU'd.

    Upsampling and then convolving leaves none of the checkerboards of transposed convolutions
    (Odena et al., "Deconvolution and Checkerboard Artifacts", Distill 2016). The variant with skips
    adds the U-Net's connections (Ronneberger et al., 2015).

    Attributes:
      widths: channels at a half, at a quarter, and at a half of the resolution again.
      skip: whether the last two convolutions also take the first one's output and the input, as if
        concatenated. Without it all detail passes through the quarter resolution.
      blocks: residual blocks after each convolution but the last.
      slope: of the LeakyReLU below 0.
      head: `"sigmoid"`, whose outputs stay in (0, 1); `"linear"`; or `"residual"`, added to the
        input.
    """

    widths: Sequence[int] = (32, 32, 64)
    skip: bool = False
    blocks: int = 0
    slope: float = 0.1
    head: Literal["sigmoid", "linear", "residual"] = "sigmoid"

    stride = 4
    family = "upsample_cnn"
    canvas = True
    output = property(lambda self: self.head)

    def __post_init__(self):
        if len(self.widths) != 3:
            raise ZooError(f"UpsampleCNN: widths={self.widths} must be three numbers")
        super().__post_init__()

    @property
    def reach(self) -> int:
        """To the right and below: the strided convolutions look 6 ahead, the others 3, and blocks
        8 at the quarter and 4 each at the halves of the resolution."""
        return 9 + 16 * self.blocks

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        dtypes = self.dtypes(x)
        activate = partial(nn.leaky_relu, negative_slope=self.slope)
        conv = partial(Conv, kernel_size=(3, 3), kernel_init=nn.initializers.he_normal(), **dtypes)
        blocks = partial(_residual_blocks, number=self.blocks, activate=activate, **dtypes)
        half, quarter, half_again = self.widths
        tail = layers.scaled_kernel() if self.head == "residual" else nn.initializers.he_normal()

        fine = blocks(activate(conv(half, strides=2, name="down1")(x)), "down1")
        y = blocks(activate(conv(quarter, strides=2, name="down2")(fine)), "down2")
        y = layers.UpsampleConv(half_again, gain=2.0, **dtypes, name="up2")(y)
        # The sum of two convolutions is the convolution of the concatenation.
        if self.skip:
            y = y + conv(half_again, use_bias=False, name="skip2")(fine)
        y = blocks(activate(y), "up2")
        gain = 1e-4 if self.head == "residual" else 1.0
        y = layers.UpsampleConv(self.channels, gain=gain, **dtypes, name="up1")(y)
        if self.skip:
            y = y + conv(self.channels, kernel_init=tail, use_bias=False, name="skip1")(x)
        return y


def _residual_blocks(
    x: jax.Array, name: str, *, number: int, activate: Callable[[jax.Array], jax.Array], **dtypes
) -> jax.Array:
    """Applies residual blocks: convolution, activation, convolution, added to the input."""
    conv = partial(Conv, x.shape[-1], (3, 3), **dtypes)
    for i in range(number):
        y = activate(conv(name=f"{name}_block{i}_conv0")(x))
        x = x + conv(kernel_init=layers.scaled_kernel(0.1), name=f"{name}_block{i}_conv1")(y)
    return x


register(MLPAutoencoder, "mlp_autoencoder-mnist", "784-128-784, trained in seconds", 201_616, 256)
register(
    MLPAutoencoder,
    "mlp_autoencoder-mnist-deep",
    "784-512-128-512-784",
    935_824,
    1_190,
    widths=(512, 128),
)

_conv = partial(register, ConvAutoencoder, narrow={"widths": (4, 4, 4, 4)})
_conv(
    "conv_autoencoder-mnist",
    "for 28x28 gray digits, with a code of 7x7x32",
    56_545,
    10_600,
    channels=1,
    widths=(32, 32, 32, 32),
    strides=(2, 1, 1, 1),
)
_conv("conv_autoencoder-photo", "for about 128x128, with a code of 8x8x128", 626_243, 10_300)

_conv(
    "conv_autoencoder-skip",
    "with the skip connections of a U-Net, three times as deep",
    1_195_011,
    47_000,
    widths=(48, 64, 96, 96),
    skip=True,
    blocks=1,
    head="residual",
)

_upsample = partial(register, UpsampleCNN, narrow={"widths": (4, 4, 4)})
_upsample("upsample_cnn-base", "smooths strongly, for heavy noise", 30_371, 3_690)
_upsample("upsample_cnn-skip", "keeps the detail of the input", 48_884, 8_380, skip=True)
_upsample(
    "upsample_cnn-deep",
    "with skip connections and residual blocks, for any photograph",
    604_980,
    75_700,
    widths=(48, 96, 48),
    skip=True,
    blocks=2,
    head="residual",
)
