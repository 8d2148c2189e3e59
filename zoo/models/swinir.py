"""SwinIR for denoising: stages of Swin Transformer blocks between two convolutions.

Liang et al., "SwinIR: Image Restoration Using Swin Transformer" (ICCVW 2021), with the blocks of
Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows" (ICCV 2021):
self-attention inside square windows, whose grid is shifted in every other block. All windows and
heads run as one batched matmul.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import canvas, layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register
from zoo.models.torch_layout import CONV, LINEAR, Form, Layout, Tensor, layer, norm

# The mean color of DIV2K, which the published networks subtract.
_MEAN = (0.4488, 0.4371, 0.4040)
# The initializer of the Swin Transformer's matrices and tables.
_START = nn.initializers.truncated_normal(0.02)


class SwinIR(Denoiser):
    """Transformer blocks at full resolution that predict a correction of the image.

    It pads by mirroring about the last row and column; from images of 3 channels it first subtracts
    the mean color of natural images.

    Attributes:
      width: channels of every layer inside.
      depths: blocks of each stage; every other block has shifted windows.
      heads: among which the attention divides the channels.
      window: its side in pixels.
      expansion: hidden units of each block's perceptron over `width`.
    """

    width: int = 180
    depths: Sequence[int] = (6,) * 6
    heads: int = 6
    window: int = 8
    expansion: float = 2

    # What a pixel depends on varies with its place in its windows.
    locality = "windowed"
    # Its authors take 2e-4; attention takes much less than convolutions do.
    learning_rate = 5e-4
    margin = "reflect"
    canvas = True
    output = "residual"

    def __post_init__(self):
        if self.width % self.heads:
            raise ZooError(f"SwinIR: width={self.width} must be a multiple of heads={self.heads}")
        super().__post_init__()

    @property
    def stride(self) -> int:
        """A window."""
        return self.window

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        dtypes = self.dtypes(x)
        conv = partial(Conv, kernel_size=(3, 3), **dtypes)
        # The mean is not added back, for the output is a correction.
        if self.channels == len(_MEAN):
            x = x - jnp.asarray(_MEAN, x.dtype)[None, None, None]
        first = conv(self.width, name="head")(x)
        y = layers.ChannelNorm(**dtypes, name="embed_norm")(first)
        for i, depth in enumerate(self.depths):
            stage = partial(_Stage, depth, self.heads, self.window, self.expansion, **dtypes)
            y = stage(name=f"stage{i}")(y)
        y = layers.ChannelNorm(**dtypes, name="norm")(y)
        y = first + conv(self.width, name="body")(y)
        return conv(self.channels, kernel_init=layers.scaled_kernel(), name="tail")(y)

    def torch_layout(self) -> Layout:
        """As its authors' files and deepinv store it."""
        return Layout(tuple(_layout(self)), _IGNORED)


class _Stage(layers.Layer):
    """Blocks, plain and shifted by turns, and a convolution, added to the input."""

    depth: int
    heads: int
    window: int
    expansion: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtypes = self.dtypes(x)
        y = x
        for i in range(self.depth):
            shift = self.window // 2 if i % 2 else 0
            y = SwinBlock(
                self.heads, self.window, shift, self.expansion, **dtypes, name=f"block{i}"
            )(y)
        return x + Conv(x.shape[-1], (3, 3), **dtypes, name="conv")(y)


class SwinBlock(layers.Layer):
    """Norm and attention, norm and a two-layer perceptron, each added to its input.

    Attributes:
      heads: of the attention.
      window: its side in pixels.
      shift: of the windows.
      expansion: hidden units of the perceptron over channels.
    """

    heads: int
    window: int
    shift: int = 0
    expansion: float = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) to the same; H and W must be multiples of the window."""
        dtypes = self.dtypes(x)
        dense = partial(nn.Dense, kernel_init=_START, **dtypes)
        y = layers.ChannelNorm(**dtypes, name="norm0")(x)
        attention = WindowAttention(self.heads, self.window, self.shift, **dtypes, name="attention")
        x = x + attention(y)
        y = layers.ChannelNorm(**dtypes, name="norm1")(x)
        y = layers.gelu(dense(int(self.expansion * x.shape[-1]), name="expand")(y))
        return x + dense(x.shape[-1], name="project")(y)


class WindowAttention(layers.Layer):
    """Multi-head self-attention among the pixels of each window, with a bias by relative position.

    Attributes:
      heads: among which the channels are divided.
      window: its side in pixels.
      shift: by how many pixels the windows are moved down and right; those at the borders of the
        image are then cut, as pixels from opposite borders do not attend to each other.
    """

    heads: int
    window: int
    shift: int = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, C) to the same; H and W must be multiples of the window."""
        n, h, w, c = x.shape
        dense = partial(nn.Dense, kernel_init=_START, **self.dtypes(x))
        side = 2 * self.window - 1
        table = self.param("position_bias", _START, (side, side, self.heads), self.param_dtype)
        rows, columns = offsets(self.window)
        bias = table[rows, columns].transpose(2, 0, 1).astype(jnp.float32)

        y = jnp.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        y = dense(3 * c, name="qkv")(partition(y, self.window))
        y = y.reshape(*y.shape[:3], 3, self.heads, c // self.heads)
        query, key, value = y.transpose(3, 0, 1, 4, 2, 5)
        scale = np.asarray((c // self.heads) ** -0.5, query.dtype)
        logits = jnp.einsum(
            "nwhpd,nwhqd->nwhpq", scale * query, key, preferred_element_type=jnp.float32
        )
        logits = logits + bias[None, None]
        if self.shift:
            side_of = regions(x, self.window, self.shift)
            visible = side_of[:, :, None] == side_of[:, None, :]
            logits = jnp.where(visible[None, :, None], logits, -jnp.inf)
        weights = nn.softmax(logits).astype(value.dtype)
        y = jnp.einsum("nwhpq,nwhqd->nwhpd", weights, value)
        y = y.swapaxes(2, 3).reshape(n, -1, self.window**2, c)
        y = merge(dense(c, name="project")(y), h, w)
        return jnp.roll(y, (self.shift, self.shift), (1, 2)) if self.shift else y


def partition(x: jax.Array, window: int) -> jax.Array:
    """Cuts images into windows: (N, H, W, C) to (N, windows, window * window, C).

    Windows and the pixels in them are ordered row by row. H and W must be multiples of `window`.
    """
    n, h, w, c = x.shape
    x = x.reshape(n, h // window, window, w // window, window, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, window * window, c)


def merge(x: jax.Array, height: int, width: int) -> jax.Array:
    """The inverse of `partition`: (N, windows, window * window, C) to (N, height, width, C)."""
    n, _, pixels, c = x.shape
    window = math.isqrt(pixels)
    x = x.reshape(n, height // window, width // window, window, window, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, height, width, c)


def regions(x: jax.Array, window: int, shift: int) -> jax.Array:
    """Which pixels of a window were neighbors before a signal (N, H, W, C) was rolled.

    After a roll by `-shift` the last windows hold pixels from opposite borders of the image, and
    those at its end some from beyond it, if it is on a canvas.

    Returns:
      (windows, window * window), small integers: the same number within a window, the same side.
    """
    rows, columns = (
        jnp.where(jnp.arange(length) >= length - shift, 2, 0)
        + jnp.where(jnp.arange(length) + shift >= end, 1, 0)
        for length, end in zip(x.shape[1:3], canvas.extent(x), strict=True)
    )
    sides = 4 * rows[:, None] + columns[None]
    return partition(sides[None, ..., None], window)[0, ..., 0]


def offsets(window: int) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel of a window is below and to the right of each other one.

    Returns:
      Rows and columns, (window * window, window * window) each: of the first pixel less those of
      the second, plus `window - 1`, so that they count from 0.
    """
    at = np.indices((window, window)).reshape(2, -1)
    rows, columns = at[:, :, None] - at[:, None, :] + window - 1
    return rows, columns


_IGNORED = (
    # Made for images of one size, and from the window's size alone.
    r"layers\.\d+\.residual_group\.blocks\.\d+\.attn_mask",
    r"layers\.\d+\.residual_group\.blocks\.\d+\.attn\.relative_position_index",
)

_TABLE = Form(
    lambda a: a.reshape(2 * (round(len(a) ** 0.5),) + a.shape[1:]),
    lambda shape: (shape[0] * shape[1], shape[2]),
)


def _layout(model: SwinIR) -> Iterator[Tensor]:
    yield from layer("head", "conv_first", CONV)
    yield from norm("embed_norm", "patch_embed.norm")
    for i, depth in enumerate(model.depths):
        for j in range(depth):
            yield from _block(f"stage{i}/block{j}", f"layers.{i}.residual_group.blocks.{j}")
        yield from layer(f"stage{i}/conv", f"layers.{i}.conv", CONV)
    yield from norm("norm", "norm")
    yield from layer("body", "conv_after_body", CONV)
    yield from layer("tail", "conv_last", CONV)


def _block(path: str, key: str) -> Iterator[Tensor]:
    yield from norm(f"{path}/norm0", f"{key}.norm1")
    table = f"{key}.attn.relative_position_bias_table"
    yield Tensor(f"params/{path}/attention/position_bias", table, _TABLE)
    yield from layer(f"{path}/attention/qkv", f"{key}.attn.qkv", LINEAR)
    yield from layer(f"{path}/attention/project", f"{key}.attn.proj", LINEAR)
    yield from norm(f"{path}/norm1", f"{key}.norm2")
    yield from layer(f"{path}/expand", f"{key}.mlp.fc1", LINEAR)
    yield from layer(f"{path}/project", f"{key}.mlp.fc2", LINEAR)


_swinir = partial(
    register,
    SwinIR,
    narrow={"width": 12, "heads": 3, "window": 4},
    shallow={"depths": (2,)},
)
_published = partial(_swinir, source="JingyunLiang/SwinIR", license="Apache-2.0")
_published("swinir-gray", "for one noise level", 11_497_681, 12_200_000, channels=1)
_published("swinir-color", "for one noise level", 11_504_163, 12_200_000)
_swinir(
    "swinir-small",
    "eight narrow blocks, for CPUs",
    222_267,
    261_000,
    width=48,
    depths=(4, 4),
    heads=3,
)
