"""U-Net for denoising: it predicts the noise and subtracts it.

After Ronneberger et al., "U-Net" (2015), with the residual blocks and added skips of DRUNet
(Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", 2021), the residual
prediction of DnCNN and the pixel-unshuffle stem and level map of FFDNet (Zhang et al., 2017, 2018).

The volumetric ones, after Çiçek et al., "3D U-Net" (2016), have 3x3x3 convolutions on the way down.
Along z these pad nothing, so that one plane fewer on either side goes on to the next layer until
the center is left, whose noise is predicted; they sample down within planes only. Planes lie in the
batch, and a 3x3x3 convolution is a 3x3 one of planes between their neighbors.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import canvas, layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register


class UNet(Denoiser):
    """A U-Net of residual blocks that predicts the noise.

    Attributes:
      widths: channels of each level, the finest first; their number is the depth.
      blocks: residual blocks a level, on the way down and on the way up.
      stem: pixel-unshuffle factor before the first convolution; 1 for none. A stem of 2 runs the
        network at half resolution, at a quarter of the cost.
      norm: `"none"`; `"group"` (makes the network global) or `"batch"` after each convolution of a
        block; `"layer"`, over the channels of a pixel, before the first one.
      down: `"conv"` (2x2, stride 2), `"max"` or `"mean"` pooling.
      up: `"conv"` (2x2 transposed) or `"nearest"`, each to the width of the finer level.
      skip: `"add"` or `"concat"`.
      planes: how many of a stack it sees at once, an odd number; see `ModelSpec`.
      volumetric: how it sees several: True, by 3x3x3 convolutions, the first and then one in each
        block on the way down, as many as there are planes to take in; False, as channels of the
        first convolution.
      takes_level: a constant map of `level` goes in as one more channel.
      axis_name: the device axis over which batch statistics are averaged.
    """

    widths: Sequence[int] = (32, 64, 128)
    blocks: int = 2
    stem: int = 1
    norm: Literal["none", "group", "batch", "layer"] = "none"
    down: Literal["conv", "max", "mean"] = "conv"
    up: Literal["conv", "nearest"] = "conv"
    skip: Literal["add", "concat"] = "add"
    planes: int = 1
    volumetric: bool = False
    takes_level: bool = False
    axis_name: str | None = None

    canvas = True
    output = "noise"
    family = property(lambda self: "unet3d" if self.volumetric else "unet")

    def __post_init__(self):
        most = 3 + 2 * self.blocks * len(self.widths)
        if self.volumetric and self.planes > most:
            raise ZooError(
                f"{type(self).__name__}: planes={self.planes!r} are more than its 3-D convolutions "
                f"take in; make it {most} or fewer, or add blocks or widths"
            )
        super().__post_init__()

    @property
    def locality(self) -> str:
        """`"global"` with group norm, whose statistics span the image; else `"local"`."""
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
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        conv = partial(Conv, kernel_size=(3, 3), **self.dtypes(x))
        stacks, planes = x.shape[0], self.planes if self.volumetric else 1
        y = layers.space_to_depth(_in_batch(x, planes), self.stem)
        if self.takes_level:
            y = layers.append_level(y, jnp.repeat(level, planes, axis=0))
        y = _convolved(partial(conv, self.widths[0], name="head"), y, stacks)

        skips = []
        for depth, width in enumerate(self.widths):
            if depth:
                skips.append(_inner(y, x, stacks))
                y = self._down(y, width, f"down{depth}")
            for i in range(self.blocks):
                y = self._block(y, f"encoder{depth}_{i}", train, stacks)
        for depth in reversed(range(len(self.widths) - 1)):
            y = self._up(y, self.widths[depth], f"up{depth}")
            if self.skip == "add":
                y = y + skips[depth]
            else:
                y = jnp.concatenate([y, skips[depth]], axis=-1)
                y = conv(self.widths[depth], kernel_size=(1, 1), name=f"merge{depth}")(y)
            for i in range(self.blocks):
                y = self._block(y, f"decoder{depth}_{i}", train, stacks)

        features = self.channels * self.stem**2
        y = conv(features, kernel_init=layers.scaled_kernel(), name="tail")(y)
        return layers.depth_to_space(y, self.stem)

    def _block(self, x: jax.Array, name: str, train: bool, stacks: int) -> jax.Array:
        """conv, norm, ReLU, conv, norm, added to the input; layer norm comes first, and alone.

        The first convolution takes in the neighbors of planes of so many stacks.
        """
        before = self.norm == "layer"
        use_bias = self.norm in ("none", "layer")
        conv = partial(Conv, x.shape[-1], (3, 3), use_bias=use_bias, **self.dtypes(x))
        norm0 = partial(self._norm, name=f"{name}_norm0", train=train)
        y = norm0(x) if before else x
        y = _convolved(partial(conv, name=f"{name}_conv0"), y, stacks)
        y = nn.relu(y if before else norm0(y))
        y = conv(kernel_init=layers.scaled_kernel(0.1), name=f"{name}_conv1")(y)
        x = _inner(x, y, stacks)
        return x + (y if before else self._norm(y, name=f"{name}_norm1", train=train))

    def _norm(self, x: jax.Array, *, name: str, train: bool) -> jax.Array:
        match self.norm:
            case "batch":
                return self.batch_norm(x, train=train, axis_name=self.axis_name, name=name)
            case "layer":
                return self.normalize(nn.LayerNorm, x, use_fast_variance=False, name=name)
            case "group":
                groups = next(g for g in (8, 4, 2, 1) if x.shape[-1] % g == 0)
                # The statistics are those of the image alone.
                mask = canvas.inside(x)
                return self.normalize(nn.GroupNorm, x, mask=mask, num_groups=groups, name=name)
        return x

    def _down(self, x: jax.Array, width: int, name: str) -> jax.Array:
        dtypes = self.dtypes(x)
        if self.down == "conv":
            return layers.Down(width, **dtypes, name=name)(x)
        pool = layers.max_pool if self.down == "max" else layers.mean_pool
        return Conv(width, (1, 1), **dtypes, name=name)(pool(x))

    def _up(self, x: jax.Array, width: int, name: str) -> jax.Array:
        dtypes = self.dtypes(x)
        if self.up == "conv":
            return layers.Up(width, **dtypes, name=name)(x)
        return layers.upsample_nearest(Conv(width, (1, 1), **dtypes, name=name)(x))


def _of_center(key: jax.Array, shape: tuple[int, ...], dtype: layers.Dtype) -> jax.Array:
    """Makes a 3x3x3 kernel that is at first a 3x3 one of the plane in its center, so that learning
    begins with the network of single planes."""
    *size, inputs, features = shape
    center = nn.initializers.lecun_normal()(key, (*size, inputs // 3, features), dtype)
    return jnp.pad(center, ((0, 0), (0, 0), (inputs // 3,) * 2, (0, 0)))


def _in_batch(x: jax.Array, planes: int) -> jax.Array:
    """The planes of each stack one after the other: (N, H, W, K C) to (N K, H, W, C).

    So devices that share a batch exchange nothing of it.
    """
    if planes == 1:
        return x
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, planes, c // planes)
    return jnp.moveaxis(x, 3, 1).reshape(n * planes, h, w, c // planes)


def _convolved(conv: Callable[..., Conv], x: jax.Array, stacks: int) -> jax.Array:
    """A 3x3x3 convolution, "valid" along z: (N D, H, W, C) to (N (D - 2), H, W, features); of D = 1
    a 3x3 one.

    It is a 3x3 one of planes between their neighbors, (N (D - 2), H, W, 3 C).

    Args:
      conv: makes the layer.
      x: the planes of N stacks.
      stacks: N.
    """
    if x.shape[0] == stacks:
        return conv()(x)
    depth = x.shape[0] // stacks
    x = x.reshape(stacks, depth, *x.shape[1:])
    x = jnp.concatenate([x[:, i : depth - 2 + i] for i in range(3)], axis=-1)
    return conv(kernel_init=_of_center)(x.reshape(-1, *x.shape[2:]))


def _inner(x: jax.Array, like: jax.Array, stacks: int) -> jax.Array:
    """Of each stack as many planes, about its center, as `like` has."""
    if x.shape[0] == like.shape[0]:
        return x
    depth, kept = x.shape[0] // stacks, like.shape[0] // stacks
    first = (depth - kept) // 2
    x = x.reshape(stacks, depth, *x.shape[1:])[:, first : first + kept]
    return x.reshape(-1, *x.shape[2:])


_unet = partial(register, UNet, narrow={"widths": (4, 6, 8)})
_unet(
    "unet-tiny",
    "two levels at half resolution, for tests and first tries",
    35_404,
    4_580,
    narrow={"widths": (4, 6)},
    widths=(16, 32),
    blocks=1,
    stem=2,
)
_unet("unet-small", "trains in minutes on two CPU cores", 569_036, 26_800, blocks=1, stem=2)
_unet("unet-medium", "of shipped weights", 947_100, 53_900, widths=(48, 96, 144), blocks=1, stem=2)
_unet(
    "unet-base",
    "four levels at full resolution, for an accelerator",
    9_574_083,
    611_000,
    narrow={"widths": (4, 4, 4, 4)},
    widths=(48, 96, 192, 384),
)
_volumetric = partial(_unet, volumetric=True, planes=5, blocks=1, stem=2)
_volumetric(
    "unet3d-tiny",
    "`unet-tiny` for 5 planes of a volume, by 3-D convolutions",
    43_468,
    9_180,
    narrow={"widths": (4, 6)},
    widths=(16, 32),
)
_volumetric("unet3d-small", "`unet-small` for 5 planes of a volume", 594_380, 38_300)
