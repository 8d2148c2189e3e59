"""A streaming U-Net over the frequencies of each frame, with memory over time; it gives a mask.

After Ahn et al., "FastEnhancer: Speed-Optimized Streaming Neural Speech Enhancement"
(arXiv:2509.21867), written from its description: convolutions over frequency, a gated recurrent
unit over time and attention over frequency in turn, and a complex mask on the compressed spectrum.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo import spectral
from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.audio_denoiser import StreamingDenoiser, frame_size
from zoo.models.audio_layers import (
    GRU,
    BatchNorm,
    activate,
    merge_norms,
    strided_conv,
    strided_conv_transpose,
)
from zoo.models.registry import register
from zoo.models.torch_layout import LINEAR, SAME, Form, Layout, Tensor, with_merged_norm

_STRIDE = 4
_EXPONENT = 0.3
_HEADS = 4
_LONGEST = 2**16


class StreamUNet(StreamingDenoiser, layers.Layer):
    """Enhances speech frame by frame, with a latency of half a frame beyond the hop of as much.

    Attributes:
      sample_rate: of the audio, Hz.
      frame: samples of a frame, a multiple of 8; None: those of 32 ms, 512 at 16 kHz.
      width: channels over the frequency bins, one for 8 samples of a frame.
      convs: convolutions on the way down, and on the way up.
      inner: channels of the blocks.
      bands: frequency bands of the blocks.
      blocks: pairs of recurrence over time and attention over frequency.
      maps: between bins and bands: `"fixed"`, triangles, so that the parameters have the same
        shapes at any sample rate; or `"learned"`, which begin as these.
      padding: as of `StreamingDenoiser`.
      norm: `"batch"`; or `"merged"`, see `zoo.models.merge_batch_norm`.
      axis_name: the device axis over which batch statistics are averaged.
    """

    sample_rate: int = 16000
    frame: int | None = None
    width: int = 24
    convs: int = 2
    inner: int = 20
    bands: int = 16
    blocks: int = 2
    maps: Literal["fixed", "learned"] = "fixed"
    padding: Literal["zero", "reflect"] = "zero"
    norm: Literal["batch", "merged"] = "batch"
    axis_name: str | None = None

    window = staticmethod(spectral.hann)
    hop = property(lambda self: (self.frame or frame_size(self.sample_rate, 2 * _STRIDE)) // 2)

    def __post_init__(self):
        if self.inner % _HEADS:
            raise ZooError(f"StreamUNet: inner={self.inner!r} is not a multiple of {_HEADS} heads")
        least, frame = 4 * _STRIDE, self.frame
        whole = isinstance(frame, int) and least <= frame <= _LONGEST
        if frame is not None and (not whole or frame % (2 * _STRIDE)):
            raise ZooError(
                f"StreamUNet: frame={frame!r} is not a multiple of {2 * _STRIDE} from {least} to "
                f"{_LONGEST}; take None for frames of 32 ms"
            )
        super().__post_init__()

    def merge_batch_norm(self, variables: Mapping) -> tuple["StreamUNet", dict]:
        """See `zoo.models.merge_batch_norm`."""
        return self.clone(norm="merged"), merge_norms(variables)

    def torch_layout(self) -> Layout:
        """As `zoo.interop.fastenhancer_files` reads the published files, which name no tensors.

        That of 16 kHz has other triangles for its first and last band: it is `maps="learned"`.
        Their batch norm is merged into the convolutions. With `norm="batch"` it is one that leaves
        what the convolutions give as it is: for inference the same, but no start for a training,
        in which the statistics of a batch would take their place.
        """
        bins = self.hop // _STRIDE
        fixed = {} if self.maps == "learned" else _fixed_maps(bins, self.bands)
        constants = {f"{name}.weight": matrix for name, matrix in fixed.items()}
        return Layout(tuple(_layout(self)), (), constants)

    def _memory(self, number: int) -> tuple[jax.Array, ...]:
        shape = (number, self.bands, self.inner)
        return tuple(jnp.zeros(shape) for _ in range(self.blocks))

    def _enhance(
        self, spectrum: jax.Array, memory: tuple[jax.Array, ...], dtype: layers.Dtype, train: bool
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        compressed = spectral.compress(spectrum[..., :-1], _EXPONENT)
        features = jnp.stack([compressed.real, compressed.imag], axis=-1)
        mask, memory = self._mask(features.astype(self.dtype or dtype), memory, train)
        mask = mask.astype(jnp.float32)
        mask = lax.complex(mask[..., 0], mask[..., 1])
        clean = spectral.compress(compressed * mask, 1 / _EXPONENT)
        return jnp.pad(clean, ((0, 0), (0, 0), (0, 1))), memory

    @nn.compact
    def _mask(self, x, memory, train):
        """Features (N, T, hop, 2) and memory to the mask (N, T, hop, 2) and memory."""
        n, t, f, _ = x.shape
        bins = f // _STRIDE
        dtypes = self.dtypes(x)
        conv = partial(
            _Conv,
            norm=self.norm,
            axis_name=self.axis_name if train else None,
            train=train,
            **dtypes,
        )
        # All frames at once but for the recurrence.
        x = jnp.pad(x.reshape(n * t, f, 2), ((0, 0), (_STRIDE // 2, _STRIDE // 2), (0, 0)))
        silu = partial(conv, self.width, activation="silu")
        y = silu(2 * _STRIDE, name="stem")(x)
        skips = [y]
        for i in range(self.convs):
            y = silu(3, name=f"encoder{i}")(y)
            skips.append(y)

        narrow, widen = self._maps(bins)
        y = conv(self.inner, name="inward")(_spread(y, narrow))
        carries = []
        for i in range(self.blocks):
            y, carry = self._over_time(y, memory[i], (n, t), conv, dtypes, f"time{i}")
            carries.append(carry)
            y = self._over_frequency(y, i == 0, conv, dtypes, f"frequency{i}")
        y = conv(self.width, name="outward")(_spread(y, widen))

        for i in reversed(range(self.convs)):
            y = silu(name=f"join{i + 1}")(y, skips[i + 1])
            y = silu(3, name=f"decoder{i}")(y)
        y = silu(name="join0")(y, skips[0])
        y = _Mask(**dtypes, name="mask")(y)[:, _STRIDE // 2 : -_STRIDE // 2]
        return y.reshape(n, t, f, 2), tuple(carries)

    def _maps(self, bins: int) -> tuple[jax.Array | np.ndarray, jax.Array | np.ndarray]:
        """Those from bins to bands, (bands, bins), and back, (bins, bands)."""
        fixed = _fixed_maps(bins, self.bands)
        if self.maps == "fixed":
            return tuple(fixed.values())
        return tuple(
            self.param(name, lambda key, one=one: jnp.asarray(one, self.param_dtype))
            for name, one in fixed.items()
        )

    def _over_time(self, x, carry, shape, conv, dtypes, name):
        """A recurrent unit over time, each band by itself, projected and added."""
        n, t = shape
        f, r = x.shape[1:]
        y = x.reshape(n, t, f, r).swapaxes(0, 1).reshape(t, n * f, r)
        gru = GRU(r, **dtypes, name=f"{name}_gru")
        y, carry = gru(y, carry.reshape(n * f, r))
        y = y.reshape(t, n, f, r).swapaxes(0, 1).reshape(n * t, f, r)
        return x + conv(r, name=f"{name}_project")(y), carry.reshape(n, f, r)

    def _over_frequency(self, x, first, conv, dtypes, name):
        """Attention among the bands of a frame, projected and added."""
        m, f, r = x.shape
        if first:
            place = self.param("place", nn.initializers.normal(0.02), (f, r), self.param_dtype)
            x = x + place.astype(x.dtype)[None]
        y = nn.Dense(3 * r, use_bias=False, **dtypes, name=f"{name}_qkv")(x)
        y = _attend(y.reshape(m, f, 3, _HEADS, r // _HEADS)).reshape(m, f, r)
        return x + conv(r, name=f"{name}_project")(y)


class _Conv(layers.Layer):
    """A convolution over frequency without bias, batch norm, activation: (M, W, C) to
    (M, W', features).

    A second input stands for more channels of the first; kernels are (taps, C, features). Of 1
    tap, 3 (zero-padded), or 8 (stride 4, not padded). Merged, it has a bias and no batch norm.
    """

    features: int
    taps: int = 1
    activation: str = "none"
    norm: str = "batch"
    axis_name: str | None = None
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, beside: jax.Array | None = None) -> jax.Array:
        c = x.shape[-1]
        total = c if beside is None else c + beside.shape[-1]
        kernel = self.param(
            "kernel",
            nn.initializers.lecun_normal(),
            (self.taps, total, self.features),
            self.param_dtype,
        )
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        if self.taps == 1:
            y = x @ kernel[0, :c]
            if beside is not None:
                y = y + beside @ kernel[0, c:]
        elif self.taps == 3:
            y = _conv3(x, kernel, self.train)
        else:
            y = strided_conv(x, kernel)
        if self.norm == "merged":
            bias = self.bias_param(self.features)
            return activate(y, jnp.ones_like(bias), bias, self.activation)
        return BatchNorm(
            self.activation,
            self.train,
            self.axis_name,
            param_dtype=self.param_dtype,
            name="norm",
        )(y)


class _Mask(layers.Layer):
    """The transposed convolution to the mask, (M, W, C) to (M, 4 (W + 1), 2).

    Its kernel is divided by its norm and scaled by one learned number. At first the mask is near
    1: the best guess then known is the noisy signal.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (2 * _STRIDE, 2, x.shape[-1])
        init = nn.initializers.normal(np.prod(shape) ** -0.5)
        kernel = self.param("kernel", init, shape, self.param_dtype)
        scale = self.param("scale", nn.initializers.ones, (1,), self.param_dtype)
        # The number 1 as a real and an imaginary part.
        bias = self.param("bias", lambda key: jnp.asarray([1, 0], self.param_dtype))
        norm = jnp.sqrt(jnp.maximum(jnp.square(kernel).sum(keepdims=True), 1e-12))
        kernel = kernel * (scale[None, None] / norm)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        y = strided_conv_transpose(x, kernel)
        # In float32, or the gradient of the bias would be summed over the whole batch in bfloat16.
        return y.astype(self.param_dtype) + bias[None, None]


def _conv3(x: jax.Array, kernel: jax.Array, train: bool) -> jax.Array:
    """A zero-padded convolution of 3 taps: (M, W, C) to (M, W, features)."""
    if train:
        return lax.conv_general_dilated(
            x, kernel, (1,), ((1, 1),), dimension_numbers=("NWC", "WIO", "NWC")
        )
    # All taps by one matmul, shifted after it: on a CPU it takes less time than the convolution,
    # the more so for a single frame; but its gradient takes more.
    taps, c, features = kernel.shape
    y = x @ kernel.swapaxes(0, 1).reshape(c, taps * features)
    before, at, after = jnp.split(y, 3, axis=-1)
    return (
        at
        + jnp.pad(before[:, :-1], ((0, 0), (1, 0), (0, 0)))
        + jnp.pad(after[:, 1:], ((0, 0), (0, 1), (0, 0)))
    )


def _attend(qkv: jax.Array) -> jax.Array:
    """Attention among F bands, (M, F, 3, heads, d) to (M, F, heads, d)."""
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    q = q * np.asarray(q.shape[-1] ** -0.5, q.dtype)
    scores = jnp.einsum("mfhd,mghd->mhfg", q, k)
    weights = nn.softmax(scores.astype(jnp.float32)).astype(v.dtype)
    return jnp.einsum("mhfg,mghd->mfhd", weights, v)


def _spread(x: jax.Array, matrix: jax.Array | np.ndarray) -> jax.Array:
    """A linear map over frequency, (M, W, C) to (M, V, C) by a matrix (V, W)."""
    return jnp.einsum("mwc,vw->mvc", x, matrix.astype(x.dtype))


def _fixed_maps(bins: int, bands: int) -> dict[str, np.ndarray]:
    """The maps from bins to bands and back, by the names they have where they are learned."""
    return {"narrow": _triangles(bins, bands), "widen": _hats(bins, bands)}


def _hats(bins: int, bands: int) -> np.ndarray:
    """Linear interpolation from bands to bins, (bins, bands), rows sum to 1."""
    centers = np.linspace(0, bins - 1, bands)
    return np.stack([np.interp(np.arange(bins), centers, one) for one in np.eye(bands)], axis=1)


def _triangles(bins: int, bands: int) -> np.ndarray:
    """Evenly spaced overlapping triangles from bins to bands, (bands, bins), rows sum to 1."""
    hats = _hats(bins, bands).T
    return hats / hats.sum(axis=1, keepdims=True)


# Kernels (out, in, taps), and those of one tap, (out, in).
_KERNEL = Form(lambda a: a.transpose(2, 1, 0), lambda shape: shape[::-1])
_POINT = Form(lambda a: a.T[None], lambda shape: shape[:0:-1])


def _layout(model: StreamUNet) -> Iterator[Tensor]:
    yield from with_merged_norm("stem", "stem", _KERNEL, model.norm)
    for i in range(model.convs):
        yield from with_merged_norm(f"encoder{i}", f"encoder.{i}", _KERNEL, model.norm)
        yield from with_merged_norm(f"decoder{i}", f"decoder.{i}", _KERNEL, model.norm)
    for i in range(model.convs + 1):
        yield from with_merged_norm(f"join{i}", f"join.{i}", _POINT, model.norm)
    for name in ("inward", "outward"):
        yield from with_merged_norm(name, name, _POINT, model.norm)
    if model.maps == "learned":
        for name in ("narrow", "widen"):
            yield Tensor(f"params/{name}", f"{name}.weight", SAME)
    for i in range(model.blocks):
        for name in ("input", "hidden"):
            path, key = f"params/time{i}_gru/{name}", f"blocks.{i}.gru.{name}"
            yield Tensor(f"{path}_kernel", f"{key}_weight", LINEAR)
            yield Tensor(f"{path}_bias", f"{key}_bias", SAME)
        yield Tensor(f"params/frequency{i}_qkv/kernel", f"blocks.{i}.qkv.weight", LINEAR)
        for name in ("time", "frequency"):
            path, key = f"{name}{i}_project", f"blocks.{i}.{name}"
            yield from with_merged_norm(path, key, _POINT, model.norm)
    if model.blocks:
        yield Tensor("params/place", "blocks.0.place", SAME)
    yield Tensor("params/mask/kernel", "mask.weight", _KERNEL)
    for name in ("scale", "bias"):
        yield Tensor(f"params/mask/{name}", f"mask.{name}", SAME)


_stream = partial(
    register, StreamUNet, narrow={"width": 8, "inner": 8, "bands": 6}, shallow={"convs": 1}
)
_stream("stream-t", "the fastest, for small processors", 22_091, 59_900_000)
_stream(
    "stream-b",
    "between the two others",
    92_115,
    262_000_000,
    width=48,
    inner=36,
    bands=24,
    blocks=3,
)
_stream(
    "stream-s",
    "the best of the three",
    195_523,
    664_000_000,
    width=64,
    convs=3,
    inner=48,
    bands=36,
    blocks=3,
)

_published = partial(
    _stream,
    sample_rate=48000,
    frame=1024,
    maps="learned",
    source="aask1357/fastenhancer",
    license="MIT",
)
_published("stream-t-48k", "full band, for small processors", 28_395, 177_000_000, bands=24)
_published(
    "stream-b-48k",
    "full band, between the two others",
    101_763,
    750_000_000,
    width=48,
    inner=36,
    bands=36,
    blocks=3,
)
_published(
    "stream-s-48k",
    "full band, the best of the three",
    208_387,
    1_820_000_000,
    width=64,
    convs=3,
    inner=48,
    bands=48,
    blocks=3,
)
