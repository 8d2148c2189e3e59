"""Layers that several image architectures share, NHWC, written so that XLA runs them as matmuls."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo.models.canvas import cleared

Dtype = Any

_LECUN = nn.initializers.lecun_normal()

# Nearest upsampling and a 3-tap filter are one 4-tap transposed filter: _FOLD[tap, phase] says
# which of the 3 taps that phase of the output lays on the earlier and the later input pixel.
_FOLD = np.array([[[1, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 1, 1]]])


class Layer(nn.Module):
    """A module that computes in `dtype` and keeps its parameters in `param_dtype`.

    Attributes:
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    dtype: Dtype = dataclasses.field(default=None, kw_only=True)
    param_dtype: Dtype = dataclasses.field(default=jnp.float32, kw_only=True)

    def dtypes(self, x: jax.Array) -> dict[str, Dtype]:
        """The `dtype` and `param_dtype` of inner layers; a `dtype` of None becomes that of `x`.

        Left None, a layer would promote a bfloat16 signal to the dtype of its parameters.
        """
        return {
            "dtype": x.dtype if self.dtype is None else self.dtype,
            "param_dtype": self.param_dtype,
        }

    def bias_param(self, features: int) -> jax.Array:
        """The parameter `bias`, (features,), which starts at 0."""
        return self.param("bias", nn.initializers.zeros, (features,), self.param_dtype)

    def linear(
        self,
        x: jax.Array,
        apply: Callable[[jax.Array, jax.Array], jax.Array],
        shape: Sequence[int],
        init: nn.initializers.Initializer = _LECUN,
        *,
        use_bias: bool = True,
    ) -> jax.Array:
        """A linear map by the parameter `kernel`, and the parameter `bias` added to it.

        Args:
          x: the signal.
          apply: `(x, kernel) -> y`, both in the dtype of the computation.
          shape: of the kernel.
          init: makes the kernel.
          use_bias: whether there is a bias.
        """
        kernel = self.param("kernel", init, tuple(shape), self.param_dtype)
        y = apply(*nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype))
        return add_bias(y, self.bias_param(y.shape[-1])) if use_bias else y

    def normalize(
        self,
        kind: type[nn.Module],
        x: jax.Array,
        *,
        mask: jax.Array | None = None,
        **options: Any,
    ) -> jax.Array:
        """Applies a norm of Flax, whose statistics are taken in the parameters' precision, however
        low that of the computation; dtype of `x`.

        Args:
          kind: the norm, such as `nn.LayerNorm`.
          x: the signal.
          mask: where its values count, of any shape that broadcasts against it; None for all.
          **options: fields of the norm.
        """
        norm = kind(dtype=self.param_dtype, param_dtype=self.param_dtype, **options)
        masked = {} if mask is None else {"mask": jnp.broadcast_to(mask, x.shape)}
        return norm(x.astype(self.param_dtype), **masked).astype(x.dtype)

    def batch_norm(
        self,
        x: jax.Array,
        *,
        train: bool,
        axis_name: str | None,
        epsilon: float = 1e-5,
        name: str | None = None,
    ) -> jax.Array:
        """Batch norm; with `train` it uses and updates the statistics of this batch.

        Args:
          x: the signal.
          train: whether it is a training step.
          axis_name: the device axis over which statistics are averaged in training.
          epsilon: added to the variance.
          name: of the norm among the variables.
        """
        return self.normalize(
            nn.BatchNorm,
            x,
            use_running_average=not train,
            momentum=0.9,
            epsilon=epsilon,
            axis_name=axis_name if train else None,
            name=name,
        )


def scaled_kernel(scale: float = 1e-4) -> nn.initializers.Initializer:
    """An initializer of kernels whose first outputs have `scale` times the variance of the inputs.

    The last convolution of a network that predicts a correction then begins near the noisy input,
    the best guess then known; and a residual block near the identity, which keeps a deep sum from
    growing and learns sooner.
    """
    return nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal")


def add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """Adds (C,) to (..., C) in float32 or better, so that the gradient of the bias is summed there:
    a bfloat16 sum over all pixels stops growing. Dtype of `y`."""
    wide = np.promote_types(y.dtype, np.float32)
    bias = bias.astype(wide).reshape((1,) * (y.ndim - 1) + (-1,))
    return (y.astype(wide) + bias).astype(y.dtype)


def space_to_depth(x: jax.Array, factor: int, *, channel_major: bool = False) -> jax.Array:
    """Folds each `factor` x `factor` patch into channels: (N, H, W, C) to (N, H/f, W/f, f*f*C).

    The new channels are ordered row, column, channel; or, `channel_major`, channel, row, column, as
    PyTorch does. H and W must be multiples of `factor`.
    """
    n, h, w, c = x.shape
    x = x.reshape(n, h // factor, factor, w // factor, factor, c)
    axes = (0, 1, 3, 5, 2, 4) if channel_major else (0, 1, 3, 2, 4, 5)
    return x.transpose(axes).reshape(n, h // factor, w // factor, factor * factor * c)


def depth_to_space(x: jax.Array, factor: int) -> jax.Array:
    """The inverse of `space_to_depth`: (N, H, W, f*f*C) to (N, f*H, f*W, C)."""
    n, h, w, c = x.shape
    c //= factor * factor
    x = x.reshape(n, h, w, factor, factor, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * factor, w * factor, c)


def pad_to_multiple(
    x: jax.Array, multiple: int, mode: Literal["edge", "reflect", "constant"] = "edge"
) -> jax.Array:
    """Adds rows below and columns to the right until H and W are multiples of `multiple`.

    Args:
      x: (N, H, W, C).
      multiple: of what.
      mode: `"edge"` repeats the last row and column, `"reflect"` mirrors about them, `"constant"`
        adds zeros.
    """
    bottom, right = -x.shape[1] % multiple, -x.shape[2] % multiple
    if bottom or right:
        x = jnp.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)), mode=mode)
    return x


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Repeats every pixel twice along H and W."""
    n, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (n, h, 2, w, 2, c))
    return x.reshape(n, 2 * h, 2 * w, c)


def max_pool(x: jax.Array) -> jax.Array:
    """The largest of each 2x2 patch: (N, 2H, 2W, C) to (N, H, W, C).

    Written without a reduction: on CPU the gradient of `nn.max_pool` is far slower, and
    jax 0.12 fuses a maximum into bfloat16 convolutions before it (XLA's YNN) with NaN as a result.
    """
    a, b, c, d = _corners(x)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def mean_pool(x: jax.Array) -> jax.Array:
    """The mean of each 2x2 patch: (N, 2H, 2W, C) to (N, H, W, C)."""
    a, b, c, d = _corners(x)
    return ((a + b) + (c + d)) / 4


def _corners(x: jax.Array) -> list[jax.Array]:
    """The four images that the corners of every 2x2 patch make."""
    return [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]


def gelu(x: jax.Array) -> jax.Array:
    """The exact GELU, by `erf`: jax writes it by `erfc`, which takes longer on CPU."""
    return 0.5 * x * (1 + lax.erf(x * np.asarray(0.5**0.5, x.dtype)))


def append_level(x: jax.Array, level: jax.Array) -> jax.Array:
    """Appends the noise level (N, 1, 1, 1) as a channel: (N, H, W, C) to (N, H, W, C + 1)."""
    return jnp.concatenate([x, jnp.broadcast_to(level, (*x.shape[:-1], 1))], axis=-1)


def identity_kernel(channels: int) -> nn.initializers.Initializer:
    """An initializer of 3x3 kernels whose first outputs are the inputs of the same number.

    With it the first and the last convolution of a network that predicts the clean image, not a
    correction of it, begin with the noisy input, the best guess then known.

    Args:
      channels: how many outputs; fewer where a kernel has fewer inputs or outputs.
    """

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
        kept = np.arange(min(channels, *shape[-2:]))
        kernel = _LECUN(key, shape, dtype).at[..., kept].set(0)
        return kernel.at[1, 1, kept, kept].set(1)

    return init


class ChannelNorm(Layer):
    """Layer norm over the channels of each pixel; without a bias, division by the deviation only.

    Computed in the parameters' precision, however low that of the signal.
    """

    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Keeps shape and dtype."""
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        y = x.astype(self.param_dtype)
        centered = y - y.mean(-1, keepdims=True)
        gain = lax.rsqrt(jnp.square(centered).mean(-1, keepdims=True) + 1e-5)
        y = (centered if self.use_bias else y) * gain * scale[None, None, None]
        if self.use_bias:
            y = y + self.bias_param(x.shape[-1])[None, None, None]
        return y.astype(x.dtype)


class Down(Layer):
    """A 2x2 convolution with stride 2, run as space-to-depth and a matmul: (N, 2H, 2W, C) to
    (N, H, W, features)."""

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Halves H and W, which must be even."""

        def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
            return space_to_depth(x, 2) @ kernel.reshape(-1, self.features)

        return self.linear(x, apply, (2, 2, x.shape[-1], self.features), use_bias=self.use_bias)


class Up(Layer):
    """A transposed convolution with stride 2: (N, H, W, C) to (N, 2H, 2W, features).

    It runs as a matmul (2x2 kernel) or a 2x2 convolution (4x4 kernel) to four times the features,
    then depth-to-space: on CPU that trains far faster than XLA's transposed convolution.

    Attributes:
      features: channels of the output.
      kernel: 2, each input pixel makes its own patch; or 4, patches overlap.
      gain: variance of the first outputs over that of the inputs; 2 makes up for a ReLU.
    """

    features: int
    kernel: int = 2
    gain: float = 1.0
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Doubles H and W."""
        if self.kernel not in (2, 4):
            raise ValueError(f"Up has kernels of 2 and 4, not {self.kernel}")

        def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
            if self.kernel == 2:
                return depth_to_space(x @ kernel.reshape(x.shape[-1], -1), 2)
            # Of each axis's four taps the later two fall on the earlier of two input pixels.
            kernel = kernel.reshape(-1, 2, 2, 2, 2, self.features)[:, ::-1, :, ::-1]
            return _overlapping_up(x, kernel.transpose(1, 3, 0, 2, 4, 5))

        # Stride 2 leaves each output pixel a quarter of the taps that the initializer counts.
        init = nn.initializers.variance_scaling(
            4 * self.gain, "fan_in", "truncated_normal", in_axis=0
        )
        shape = (x.shape[-1], self.kernel, self.kernel, self.features)
        return self.linear(x, apply, shape, init, use_bias=self.use_bias)


class DepthwiseConv(Layer):
    """A 3x3 convolution of each channel with a filter of its own, zero-padded: (N, H, W, C) kept.

    It runs as nine shifted products, summed in float32 or better: on CPU XLA's grouped convolution
    takes far longer. Its gradient is one in reverse mode and cannot be differentiated again.
    """

    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Keeps the shape."""
        shape = (3, 3, 1, x.shape[-1])
        return self.linear(
            x, lambda x, kernel: _depthwise(cleared(x), kernel), shape, use_bias=self.use_bias
        )


@jax.custom_vjp
def _depthwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    taps = kernel.reshape(9, 1, 1, 1, -1)
    y = sum(near * tap.astype(near.dtype) for near, tap in zip(_neighbors(x), taps, strict=True))
    return y.astype(x.dtype)


def _depthwise_forward(x, kernel):
    return _depthwise(x, kernel), (x, kernel)


def _depthwise_backward(saved, g):
    x, kernel = saved
    # All nine sums in one pass, for nine passes over the products take longer.
    # Along H only, the one axis that is neither split over devices nor contiguous in memory.
    products = [near * g.astype(near.dtype) for near in _neighbors(x)]
    zero = np.zeros((), products[0].dtype)
    sums = lax.reduce(
        products, [zero] * 9, lambda a, b: [i + j for i, j in zip(a, b, strict=True)], (1,)
    )
    grad = jnp.stack(sums).sum((1, 2)).reshape(kernel.shape)
    return _depthwise(g, kernel[::-1, ::-1]), grad.astype(kernel.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _neighbors(x: jax.Array) -> list[jax.Array]:
    """The nine pixels around each, row by row and zero outside, in float32 or better."""
    h, w = x.shape[1:3]
    x = x.astype(np.promote_types(x.dtype, np.float32))
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]


class UpsampleConv(Layer):
    """Nearest upsampling by 2, then a 3x3 convolution: (N, H, W, C) to (N, 2H, 2W, features).

    Both run as one 2x2 convolution before the upsampling, with taps that fall on the same input
    pixel added up: the same result from 4/9 of the work, and the large image has few channels.

    Attributes:
      features: channels of the output.
      gain: variance of the first outputs over that of the inputs; 2 makes up for a ReLU.
    """

    features: int
    gain: float = 1.0
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Doubles H and W."""

        def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
            fold = jnp.asarray(_FOLD, kernel.dtype)
            return _overlapping_up(x, jnp.einsum("tps,uqr,srcf->tucpqf", fold, fold, kernel))

        shape = (3, 3, x.shape[-1], self.features)
        return self.linear(x, apply, shape, scaled_kernel(self.gain), use_bias=self.use_bias)


def _overlapping_up(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 4x4 transposed convolution with stride 2, from its kernel as (2, 2, C, 2, 2, features).

    A window over two input pixels gives the two output pixels between their centers, so H + 1
    windows over the zero-padded input give H pairs and half a pair too many at either end.
    """
    x = jnp.pad(cleared(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = kernel.reshape(*kernel.shape[:3], -1)
    y = lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return depth_to_space(y, 2)[:, 1:-1, 1:-1]
