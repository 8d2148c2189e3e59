"""SCUNet: a U-Net whose blocks run a residual convolution beside a Swin Transformer block.

Zhang et al., "Practical Blind Image Denoising via Swin-Conv-UNet and Data Synthesis" (Machine
Intelligence Research 2023), of which this is the network.
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


class SCUNet(nn.Module):
    """A U-Net of Swin-Conv blocks with added skips; the width doubles at each coarser level.

    Any height and width: it pads by itself, by repeating the last row and column.

    Attributes:
      channels: C of the signal.
      width: channels of the finest level.
      blocks: of each stage, from the finest level down to the coarsest and back: an odd number of
        stages. Every other block has shifted windows.
      head_width: channels of each attention head; half of `width` must be a multiple of it.
      window: its side in pixels, at every level.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    width: int = 64
    blocks: Sequence[int] = (4,) * 7
    head_width: int = 32
    window: int = 8
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    # What a pixel sees depends on where it lies in its windows.
    locality = "windowed"
    canvas = True
    # Its authors take 1e-4; many times that, and a loss of this depth runs away.
    learning_rate = 5e-4

    def __post_init__(self):
        if len(self.blocks) % 2 == 0:
            raise ZooError(f"SCUNet: blocks={self.blocks} must be an odd number of stages")
        if self.width % (2 * self.head_width):
            raise ZooError(
                f"SCUNet: width={self.width} must be a multiple of twice "
                f"head_width={self.head_width}"
            )
        super().__post_init__()

    @property
    def stride(self) -> int:
        """A window of the coarsest level."""
        return self.window * 2 ** (len(self.blocks) // 2)

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
        layers.check_input(x, self.channels, "SCUNet")
        dtypes = layers.dtypes(self, x)
        conv = partial(Conv, kernel_size=(3, 3), use_bias=False, **dtypes)
        deepest = len(self.blocks) // 2
        y = layers.pad_to_multiple(x, self.stride)
        passing = layers.passing(self.channels)
        y = conv(self.width, kernel_init=passing, name="head")(y)

        skips = []
        for depth in range(deepest):
            skips.append(y)
            y = self._stage(y, self.blocks[depth], f"encoder{depth}_")
            y = layers.Down(2 * y.shape[-1], use_bias=False, **dtypes, name=f"down{depth + 1}")(y)
        skips.append(y)
        y = self._stage(y, self.blocks[deepest], "body")
        for depth in reversed(range(deepest)):
            # Little of the deeper levels at first, so that what passes comes out as it is.
            up = layers.Up(
                y.shape[-1] // 2,
                gain=1.0 if depth else 1e-4,
                use_bias=False,
                **dtypes,
                name=f"up{depth}",
            )
            y = up(y + skips.pop())
            y = self._stage(y, self.blocks[-1 - depth], f"decoder{depth}_")
        y = conv(self.channels, kernel_init=passing, name="tail")(y + skips.pop())
        return y[:, : x.shape[1], : x.shape[2]].astype(x.dtype)

    def _stage(self, x: jax.Array, blocks: int, name: str) -> jax.Array:
        dtypes = layers.dtypes(self, x)
        for i in range(blocks):
            shift = self.window // 2 if i % 2 else 0
            x = _Block(self.head_width, self.window, shift, **dtypes, name=f"{name}{i}")(x)
        return x


class _Block(nn.Module):
    """A 1x1 convolution, a residual one and a Swin block on half the channels each, a 1x1."""

    head_width: int
    window: int
    shift: int
    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtypes = layers.dtypes(self, x)
        half = x.shape[-1] // 2
        conv = partial(Conv, half, (3, 3), use_bias=False, **dtypes)
        y = nn.Dense(2 * half, **dtypes, name="split")(x)
        local, distant = y[..., :half], y[..., half:]
        local = local + conv(name="conv1")(nn.relu(conv(name="conv0")(local)))
        swin = windows.SwinBlock(
            half // self.head_width, self.window, self.shift, 4, **dtypes, name="swin"
        )
        y = jnp.concatenate([local, swin(distant)], axis=-1)
        # Blocks that start near the identity keep a deep sum from growing, and learn sooner.
        small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        return x + nn.Dense(2 * half, kernel_init=small, **dtypes, name="join")(y)


_NARROW = {"width": 8, "head_width": 4, "window": 4}
_SHALLOW = {"blocks": (1, 2, 1)}


@register("scunet-gray", parameters=17_943_768, narrow=_NARROW, shallow=_SHALLOW)
def scunet_gray(**overrides) -> SCUNet:
    """As published, for grey pictures; one weight file takes one noise level."""
    return SCUNet(**{"channels": 1} | overrides)


@register("scunet-color", parameters=17_946_072, narrow=_NARROW, shallow=_SHALLOW)
def scunet_color(**overrides) -> SCUNet:
    """As published, for colour pictures: one noise level a weight file, or real noise."""
    return SCUNet(**overrides)


@register("scunet-small", parameters=914_716, narrow=_NARROW, shallow=_SHALLOW)
def scunet_small(**overrides) -> SCUNet:
    """Three levels of half the width, a twentieth of the size: trains and runs on a CPU."""
    return SCUNet(**{"width": 32, "blocks": (2, 2, 4, 2, 2), "head_width": 16} | overrides)
