"""U-Net for denoising: it predicts the noise and subtracts it.

After Ronneberger et al., "U-Net" (2015), with the residual blocks and added skips of DRUNet
(Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", 2021), the residual
prediction of DnCNN and the pixel-unshuffle stem and level map of FFDNet (Zhang et al., 2017, 2018).
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.models import canvas, layers
from zoo.models.conv import Conv
from zoo.models.registry import register


class UNet(nn.Module):
    """A U-Net of residual blocks; any height and width, since it pads by itself.

    Attributes:
      channels: C of the signal.
      widths: channels of each level, the finest first; their number is the depth.
      blocks: residual blocks a level, on the way down and on the way up.
      stem: pixel-unshuffle factor before the first convolution; 1 for none. A stem of 2 runs the
        network at half resolution, at a quarter of the cost.
      norm: `"none"`; `"group"` (makes the network global) or `"batch"` after each convolution of a
        block; `"layer"`, over the channels of a pixel, before the first one.
      down: `"conv"` (2x2, stride 2), `"max"` or `"mean"` pooling.
      up: `"conv"` (2x2 transposed) or `"nearest"`, each to the width of the finer level.
      skip: `"add"` or `"concat"`.
      takes_level: a constant map of `level` goes in as one more channel.
      axis_name: the device axis over which batch statistics are averaged.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    widths: Sequence[int] = (32, 64, 128)
    blocks: int = 2
    stem: int = 1
    norm: Literal["none", "group", "batch", "layer"] = "none"
    down: Literal["conv", "max", "mean"] = "conv"
    up: Literal["conv", "nearest"] = "conv"
    skip: Literal["add", "concat"] = "add"
    takes_level: bool = False
    axis_name: str | None = None
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    canvas = True

    def __post_init__(self):
        layers.check_choices(
            self,
            norm=("none", "group", "batch", "layer"),
            down=("conv", "max", "mean"),
            up=("conv", "nearest"),
            skip=("add", "concat"),
        )
        super().__post_init__()

    @property
    def locality(self) -> str:
        """`"global"` with group norm, whose statistics span the picture; else `"local"`."""
        return "global" if self.norm == "group" else "local"

    @property
    def stride(self) -> int:
        """One pixel of the coarsest level."""
        return self.stem * 2 ** (len(self.widths) - 1)

    @property
    def reach(self) -> int:
        """All convolutions of a path through the coarsest level, and the pixel it splits there."""
        if self.locality == "global":
            return 0
        # Two convolutions a block, in each level twice but at the bottom; head and tail.
        deepest = len(self.widths) - 1
        convs = 2 + 2 * self.blocks * (2 * (2**deepest - 1) + 2**deepest)
        return self.stem * convs + self.stride - 1

    @nn.compact
    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C), any float dtype, made for [0, 1].
          level: noise level in signal units, a number or (N,); ignored unless `takes_level`.
          train: whether batch norm uses and updates the statistics of this batch.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` has another number of channels, or there is no level where it takes one.
        """
        layers.check_input(x, self.channels, "UNet")
        conv = partial(Conv, kernel_size=(3, 3), **layers.dtypes(self, x))
        y = layers.pad_to_multiple(x, self.stride)
        y = layers.space_to_depth(y, self.stem)
        if self.takes_level:
            y = jnp.concatenate([y, layers.level_map(level, y, "UNet")], axis=-1)
        y = conv(self.widths[0], name="head")(y)

        skips = []
        for depth, width in enumerate(self.widths):
            if depth:
                skips.append(y)
                y = self._down(y, width, f"down{depth}")
            for i in range(self.blocks):
                y = self._block(y, f"encoder{depth}_{i}", train)
        for depth in reversed(range(len(self.widths) - 1)):
            y = self._up(y, self.widths[depth], f"up{depth}")
            if self.skip == "add":
                y = y + skips[depth]
            else:
                y = jnp.concatenate([y, skips[depth]], axis=-1)
                y = conv(self.widths[depth], kernel_size=(1, 1), name=f"merge{depth}")(y)
            for i in range(self.blocks):
                y = self._block(y, f"decoder{depth}_{i}", train)

        # A small start keeps the first outputs near the noisy input, the best guess then known.
        y = conv(
            self.channels * self.stem**2,
            kernel_init=nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal"),
            name="tail",
        )(y)
        y = layers.depth_to_space(y, self.stem)[:, : x.shape[1], : x.shape[2]]
        return x - y.astype(x.dtype)

    def _block(self, x: jax.Array, name: str, train: bool) -> jax.Array:
        """conv, norm, ReLU, conv, norm, added to the input; layer norm comes first, and alone."""
        before = self.norm == "layer"
        conv = partial(
            Conv,
            x.shape[-1],
            (3, 3),
            use_bias=before or self.norm == "none",
            **layers.dtypes(self, x),
        )
        y = self._norm(x, f"{name}_norm0", train) if before else x
        y = conv(name=f"{name}_conv0")(y)
        if not before:
            y = self._norm(y, f"{name}_norm0", train)
        # Blocks that start near the identity keep a deep sum from growing, and learn sooner.
        small = nn.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")
        y = conv(kernel_init=small, name=f"{name}_conv1")(nn.relu(y))
        if not before:
            y = self._norm(y, f"{name}_norm1", train)
        return x + y

    def _norm(self, x: jax.Array, name: str, train: bool) -> jax.Array:
        if self.norm == "none":
            return x
        # Statistics are taken in the parameters' precision, however low that of the computation.
        dtypes = {"dtype": self.param_dtype, "param_dtype": self.param_dtype}
        if self.norm == "group":
            groups = next(g for g in (8, 4, 2, 1) if x.shape[-1] % g == 0)
            norm = nn.GroupNorm(groups, **dtypes, name=name)
        elif self.norm == "layer":
            norm = nn.LayerNorm(1e-6, use_fast_variance=False, **dtypes, name=name)
        else:
            norm = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                axis_name=self.axis_name if train else None,
                **dtypes,
                name=name,
            )
        # Group norm takes its statistics of the picture alone.
        mask = canvas.inside(x) if self.norm == "group" else None
        masked = {} if mask is None else {"mask": jnp.broadcast_to(mask, x.shape)}
        return norm(x.astype(self.param_dtype), **masked).astype(x.dtype)

    def _down(self, x: jax.Array, width: int, name: str) -> jax.Array:
        dtypes = layers.dtypes(self, x)
        if self.down == "conv":
            return layers.Down(width, **dtypes, name=name)(x)
        pool = layers.max_pool if self.down == "max" else layers.mean_pool
        return Conv(width, (1, 1), **dtypes, name=name)(pool(x))

    def _up(self, x: jax.Array, width: int, name: str) -> jax.Array:
        dtypes = layers.dtypes(self, x)
        if self.up == "conv":
            return layers.Up(width, **dtypes, name=name)(x)
        return layers.upsample_nearest(Conv(width, (1, 1), **dtypes, name=name)(x))


@register("unet-tiny", parameters=35_404, narrow={"widths": (4, 6)})
def unet_tiny(**overrides) -> UNet:
    """Two levels at half resolution: for tests, phones and first tries."""
    return UNet(**{"widths": (16, 32), "blocks": 1, "stem": 2} | overrides)


@register("unet-small", parameters=569_036, narrow={"widths": (4, 6, 8)})
def unet_small(**overrides) -> UNet:
    """Three levels at half resolution: trains on two CPU cores in minutes."""
    return UNet(**{"widths": (32, 64, 128), "blocks": 1, "stem": 2} | overrides)


@register("unet-medium", parameters=947_100, narrow={"widths": (4, 6, 8)})
def unet_medium(**overrides) -> UNet:
    """Half as wide again as `unet-small`: of the weights that come with the package."""
    return UNet(**{"widths": (48, 96, 144), "blocks": 1, "stem": 2} | overrides)


@register("unet-base", parameters=9_574_083, narrow={"widths": (4, 4, 4, 4)})
def unet_base(**overrides) -> UNet:
    """Four levels at full resolution: for an accelerator."""
    return UNet(**{"widths": (48, 96, 192, 384), "blocks": 2} | overrides)
