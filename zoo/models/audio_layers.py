"""Layers of audio models: strided convolutions, a fused batch norm and recurrent units.

Signals are (N, W, C), or (T, B, F) for what runs over time.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo.models.layers import Layer
from zoo.models.torch_layout import EPSILON

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


def bin_windows(x: jax.Array, taps: int, stride: int = 1) -> jax.Array:
    """Bins around each bin, zero outside: (N, T, F, C) to (N, T, F', taps * C).

    A convolution over frequency is then one matmul, which XLA runs far faster on a CPU than one so
    thin.

    Args:
      x: the signal.
      taps: bins of a window, an odd number.
      stride: bins from one window to the next.
    """
    side, width = taps // 2, x.shape[2]
    x = jnp.pad(x, ((0, 0), (0, 0), (side, side), (0, 0)))
    return jnp.concatenate([x[:, :, i : i + width : stride] for i in range(taps)], -1)


def ungrouped(kernel: jax.Array, groups: int) -> jax.Array:
    """A grouped kernel (taps, C / groups, features) as a whole one (taps, C, features), with zeros
    where groups share nothing."""
    out = kernel.shape[-1] // groups
    parts = [kernel[..., i * out : (i + 1) * out] for i in range(groups)]
    pads = [((0, 0), (0, 0), (i * out, (groups - 1 - i) * out)) for i in range(groups)]
    return jnp.concatenate([jnp.pad(k, p) for k, p in zip(parts, pads, strict=True)], 1)


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
    epsilon: float = EPSILON

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


def merge_norms(variables: Mapping) -> dict[str, Any]:
    """The variables of a module with each `BatchNorm` folded into the layer it ends.

    Args:
      variables: of a module whose layers with a batch norm, called `norm`, stand side by side and
        have it behind a `kernel`, of which the last axis counts the outputs.

    Returns:
      Variables without `batch_stats`; each such layer has a `bias` in place of the norm.
    """
    params = dict(variables["params"])
    for name, statistics in variables["batch_stats"].items():
        layer, running = dict(params[name]), statistics["norm"]
        norm = layer.pop("norm")
        gain = norm["scale"] * lax.rsqrt(running["var"] + EPSILON)
        layer["kernel"] = layer["kernel"] * gain.reshape((1,) * (layer["kernel"].ndim - 1) + (-1,))
        params[name] = layer | {"bias": norm["bias"] - running["mean"] * gain}
    return {"params": params}


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
    """Recurrent units with PyTorch's parametrization and an explicit carry; (T, B, F) to (T, B, R).

    Published PyTorch weights map one to one: `input_kernel` is `weight_ih_l0` transposed,
    `hidden_kernel` `weight_hh_l0` transposed, `input_bias` `bias_ih_l0` and `hidden_bias`
    `bias_hh_l0`; those of the backward direction end in `_reverse`. The products with the input are
    one matmul before the scan, in `dtype`; the recurrence is in float32 or better, for it sums over
    the whole signal. All groups and directions run as one unit, whose kernels are theirs with
    zeros between them: one loop with one matmul a step instead of several that wait for themselves.

    Attributes:
      features: R of one direction, of all groups together.
      groups: units side by side, each on its share of the features: what the names of the
        parameters of each end in.
      bidirectional: each group has a second unit, which runs from the end; their outputs lie side
        by side, forward first.
    """

    features: int
    groups: Sequence[str] = ("",)
    bidirectional: bool = False

    def _run(self, x: jax.Array, gates: int, step, carry, hold: jax.Array | None = None):
        """Outputs (T, B, R), and the carry, a tuple of states."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        units = [group + direction for group in self.groups for direction in directions]
        count, r = len(units), self.features // len(self.groups)
        wide = np.promote_types(self.param_dtype, np.float32)

        def joined(name: str, blocks: int, *shape: int) -> jax.Array:
            """The parameters of all units, the columns gate by gate and in each unit by unit."""
            parts = []
            for i, unit in enumerate(units):
                shapes = (*shape, gates * r)
                part = self.param(name + unit, _uniform(r), shapes, self.param_dtype)
                pads = ((0, 0), (0, 0), (i * r, (count - 1 - i) * r))
                parts.append(jnp.pad(part.reshape(-1, gates, r), pads))
            together = count // blocks
            rows = [sum(parts[i : i + together]) for i in range(0, count, together)]
            return jnp.concatenate(rows).reshape(-1, gates * count * r)

        groups = len(self.groups)
        input_kernel = joined("input_kernel", groups, x.shape[-1] // groups)
        hidden_kernel = joined("hidden_kernel", count, r).astype(wide)
        input_bias, hidden_bias = (joined(f"{n}_bias", 1).astype(wide) for n in ("input", "hidden"))
        x, input_kernel = nn.dtypes.promote_dtype(x, input_kernel, dtype=self.dtype)
        products = (x @ input_kernel).astype(wide) + input_bias[None]
        if self.bidirectional:
            back = np.tile(np.repeat([False, True], r), gates * groups)[None, None]
            products = jnp.where(back, products[::-1], products)
        if carry is None:
            # A carry of the input's own making keeps a mesh's sharding of the batch.
            carry = (jnp.zeros((x.shape[1], count * r), wide),) * (2 if gates == 4 else 1)

        def body(carry, inputs):
            product, held = inputs
            after = step(carry, product, carry[0] @ hidden_kernel + hidden_bias)
            if held is not None:
                after = jax.tree.map(partial(jnp.where, held[:, None]), carry, after)
            return after, after[0]

        carry = tuple(state.astype(wide) for state in carry)
        if len(products) == 1:
            # A stream's single frame needs no loop.
            carry, y = body(carry, (products[0], None if hold is None else hold[0]))
            y = y[None]
        else:
            carry, y = lax.scan(body, carry, (products, hold), unroll=_UNROLL)
        if self.bidirectional:
            y = jnp.where(back[..., : count * r], y[::-1], y)
        return y.astype(x.dtype), carry


class GRU(_Recurrent):
    """The gated recurrent unit of Cho et al. (2014) as PyTorch has it, with two biases and the
    reset gate on the recurrent product, n = tanh(W x + b + r (U h + c)); gates in order r, z, n.
    """

    @nn.compact
    def __call__(
        self, x: jax.Array, carry: jax.Array | None = None, *, hold: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Runs over time.

        Args:
          x: (T, B, F).
          carry: the state (B, R) after the sample before the first, (B, 2 R) where bidirectional;
            None for zeros.
          hold: (T, B), where the state stays as it is whatever the input; None for nowhere.

        Returns:
          The states (T, B, R), (T, B, 2 R) where bidirectional, in the dtype of the computation;
          and the carry for the samples that follow (of the backward direction: its last state).
        """
        y, (carry,) = self._run(x, 3, _gru_step, None if carry is None else (carry,), hold)
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
