"""UL-UNAS: a causal U-Net found by architecture search that weighs the spectrum of noisy speech.

After Rong et al., "UL-UNAS: Ultra-Lightweight U-Nets for Real-Time Speech Enhancement via Network
Architecture Search" (IEEE TASLP 34, 2026, arXiv:2503.00340); the sizes are those of its published
weights.
"""

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo import spectral
from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.audio_denoiser import StreamingDenoiser
from zoo.models.audio_layers import GRU, ungrouped
from zoo.models.gtcrn import LOW, RATE, SIZE, DualPath, bands, dual_layout, gru_layout
from zoo.models.registry import register
from zoo.models.torch_layout import CONV, LINEAR, SAME, Form, Layout, Tensor, batch_norm, layer

# Bins of the spectrum after their upper ones are gathered in bands.
_WIDTH = 129
# Neighboring bins that the attention over frequency takes as one step.
_TOGETHER = 4


class _Stage(NamedTuple):
    """A block of the encoder and its mirror in the decoder.

    Attributes:
      kind: `"plain"`, a convolution; `"separable"`, one of each bin and then one of each channel;
        `"inverted"`, with another of each bin behind.
      channels: and how many bins, as the encoder gives them.
      width: see `channels`.
      kernel: frames and bins.
      stride: over bins.
      groups: of the convolutions of each bin.
    """

    kind: str
    channels: int
    width: int
    kernel: tuple[int, int]
    stride: int
    groups: int


_STAGES = (
    _Stage("plain", 12, 65, (3, 3), 2, 1),
    _Stage("inverted", 24, 33, (2, 3), 2, 2),
    _Stage("separable", 24, 33, (2, 3), 1, 2),
    _Stage("inverted", 32, 33, (1, 5), 1, 2),
    _Stage("separable", 16, 33, (1, 5), 1, 2),
)


class _Memory(NamedTuple):
    """What the network carries from frame to frame; N counts signals times channels.

    Attributes:
      pasts: of each convolution over time the frames it still needs, (N, frames, width, channels).
      attentions: of each block the state of its attention over time, (N, 2 channels).
      duals: of each dual path the state along time, (N * 33, 16).
    """

    pasts: tuple[jax.Array, ...]
    attentions: tuple[jax.Array, ...]
    duals: tuple[jax.Array, ...]


class ULUNAS(StreamingDenoiser, layers.Layer):
    """Weighs the spectrum of speech at 16 kHz; any length, blind to the level.

    Attributes:
      depth: blocks of the encoder, and of the decoder, the first of the published five.
      padding: as of `StreamingDenoiser`; the original has `"reflect"`, which takes 257 samples.
      axis_name: the device axis over which batch statistics are averaged.
    """

    depth: int = 5
    padding: Literal["zero", "reflect"] = "zero"
    axis_name: str | None = None

    sample_rate = RATE
    hop = SIZE // 2
    window = staticmethod(spectral.hann)

    def __post_init__(self):
        if self.depth not in range(2, len(_STAGES) + 1):
            raise ZooError(f"ULUNAS: depth={self.depth!r} is not from 2 to {len(_STAGES)}")
        super().__post_init__()

    def torch_layout(self) -> Layout:
        """As its authors store it."""
        fixed = {"erb.erb_fc.weight": bands().T, "erb.ierb_fc.weight": bands()}
        return Layout(tuple(_layout(self.depth)), (r".*\.num_batches_tracked",), fixed)

    def _memory(self, number: int) -> _Memory:
        pasts, attentions = [], []
        for name, stage, features in _blocks(self.depth):
            up, frames = name.startswith("decoder"), stage.kernel[0] - 1
            width = stage.width if up else stage.width * stage.stride - stage.stride + 1
            c = features
            if stage.kind == "plain":
                c = stage.channels if up else 1
            if frames:
                pasts.append(jnp.zeros((number, frames, width, c)))
            attentions.append(jnp.zeros((number, 2 * features)))
        last = _STAGES[self.depth - 1]
        duals = tuple(jnp.zeros((number * last.width, last.channels)) for _ in range(2))
        return _Memory(tuple(pasts), tuple(attentions), duals)

    @nn.compact
    def _enhance(
        self, spectrum: jax.Array, memory: _Memory, dtype: layers.Dtype, train: bool
    ) -> tuple[jax.Array, _Memory]:
        y = jnp.log10(spectral.magnitude(spectrum, 1e-12))
        high = y[..., LOW:] @ bands()
        y = jnp.concatenate([y[..., :LOW], high], -1)[..., None].astype(self.dtype or dtype)

        dtypes = self.dtypes(y)
        block = partial(_Block, **dtypes, train=train, axis_name=self.axis_name)
        pasts, attentions, duals, skips = [], [], [], []
        left = list(memory.pasts)
        for i, (name, stage, features) in enumerate(_blocks(self.depth)):
            up = name.startswith("decoder")
            if up and not duals:
                for j, before in enumerate(memory.duals):
                    y, state = DualPath(**dtypes, name=f"dual{j}")(y, before)
                    duals.append(state)
            past = left.pop(0) if stage.kernel[0] > 1 else None
            made = block(stage=stage, features=features, up=up, name=name)
            y, past, state = made(y + skips.pop() if up else y, past, memory.attentions[i])
            pasts += [] if past is None else [past]
            attentions.append(state)
            skips += [] if up else [y]

        mask = nn.sigmoid(y[..., 0].astype(jnp.float32))
        mask = jnp.concatenate([mask[..., :LOW], mask[..., LOW:] @ bands().T], -1)
        memory = _Memory(tuple(pasts), tuple(attentions), tuple(duals))
        return spectrum * mask.astype(spectrum.dtype), memory


def _blocks(depth: int) -> Iterator[tuple[str, _Stage, int]]:
    """Every block: its name, its stage and the channels it gives."""
    stages = _STAGES[:depth]
    for i, stage in enumerate(stages):
        yield f"encoder{i}", stage, stage.channels
    below = [1, *(stage.channels for stage in stages)]
    for i in range(depth):
        yield f"decoder{i}", stages[-1 - i], below[-2 - i]


class _Block(layers.Layer):
    """One block of the encoder or, where `up`, of the decoder: (N, T, F, C) to
    (N, T, F', features)."""

    stage: _Stage
    features: int
    up: bool = False
    train: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, past: jax.Array | None, state: jax.Array):
        """Gives the next past and the next state of the attention too."""
        kind = self.stage.kind
        if kind != "plain":
            x = _shuffled(self._affine(self._point(x, "expand"), "expand"))
        frames = x.shape[1]
        if past is not None:
            x = jnp.concatenate([past.astype(x.dtype), x], 1)
            past = x[:, frames:].astype(past.dtype)
        y = self._norm(self._conv(x, frames), "conv")
        if self.features > 1:
            y = self._affine(y, "conv")
        if kind == "inverted":
            y = self._point(y, "project")
        y, state = _Attention(**self.dtypes(x), name="attention")(y, state)
        return _shuffled(y) if kind == "inverted" else y, past, state

    def _point(self, x: jax.Array, name: str) -> jax.Array:
        """A convolution of each bin in groups, and batch norm."""
        groups = self.stage.groups
        kernel = self._kernel(name, 1, x.shape[-1] // groups, self.features)
        y = x @ ungrouped(kernel, groups)[0].astype(x.dtype)
        return self._norm(layers.add_bias(y, self._bias(name)), name)

    def _conv(self, x: jax.Array, frames: int) -> jax.Array:
        """The convolution over frames and bins of x (N, frames + past, F, C)."""
        deep, wide = self.stage.kernel
        c = x.shape[-1]
        shifted = [x[:, i : i + frames] for i in range(deep)]
        if self.stage.kind == "plain":
            kernel = self._kernel("conv", deep, wide, c, self.features).astype(x.dtype)
            kernel = kernel.transpose(0, 2, 1, 3).reshape(deep * c, -1)
            parts = jnp.split(jnp.concatenate(shifted, -1) @ kernel, wide, -1)
        else:
            kernel = self._kernel("conv", deep, wide, c)[:, :, None, None, None].astype(x.dtype)
            parts = [sum(one * kernel[i, j] for i, one in enumerate(shifted)) for j in range(wide)]
        return layers.add_bias(_joined(parts, self.stage.stride, self.up), self._bias("conv"))

    def _kernel(self, name: str, *shape: int) -> jax.Array:
        init = nn.initializers.normal(np.prod(shape[:-1]) ** -0.5)
        return self.param(f"{name}_kernel", init, shape, self.param_dtype)

    def _bias(self, name: str) -> jax.Array:
        shape = (self.features,)
        return self.param(f"{name}_bias", nn.initializers.zeros, shape, self.param_dtype)

    def _norm(self, x: jax.Array, name: str) -> jax.Array:
        return self.batch_norm(x, train=self.train, axis_name=self.axis_name, name=f"{name}_norm")

    def _affine(self, x: jax.Array, name: str) -> jax.Array:
        """A PReLU beside a gain and an offset of each bin and channel."""
        shape, init = x.shape[-2:], nn.initializers
        gain = self.param(f"{name}_gain", init.ones, shape, self.param_dtype)
        offset = self.param(f"{name}_offset", init.zeros, shape, self.param_dtype)
        slope = self.param(f"{name}_slope", init.constant(0.25), shape[-1:], self.param_dtype)
        gain, offset = (one.astype(x.dtype)[None, None] for one in (gain, offset))
        slope = slope.astype(x.dtype)[None, None, None]
        return gain * x + offset + jnp.where(x > 0, x, slope * x)


class _Attention(layers.Layer):
    """A gain for each channel, by the energy so far, times one for each bin, by the frame's."""

    @nn.compact
    def __call__(self, x: jax.Array, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Keeps the shape (N, T, F, C); `state` is (N, 2 C)."""
        n, t, f, c = x.shape
        dtypes = self.dtypes(x)
        gru = partial(GRU, groups=("0",), **dtypes)
        energy = jnp.square(x.astype(jnp.float32))
        over_time = energy.mean(2).astype(x.dtype).swapaxes(0, 1)
        y, state = gru(2 * c, name="time")(over_time, state)
        channels = nn.sigmoid(nn.Dense(c, **dtypes, name="time_out")(y.swapaxes(0, 1)))

        over_bins = energy.mean(3).astype(x.dtype).reshape(n * t, f)
        over_bins = jnp.pad(over_bins, ((0, 0), (0, -f % _TOGETHER)))
        over_bins = over_bins.reshape(n * t, -1, _TOGETHER).swapaxes(0, 1)
        y, _ = gru(_TOGETHER, bidirectional=True, name="bins")(over_bins)
        y = nn.Dense(_TOGETHER, **dtypes, name="bins_out")(y.swapaxes(0, 1))
        bins = nn.sigmoid(y.reshape(n, t, -1)[..., :f])
        return channels[:, :, None] * x * bins[..., None], state


def _joined(parts: list[jax.Array], stride: int, up: bool) -> jax.Array:
    """What the taps over bins give of every bin, (N, T, F, C) each, put where it belongs."""
    n, t, f, c = parts[0].shape
    if up and stride == 2:
        # The first tap and the last fall between this bin and the next.
        after = jnp.pad(parts[2][:, :, 1:], ((0, 0), (0, 0), (0, 1), (0, 0)))
        y = jnp.stack([parts[1], parts[0] + after], 3)
        return y.reshape(n, t, 2 * f, c)[:, :, :-1]
    side = len(parts) // 2
    padded = (jnp.pad(one, ((0, 0), (0, 0), (side, side), (0, 0))) for one in parts)
    return sum(one[:, :, i : i + f : stride] for i, one in enumerate(padded))


def _shuffled(x: jax.Array) -> jax.Array:
    """Both halves of the channels in turns, so that groups meet in the next block."""
    return jnp.stack(jnp.split(x, 2, -1), -1).reshape(x.shape)


_POINT = Form(lambda a: a[:, :, 0, 0].T[None], lambda s: (s[2], s[1], 1, 1))
# A transposed convolution's taps run against time and frequency.
_CONV_UP = Form(
    lambda a: a[:, :, ::-1, ::-1].transpose(2, 3, 0, 1), lambda s: (s[2], s[3], s[0], s[1])
)
_DEPTHWISE = Form(lambda a: a[:, 0].transpose(1, 2, 0), lambda s: (s[2], 1, s[0], s[1]))
_DEPTHWISE_UP = Form(lambda a: a[:, 0, ::-1, ::-1].transpose(1, 2, 0), _DEPTHWISE.shape)


def _layout(depth: int) -> Iterator[Tensor]:
    for path, stage, features in _blocks(depth):
        up, i = path.startswith("decoder"), path[-1]
        key = f"decoder.de_convs.{i}" if up else f"encoder.en_convs.{i}"
        plain, inverted = stage.kind == "plain", stage.kind == "inverted"
        inner = f"{key}.ops" if plain else f"{key}.dconv"
        if not plain:
            outer = f"{key}.pconv1" if inverted else f"{key}.pconv"
            yield from _point(path, "expand", outer, _POINT)
            yield from _affine(path, "expand", f"{outer}.2")
        forms = (CONV, _CONV_UP) if plain else (_DEPTHWISE, _DEPTHWISE_UP)
        yield from _point(path, "conv", inner, forms[up], first=1)
        if features > 1:
            yield from _affine(path, "conv", f"{inner}.3")
        if inverted:
            yield from _point(path, "project", f"{key}.pconv2", _POINT)
        heard = f"{key}.pconv2.2" if inverted else f"{inner}.4"
        both = ("", "_reverse")
        for ours, theirs, directions in (("time", "ta_", ("",)), ("bins", "fa.", both)):
            whole = f"{path}/attention/{ours}"
            yield from gru_layout(whole, [f"{heard}.{theirs}gru"], directions)
            yield from layer(f"{whole}_out", f"{heard}.{theirs}fc", LINEAR)
    for i in range(2):
        yield from dual_layout(f"dual{i}", f"dpgrnn.{i}")


def _point(path: str, name: str, key: str, form: Form, first: int = 0) -> Iterator[Tensor]:
    """A convolution and the batch norm behind it."""
    yield Tensor(f"params/{path}/{name}_kernel", f"{key}.{first}.weight", form)
    yield Tensor(f"params/{path}/{name}_bias", f"{key}.{first}.bias", SAME)
    yield from batch_norm(f"{path}/{name}_norm", f"{key}.{first + 1}")


def _affine(path: str, name: str, key: str) -> Iterator[Tensor]:
    yield Tensor(f"params/{path}/{name}_gain", f"{key}.affine_weight", LINEAR)
    yield Tensor(f"params/{path}/{name}_offset", f"{key}.affine_bias", LINEAR)
    yield Tensor(f"params/{path}/{name}_slope", f"{key}.slope_weight", SAME)


register(
    ULUNAS,
    "ulunas",
    "the published size",
    146_752,
    40_900_000,
    shallow={"depth": 2},
    source="Xiaobin-Rong/ul-unas",
    license="MIT",
)
