"""GTCRN: a causal network of 24 thousand parameters that masks the spectrum of noisy speech.

After Rong et al., "GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources",
ICASSP 2024; the sizes are those of its published weights.
"""

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo import spectral
from zoo.models import layers
from zoo.models.audio_denoiser import StreamingDenoiser
from zoo.models.audio_layers import GRU, bin_windows, ungrouped
from zoo.models.registry import register
from zoo.models.torch_layout import LINEAR, SAME, Form, Layout, Tensor, batch_norm, layer, norm

RATE, SIZE, HOP = 16000, 512, 256
"""The sample rate in Hz, and the samples of a frame and of a hop, here and in UL-UNAS."""

# Bins that are kept as they are, and bands into which the others are gathered.
LOW, _BANDS = 65, 64
# Bands after two strides of 2, and channels there.
_WIDTH, _CHANNELS = 33, 16
_DILATIONS = (1, 2, 5)
# The states of an attention's GRU.
_ATTENTION = 16


def bands() -> np.ndarray:
    """The triangular filters (192, 64) that gather the bins above the 65 lowest, which are kept.

    Their transpose maps back. They are constants.
    """
    return spectral.erb_bands(LOW * RATE / SIZE, RATE / 2, _BANDS, size=SIZE)[LOW:]


class _Memory(NamedTuple):
    """What the network carries from frame to frame; N counts signals times channels.

    Attributes:
      pasts: of each causal convolution the frames it still needs, (N, 2 dilation, 33, 16).
      attentions: of each of these blocks the state of its attention, (N, 16).
      duals: of each dual path the state along time, (N * 33, 16).
    """

    pasts: tuple[jax.Array, ...]
    attentions: tuple[jax.Array, ...]
    duals: tuple[jax.Array, ...]


class GTCRN(StreamingDenoiser, layers.Layer):
    """Masks the spectrum of speech at 16 kHz; any length, blind to the level.

    Attributes:
      padding: as of `StreamingDenoiser`; the original has `"reflect"`, which takes 257 samples.
      axis_name: the device axis over which batch statistics are averaged.
    """

    padding: Literal["zero", "reflect"] = "zero"
    axis_name: str | None = None

    sample_rate = RATE
    hop = HOP

    def torch_layout(self) -> Layout:
        """As its authors store it."""
        fixed = {"erb.erb_fc.weight": bands().T, "erb.ierb_fc.weight": bands()}
        return Layout(tuple(_layout()), (r".*\.num_batches_tracked",), fixed)

    def _memory(self, number: int) -> _Memory:
        dilations = _DILATIONS + _DILATIONS[::-1]
        return _Memory(
            tuple(jnp.zeros((number, 2 * d, _WIDTH, _CHANNELS)) for d in dilations),
            tuple(jnp.zeros((number, _ATTENTION)) for _ in dilations),
            tuple(jnp.zeros((number * _WIDTH, _CHANNELS)) for _ in range(2)),
        )

    @nn.compact
    def _enhance(
        self, spectrum: jax.Array, memory: _Memory, dtype: layers.Dtype, train: bool
    ) -> tuple[jax.Array, _Memory]:
        real, imaginary = spectrum.real, spectrum.imag
        # Its slope at silence stays finite, and the original's weights expect it.
        magnitude = jnp.sqrt(real**2 + imaginary**2 + 1e-12)
        y = jnp.stack([magnitude, real, imaginary], -1)
        high = jnp.einsum("ntfc,fb->ntbc", y[:, :, LOW:], bands())
        y = bin_windows(jnp.concatenate([y[:, :, :LOW], high], 2), 3).astype(self.dtype or dtype)

        dtypes = self.dtypes(y)
        norms = {**dtypes, "train": train, "axis_name": self.axis_name}
        conv = partial(_Strided, **norms)
        skips, pasts, attentions, duals = [], [], [], []
        for i, groups in enumerate((1, 2)):
            y = conv(features=_CHANNELS, groups=groups, name=f"encoder{i}")(y)
            skips.append(y)

        def block(y: jax.Array, dilation: int, name: str) -> jax.Array:
            at = len(pasts)
            layer = _Block(dilation=dilation, **norms, name=name)
            y, past, attention = layer(y, memory.pasts[at], memory.attentions[at])
            pasts.append(past)
            attentions.append(attention)
            return y

        for i, dilation in enumerate(_DILATIONS):
            y = block(y, dilation, f"encoder{i + 2}")
            skips.append(y)
        for i, before in enumerate(memory.duals):
            y, dual = DualPath(**dtypes, name=f"dual{i}")(y, before)
            duals.append(dual)
        for i, dilation in enumerate(_DILATIONS[::-1]):
            y = block(y + skips.pop(), dilation, f"decoder{i}")
        y = conv(features=_CHANNELS, groups=2, up=True, name="decoder3")(y + skips.pop())
        y = conv(features=2, up=True, last=True, name="decoder4")(y + skips.pop())

        y = y.astype(jnp.float32)
        high = jnp.einsum("ntbc,fb->ntfc", y[:, :, LOW:], bands())
        y = jnp.concatenate([y[:, :, :LOW], high], 2)
        mask = lax.complex(y[..., 0], y[..., 1])
        return spectrum * mask, _Memory(tuple(pasts), tuple(attentions), tuple(duals))


class _Normed(layers.Layer):
    """The convolution, batch norm and activation of the layers below."""

    train: bool = False
    axis_name: str | None = None

    def _dense(self, y: jax.Array, shape: tuple[int, ...], name: str, groups: int = 1) -> jax.Array:
        """A convolution over windows of bins, its kernel (taps, in, out), with a bias."""
        kernel, bias = self._params(shape, name)
        y = y @ ungrouped(kernel, groups).reshape(-1, shape[-1]).astype(y.dtype)
        return layers.add_bias(y, bias)

    def _params(self, shape: tuple[int, ...], name: str) -> tuple[jax.Array, jax.Array]:
        init = nn.initializers.lecun_normal(in_axis=(-3, -2))
        kernel = self.param(f"{name}_kernel", init, shape, self.param_dtype)
        bias = self.param(f"{name}_bias", nn.initializers.zeros, shape[-1:], self.param_dtype)
        return kernel, bias

    def _norm(self, x: jax.Array, name: str) -> jax.Array:
        return self.batch_norm(x, train=self.train, axis_name=self.axis_name, name=name)

    def _prelu(self, x: jax.Array, name: str) -> jax.Array:
        slope = self.param(name, nn.initializers.constant(0.25), (), self.param_dtype)
        return jnp.where(x > 0, x, slope.astype(x.dtype) * x)


class _Strided(_Normed):
    """A 5-tap convolution over frequency, batch norm and PReLU or, as the last, tanh.

    (N, T, F, C) to (N, T, (F + 1) / 2, features), or where `up` to (N, T, 2 F - 1, features) by a
    transposed one; its kernel is (5, C / groups, features) all the same.
    """

    features: int = 16
    groups: int = 1
    up: bool = False
    last: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, t, f, c = x.shape
        shape = (5, c // self.groups, self.features)
        if self.up:
            kernel, bias = self._params(shape, "conv")
            kernel = ungrouped(kernel, self.groups)
            # Bin 2 m sees bins m - 1, m and m + 1 through taps 4, 2, 0; bin 2 m + 1 sees m and
            # m + 1 through 3 and 1.
            even = kernel[4::-2]
            odd = jnp.concatenate([jnp.zeros_like(kernel[:1]), kernel[3::-2]])
            kernel = jnp.concatenate([even, odd], -1).reshape(3 * c, -1)
            y = bin_windows(x, 3) @ kernel.astype(x.dtype)
            y = layers.add_bias(y.reshape(n, t, 2 * f, self.features)[:, :, :-1], bias)
        else:
            y = self._dense(bin_windows(x, 5, 2), shape, "conv", self.groups)
        y = self._norm(y, "norm")
        return nn.tanh(y) if self.last else self._prelu(y, "slope")


class _Block(_Normed):
    """Half of the channels through a causal depthwise convolution; mixed with the other half."""

    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, past: jax.Array, attention: jax.Array):
        """Keeps the shape (N, T, 33, 16); gives the next past and attention too."""
        changed, kept = jnp.split(x, 2, -1)
        half, wide = changed.shape[-1], x.shape[-1]
        y = self._dense(bin_windows(changed, 3), (3, half, wide), "expand")
        y = self._prelu(self._norm(y, "expand_norm"), "expand_slope")
        y = jnp.concatenate([past.astype(y.dtype), y], 1)
        past = y[:, -past.shape[1] :].astype(past.dtype)
        y = self._prelu(self._norm(self._depthwise(y), "depthwise_norm"), "depthwise_slope")
        y = self._norm(self._dense(y, (1, wide, half), "project"), "project_norm")

        energy = jnp.square(y.astype(jnp.float32)).mean(2).astype(y.dtype)
        dtypes = self.dtypes(x)
        gru = GRU(2 * half, ("0",), **dtypes, name="attention")
        gain, attention = gru(energy.swapaxes(0, 1), attention)
        dense = nn.Dense(half, **dtypes, name="attention_out")
        gain = nn.sigmoid(dense(gain.swapaxes(0, 1)))
        y = y * gain[:, :, None]
        # Their channels alternate, so that both halves meet in the next block.
        return jnp.stack([y, kept], -1).reshape(x.shape), past, attention

    def _depthwise(self, y: jax.Array) -> jax.Array:
        """(N, 2 dilation + T, 33, 16) to (N, T, 33, 16): nine shifted products."""
        c, width = y.shape[-1], y.shape[2]
        kernel, bias = self._params((3, 3, c), "depthwise")
        t = y.shape[1] - 2 * self.dilation
        y = jnp.pad(y, ((0, 0), (0, 0), (1, 1), (0, 0)))
        kernel = kernel.astype(y.dtype)
        total = sum(
            lax.slice_in_dim(y, i * self.dilation, i * self.dilation + t, axis=1)[
                :, :, j : j + width
            ]
            * kernel[i, j][None, None, None]
            for i in range(3)
            for j in range(3)
        )
        return layers.add_bias(total, bias)


class DualPath(layers.Layer):
    """GRUs along frequency, in both directions, then along time; each added to its input."""

    @nn.compact
    def __call__(self, x: jax.Array, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Keeps the shape (N, T, F, C); `state` is (N * F, C)."""
        n, t, f, c = x.shape
        dtypes = self.dtypes(x)
        gru = partial(GRU, groups=("0", "1"), **dtypes)
        dense = partial(nn.Dense, c, **dtypes)
        norm = partial(
            self.normalize,
            nn.LayerNorm,
            epsilon=1e-8,
            reduction_axes=(-2, -1),
            feature_axes=(-2, -1),
            use_fast_variance=False,
        )
        along = x.reshape(n * t, f, c).swapaxes(0, 1)
        y, _ = gru(c // 2, bidirectional=True, name="intra")(along)
        y = dense(name="intra_out")(y.swapaxes(0, 1)).reshape(x.shape)
        x = x + norm(y, name="intra_norm")
        along = x.transpose(1, 0, 2, 3).reshape(t, n * f, c)
        y, state = gru(c, name="inter")(along, state)
        y = dense(name="inter_out")(y).reshape(t, n, f, c).swapaxes(0, 1)
        return x + norm(y, name="inter_norm"), state


# PyTorch's features are ordered part of the spectrum, neighbor; ours neighbor, part.
_HEAD = Form(
    lambda a: a.reshape(len(a), 3, 3, 5).transpose(3, 2, 1, 0).reshape(5, 9, -1),
    lambda shape: (shape[2], 9, 1, 5),
)
_STRIDED = Form(lambda a: a[:, :, 0].transpose(2, 1, 0), lambda s: (s[2], s[1], 1, s[0]))
# In PyTorch's files a channel and its three neighbors are adjacent.
_EXPAND = Form(
    lambda a: a.reshape(len(a), -1, 3).transpose(2, 1, 0), lambda s: (s[2], s[0] * s[1], 1, 1)
)
_EXPAND_UP = Form(
    lambda a: a.reshape(-1, 3, a.shape[1]).transpose(1, 0, 2), lambda s: (s[0] * s[1], s[2], 1, 1)
)
_PROJECT = Form(lambda a: a[:, :, 0, 0].T[None], lambda s: (s[2], s[1], 1, 1))
_PROJECT_UP = Form(lambda a: a[None, :, :, 0, 0], lambda s: (s[1], s[2], 1, 1))
_DEPTHWISE = Form(lambda a: a[:, 0].transpose(1, 2, 0), lambda s: (s[2], 1, 3, 3))
# A transposed convolution's taps run against time and frequency.
_DEPTHWISE_UP = Form(lambda a: a[:, 0, ::-1, ::-1].transpose(1, 2, 0), _DEPTHWISE.shape)
_SCALAR = Form(lambda a: a[0], lambda shape: (1,))


def _strided_up(groups: int) -> Form:
    """A transposed convolution's kernel, (in, out / groups, 1, 5), to (5, in / groups, out)."""

    def convert(a: np.ndarray) -> np.ndarray:
        a = a.reshape(groups, -1, a.shape[1], 5).transpose(3, 1, 0, 2)
        return a.reshape(5, a.shape[1], -1)

    return Form(convert, lambda s: (s[1] * groups, s[2] // groups, 1, 5))


def _layout() -> Iterator[Tensor]:
    for i, form in enumerate((_HEAD, _STRIDED)):
        yield from _strided(f"encoder{i}", f"encoder.en_convs.{i}", form)
    for i in range(2, 5):
        forms = (_EXPAND, _DEPTHWISE, _PROJECT)
        yield from _block(f"encoder{i}", f"encoder.en_convs.{i}", forms)
    for i in range(2):
        yield from dual_layout(f"dual{i}", f"dpgrnn{i + 1}")
    for i in range(3):
        forms = (_EXPAND_UP, _DEPTHWISE_UP, _PROJECT_UP)
        yield from _block(f"decoder{i}", f"decoder.de_convs.{i}", forms)
    for i, groups in ((3, 2), (4, 1)):
        yield from _strided(
            f"decoder{i}", f"decoder.de_convs.{i}", _strided_up(groups), last=i == 4
        )


def _strided(path: str, key: str, form: Form, last: bool = False) -> Iterator[Tensor]:
    yield Tensor(f"params/{path}/conv_kernel", f"{key}.conv.weight", form)
    yield Tensor(f"params/{path}/conv_bias", f"{key}.conv.bias", SAME)
    yield from batch_norm(f"{path}/norm", f"{key}.bn")
    if not last:
        yield Tensor(f"params/{path}/slope", f"{key}.act.weight", _SCALAR)


def _block(path: str, key: str, forms: tuple[Form, Form, Form]) -> Iterator[Tensor]:
    names = (("expand", "point", "1"), ("depthwise", "depth", ""), ("project", "point", "2"))
    for (name, part, number), form in zip(names, forms, strict=True):
        yield Tensor(f"params/{path}/{name}_kernel", f"{key}.{part}_conv{number}.weight", form)
        yield Tensor(f"params/{path}/{name}_bias", f"{key}.{part}_conv{number}.bias", SAME)
        yield from batch_norm(f"{path}/{name}_norm", f"{key}.{part}_bn{number}")
        if name != "project":
            yield Tensor(f"params/{path}/{name}_slope", f"{key}.{part}_act.weight", _SCALAR)
    yield from gru_layout(f"{path}/attention", [f"{key}.tra.att_gru"], ("",))
    yield from layer(f"{path}/attention_out", f"{key}.tra.att_fc", LINEAR)


def dual_layout(path: str, key: str) -> Iterator[Tensor]:
    """The tensors of a `DualPath`."""
    for name, directions in (("intra", ("", "_reverse")), ("inter", ("",))):
        units = [f"{key}.{name}_rnn.rnn{i}" for i in (1, 2)]
        yield from gru_layout(f"{path}/{name}", units, directions)
        yield from layer(f"{path}/{name}_out", f"{key}.{name}_fc", LINEAR)
        yield from norm(f"{path}/{name}_norm", f"{key}.{name}_ln")


def gru_layout(path: str, units: list[str], directions: tuple[str, ...]) -> Iterator[Tensor]:
    """The tensors of a `GRU` whose groups are units of their own in the file."""
    for i, key in enumerate(units):
        for direction in directions:
            for name, gate in (("input", "ih"), ("hidden", "hh")):
                end, suffix = f"{i}{direction}", f"{gate}_l0{direction}"
                yield Tensor(f"params/{path}/{name}_kernel{end}", f"{key}.weight_{suffix}", LINEAR)
                yield Tensor(f"params/{path}/{name}_bias{end}", f"{key}.bias_{suffix}", SAME)


register(
    GTCRN,
    "gtcrn",
    "the published size",
    23_669,
    35_000_000,
    source="Xiaobin-Rong/gtcrn",
    license="MIT",
)
