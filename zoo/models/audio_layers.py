"""Layers of audio models: strided convolutions, a fused batch norm and recurrent units.

Signals are (N, W, C), or (B, T, F) for what runs over time.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo.models.layers import Layer

# A step is a small matmul and a few products: on a CPU the loop around them costs as much.
_UNROLL = 4


def strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution whose kernel is two strides long, without padding.

    Samples are taken a stride at a time, and two neighboring parts make a window. It is then one
    matmul, and so is its transpose, where XLA's strided convolutions of few channels are slow on a
    CPU.

    Args:
      x: (N, W, C), W a multiple of the stride and at least two of them.
      kernel: (2 stride, C, features).

    Returns:
      (N, W / stride - 1, features).
    """
    taps, c, features = kernel.shape
    parts = x.reshape(x.shape[0], -1, taps // 2 * c)
    windows = jnp.concatenate([parts[:, :-1], parts[:, 1:]], axis=-1)
    return windows @ kernel.reshape(taps * c, features)


def strided_conv_transpose(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The transpose of `strided_conv`: overlapping windows are added.

    Args:
      x: (N, W, C).
      kernel: (2 stride, features, C).

    Returns:
      (N, (W + 1) stride, features).
    """
    taps, features, c = kernel.shape
    windows = x @ kernel.reshape(taps * features, c).T
    first, second = jnp.split(windows, 2, axis=-1)
    parts = jnp.pad(first, ((0, 0), (0, 1), (0, 0))) + jnp.pad(second, ((0, 0), (1, 0), (0, 0)))
    return parts.reshape(x.shape[0], -1, features)


class BatchNorm(Layer):
    """`flax.linen.BatchNorm` with its variables, then an activation; (M, W, C) is kept.

    Its backward pass reads the batch only twice. Differentiated by JAX, a norm and a SiLU keep and
    reread several arrays of the batch's size; small networks on a CPU spend much of a training step
    on that.

    Statistics and their sums are float32 or better, however low the precision of the input. In
    training its gradient is one in reverse mode and cannot be differentiated again.

    Attributes:
      activation: `"silu"` or `"none"`.
      train: whether it uses and updates the statistics of this batch.
      axis_name: the device axis over which they are averaged.
      momentum: how much of the running statistics a batch leaves.
      epsilon: added to the variance.
    """

    activation: Literal["silu", "none"] = "none"
    train: bool = False
    axis_name: str | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Keeps shape and dtype."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        bias = self.bias_param(x.shape[-1])
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, self.param_dtype)
        var = self.variable("batch_stats", "var", jnp.ones, shape, self.param_dtype)
        if not self.train:
            gain = scale * lax.rsqrt(var.value + self.epsilon)
            return activate(x, gain, bias - mean.value * gain, self.activation)
        # At init there is no axis of that name yet.
        axis_name = None if self.is_initializing() else self.axis_name
        y, now, spread = _normalize(x, scale, bias, self.activation, self.epsilon, axis_name)
        if not self.is_initializing():
            m = self.momentum
            mean.value = m * mean.value + (1 - m) * now
            var.value = m * var.value + (1 - m) * spread
        return y


def activate(x: jax.Array, gain: jax.Array, offset: jax.Array, activation: str) -> jax.Array:
    """The activation of gain * x + offset, of (M, W, C) and (C,), in float32; dtype of `x`."""
    u = x.astype(gain.dtype) * gain[None, None] + offset[None, None]
    return (nn.silu(u) if activation == "silu" else u).astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _normalize(x, scale, bias, activation, epsilon, axis_name):
    """The output, and the mean and variance of the batch, whose gradient is zero."""
    wide = x.astype(scale.dtype)
    mean, square = _means((wide, wide * wide), axis_name)
    var = jnp.maximum(square - mean * mean, 0)
    gain = scale * lax.rsqrt(var + epsilon)
    return activate(x, gain, bias - mean * gain, activation), mean, var


def _normalize_forward(x, scale, bias, activation, epsilon, axis_name):
    y, mean, var = _normalize(x, scale, bias, activation, epsilon, axis_name)
    return (y, mean, var), (x, scale, bias, mean, var)


def _normalize_backward(activation, epsilon, axis_name, saved, cotangents):
    x, scale, bias, mean, var = saved
    g = cotangents[0].astype(scale.dtype)
    inverse = lax.rsqrt(var + epsilon)
    unit = (x.astype(scale.dtype) - mean[None, None]) * inverse[None, None]
    if activation == "silu":
        u = unit * scale[None, None] + bias[None, None]
        s = nn.sigmoid(u)
        g = g * (s * (1 + u * (1 - s)))
    own = _means((g, g * unit), None)
    both = own if axis_name is None else lax.pmean(own, axis_name)
    dx = (scale * inverse)[None, None] * (g - both[0][None, None] - unit * both[1][None, None])
    count = x.shape[0] * x.shape[1]
    return dx.astype(x.dtype), own[1] * count, own[0] * count


_normalize.defvjp(_normalize_forward, _normalize_backward)


def _means(arrays, axis_name):
    """The mean of each channel of each array, over all devices."""
    means = tuple(array.mean((0, 1)) for array in arrays)
    return means if axis_name is None else lax.pmean(means, axis_name)


class _Recurrent(Layer):
    """The fields of the recurrent layers, with PyTorch's parametrization and an explicit carry.

    Published PyTorch weights map one to one: `input_kernel` is `weight_ih_l0` transposed,
    `hidden_kernel` `weight_hh_l0` transposed, `input_bias` `bias_ih_l0` and `hidden_bias`
    `bias_hh_l0`; those of the backward direction end in `_reverse`. The products with the input are
    one matmul before the scan, in `dtype`; the recurrence is in float32 or better, for it sums over
    the whole recording.

    Attributes:
      features: R, of one direction.
      bidirectional: a second unit runs from the end; outputs lie side by side, forward first.
      time_major: inputs and outputs are (T, B, F) and (T, B, R), which saves two transpositions.
    """

    features: int
    bidirectional: bool = False
    time_major: bool = False

    def _run(self, x: jax.Array, gates: int, step, carry):
        """The directions over time: outputs (B, T, R), and the carry, a tuple of states."""
        if not self.time_major:
            x = x.swapaxes(0, 1)
        directions = ("", "_reverse") if self.bidirectional else ("",)
        wide = np.promote_types(self.param_dtype, np.float32)
        if carry is None:
            # A carry of the input's own making keeps a mesh's sharding of the batch.
            zeros = jnp.zeros((x.shape[1], len(directions) * self.features), wide)
            carry = (zeros,) * (2 if gates == 4 else 1)
        carry = [jnp.split(state.astype(wide), len(directions), -1) for state in carry]
        outputs, ends = [], []
        for i, suffix in enumerate(directions):
            y, end = self._direction(x, gates, step, tuple(c[i] for c in carry), suffix)
            outputs.append(y)
            ends.append(end)
        y = jnp.concatenate(outputs, -1) if len(directions) > 1 else outputs[0]
        carry = tuple(jnp.concatenate(state, -1) for state in zip(*ends, strict=True))
        return y if self.time_major else y.swapaxes(0, 1), carry

    def _direction(self, x: jax.Array, gates: int, step, carry, suffix: str):
        r = self.features

        def param(name, *shape):
            return self.param(f"{name}{suffix}", _uniform(r), (*shape, gates * r), self.param_dtype)

        input_kernel, hidden_kernel = param("input_kernel", x.shape[-1]), param("hidden_kernel", r)
        input_bias, hidden_bias = param("input_bias"), param("hidden_bias")
        x, input_kernel = nn.dtypes.promote_dtype(x, input_kernel, dtype=self.dtype)
        wide = carry[0].dtype
        products = (x @ input_kernel).astype(wide) + input_bias.astype(wide)[None, None]
        hidden_kernel, hidden_bias = hidden_kernel.astype(wide), hidden_bias.astype(wide)

        def body(carry, product):
            carry = step(carry, product, carry[0] @ hidden_kernel + hidden_bias[None])
            return carry, carry[0]

        carry, y = _scan(body, carry, products, reverse=bool(suffix))
        return y.astype(x.dtype), carry


class GRU(_Recurrent):
    """The gated recurrent unit of Cho et al. (2014) as PyTorch has it, with two biases and the
    reset gate on the recurrent product, n = tanh(W x + b + r (U h + c)); gates in order r, z, n.
    """

    @nn.compact
    def __call__(self, x: jax.Array, carry: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Runs over time.

        Args:
          x: (B, T, F).
          carry: the state (B, R) after the sample before the first, (B, 2 R) where bidirectional;
            None for zeros.

        Returns:
          The states (B, T, R), (B, T, 2 R) where bidirectional, in the dtype of the computation;
          and the carry for the samples that follow (of the backward direction: its last state).
        """
        y, (carry,) = self._run(x, 3, _gru_step, None if carry is None else (carry,))
        return y, carry


class LSTM(_Recurrent):
    """The long short-term memory of Hochreiter and Schmidhuber (1997), gates in PyTorch's order
    i, f, g, o."""

    @nn.compact
    def __call__(
        self, x: jax.Array, carry: tuple[jax.Array, jax.Array] | None = None
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Runs over time as `GRU` does; the carry is a pair of states (h, c), each (B, R)."""
        return self._run(x, 4, _lstm_step, carry)


class GroupedGRU(Layer):
    """GRUs side by side, each on its share of the features, run as one.

    Their kernels are joined with zeros between them: one loop with one matmul a step, where a loop
    for every unit would wait for itself. The equations are those of `GRU`.

    Attributes:
      features: of all groups together, in one direction.
      groups: how many.
      bidirectional: each group has a second unit, which runs from the end.
    """

    features: int
    groups: int
    bidirectional: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, state: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """(N, T, inputs) to (N, T, units together), and the last state (N, units together)."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        inputs, r = x.shape[-1] // self.groups, self.features // self.groups
        units = [(group, direction) for group in range(self.groups) for direction in directions]

        def params(name: str, *shape: int) -> list[jax.Array]:
            keys = [f"{name}{group}{direction}" for group, direction in units]
            return [self.param(key, _uniform(r), (*shape, 3 * r), self.param_dtype) for key in keys]

        wide = np.promote_types(self.param_dtype, np.float32)
        rows = [range(g * len(directions), (g + 1) * len(directions)) for g in range(self.groups)]
        input_kernel = _joined(params("input_kernel", inputs), rows)
        hidden_kernel = _joined(params("hidden_kernel", r), [[i] for i in range(len(units))])
        input_bias, hidden_bias = (
            _joined([b[None] for b in params(name)], [range(len(units))]).astype(wide)
            for name in ("input_bias", "hidden_bias")
        )
        x = x.swapaxes(0, 1)
        size = len(units) * r
        products = (x @ input_kernel.astype(x.dtype)).astype(wide) + input_bias[None]
        if self.bidirectional:
            back = np.tile(np.repeat([False, True], r), 3 * self.groups)[None, None]
            products = jnp.where(back, products[::-1], products)
        if state is None:
            state = jnp.zeros((x.shape[1], size), wide)
        hidden_kernel = hidden_kernel.astype(wide)

        def body(h: jax.Array, product: jax.Array) -> tuple[jax.Array, jax.Array]:
            hidden = h @ hidden_kernel + hidden_bias
            gates = nn.sigmoid(product[:, : 2 * size] + hidden[:, : 2 * size])
            n = nn.tanh(product[:, 2 * size :] + gates[:, :size] * hidden[:, 2 * size :])
            h = n + gates[:, size:] * (h - n)
            return h, h

        state, y = _scan(body, state.astype(wide), products)
        if self.bidirectional:
            y = jnp.where(back[..., :size], y[::-1], y)
        return y.astype(x.dtype).swapaxes(0, 1), state


def _scan(body, carry, inputs, *, reverse: bool = False):
    if len(inputs) == 1:
        # A stream's single frame needs no loop.
        carry, y = body(carry, inputs[0])
        return carry, y[None]
    return lax.scan(body, carry, inputs, reverse=reverse, unroll=_UNROLL)


def _uniform(features: int) -> nn.initializers.Initializer:
    bound = features**-0.5
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def _gru_step(carry, product, hidden):
    (h,) = carry
    xr, xz, xn = jnp.split(product, 3, -1)
    hr, hz, hn = jnp.split(hidden, 3, -1)
    r, z = nn.sigmoid(xr + hr), nn.sigmoid(xz + hz)
    n = nn.tanh(xn + r * hn)
    return (n + z * (h - n),)


def _lstm_step(carry, product, hidden):
    _, c = carry
    i, f, g, o = jnp.split(product + hidden, 4, -1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * nn.tanh(g)
    return nn.sigmoid(o) * nn.tanh(c), c


def _joined(kernels: list[jax.Array], rows) -> jax.Array:
    """The kernels (in, 3 r) of units as one, its columns gate by gate and in each unit by unit.

    Args:
      kernels: one a unit.
      rows: the units that share each block of rows.
    """
    count, r = len(kernels), kernels[0].shape[-1] // 3
    wide = [
        jnp.pad(k.reshape(-1, 3, r), ((0, 0), (0, 0), (i * r, (count - 1 - i) * r)))
        for i, k in enumerate(kernels)
    ]
    return jnp.concatenate([sum(wide[i] for i in block) for block in rows]).reshape(
        -1, 3 * count * r
    )
