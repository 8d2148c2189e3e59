"""SwinIR for denoising: stages of Swin Transformer blocks between two convolutions.

Liang et al., "SwinIR: Image Restoration Using Swin Transformer" (ICCVW 2021).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers, windows
from zoo.models.conv import Conv
from zoo.models.registry import register

# The mean colour of DIV2K, which the published networks take off.
_MEAN = (0.4488, 0.4371, 0.4040)


class SwinIR(nn.Module):
    """Transformer blocks at full resolution, whose result is added to the picture.

    Any height and width: it pads by itself, by mirroring about the last row and column.

    Attributes:
      channels: C of the signal; for 3 the mean colour of natural pictures is taken off first.
      width: channels of every layer inside.
      depths: blocks of each stage; every other block has shifted windows.
      heads: among which the attention divides the channels.
      window: its side in pixels.
      expansion: hidden units of each block's perceptron over `width`.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    width: int = 180
    depths: Sequence[int] = (6,) * 6
    heads: int = 6
    window: int = 8
    expansion: float = 2
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    # What a pixel sees depends on where it lies in its windows.
    locality = "windowed"
    # Its authors take 2e-4; attention takes much less than convolutions do.
    learning_rate = 5e-4
    margin = "reflect"
    canvas = True

    def __post_init__(self):
        if self.width % self.heads:
            raise ZooError(f"SwinIR: width={self.width} must be a multiple of heads={self.heads}")
        super().__post_init__()

    @property
    def stride(self) -> int:
        """A window."""
        return self.window

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
        layers.check_input(x, self.channels, "SwinIR")
        dtypes = layers.dtypes(self, x)
        conv = partial(Conv, kernel_size=(3, 3), **dtypes)
        y = layers.pad_to_multiple(x, self.stride, self.margin)
        if self.channels == len(_MEAN):
            y = y - jnp.asarray(_MEAN, y.dtype)[None, None, None]
        first = conv(self.width, name="head")(y)
        y = windows.LayerNorm(**dtypes, name="embed_norm")(first)
        for i, depth in enumerate(self.depths):
            y = _Stage(depth, self.heads, self.window, self.expansion, **dtypes, name=f"stage{i}")(
                y
            )
        y = windows.LayerNorm(**dtypes, name="norm")(y)
        y = first + conv(self.width, name="body")(y)
        # A small start keeps the first outputs near the noisy input, the best guess then known.
        y = conv(
            self.channels,
            kernel_init=nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal"),
            name="tail",
        )(y)
        # The mean taken off would be added back to the picture, not to its correction.
        return x + y[:, : x.shape[1], : x.shape[2]].astype(x.dtype)


class _Stage(nn.Module):
    """Blocks, plain and shifted by turns, and a convolution, added to the input."""

    depth: int
    heads: int
    window: int
    expansion: float
    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtypes = layers.dtypes(self, x)
        y = x
        for i in range(self.depth):
            shift = self.window // 2 if i % 2 else 0
            y = windows.SwinBlock(
                self.heads, self.window, shift, self.expansion, **dtypes, name=f"block{i}"
            )(y)
        return x + Conv(x.shape[-1], (3, 3), **dtypes, name="conv")(y)


_NARROW = {"width": 12, "heads": 3, "window": 4}
_SHALLOW = {"depths": (2,)}


@register("swinir-gray", parameters=11_497_681, narrow=_NARROW, shallow=_SHALLOW)
def swinir_gray(**overrides) -> SwinIR:
    """As published, for grey pictures and one noise level a weight file."""
    return SwinIR(**{"channels": 1} | overrides)


@register("swinir-color", parameters=11_504_163, narrow=_NARROW, shallow=_SHALLOW)
def swinir_color(**overrides) -> SwinIR:
    """As published, for colour pictures and one noise level a weight file."""
    return SwinIR(**overrides)


@register("swinir-small", parameters=222_267, narrow=_NARROW, shallow=_SHALLOW)
def swinir_small(**overrides) -> SwinIR:
    """Eight narrow blocks at a fiftieth of the published cost: trains and runs on a CPU."""
    return SwinIR(**{"width": 48, "depths": (4, 4), "heads": 3} | overrides)
