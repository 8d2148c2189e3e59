"""Restormer: a transformer whose attention runs across channels instead of pixels.

After Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration" (CVPR
2022). The cost grows linearly with the image, and every output pixel depends on all of it.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import canvas, layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register
from zoo.models.torch_layout import CONV, POINTWISE, SAME, Layout, Tensor, kernel, shuffled


class Restormer(Denoiser):
    """A U-Net of channel attention and gated feed-forward blocks, without a noise level.

    It pads by mirroring. Each level has half the height and width of the one before and twice its
    channels. No convolution has a bias, as in all published variants. The published weights may not
    be used commercially, so none come with the zoo: read your own copy with
    `zoo.interop.torch.load_torch`.

    Attributes:
      width: channels of the finest level.
      blocks: transformer blocks of each level, the finest first; their number is the depth. All
        levels but the last have as many again on the way up.
      refinement: transformer blocks behind the U-Net, at full resolution.
      heads: attention heads of each level.
      expansion: channels inside a feed-forward block, over those outside.
      norm_bias: the norms subtract the mean and add a bias; those of the published denoisers do
        neither.
    """

    width: int = 48
    blocks: Sequence[int] = (4, 6, 6, 8)
    refinement: int = 4
    heads: Sequence[int] = (1, 2, 4, 8)
    expansion: float = 2.66
    norm_bias: bool = False

    # Attention sums over the whole image.
    locality = "global"
    # Its authors take 3e-4; attention takes much less than convolutions do.
    learning_rate = 5e-4
    margin = "reflect"
    canvas = True
    output = "residual"

    def __post_init__(self):
        if len(self.heads) != len(self.blocks):
            raise ZooError(
                f"Restormer: heads={self.heads} and blocks={self.blocks} differ in length; "
                "give one number a level to each"
            )
        for depth, heads in enumerate(self.heads):
            if self.width * 2**depth % heads:
                raise ZooError(
                    f"Restormer: the {self.width * 2**depth} channels of level {depth} do not "
                    f"divide among {heads} heads; change width or heads"
                )
        super().__post_init__()

    @property
    def stride(self) -> int:
        """One pixel of the coarsest level."""
        return 2 ** (len(self.blocks) - 1)

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        dtypes = self.dtypes(x)
        conv = partial(Conv, kernel_size=(3, 3), use_bias=False, **dtypes)
        y = conv(self.width, name="head")(x)

        skips = []
        for depth, count in enumerate(self.blocks):
            if depth:
                skips.append(y)
                y = _Down(**dtypes, name=f"down{depth}")(y)
            y = self._stage(y, count, depth, f"encoder{depth}")
        for depth in reversed(range(len(self.blocks) - 1)):
            y = _Up(**dtypes, name=f"up{depth}")(y)
            y = jnp.concatenate([y, skips[depth]], axis=-1)
            # The finest level keeps both halves, and so has twice its channels from here on.
            if depth:
                reduced = self.width * 2**depth
                y = nn.Dense(reduced, use_bias=False, **dtypes, name=f"merge{depth}")(y)
            y = self._stage(y, self.blocks[depth], depth, f"decoder{depth}")
        y = self._stage(y, self.refinement, 0, "refinement")

        return conv(self.channels, kernel_init=layers.scaled_kernel(), name="tail")(y)

    def torch_layout(self) -> Layout:
        """As its authors' files and deepinv store it."""
        return Layout(tuple(_layout(self)))

    def _stage(self, x: jax.Array, count: int, depth: int, name: str) -> jax.Array:
        for i in range(count):
            x = _Block(
                self.heads[depth],
                self.expansion,
                self.norm_bias,
                **self.dtypes(x),
                name=f"{name}_{i}",
            )(x)
        return x


class _Block(layers.Layer):
    """Channel attention and a gated feed-forward network, each behind a norm and added."""

    heads: int
    expansion: float
    norm_bias: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtypes = self.dtypes(x)
        norm = partial(layers.ChannelNorm, self.norm_bias, **dtypes)
        x = x + _Attention(self.heads, **dtypes, name="attention")(norm(name="norm0")(x))
        hidden = int(x.shape[-1] * self.expansion)
        return x + _FeedForward(hidden, **dtypes, name="feed_forward")(norm(name="norm1")(x))


class _Attention(layers.Layer):
    """Each channel becomes a mixture of its head's channels, by their correlation."""

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        dtypes = self.dtypes(x)
        y = nn.Dense(3 * c, use_bias=False, **dtypes, name="qkv")(x)
        y = layers.DepthwiseConv(use_bias=False, **dtypes, name="depthwise")(y)
        y = canvas.cleared(y)
        q, k, v = jnp.split(y.reshape(n, h * w, 3 * self.heads, c // self.heads), 3, axis=2)

        # Cosines: it is cheaper to divide C x C sums than the signals. One length after the other,
        # since the square of two small ones, in the gradient, would be zero.
        similarity = jnp.einsum("nphc,nphd->nhcd", q, k, preferred_element_type=self.param_dtype)
        similarity = similarity / self._norm(q)[..., None] / self._norm(k)[:, :, None]
        temperature = self.param(
            "temperature", nn.initializers.ones, (self.heads, 1, 1), self.param_dtype
        )
        weights = nn.softmax(similarity * temperature[None]).astype(v.dtype)
        y = jnp.einsum("nhcd,nphd->nphc", weights, v).reshape(n, h, w, c)
        return nn.Dense(c, use_bias=False, **dtypes, name="project")(y)

    def _norm(self, x: jax.Array) -> jax.Array:
        """The length of each channel as a vector of pixels, at least 1e-12: (N, heads, C)."""
        squares = jnp.square(x.astype(self.param_dtype)).sum(1)
        # The bound is inside the root, whose gradient at zero is not finite.
        return jnp.sqrt(jnp.maximum(squares, 1e-24))


class _FeedForward(layers.Layer):
    """Two branches of `hidden` channels, one the gate of the other."""

    hidden: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtypes = self.dtypes(x)
        y = nn.Dense(2 * self.hidden, use_bias=False, **dtypes, name="expand")(x)
        y = layers.DepthwiseConv(use_bias=False, **dtypes, name="depthwise")(y)
        gate, y = jnp.split(y, 2, axis=-1)
        y = layers.gelu(gate) * y
        return nn.Dense(x.shape[-1], use_bias=False, **dtypes, name="project")(y)


class _Down(layers.Layer):
    """(N, 2H, 2W, C) to (N, H, W, 2C)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = Conv(x.shape[-1] // 2, (3, 3), use_bias=False, **self.dtypes(x), name="conv")
        # A residual stream follows, whose channels no layout of weights could reorder.
        return layers.space_to_depth(conv(x), 2, channel_major=True)


class _Up(layers.Layer):
    """(N, H, W, C) to (N, 2H, 2W, C/2)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = Conv(x.shape[-1] * 2, (3, 3), use_bias=False, **self.dtypes(x), name="conv")
        return layers.depth_to_space(conv(x), 2)


def _layout(model: Restormer) -> Iterator[Tensor]:
    last = len(model.blocks) - 1
    yield kernel("head", "patch_embed.proj", CONV)
    for depth, count in enumerate(model.blocks):
        level = depth + 1
        if depth:
            yield Tensor(
                f"params/down{depth}/conv/kernel", f"down{depth}_{level}.body.0.weight", CONV
            )
        key = f"encoder_level{level}" if depth < last else "latent"
        yield from _stage(model, f"encoder{depth}", key, count)
    for depth, count in enumerate(model.blocks[:-1]):
        level = depth + 1
        up = f"up{level + 1}_{level}.body.0.weight"
        yield Tensor(f"params/up{depth}/conv/kernel", up, shuffled(CONV, -1))
        if depth:
            reduce = f"reduce_chan_level{level}.weight"
            yield Tensor(f"params/merge{depth}/kernel", reduce, POINTWISE)
        yield from _stage(model, f"decoder{depth}", f"decoder_level{level}", count)
    yield from _stage(model, "refinement", "refinement", model.refinement)
    yield kernel("tail", "output", CONV)


def _stage(model: Restormer, path: str, key: str, count: int) -> Iterator[Tensor]:
    for i in range(count):
        yield from _block(model, f"params/{path}_{i}", f"{key}.{i}")


def _block(model: Restormer, path: str, key: str) -> Iterator[Tensor]:
    for i in (0, 1):
        norm = f"{key}.norm{i + 1}.body"
        yield Tensor(f"{path}/norm{i}/scale", f"{norm}.weight", SAME)
        if model.norm_bias:
            yield Tensor(f"{path}/norm{i}/bias", f"{norm}.bias", SAME)
    attention, feed_forward = f"{path}/attention", f"{path}/feed_forward"
    yield Tensor(f"{attention}/temperature", f"{key}.attn.temperature", SAME)
    yield Tensor(f"{attention}/qkv/kernel", f"{key}.attn.qkv.weight", POINTWISE)
    yield Tensor(f"{attention}/depthwise/kernel", f"{key}.attn.qkv_dwconv.weight", CONV)
    yield Tensor(f"{attention}/project/kernel", f"{key}.attn.project_out.weight", POINTWISE)
    yield Tensor(f"{feed_forward}/expand/kernel", f"{key}.ffn.project_in.weight", POINTWISE)
    yield Tensor(f"{feed_forward}/depthwise/kernel", f"{key}.ffn.dwconv.weight", CONV)
    yield Tensor(f"{feed_forward}/project/kernel", f"{key}.ffn.project_out.weight", POINTWISE)


_restormer = partial(
    register,
    Restormer,
    narrow={"width": 8},
    shallow={"blocks": (1, 1), "refinement": 1, "heads": (1, 2)},
)
_published = partial(_restormer, source="swz30/Restormer", license="non-commercial")
_published("restormer-color", "for one level, a range or real noise", 26_111_668, 2_260_000)
_published("restormer-gray", "for one level or a range", 26_109_076, 2_250_000, channels=1)
_restormer(
    "restormer-small",
    "a third of the width, for CPUs",
    1_554_875,
    90_300,
    width=16,
    blocks=(1, 2, 2, 4),
    refinement=1,
)
