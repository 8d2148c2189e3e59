"""DeepFilterNet3: gains of bands, and at low frequencies a complex filter over frames.

After Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement"
(Interspeech 2023, arXiv:2305.08227) and "DeepFilterNet2" (arXiv:2205.05474); the sizes are those of
its published weights.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.audio_denoiser import StreamingDenoiser
from zoo.models.audio_layers import GRU, merge_norms
from zoo.models.deepfilter_layers import ORDER, GroupedLinear, Pathway, SpectralConv
from zoo.models.registry import register
from zoo.models.torch_layout import LINEAR, SAME, Form, Layout, Tensor, with_merged_norm

_RATE, _HOP = 48000, 480
_BANDS, _LEAST = 32, 2
# Bins that the filter changes, up to 4.8 kHz, and frames that the network looks ahead.
_BINS, _AHEAD = 96, 2
# What a frame leaves of the running means: a time constant of a second.
_DECAY = 0.99
# Those means before the first frame, from the lowest band or bin to the highest.
_LEVELS = np.linspace(-60, -90, _BANDS, dtype=np.float32)
_SIZES = np.linspace(1e-3, 1e-4, _BINS, dtype=np.float32)
# Groups of the linear layers: of most, of that from the bins and of the filter's first.
_GROUPS, _INPUT_GROUPS, _FILTER_GROUPS = 16, 32, 8


def widths() -> np.ndarray:
    """How many of the 481 bins each of the 32 bands has, evenly on the scale of equivalent
    rectangular bandwidths (Moore and Glasberg, 1990) and at least two."""
    scale = 24.7 * 9.265
    top = 9.265 * np.log1p(_RATE / 2 / scale)
    edges = scale * np.expm1(top / 9.265 * np.arange(1, _BANDS + 1) / _BANDS)
    edges = np.floor(edges * (2 * _HOP) / _RATE + 0.5).astype(int)
    found, start = [], 0
    for edge in edges:
        found.append(max(edge - start, _LEAST))
        start += found[-1]
    # The bin of half the sample rate belongs to the last band.
    found[-1] += _HOP + 1 - sum(found)
    return np.array(found)


def _bands() -> np.ndarray:
    """Which bin is in which band, (481, 32) of zeros and ones."""
    return np.repeat(np.eye(_BANDS, dtype=np.float32), widths(), axis=0)


def vorbis(size: int) -> np.ndarray:
    """The window of Vorbis, (size,), float32; its squares, half a window apart, sum to 1."""
    return np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2).astype("f4")


class _Memory(NamedTuple):
    """What the network carries from frame to frame; N counts signals times channels.

    Attributes:
      seen: frames so far, at most the look-ahead, (N,).
      means: of the levels of bands and the magnitudes of bins, (N, 32 + 96).
      spectra: the last frames, (N, 4, 481).
      coarse: the last features of the bands, (N, 2, 32, 1).
      fine: those of the bins, (N, 2, 96, 2).
      owed: what frames so far add to the filters of those to come, (N, 4, 96, 10).
      states: of each recurrent layer, (N, hidden).
    """

    seen: jax.Array
    means: jax.Array
    spectra: jax.Array
    coarse: jax.Array
    fine: jax.Array
    owed: jax.Array
    states: tuple[jax.Array, ...]


class DeepFilterNet3(StreamingDenoiser, layers.Layer):
    """Enhances speech at 48 kHz, full band; it looks two frames of 10 ms ahead.

    The local SNR that the original estimates beside the speech is left out.

    Attributes:
      width: channels of the convolutions, a multiple of 4.
      hidden: states of each recurrent layer, a multiple of 16.
      norm: `"batch"`; or `"merged"`, see `zoo.models.merge_batch_norm`.
      axis_name: the device axis over which batch statistics are averaged.
    """

    width: int = 64
    hidden: int = 256
    norm: Literal["batch", "merged"] = "batch"
    axis_name: str | None = None

    sample_rate = _RATE
    hop = _HOP
    lookahead = _AHEAD
    window = staticmethod(vorbis)

    def __post_init__(self):
        for field, factor in (("width", 4), ("hidden", _GROUPS)):
            if (value := getattr(self, field)) % factor:
                raise ZooError(f"DeepFilterNet3: {field}={value!r} is not a multiple of {factor}")
        super().__post_init__()

    def merge_batch_norm(self, variables: Mapping) -> tuple["DeepFilterNet3", dict]:
        """See `zoo.models.merge_batch_norm`."""
        return self.clone(norm="merged"), merge_norms(variables)

    def torch_layout(self) -> Layout:
        """As `zoo.interop.deepfilternet_files` reads the published graphs, whose batch norm is
        merged into the convolutions."""
        return Layout(tuple(_layout(self.norm)), (r".*\.(lsnr|alpha)\.weight",))

    def _memory(self, number: int) -> _Memory:
        means = np.concatenate([_LEVELS, _SIZES])
        past = ORDER - 1
        return _Memory(
            seen=jnp.zeros((number,), jnp.int32),
            means=jnp.tile(means[None], (number, 1)),
            spectra=jnp.zeros((number, past, _HOP + 1), jnp.complex64),
            coarse=jnp.zeros((number, 2, _BANDS, 1)),
            fine=jnp.zeros((number, 2, _BINS, 2)),
            owed=jnp.zeros((number, past, _BINS, 2 * ORDER)),
            states=tuple(jnp.zeros((number, self.hidden)) for _ in range(5)),
        )

    def _enhance(
        self, spectrum: jax.Array, memory: _Memory, dtype: layers.Dtype, train: bool
    ) -> tuple[jax.Array, _Memory]:
        coarse, fine, means = _features(spectrum, memory.means)
        frames = spectrum.shape[1]
        # Frames that nothing is known ahead of: the network begins with the first one's look-ahead.
        ages = memory.seen[:, None] + jnp.arange(frames, dtype=jnp.int32)[None]
        early = ages < _AHEAD
        coarse, fine = (jnp.where(early[..., None, None], 0, x) for x in (coarse, fine))
        coarse, fine = (
            jnp.concatenate(pair, 1) for pair in ((memory.coarse, coarse), (memory.fine, fine))
        )
        gains, filters, owed, states = self._network(
            coarse, fine, early, memory.owed, memory.states, self.dtype or dtype, train
        )
        spectra = jnp.concatenate([memory.spectra, spectrum], 1)
        memory = _Memory(
            seen=jnp.minimum(memory.seen + frames, _AHEAD),
            means=means,
            spectra=spectra[:, frames:],
            coarse=coarse[:, frames:],
            fine=fine[:, frames:],
            owed=owed,
            states=states,
        )
        low = sum(spectra[:, i : i + frames, :_BINS] * filters[..., i] for i in range(ORDER))
        gains = (gains @ _bands()[_BINS:].T).astype(spectra.dtype)
        high = spectra[:, _AHEAD : _AHEAD + frames, _BINS:] * gains
        return jnp.concatenate([low, high], -1), memory

    @nn.compact
    def _network(self, coarse, fine, early, owed, states, dtype, train):
        """Features behind the two frames before them to gains (N, T, 32), filters (N, T, 96, 5),
        and the memory of both after."""
        n, t = early.shape
        coarse, fine = coarse.astype(dtype), fine.astype(dtype)
        dtypes = self.dtypes(coarse)
        options = {
            **dtypes,
            "norm": self.norm,
            "train": train,
            "axis_name": self.axis_name if train else None,
        }
        conv = partial(SpectralConv, features=self.width, **options)
        linear = partial(GroupedLinear, **dtypes)
        left, kept = list(states), []

        def recurrent(x, depth, groups, name):
            """Recurrent layers on fewer features, (N, T, F) to (N, T, hidden)."""
            x = linear(self.hidden, groups, name=f"{name}_in")(x).swapaxes(0, 1)
            for i in range(depth):
                x, state = GRU(self.hidden, **dtypes, name=f"{name}_gru{i}")(
                    x, left.pop(0), hold=early.T
                )
                kept.append(state)
            return x.swapaxes(0, 1)

        skips = [conv(kind="frames", name="bands0")(coarse)]
        for i, stride in enumerate((2, 2, 1), 1):
            skips.append(conv(stride=stride, name=f"bands{i}")(skips[-1]))
        shallow = conv(kind="frames", name="bins0")(fine)
        deep = conv(stride=2, name="bins1")(shallow)
        whole = 8 * self.width
        y = linear(whole, _INPUT_GROUPS, name="bins_linear")(deep.reshape(n, t, -1))
        y = recurrent(skips[-1].reshape(n, t, -1) + y, 1, _GROUPS, "encoder")
        code = linear(whole, _GROUPS, name="encoder_out")(y)

        y = recurrent(code, 2, _GROUPS, "gains")
        y = linear(whole, _GROUPS, name="gains_out")(y).reshape(skips[-1].shape)
        for i, kind in ((3, "bins"), (2, "up"), (1, "up")):
            y = conv(kind="scale", name=f"skip{i}")(skips[i]) + y
            y = conv(kind=kind, name=f"gains{i}")(y)
        y = conv(kind="scale", name="skip0")(skips[0]) + y
        gains = SpectralConv(
            features=1, kind="full", activation="sigmoid", **options, name="gains0"
        )(y)

        y = recurrent(code, 2, _FILTER_GROUPS, "filters")
        y = y + linear(self.hidden, _GROUPS, "none", name="filters_skip")(code)
        filters = linear(2 * ORDER * _BINS, _GROUPS, "tanh", name="filters_out")(y)
        late = jnp.where(early[..., None, None], 0, 1).astype(dtype)
        y, owed = Pathway(**options, name="pathway")(shallow * late, owed)
        filters = (filters.reshape(y.shape) + y).astype(jnp.float32)
        filters = filters.reshape(n, t, _BINS, ORDER, 2)
        filters = lax.complex(filters[..., 0], filters[..., 1])
        return gains[..., 0].astype(jnp.float32), filters, owed, tuple(kept)


def _features(spectrum: jax.Array, means: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Spectra (N, T, 481) and running means to the levels of bands (N, T, 32, 1) and bins
    (N, T, 96, 2), both less the means, and these after the last frame."""
    # The original divides by the size of the transform.
    real, imaginary = spectrum.real / (2 * _HOP), spectrum.imag / (2 * _HOP)
    power = jnp.square(real) + jnp.square(imaginary)
    levels = 10 * jnp.log10(power @ (_bands() / widths().astype("f4")) + 1e-10)
    # The slope of a magnitude at silence stays finite.
    sizes = jnp.sqrt(jnp.maximum(power[..., :_BINS], 1e-28))

    def body(mean, value):
        mean = (1 - _DECAY) * value + _DECAY * mean
        return mean, mean

    values = jnp.concatenate([levels, sizes], -1).swapaxes(0, 1)
    means, every = lax.scan(body, means, values, unroll=4)
    every = every.swapaxes(0, 1)
    coarse = (levels - every[..., :_BANDS]) / 40
    scale = lax.rsqrt(every[..., _BANDS:])
    fine = jnp.stack([real[..., :_BINS] * scale, imaginary[..., :_BINS] * scale], -1)
    return coarse[..., None], fine, means


# Kernels (out, in, frames, bins), depthwise ones with an axis `in` of 1.
_BOTH = Form(lambda a: a[:, 0].transpose(1, 2, 0), lambda s: (s[2], 1, *s[:2]))
_ALONG_BINS = Form(lambda a: a[:, 0, 0].T, lambda s: (s[1], 1, 1, s[0]))
_ALL = Form(lambda a: a[:, :, 0].transpose(2, 1, 0), lambda s: (s[2], s[1], 1, s[0]))
_POINT = Form(lambda a: a[:, :, 0, 0].T, lambda s: (*s[::-1], 1, 1))
_EACH = Form(lambda a: a[:, 0, 0, 0], lambda s: (*s, 1, 1, 1))
_ALONG_FRAMES = Form(lambda a: a[..., 0].transpose(2, 1, 0), lambda s: (*s[::-1], 1))


def _layout(norm: str) -> Iterator[Tensor]:
    def conv(path: str, key: str, form: Form, depthwise: Form | None = None) -> Iterator[Tensor]:
        if depthwise:
            yield Tensor(f"params/{path}/depthwise", f"{key}.depthwise.weight", depthwise)
        yield from with_merged_norm(path, key, form, norm)

    def recurrent(path: str, key: str, depth: int) -> Iterator[Tensor]:
        yield Tensor(f"params/{path}_in/kernel", f"{key}.in.weight", SAME)
        for i in range(depth):
            for name in ("input", "hidden"):
                ours, theirs = f"params/{path}_gru{i}/{name}", f"{key}.gru{i}.{name}"
                yield Tensor(f"{ours}_kernel", f"{theirs}_weight", LINEAR)
                yield Tensor(f"{ours}_bias", f"{theirs}_bias", SAME)

    yield from conv("bands0", "enc.erb_conv0", _BOTH)
    for i in (1, 2, 3):
        yield from conv(f"bands{i}", f"enc.erb_conv{i}", _POINT, _ALONG_BINS)
        yield from conv(f"gains{i}", f"erb_dec.convt{i}", _POINT, _ALONG_BINS)
        yield from conv(f"skip{i}", f"erb_dec.conv{i}p", _EACH)
    yield from conv("skip0", "erb_dec.conv0p", _EACH)
    yield from conv("gains0", "erb_dec.conv0_out", _ALL)
    yield from conv("bins0", "enc.df_conv0", _POINT, _BOTH)
    yield from conv("bins1", "enc.df_conv1", _POINT, _ALONG_BINS)
    yield from conv("pathway", "df_dec.df_convp", _POINT, _ALONG_FRAMES)
    yield from recurrent("encoder", "enc.emb_gru", 1)
    yield from recurrent("gains", "erb_dec.emb_gru", 2)
    yield from recurrent("filters", "df_dec.df_gru", 2)
    for path, key in (
        ("bins_linear", "enc.df_fc_emb"),
        ("encoder_out", "enc.emb_gru.out"),
        ("gains_out", "erb_dec.emb_gru.out"),
        ("filters_skip", "df_dec.df_skip"),
        ("filters_out", "df_dec.df_out"),
    ):
        yield Tensor(f"params/{path}/kernel", f"{key}.weight", SAME)


register(
    DeepFilterNet3,
    "deepfilternet3",
    "full band; filters over frames below 4.8 kHz",
    2_134_714,
    312_000_000,
    narrow={"width": 8, "hidden": 16},
    source="Rikorose/DeepFilterNet",
    license="MIT",
)
