"""The convolution of all models, and the way it runs on a CPU.

On a CPU a 3x3 convolution runs mostly by Winograd's minimal filtering along one axis. Four outputs
of a three-tap filter take six products instead of twelve, and so do the three taps of its kernel's
gradient (Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms
for Convolutional Neural Networks", 2016). With one axis only, few additions offset the products
saved, and rounding errors hardly grow. A convolution to a few channels is a matmul whose results
are shifted and summed. On other devices the vendors' libraries are faster, and XLA's convolution
is used; `disable_winograd` has it used everywhere.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.custom_derivatives import SymbolicZero

from zoo.models.canvas import cleared
from zoo.models.layers import Layer

# F(4, 3) of Lavin and Gray: outputs = _OUTPUT @ ((_KERNEL @ taps) * (_INPUT @ inputs)).
_TILE = 4
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)

# Below so many channels the sums take longer than the products they save.
_MIN_CHANNELS = 64
_MIN_CHANNELS_OF_GRADIENT = 3
# Below so many features out of a wide signal, the matmul has more to do than a convolution.
_FEW = 16
_FEW_OF_GRADIENT = 4
# Values of a signal beyond which memory decides, not arithmetic.
_MAX_VALUES = 2**22
# Values of a signal whose gradient is worked on at once, so that they stay in the cache.
_CHUNK = 2**20
_DISABLED = ContextVar("winograd_disabled", default=False)


@contextmanager
def disable_winograd() -> Iterator[None]:
    """Has convolutions traced within it as XLA's: to count their operations, to compare."""
    token = _DISABLED.set(True)
    try:
        yield
    finally:
        _DISABLED.reset(token)


class Conv(Layer):
    """A convolution, zero-padded so that a stride of 1 keeps H and W: (N, H, W, C) to (N, H', W',
    features).

    The parameters are those of `flax.linen.Conv`.

    Attributes:
      features: channels of the output.
      kernel_size: (height, width).
      strides: pixels from one window to the next, along both axes.
      kernel_init: makes the kernel (height, width, C, features).
    """

    features: int
    kernel_size: Sequence[int]
    strides: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Keeps N, and H and W where the stride is 1; dtype as `dtype`."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        return self.linear(x, self._convolve, shape, self.kernel_init, use_bias=self.use_bias)

    def _convolve(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        x = cleared(x) if max(self.kernel_size) > 1 else x
        if tuple(self.kernel_size) == (3, 3) and self.strides == 1:
            return conv3x3(x, kernel)
        return _xla(x, kernel, self.strides)


@jax.custom_jvp
def conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 convolution, zero-padded, stride 1.

    Equal to `lax.conv_general_dilated` up to the rounding of sums in another order, below 1e-5 of
    the largest value. The gradient with respect to `kernel` is summed in float32 or better. Every
    transformation of JAX goes through, forward mode and higher derivatives too.

    Args:
      x: (N, H, W, C).
      kernel: (3, 3, C, D), dtype of `x`.

    Returns:
      (N, H, W, D), dtype of `x`.
    """
    if _use_winograd(x, kernel):
        return _winograd(x, kernel)
    few = kernel.shape[3] < _FEW <= kernel.shape[2]
    if few and _may_reorder_sums(x) and x.size <= _MAX_VALUES:
        return _matmul_and_shift(x, kernel)
    return _xla(x, kernel)


@partial(conv3x3.defjvp, symbolic_zeros=True)
def _conv3x3_jvp(primals, tangents):
    x, kernel = primals
    dx, dkernel = tangents
    parts = []
    if not isinstance(dx, SymbolicZero):
        parts.append(_signal_tangent(dx, kernel))
    if not isinstance(dkernel, SymbolicZero):
        parts.append(_kernel_tangent(x, dkernel))
    y = conv3x3(x, kernel)
    return y, sum(parts) if parts else jnp.zeros_like(y)


def _use_winograd(x: jax.Array, kernel: jax.Array) -> bool:
    return (
        _may_reorder_sums(x)
        and min(kernel.shape[2:]) >= _MIN_CHANNELS
        and x.shape[1] >= _TILE
        and x.size <= _MAX_VALUES
    )


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu" and not _DISABLED.get()


def _may_reorder_sums(x: jax.Array) -> bool:
    """Whether sums in another order are welcome: here, and not in bfloat16."""
    return _on_cpu() and x.dtype in (np.float32, np.float64)


def _xla(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _winograd(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Winograd's form along H, so that the long rows along W stay whole."""
    n, h, w, _ = x.shape
    inputs = _inputs(_tiled(x, 1), 2)
    taps = _combine(_KERNEL, list(kernel))
    products = [
        lax.conv_general_dilated(
            i, tap[None], (1, 1), [(0, 0), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        for i, tap in zip(inputs, taps, strict=True)
    ]
    y = jnp.stack(_combine(_OUTPUT, products), 2)
    return y.reshape(n, -1, w, kernel.shape[-1])[:, :h]


def _matmul_and_shift(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Each pixel's contributions to its nine neighbors by one matmul, then their sum."""
    n, h, w, c = x.shape
    features = kernel.shape[3]
    y = x.reshape(-1, c) @ kernel.transpose(2, 0, 1, 3).reshape(c, 9 * features)
    y = jnp.pad(y.reshape(n, h, w, 9 * features), ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = jnp.split(y, 9, axis=3)
    return sum(tap[:, i // 3 : i // 3 + h, i % 3 : i % 3 + w] for i, tap in enumerate(taps))


def _signal_tangent(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution as a linear function of the signal.

    Reverse mode runs the transpose, which is a convolution too, with the kernel turned round; so
    this is written as the transpose of that one, to make it the fast one of the two.
    """
    if not _use_winograd(x, kernel):
        return _xla(x, kernel)
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    like = jax.ShapeDtypeStruct((*x.shape[:3], kernel.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda g: _winograd(g, turned), like)(x)[0]


def _kernel_tangent(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution as a linear function of the kernel, of which reverse mode runs only the
    transpose."""
    c, features = kernel.shape[2:]
    if _on_cpu() and features < _FEW_OF_GRADIENT and c >= _FEW:
        form = _matmul_and_shift
    elif _on_cpu() and max(c, features) >= _FEW and min(c, features) >= _MIN_CHANNELS_OF_GRADIENT:
        form = _winograd_transposed
    else:
        return _xla(x, kernel)
    wide = np.promote_types(x.dtype, np.float32)
    return form(x.astype(wide), kernel.astype(wide)).astype(x.dtype)


def _winograd_transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Winograd's form along W, whose transpose with respect to `kernel` is fast."""
    n, h, w, _ = x.shape
    taps = [tap.swapaxes(0, 1) for tap in _combine(_KERNEL, list(kernel.swapaxes(0, 1)))]
    x = _tiled(x, 2)
    fitting = [i for i in range(1, n + 1) if n % i == 0 and i * x.size <= n * _CHUNK]
    at_once = max(fitting, default=1)
    if at_once >= n:
        y = _rows(x, taps)
    else:
        # Remade in the backward pass, for what is saved between the two has left the cache.
        rows = jax.checkpoint(_rows, prevent_cse=False)
        chunks = x.reshape(n // at_once, at_once, *x.shape[1:])
        _, y = lax.scan(lambda _, chunk: (None, rows(chunk, taps)), None, chunks)
    return y.reshape(n, h, -1, kernel.shape[-1])[:, :, :w]


def _rows(x: jax.Array, taps: list[jax.Array]) -> jax.Array:
    """(N, H, T, 4, C), its tiles along W, and six times (C, 3, D) to (N, H, T, 4, D)."""
    n, h, tiles, _, c = x.shape
    inputs = _inputs(x.transpose(1, 0, 2, 3, 4), 3)
    # A transposition that did the sums too would do them value by value.
    inputs = lax.optimization_barrier([i.reshape(h, -1, c) for i in inputs])
    products = [
        # The transpose of this one sums over tiles that lie side by side in its left operand, and
        # the three rows it looks at are neighbors there, so that nothing has to be copied.
        lax.conv_general_dilated(
            i.transpose(2, 0, 1), tap, (1,), [(1, 1)], dimension_numbers=("CWN", "IWO", "WNC")
        )
        for i, tap in zip(inputs, taps, strict=True)
    ]
    y = jnp.stack(_combine(_OUTPUT, products), 2)
    return y.reshape(h, n, tiles, _TILE, -1).transpose(1, 0, 2, 3, 4)


def _tiled(x: jax.Array, axis: int) -> jax.Array:
    """Splits an axis into tiles of four, with zeros to fill the last: (..., 4T, ...) to
    (..., T, 4, ...)."""
    pads = [(0, 0)] * x.ndim
    pads[axis] = (0, -x.shape[axis] % _TILE)
    x = jnp.pad(x, pads)
    return x.reshape(*x.shape[:axis], -1, _TILE, *x.shape[axis + 1 :])


def _inputs(tiles: jax.Array, axis: int) -> list[jax.Array]:
    """The six sums of a tile's four values and their two neighbors, for all tiles.

    Args:
      tiles: the tiles along one axis, and their four values along the next.
      axis: that of the values.
    """
    inner = [lax.index_in_dim(tiles, i, axis, keepdims=False) for i in range(_TILE)]
    along, count = axis - 1, tiles.shape[axis - 1]
    pads = [(0, 0)] * inner[0].ndim
    pads[along] = (1, 0)
    before = jnp.pad(lax.slice_in_dim(inner[-1], 0, count - 1, axis=along), pads)
    pads[along] = (0, 1)
    after = jnp.pad(lax.slice_in_dim(inner[0], 1, count, axis=along), pads)
    return _combine(_INPUT, [before, *inner, after])


def _combine(matrix: Sequence[Sequence[int]], parts: Sequence[jax.Array]) -> list[jax.Array]:
    """`matrix @ parts`, with nothing done where a coefficient is 0 or 1."""
    return [
        sum(
            part if factor == 1 else -part if factor == -1 else factor * part
            for factor, part in zip(row, parts, strict=True)
            if factor
        )
        for row in matrix
    ]
