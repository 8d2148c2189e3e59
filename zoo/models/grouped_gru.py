"""GRUs side by side, run as one loop: the recurrence of GTCRN."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from zoo.models import layers


class GroupedGRU(nn.Module):
    """GRUs side by side, each on its share of the features, run as one.

    Their kernels are joined with zeros between them: one loop with one matmul a step, where a loop
    for every unit would wait for itself. The equations are those of `zoo.models.recurrent.GRU`.

    Attributes:
      features: of all groups together, one way.
      groups: how many.
      bidirectional: each group has a unit that runs from the end, behind the one that does not.
    """

    features: int
    groups: int
    bidirectional: bool = False
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, state: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """(N, T, inputs) to (N, T, units together), and the last state (N, units together)."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        inputs, r = x.shape[-1] // self.groups, self.features // self.groups
        units = [(group, way) for group in range(self.groups) for way in ways]
        draw = partial(_uniform, r**-0.5)

        def params(name: str, *shape: int) -> list[jax.Array]:
            keys = [f"{name}{group}{way}" for group, way in units]
            return [self.param(key, draw, (*shape, 3 * r), self.param_dtype) for key in keys]

        wide = np.promote_types(self.param_dtype, np.float32)
        rows = [range(g * len(ways), (g + 1) * len(ways)) for g in range(self.groups)]
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

        if len(products) == 1:
            # A stream's single frame needs no loop.
            state, y = body(state.astype(wide), products[0])
            y = y[None]
        else:
            state, y = lax.scan(body, state.astype(wide), products, unroll=4)
        if self.bidirectional:
            y = jnp.where(back[..., :size], y[::-1], y)
        return y.astype(x.dtype).swapaxes(0, 1), state


def _uniform(bound: float, key: jax.Array, shape: tuple[int, ...], dtype) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def _joined(kernels: list[jax.Array], rows) -> jax.Array:
    """The kernels (in, 3 r) of units as one, its columns gate by gate and in each unit by unit.

    Args:
      kernels: one a unit.
      rows: the units that have each block of rows in common.
    """
    count, r = len(kernels), kernels[0].shape[-1] // 3
    wide = [
        jnp.pad(k.reshape(-1, 3, r), ((0, 0), (0, 0), (i * r, (count - 1 - i) * r)))
        for i, k in enumerate(kernels)
    ]
    return jnp.concatenate([sum(wide[i] for i in block) for block in rows]).reshape(
        -1, 3 * count * r
    )
