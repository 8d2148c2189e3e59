"""GTCRN: a causal network of 24 thousand parameters that masks the spectrum of noisy speech.

After Rong et al., "GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources",
ICASSP 2024; the sizes are those of its published weights.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo import spectral
from zoo.models import layers, streaming
from zoo.models.grouped_gru import GroupedGRU
from zoo.models.registry import register

_RATE, _SIZE, _HOP = 16000, 512, 256
# Bins that are kept as they are, and what the others are gathered in.
_LOW, _BANDS = 65, 64
# Bands after two strides of 2, and channels there.
_WIDTH, _CHANNELS = 33, 16
_DILATIONS = (1, 2, 5)
# The states of an attention's GRU.
_ATTENTION = 16


def bands() -> np.ndarray:
    """The triangular filters (192, 64) that gather the bins above the 65 lowest, which stay.

    Their transpose leads back. They hold nothing learnt.
    """
    return spectral.erb_bands(_LOW * _RATE / _SIZE, _RATE / 2, _BANDS, size=_SIZE)[_LOW:]


class State(NamedTuple):
    """What a stream carries from chunk to chunk; N counts recordings times channels.

    Attributes:
      frames: the half windows of the input and the output.
      pasts: of each causal convolution the frames it still needs, (N, 2 dilation, 33, 16).
      attentions: of each of these blocks the state of its attention, (N, 16).
      duals: of each dual path the state along time, (N * 33, 16).
    """

    frames: streaming.Frames
    pasts: tuple[jax.Array, ...]
    attentions: tuple[jax.Array, ...]
    duals: tuple[jax.Array, ...]


class GTCRN(nn.Module):
    """Masks the spectrum of speech at 16 kHz, each channel by itself; any length, blind.

    It streams: see `init_state` and `step`.

    Attributes:
      channels: C where none is told, as for the registry; recordings of any C are taken.
      padding: what lies beyond both ends of a recording: `"zero"`, as a stream sees it, or
        `"reflect"`, the recording mirrored, as the original has it; that takes 257 samples.
      axis_name: the device axis over which batch statistics are averaged.
      dtype: the dtype of the computation; None follows the input. Spectra are float32.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 1
    padding: Literal["zero", "reflect"] = "zero"
    axis_name: str | None = None
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    modality = "audio"
    range = (-1.0, 1.0)
    locality = "global"
    sample_rate = _RATE
    hop = _HOP
    latency = _HOP

    def __post_init__(self):
        layers.check_choices(self, padding=("zero", "reflect"))
        super().__post_init__()

    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (B, T, C), any float dtype, made for [-1, 1] at 16 kHz.
          level: ignored.
          train: whether batch norm uses and updates the statistics of this batch.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` is no batch of recordings, or too short to be mirrored.
        """
        streaming.check_recording(x, "GTCRN")
        signal = streaming.fold_channels(x).astype(jnp.float32)
        # The original neither fills up the last hop.
        padded = streaming.pad_to_hop(signal, _HOP) if self.padding == "zero" else signal
        framing = {"size": _SIZE, "hop": _HOP, "window": spectral.sqrt_hann(_SIZE)}
        spectrum = spectral.stft(padded, **framing, padding=self.padding)
        mask, _ = self._mask(spectrum, _start(len(signal)), x.dtype, train)
        y = spectral.istft(spectrum * mask, **framing, length=x.shape[1])
        return streaming.unfold_channels(y, x.shape[-1]).astype(x.dtype)

    def init_state(self, batch: int, channels: int = 1) -> State:
        """The state before the first sample of `batch` recordings."""
        return _start(batch * channels)

    def step(self, variables: dict, state: State, chunk: jax.Array) -> tuple[State, jax.Array]:
        """Denoises the next samples of a stream; pure, and made for jit.

        The outputs lag by 256 samples, and behind that they are those of the whole recording with
        `padding="zero"`; 256 zeros at the end bring the last of them out.

        Args:
          variables: of the module.
          state: of `init_state` or of the last step.
          chunk: (B, n * 256, C).

        Returns:
          The next state, and the samples of the shape and dtype of `chunk`.

        Raises:
          ZooError: the chunk is no multiple of 256 samples.
        """
        streaming.check_chunk(chunk, _HOP, "GTCRN")

        def change(spectrum):
            mask, own = self.apply(variables, spectrum, state, chunk.dtype, False, method="_mask")
            return spectrum * mask, own

        window = spectral.sqrt_hann(_SIZE)
        frames, own, y = streaming.advance(state.frames, chunk, window, change)
        return own._replace(frames=frames), y

    @nn.compact
    def _mask(
        self, spectrum: jax.Array, state: State, dtype: layers.Dtype, train: bool
    ) -> tuple[jax.Array, State]:
        """The complex mask (N, frames, 257) for a spectrum, and the next state."""
        dtypes = {"dtype": self.dtype or dtype, "param_dtype": self.param_dtype}
        norms = {**dtypes, "train": train, "axis_name": self.axis_name}
        conv, block = partial(_Strided, **norms), partial(_Block, **norms)
        real, imaginary = spectrum.real, spectrum.imag
        # Its slope at silence stays finite, and the original's weights expect it.
        magnitude = jnp.sqrt(real**2 + imaginary**2 + 1e-12)
        y = jnp.stack([magnitude, real, imaginary], -1)
        high = jnp.einsum("ntfc,fb->ntbc", y[:, :, _LOW:], bands())
        y = _window(jnp.concatenate([y[:, :, :_LOW], high], 2), 3).astype(dtypes["dtype"])

        skips, pasts, attentions, duals = [], [], [], []
        for i, groups in enumerate((1, 2)):
            y = conv(features=_CHANNELS, groups=groups, name=f"encoder{i}")(y)
            skips.append(y)
        for i, dilation in enumerate(_DILATIONS):
            layer = block(dilation=dilation, name=f"encoder{i + 2}")
            y, past, attention = layer(y, state.pasts[i], state.attentions[i])
            skips.append(y)
            pasts.append(past)
            attentions.append(attention)
        for i, before in enumerate(state.duals):
            y, dual = _DualPath(**dtypes, name=f"dual{i}")(y, before)
            duals.append(dual)
        for i, dilation in enumerate(_DILATIONS[::-1]):
            layer = block(dilation=dilation, name=f"decoder{i}")
            y, past, attention = layer(y + skips.pop(), state.pasts[3 + i], state.attentions[3 + i])
            pasts.append(past)
            attentions.append(attention)
        y = conv(features=_CHANNELS, groups=2, up=True, name="decoder3")(y + skips.pop())
        y = conv(features=2, up=True, last=True, name="decoder4")(y + skips.pop())

        y = y.astype(jnp.float32)
        high = jnp.einsum("ntbc,fb->ntfc", y[:, :, _LOW:], bands())
        y = jnp.concatenate([y[:, :, :_LOW], high], 2)
        mask = lax.complex(y[..., 0], y[..., 1])
        return mask, State(state.frames, tuple(pasts), tuple(attentions), tuple(duals))


def _start(number: int) -> State:
    dilations = _DILATIONS + _DILATIONS[::-1]
    return State(
        streaming.init_frames(number, _HOP),
        tuple(jnp.zeros((number, 2 * d, _WIDTH, _CHANNELS)) for d in dilations),
        tuple(jnp.zeros((number, _ATTENTION)) for _ in dilations),
        tuple(jnp.zeros((number * _WIDTH, _CHANNELS)) for _ in range(2)),
    )


def _window(x: jax.Array, taps: int, stride: int = 1) -> jax.Array:
    """Bins around each bin, zero outside: (N, T, F, C) to (N, T, F', taps * C).

    A convolution is then one matmul, which XLA runs far faster on a CPU than one so thin.
    """
    side, width = taps // 2, x.shape[2]
    x = jnp.pad(x, ((0, 0), (0, 0), (side, side), (0, 0)))
    return jnp.concatenate([x[:, :, i : i + width : stride] for i in range(taps)], -1)


def _grouped(kernel: jax.Array, groups: int) -> jax.Array:
    """A grouped kernel (taps, in / groups, out) with zeros for what groups do not share."""
    out = kernel.shape[-1] // groups
    parts = [kernel[..., i * out : (i + 1) * out] for i in range(groups)]
    pads = [((0, 0), (0, 0), (i * out, (groups - 1 - i) * out)) for i in range(groups)]
    return jnp.concatenate([jnp.pad(k, p) for k, p in zip(parts, pads, strict=True)], 1)


class _Normed(nn.Module):
    """What the layers with batch norm have in common."""

    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32
    train: bool = False
    axis_name: str | None = None

    def _dense(self, y: jax.Array, shape: tuple[int, ...], name: str, groups: int = 1) -> jax.Array:
        """A convolution over windows of bins, its kernel (taps, in, out), with a bias."""
        kernel, bias = self._params(shape, name)
        y = y @ _grouped(kernel, groups).reshape(-1, shape[-1]).astype(y.dtype)
        return layers.add_bias(y, bias)

    def _params(self, shape: tuple[int, ...], name: str) -> tuple[jax.Array, jax.Array]:
        init = nn.initializers.lecun_normal(in_axis=(-3, -2))
        kernel = self.param(f"{name}_kernel", init, shape, self.param_dtype)
        bias = self.param(f"{name}_bias", nn.initializers.zeros, shape[-1:], self.param_dtype)
        return kernel, bias

    def _norm(self, x: jax.Array, name: str) -> jax.Array:
        # Statistics are taken in the parameters' precision, however low that of the computation.
        norm = nn.BatchNorm(
            use_running_average=not self.train,
            momentum=0.9,
            epsilon=1e-5,
            axis_name=self.axis_name if self.train else None,
            dtype=self.param_dtype,
            param_dtype=self.param_dtype,
            name=name,
        )
        return norm(x.astype(self.param_dtype)).astype(x.dtype)

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
            kernel = _grouped(kernel, self.groups)
            # Bin 2 m sees bins m - 1, m and m + 1 through taps 4, 2, 0; bin 2 m + 1 sees m and
            # m + 1 through 3 and 1.
            even = kernel[4::-2]
            odd = jnp.concatenate([jnp.zeros_like(kernel[:1]), kernel[3::-2]])
            y = _window(x, 3) @ jnp.concatenate([even, odd], -1).reshape(3 * c, -1).astype(x.dtype)
            y = layers.add_bias(y.reshape(n, t, 2 * f, self.features)[:, :, :-1], bias)
        else:
            y = self._dense(_window(x, 5, 2), shape, "conv", self.groups)
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
        y = self._dense(_window(changed, 3), (3, half, wide), "expand")
        y = self._prelu(self._norm(y, "expand_norm"), "expand_slope")
        y = jnp.concatenate([past.astype(y.dtype), y], 1)
        past = y[:, -past.shape[1] :].astype(past.dtype)
        y = self._prelu(self._norm(self._depthwise(y), "depthwise_norm"), "depthwise_slope")
        y = self._norm(self._dense(y, (1, wide, half), "project"), "project_norm")

        energy = jnp.square(y.astype(jnp.float32)).mean(2).astype(y.dtype)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        gain, attention = GroupedGRU(2 * half, 1, **dtypes, name="attention")(energy, attention)
        gain = nn.sigmoid(nn.Dense(half, **dtypes, name="attention_out")(gain))
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


class _DualPath(nn.Module):
    """GRUs along frequency, both ways, then along time; each added to its input."""

    dtype: layers.Dtype
    param_dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Keeps the shape (N, T, F, C); `state` is (N * F, C)."""
        n, t, f, c = x.shape
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        grouped, dense = partial(GroupedGRU, groups=2, **dtypes), partial(nn.Dense, c, **dtypes)
        along = x.reshape(n * t, f, c)
        y, _ = grouped(c // 2, bidirectional=True, name="intra")(along, None)
        y = dense(name="intra_out")(y).reshape(x.shape)
        x = x + self._norm(y, "intra_norm")
        along = x.swapaxes(1, 2).reshape(n * f, t, c)
        y, state = grouped(c, name="inter")(along, state)
        y = dense(name="inter_out")(y).reshape(n, f, t, c).swapaxes(1, 2)
        return x + self._norm(y, "inter_norm"), state

    def _norm(self, x: jax.Array, name: str) -> jax.Array:
        norm = nn.LayerNorm(
            epsilon=1e-8,
            reduction_axes=(-2, -1),
            feature_axes=(-2, -1),
            use_fast_variance=False,
            dtype=self.param_dtype,
            param_dtype=self.param_dtype,
            name=name,
        )
        return norm(x.astype(self.param_dtype)).astype(x.dtype)


@register("gtcrn", parameters=23_669)
def gtcrn(**overrides) -> GTCRN:
    """The published size: 23,669 parameters."""
    return GTCRN(**overrides)
