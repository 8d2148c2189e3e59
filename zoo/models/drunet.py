"""DRUNet: a U-Net of residual blocks without biases or norms, told the noise level.

After Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", IEEE Transactions on
Pattern Analysis and Machine Intelligence (2021).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.registry import register


class DRUNet(nn.Module):
    """A U-Net that sees the picture beside a map of its noise level and gives the clean picture.

    With no bias anywhere, picture and level made k times as bright make the output k times as
    bright. It pads any height and width by itself. The published weights were trained for levels
    of 0 to 50/255.

    Attributes:
      channels: C of the signal.
      widths: channels of each level, the finest first; their number is the depth.
      blocks: residual blocks a level, on the way down, at the bottom and on the way up.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    widths: Sequence[int] = (64, 128, 256, 512)
    blocks: int = 4
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    takes_level = True
    # At 1e-3 its loss jumps, at 3e-3 it runs away.
    learning_rate = 3e-4
    canvas = True

    @property
    def stride(self) -> int:
        """One pixel of the coarsest level."""
        return 2 ** (len(self.widths) - 1)

    @property
    def reach(self) -> int:
        """All convolutions of a path through the coarsest level, and the pixel it splits there."""
        # Two convolutions a block, in each level twice but at the bottom; head and tail.
        convs = 2 + 2 * self.blocks * (2 * (self.stride - 1) + self.stride)
        return convs + self.stride - 1

    @nn.compact
    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C), any float dtype, made for [0, 1].
          level: standard deviation of the noise in signal units, a number or (N,).
          train: ignored.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` has another number of channels, or there is no level.
        """
        layers.check_input(x, self.channels, "DRUNet")
        dtypes = layers.dtypes(self, x)
        conv = partial(Conv, kernel_size=(3, 3), use_bias=False, **dtypes)
        block = partial(_Block, **dtypes)
        down = partial(layers.Down, use_bias=False, **dtypes)
        up = partial(layers.Up, use_bias=False, **dtypes)

        deepest = len(self.widths) - 1
        y = layers.pad_to_multiple(x, self.stride)
        y = jnp.concatenate([y, layers.level_map(level, y, "DRUNet")], axis=-1)
        passing = layers.passing(self.channels)
        y = conv(self.widths[0], kernel_init=passing, name="head")(y)

        skips = []
        for depth in range(deepest):
            skips.append(y)
            for i in range(self.blocks):
                y = block(name=f"encoder{depth}_{i}")(y)
            y = down(self.widths[depth + 1], name=f"down{depth + 1}")(y)
        skips.append(y)
        for i in range(self.blocks):
            y = block(name=f"body{i}")(y)
        for depth in reversed(range(deepest)):
            # Little of the deeper levels at first, so that what passes comes out as it is.
            gain = 1.0 if depth else 1e-4
            y = up(self.widths[depth], gain=gain, name=f"up{depth}")(y + skips[depth + 1])
            for i in range(self.blocks):
                y = block(name=f"decoder{depth}_{i}")(y)

        y = conv(self.channels, kernel_init=passing, name="tail")(y + skips[0])
        return y[:, : x.shape[1], : x.shape[2]].astype(x.dtype)


class _Block(nn.Module):
    """conv, ReLU, conv, added to the input."""

    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(
            Conv,
            x.shape[-1],
            (3, 3),
            use_bias=False,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        y = nn.relu(conv(name="conv0")(x))
        # Blocks that start near the identity keep a deep sum from growing, and learn sooner.
        small = nn.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")
        return x + conv(kernel_init=small, name="conv1")(y)


_NARROW = {"widths": (4, 4, 4, 4)}
_SHALLOW = {"blocks": 1}


@register("drunet-gray", parameters=32_638_656, narrow=_NARROW, shallow=_SHALLOW)
def drunet_gray(**overrides) -> DRUNet:
    """Four levels of 64 to 512 channels, grey."""
    return DRUNet(**{"channels": 1} | overrides)


@register("drunet-color", parameters=32_640_960, narrow=_NARROW, shallow=_SHALLOW)
def drunet_color(**overrides) -> DRUNet:
    """Four levels of 64 to 512 channels, colour."""
    return DRUNet(**{"channels": 3} | overrides)
