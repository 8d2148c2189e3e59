"""Restormer: a transformer whose attention runs across channels instead of pixels.

After Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration" (CVPR
2022). The cost grows linearly with the picture, and every output pixel sees all of it.
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


class Restormer(nn.Module):
    """A U-Net of channel attention and gated feed-forward blocks, without a noise level.

    Takes any height and width: it pads by mirroring and crops. Each level has half the height and
    width of the one before and twice its channels. No convolution has a bias, as in all published
    variants. The published weights may not be used commercially, so none come with the zoo: bring
    your own copy to `zoo.interop.torch.load_torch`.

    Attributes:
      channels: C of the signal.
      width: channels of the finest level.
      blocks: transformer blocks of each level, the finest first; their number is the depth. All
        levels but the last have as many again on the way up.
      refinement: transformer blocks behind the U-Net, at full resolution.
      heads: attention heads of each level.
      expansion: channels inside a feed-forward block, over those outside.
      norm_bias: the norms subtract the mean and add a bias; those of the published denoisers do
        neither.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    width: int = 48
    blocks: Sequence[int] = (4, 6, 6, 8)
    refinement: int = 4
    heads: Sequence[int] = (1, 2, 4, 8)
    expansion: float = 2.66
    norm_bias: bool = False
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    # Attention sums over the whole picture.
    locality = "global"
    # Its authors take 3e-4; attention takes much less than convolutions do.
    learning_rate = 5e-4
    margin = "reflect"
    canvas = True

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
        layers.check_input(x, self.channels, "Restormer")
        dtypes = layers.dtypes(self, x)
        conv = partial(Conv, kernel_size=(3, 3), use_bias=False, **dtypes)
        y = layers.pad_to_multiple(x, self.stride, self.margin)
        y = conv(self.width, name="head")(y)

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

        # A small start keeps the first outputs near the noisy input, the best guess then known.
        y = conv(
            self.channels,
            kernel_init=nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal"),
            name="tail",
        )(y)
        return x + y[:, : x.shape[1], : x.shape[2]].astype(x.dtype)

    def _stage(self, x: jax.Array, count: int, depth: int, name: str) -> jax.Array:
        for i in range(count):
            x = _Block(
                self.heads[depth],
                self.expansion,
                self.norm_bias,
                **layers.dtypes(self, x),
                name=f"{name}_{i}",
            )(x)
        return x


class _Block(nn.Module):
    """Channel attention and a gated feed-forward network, each behind a norm and added."""

    heads: int
    expansion: float
    norm_bias: bool
    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtypes = layers.dtypes(self, x)
        norm = partial(_Norm, self.norm_bias, self.param_dtype)
        x = x + _Attention(self.heads, **dtypes, name="attention")(norm(name="norm0")(x))
        hidden = int(x.shape[-1] * self.expansion)
        return x + _FeedForward(hidden, **dtypes, name="feed_forward")(norm(name="norm1")(x))


class _Norm(nn.Module):
    """Divides each pixel by its deviation over the channels; with a bias it is layer norm.

    Computed in the parameters' precision, however low that of the signal.
    """

    use_bias: bool
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        y = x.astype(self.param_dtype)
        centred = y - y.mean(-1, keepdims=True)
        gain = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5)
        y = (centred if self.use_bias else y) * gain * scale[None, None, None]
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
            y = y + bias[None, None, None]
        return y.astype(x.dtype)


class _Attention(nn.Module):
    """Each channel becomes a mixture of its head's channels, by their correlation."""

    heads: int
    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        dtypes = layers.dtypes(self, x)
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
        # The bound stands inside the root, whose gradient at zero is not finite.
        return jnp.sqrt(jnp.maximum(squares, 1e-24))


class _FeedForward(nn.Module):
    """Two branches of `hidden` channels, one the gate of the other."""

    hidden: int
    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtypes = layers.dtypes(self, x)
        y = nn.Dense(2 * self.hidden, use_bias=False, **dtypes, name="expand")(x)
        y = layers.DepthwiseConv(use_bias=False, **dtypes, name="depthwise")(y)
        gate, y = jnp.split(y, 2, axis=-1)
        y = layers.gelu(gate) * y
        return nn.Dense(x.shape[-1], use_bias=False, **dtypes, name="project")(y)


class _Down(nn.Module):
    """(N, 2H, 2W, C) to (N, H, W, 2C)."""

    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = Conv(x.shape[-1] // 2, (3, 3), use_bias=False, **layers.dtypes(self, x), name="conv")
        # Behind it stands a residual stream, through which no layout of weights could carry ours.
        return layers.space_to_depth(conv(x), 2, channel_major=True)


class _Up(nn.Module):
    """(N, H, W, C) to (N, 2H, 2W, C/2)."""

    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = Conv(x.shape[-1] * 2, (3, 3), use_bias=False, **layers.dtypes(self, x), name="conv")
        return layers.depth_to_space(conv(x), 2)


_NARROW = {"width": 8}
_SHALLOW = {"blocks": (1, 1), "refinement": 1, "heads": (1, 2)}


@register("restormer-color", parameters=26_111_668, narrow=_NARROW, shallow=_SHALLOW)
def restormer_color(**overrides) -> Restormer:
    """The published colour denoisers, blind, for one level or for real noise."""
    return Restormer(**overrides)


@register("restormer-gray", parameters=26_109_076, narrow=_NARROW, shallow=_SHALLOW)
def restormer_gray(**overrides) -> Restormer:
    """The published grey denoisers, blind or for one level."""
    return Restormer(**{"channels": 1} | overrides)


@register("restormer-small", parameters=1_554_875, narrow=_NARROW, shallow=_SHALLOW)
def restormer_small(**overrides) -> Restormer:
    """A third of the width and fewer blocks: for CPUs, where the published size takes too long."""
    small = {"width": 16, "blocks": (1, 2, 2, 4), "refinement": 1}
    return Restormer(**small | overrides)
