"""Recurrent layers over time with PyTorch's parametrisation and an explicit carry.

The gated recurrent unit of Cho et al. (2014) as PyTorch writes it, with two biases and the reset
gate on the recurrent product, and the long short-term memory of Hochreiter and Schmidhuber (1997).
The products with the input are one matmul before the scan; only those with the state are in it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

# A step is a small matmul and a few products: on a CPU the loop around them costs as much.
_UNROLL = 4


class GRU(nn.Module):
    """A gated recurrent unit: r, z of the input and the state, n = tanh(W x + b + r (U h + c)).

    Published PyTorch weights map one to one: `input_kernel` is `weight_ih_l0` transposed,
    `hidden_kernel` `weight_hh_l0` transposed, `input_bias` `bias_ih_l0` and `hidden_bias`
    `bias_hh_l0`, gates in the order r, z, n; those of the backward direction end in `_reverse`.

    Attributes:
      features: R, of one direction.
      bidirectional: a second unit runs from the end; outputs lie beside each other, forward first.
      time_major: inputs and outputs are (T, B, F) and (T, B, R), which saves two transpositions.
      dtype: the dtype of the products with the input; None follows the input. The recurrence is
        in float32 or better, for it sums over the whole recording.
      param_dtype: the dtype of the parameters.
    """

    features: int
    bidirectional: bool = False
    time_major: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

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
        (y,), (carry,) = _run(self, x, 3, _gru_step, None if carry is None else (carry,))
        return y, carry


class LSTM(nn.Module):
    """A long short-term memory; gates in PyTorch's order i, f, g, o, names and fields as `GRU`."""

    features: int
    bidirectional: bool = False
    time_major: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, carry: tuple[jax.Array, jax.Array] | None = None
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Runs over time as `GRU` does; the carry is a pair of states (h, c), each (B, R)."""
        (y,), carry = _run(self, x, 4, _lstm_step, carry)
        return y, carry


def _run(layer: GRU | LSTM, x: jax.Array, gates: int, step, carry):
    """The layer's directions over time; outputs ((B, T, R),) and the carry, a tuple."""
    states = 2 if gates == 4 else 1
    if not layer.time_major:
        x = x.swapaxes(0, 1)
    ways = ("", "_reverse") if layer.bidirectional else ("",)
    wide = np.promote_types(layer.param_dtype, np.float32)
    if carry is None:
        # A carry of the input's own making keeps a mesh's sharding of the batch.
        zeros = jnp.zeros((x.shape[1], len(ways) * layer.features), wide)
        carry = (zeros,) * states
    carry = [jnp.split(state.astype(wide), len(ways), -1) for state in carry]
    outputs, ends = [], []
    for i, way in enumerate(ways):
        y, end = _direction(layer, x, gates, step, tuple(c[i] for c in carry), way)
        outputs.append(y)
        ends.append(end)
    y = jnp.concatenate(outputs, -1) if len(ways) > 1 else outputs[0]
    carry = tuple(jnp.concatenate(state, -1) for state in zip(*ends, strict=True))
    if not layer.time_major:
        y = y.swapaxes(0, 1)
    return (y,), carry


def _direction(layer: GRU | LSTM, x: jax.Array, gates: int, step, carry, way: str):
    r = layer.features
    bound = r**-0.5

    def uniform(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    def param(name, *shape):
        return layer.param(f"{name}{way}", uniform, shape, layer.param_dtype)

    input_kernel = param("input_kernel", x.shape[-1], gates * r)
    hidden_kernel = param("hidden_kernel", r, gates * r)
    input_bias = param("input_bias", gates * r)
    hidden_bias = param("hidden_bias", gates * r)
    x, input_kernel = nn.dtypes.promote_dtype(x, input_kernel, dtype=layer.dtype)
    wide = carry[0].dtype
    products = (x @ input_kernel).astype(wide) + input_bias.astype(wide)[None, None]
    hidden_kernel, hidden_bias = hidden_kernel.astype(wide), hidden_bias.astype(wide)

    def body(carry, product):
        hidden = carry[0] @ hidden_kernel + hidden_bias[None]
        carry = step(carry, product, hidden)
        return carry, carry[0]

    if len(products) == 1:
        # A stream's single frame needs no loop.
        carry, y = body(carry, products[0])
        y = y[None]
    else:
        carry, y = lax.scan(body, carry, products, reverse=bool(way), unroll=_UNROLL)
    return y.astype(x.dtype), carry


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
