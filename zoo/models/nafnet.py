"""NAFNet: a U-Net whose blocks gate by products of channels and need no activation function.

After Chen et al., "Simple Baselines for Image Restoration", ECCV 2022.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import canvas, layers
from zoo.models.conv import Conv
from zoo.models.registry import register


class NAFNet(nn.Module):
    """A U-Net of NAFNet's blocks that predicts what to add to the picture; blind to the level.

    It pads any height and width by itself, with zeros as the published weights expect.

    Attributes:
      channels: C of the signal.
      width: channels of the finest level; each coarser one has twice as many.
      encoder: blocks of each level on the way down, in the order they run, the finest first.
      middle: blocks at the bottom, one level below the encoder's last.
      decoder: blocks of each level on the way up, in the order they run, the coarsest first.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    width: int = 32
    encoder: Sequence[int] = (2, 2, 4, 8)
    middle: int = 12
    decoder: Sequence[int] = (2, 2, 2, 2)
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    # Channel attention weighs the channels by their means over the picture.
    locality = "global"
    margin = "constant"
    canvas = True

    def __post_init__(self):
        if len(self.encoder) != len(self.decoder):
            raise ZooError(
                f"NAFNet: encoder={self.encoder!r} and decoder={self.decoder!r} differ in length; "
                "give both one number of blocks a level"
            )
        super().__post_init__()

    @property
    def stride(self) -> int:
        """One pixel of the bottom."""
        return 2 ** len(self.encoder)

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
        layers.check_input(x, self.channels, "NAFNet")
        dtypes = layers.dtypes(self, x)
        conv = partial(Conv, kernel_size=(3, 3), **dtypes)
        block = partial(_Block, **dtypes)

        levels = len(self.encoder)
        y = layers.pad_to_multiple(x, self.stride, self.margin)
        y = conv(self.width, name="head")(y)

        skips = []
        for depth, count in enumerate(self.encoder):
            for i in range(count):
                y = block(name=f"encoder{depth}_{i}")(y)
            skips.append(y)
            y = layers.Down(2 * y.shape[-1], **dtypes, name=f"down{depth + 1}")(y)
        for i in range(self.middle):
            y = block(name=f"middle{i}")(y)
        for depth, count in zip(reversed(range(levels)), self.decoder, strict=True):
            # The paper's 1x1 convolution and pixel shuffle are one such layer.
            y = layers.Up(y.shape[-1] // 2, use_bias=False, **dtypes, name=f"up{depth}")(y)
            y = y + skips[depth]
            for i in range(count):
                y = block(name=f"decoder{depth}_{i}")(y)

        # A small start keeps the first outputs near the noisy input, the best guess then known.
        small = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
        y = conv(self.channels, kernel_init=small, name="tail")(y)
        return x + y[:, : x.shape[1], : x.shape[2]].astype(x.dtype)


class _Block(nn.Module):
    """Gated depthwise convolution with channel attention, then a gated pointwise layer.

    Each half is added to its input, scaled a channel at a time by `beta` and `gamma`, which start
    at 0: the block starts as the identity.
    """

    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = x.shape[-1]
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        dense = partial(nn.Dense, **dtypes)

        y = dense(2 * c, name="expand0")(self._norm(x, "norm0"))
        y = _gate(layers.DepthwiseConv(**dtypes, name="depthwise")(y))
        # The statistics are taken in the parameters' precision, however low the computation's.
        means = canvas.mean(y.astype(self.param_dtype))
        y = y * dense(c, name="attention")(means)
        x = x + self._scale(dense(c, name="project0")(y), "beta")

        y = _gate(dense(2 * c, name="expand1")(self._norm(x, "norm1")))
        return x + self._scale(dense(c, name="project1")(y), "gamma")

    def _norm(self, x: jax.Array, name: str) -> jax.Array:
        norm = nn.LayerNorm(
            epsilon=1e-6,
            use_fast_variance=False,
            dtype=self.param_dtype,
            param_dtype=self.param_dtype,
            name=name,
        )
        return norm(x.astype(self.param_dtype)).astype(x.dtype)

    def _scale(self, y: jax.Array, name: str) -> jax.Array:
        scale = self.param(name, nn.initializers.zeros, (y.shape[-1],), self.param_dtype)
        return y * scale.astype(y.dtype)[None, None, None]


def _gate(x: jax.Array) -> jax.Array:
    """The product of the two halves of the channels."""
    a, b = jnp.split(x, 2, axis=-1)
    return a * b


_NARROW = {"width": 4}
_SHALLOW = {"encoder": (1, 1), "middle": 1, "decoder": (1, 1)}


@register("nafnet-small", parameters=438_387, narrow=_NARROW, shallow=_SHALLOW)
def nafnet_small(**overrides) -> NAFNet:
    """Three levels from 16 channels: to train and run on a laptop's CPU; no published weights."""
    small = {"width": 16, "encoder": (1, 1, 2), "middle": 2, "decoder": (1, 1, 1)}
    return NAFNet(**small | overrides)


@register("nafnet-w32", parameters=29_159_715, narrow=_NARROW, shallow=_SHALLOW)
def nafnet_w32(**overrides) -> NAFNet:
    """The paper's network for real camera noise (SIDD), from 32 channels."""
    return NAFNet(**{"width": 32} | overrides)


@register("nafnet-w64", parameters=115_982_915, narrow=_NARROW, shallow=_SHALLOW)
def nafnet_w64(**overrides) -> NAFNet:
    """The paper's network for real camera noise (SIDD), from 64 channels."""
    return NAFNet(**{"width": 64} | overrides)
