"""A causal U-Net on the waveform with a recurrent layer in the middle.

After Defossez et al., "Real Time Speech Enhancement in the Waveform Domain", Interspeech 2020,
written from its description. The paper first resamples to four times the rate by a fixed filter;
this runs at the rate of the signal, at a quarter of the cost and with the same parameters.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.models import layers
from zoo.models.audio_denoiser import AudioDenoiser
from zoo.models.audio_layers import LSTM, strided_conv, strided_conv_transpose
from zoo.models.registry import register

_KERNEL, _STRIDE = 8, 4
# Keeps silence from being divided by zero, as the paper has it.
_FLOOR = 1e-3


class WaveUNet(AudioDenoiser, layers.Layer):
    """Strided convolutions with gated linear units, two LSTM layers, and the same way back.

    Skips are added. It divides by the standard deviation of the whole signal.

    Attributes:
      sample_rate: of the audio, Hz.
      width: channels of the first level; each deeper one has twice as many.
      depth: levels.
    """

    sample_rate: int = 16000
    width: int = 48
    depth: int = 5

    @nn.compact
    def _denoise(self, x: jax.Array, dtype: layers.Dtype, train: bool) -> jax.Array:
        y = x[..., None]
        # The root of zero has no derivative.
        deviation = jnp.sqrt(jnp.maximum(y.var(1, keepdims=True), 1e-12))
        y = (y / (_FLOOR + deviation)).astype(self.dtype or dtype)
        dtypes = self.dtypes(y)
        samples = y.shape[1]
        y = jnp.pad(y, ((0, 0), (0, _whole(samples, self.depth) - samples), (0, 0)))

        gate = partial(_Gate, **dtypes)
        skips = []
        for i in range(self.depth):
            width = self.width * 2**i
            y = _Strided(width, **dtypes, name=f"down{i}")(y)
            y = gate(name=f"encoder{i}")(nn.relu(y))
            skips.append(y)
        y = y.swapaxes(0, 1)
        for i in range(2):
            y, _ = LSTM(y.shape[-1], **dtypes, name=f"memory{i}")(y)
        y = y.swapaxes(0, 1)
        for i in reversed(range(self.depth)):
            y = gate(name=f"decoder{i}")(y + skips[i])
            width = self.width * 2 ** (i - 1) if i else 1
            y = _Strided(width, transpose=True, **dtypes, name=f"up{i}")(y)
            y = nn.relu(y) if i else y
        return (y[:, :samples].astype(jnp.float32) * deviation)[..., 0]


class _Strided(layers.Layer):
    """A convolution of kernel 8 and stride 4, or its transpose: (N, W, C) to (N, W', features)."""

    features: int
    transpose: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape, init = (_KERNEL, x.shape[-1], self.features), nn.initializers.he_normal()
        if self.transpose:
            # Each output sample is reached by 2 of the 8 taps.
            shape = (_KERNEL, self.features, x.shape[-1])
            init = nn.initializers.variance_scaling(
                2.0 * _STRIDE, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2
            )
        return self.linear(
            x, strided_conv_transpose if self.transpose else strided_conv, shape, init
        )


class _Gate(layers.Layer):
    """A gated linear unit over a pointwise layer to twice the channels; keeps the shape."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = x.shape[-1]
        y = self.linear(x, jnp.matmul, (c, 2 * c), nn.initializers.he_normal())
        a, b = jnp.split(y, 2, axis=-1)
        return a * nn.sigmoid(b)


def _whole(samples: int, depth: int) -> int:
    """The fewest samples, as many or more, that the strides divide without remainder."""
    length = samples
    for _ in range(depth):
        length = max(1, -(-(length - _KERNEL) // _STRIDE) + 1)
    for _ in range(depth):
        length = (length - 1) * _STRIDE + _KERNEL
    return length


_wave = partial(register, WaveUNet, narrow={"width": 4}, shallow={"depth": 3})
_wave("wave-unet-small", "most parameters in the LSTM", 8_390_465, 280_000_000, width=32)
_wave("wave-unet-48", "the paper's smaller network", 18_867_937, 630_000_000)
_wave("wave-unet-64", "the paper's larger network", 33_533_569, 1_120_000_000, width=64)
