"""A causal U-Net on the waveform with a recurrent layer in the middle.

After Defossez et al., "Real Time Speech Enhancement in the Waveform Domain", Interspeech 2020,
written from its description. The paper first resamples to four times the rate by a fixed filter;
this runs at the recording's own rate, at a quarter of the cost and with the same parameters.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.models import layers, streaming
from zoo.models.recurrent import LSTM
from zoo.models.registry import register
from zoo.models.strided import strided_conv, strided_conv_transpose

_KERNEL, _STRIDE = 8, 4
# Keeps silence from being divided by zero, as the paper has it.
_FLOOR = 1e-3


class WaveUNet(nn.Module):
    """Strided convolutions with gated linear units, two LSTM layers, and the same way back.

    Skips are added. Any length: it pads by itself, and divides by the recording's own deviation.

    Attributes:
      channels: C of the recordings it is trained on; it takes any, each channel by itself.
      sample_rate: of the recordings, Hz.
      width: channels of the first level; each deeper one has twice as many.
      depth: levels.
      dtype: the dtype of the computation; None follows the input. The memory is float32.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 1
    sample_rate: int = 16000
    width: int = 48
    depth: int = 5
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    modality = "audio"
    range = (-1.0, 1.0)
    # The deviation it divides by is that of the whole recording.
    locality = "global"

    @nn.compact
    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises whole recordings.

        Args:
          x: (B, T, C), any float dtype, made for [-1, 1] at `sample_rate`.
          level: ignored.
          train: ignored.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` is no batch of recordings.
        """
        streaming.check_recording(x, "WaveUNet")
        dtypes = layers.dtypes(self, x)
        y = streaming.fold_channels(x.astype(jnp.float32))[..., None]
        # The root of zero has no derivative.
        deviation = jnp.sqrt(jnp.maximum(y.var(1, keepdims=True), 1e-12))
        y = (y / (_FLOOR + deviation)).astype(dtypes["dtype"])
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
            y, _ = LSTM(y.shape[-1], time_major=True, **dtypes, name=f"memory{i}")(y)
        y = y.swapaxes(0, 1)
        for i in reversed(range(self.depth)):
            y = gate(name=f"decoder{i}")(y + skips[i])
            width = self.width * 2 ** (i - 1) if i else 1
            y = _Strided(width, transpose=True, **dtypes, name=f"up{i}")(y)
            y = nn.relu(y) if i else y
        y = y[:, :samples].astype(jnp.float32) * deviation
        return streaming.unfold_channels(y[..., 0], x.shape[-1]).astype(x.dtype)


class _Strided(nn.Module):
    """A convolution of kernel 8 and stride 4, or its transpose: (N, W, C) to (N, W', features)."""

    features: int
    transpose: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape, init = (_KERNEL, x.shape[-1], self.features), nn.initializers.he_normal()
        if self.transpose:
            # Of 8 taps each sample of the output meets 2.
            shape = (_KERNEL, self.features, x.shape[-1])
            init = nn.initializers.variance_scaling(
                2.0 * _STRIDE, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2
            )
        kernel = self.param("kernel", init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        y = strided_conv_transpose(x, kernel) if self.transpose else strided_conv(x, kernel)
        return _add(y, bias)


class _Gate(nn.Module):
    """A gated linear unit over a pointwise layer to twice the channels; keeps the shape."""

    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.he_normal(), (c, 2 * c), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (2 * c,), self.param_dtype)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        a, b = jnp.split(_add(x @ kernel, bias), 2, axis=-1)
        return a * nn.sigmoid(b)


def _add(y: jax.Array, bias: jax.Array) -> jax.Array:
    """Adds (C,) to (N, W, C), in the bias's precision, so that its gradient is summed there."""
    return (y.astype(bias.dtype) + bias[None, None]).astype(y.dtype)


def _whole(samples: int, depth: int) -> int:
    """The fewest samples, as many or more, that the strides divide without remainder."""
    length = samples
    for _ in range(depth):
        length = max(1, -(-(length - _KERNEL) // _STRIDE) + 1)
    for _ in range(depth):
        length = (length - 1) * _STRIDE + _KERNEL
    return length


_NARROW = {"width": 4}
_SHALLOW = {"depth": 3}


@register("wave-unet-small", parameters=8_390_465, narrow=_NARROW, shallow=_SHALLOW)
def wave_unet_small(**overrides) -> WaveUNet:
    """From 32 channels: 8 million parameters, most of them in the LSTM."""
    return WaveUNet(**{"width": 32} | overrides)


@register("wave-unet-48", parameters=18_867_937, narrow=_NARROW, shallow=_SHALLOW)
def wave_unet_48(**overrides) -> WaveUNet:
    """The paper's smaller network, from 48 channels."""
    return WaveUNet(**{"width": 48} | overrides)


@register("wave-unet-64", parameters=33_533_569, narrow=_NARROW, shallow=_SHALLOW)
def wave_unet_64(**overrides) -> WaveUNet:
    """The paper's larger network, from 64 channels."""
    return WaveUNet(**{"width": 64} | overrides)
