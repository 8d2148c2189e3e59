"""The products a function multiplies and adds, and the memory they take, as JAX traces them."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.models import disable_winograd


class Products(NamedTuple):
    """The matmuls and convolutions of a function.

    Attributes:
      macs: multiply-accumulates.
      bytes: of their operands and results.
    """

    macs: int
    bytes: int


def count_macs(function: Callable, *arguments: object) -> int:
    """Multiply-accumulates of the matmuls and convolutions; nothing is computed.

    They are those the function writes, zeros of padding and of grouped kernels among them; Fourier
    transforms, elementwise operations and loops of unknown length (counted once) are left out.

    Args:
      function: what to trace.
      *arguments: its arrays, or their shapes.
    """
    return count_products(function, *arguments).macs


def macs_of(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of a model's forward pass, as its convolutions are defined.

    Args:
      model: the denoiser.
      shape: of what it sees of one example, (H, W, K C) or (T, C).
    """
    x, level = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, *shape), (1,)))
    with disable_winograd():
        variables = jax.eval_shape(model.init, jax.random.key(0), x, level)
        # A function of its own, or JAX would remember how it was traced before.
        return count_macs(lambda *arguments: model.apply(*arguments), variables, x, level)  # noqa: PLW0108


def count_products(
    function: Callable, *arguments: object, unit: int = 1, tile: tuple[int, int] = (1, 1)
) -> Products:
    """The products of `count_macs`, and the memory they read and write.

    Args:
      function: what to trace.
      *arguments: its arrays, or their shapes.
      unit: what a matrix unit pads the summed and the output channels to, 128 on most TPUs.
        Grouped convolutions are not padded.
      tile: what memory pads the last two axes to, (8, 128) on TPUs.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr, unit, tile)


def _count(program, unit: int, tile: tuple[int, int]) -> Products:
    macs = moved = 0
    for step in program.eqns:
        own = _own(step, unit, tile)
        inner = [_count(part, unit, tile) for part in _inner(step)]
        macs += own.macs + _times(step) * sum(one.macs for one in inner)
        moved += own.bytes + _times(step) * sum(one.bytes for one in inner)
    return Products(macs, moved)


def _own(step, unit: int, tile: tuple[int, int]) -> Products:
    if step.primitive.name not in ("dot_general", "conv_general_dilated"):
        return Products(0, 0)
    avals = [value.aval for value in (*step.invars[:2], *step.outvars[:1])]
    left, right, out = (aval.shape for aval in avals)
    if step.primitive.name == "dot_general":
        (contracted, _), (batch, _) = step.params["dimension_numbers"]
        summed = math.prod(left[axis] for axis in contracted)
        features = math.prod(right) // summed // math.prod(left[axis] for axis in batch)
        macs = math.prod(out) * summed
    else:
        axes = step.params["dimension_numbers"].rhs_spec
        features, summed = (right[axis] for axis in axes[:2])
        macs = math.prod(out) * math.prod(right) // features
        unit = 1 if step.params["feature_group_count"] > 1 else unit
    padded = macs // summed * _up(summed, unit) // features * _up(features, unit)
    return Products(padded, sum(_bytes(aval, tile) for aval in avals))


def _bytes(aval, tile: tuple[int, int]) -> int:
    *outer, rows, columns = (1, 1, *aval.shape)
    padded = _up(rows, tile[0]) * _up(columns, tile[1])
    return math.prod(outer) * padded * aval.dtype.itemsize


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _inner(step) -> Iterator:
    """The programs within a step: of loops, branches and functions."""
    for value in step.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield inner


def _times(step) -> int:
    return step.params["length"] if step.primitive.name == "scan" else 1
