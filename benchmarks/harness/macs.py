"""The products a function multiplies and adds, counted in what JAX traces of it."""

import math
from collections.abc import Callable, Iterator

import jax


def count_macs(function: Callable, *arguments: object) -> int:
    """Multiply-accumulates of the matmuls and convolutions; nothing is computed.

    They are those the function writes, zeros of padding and of grouped kernels among them; Fourier
    transforms, elementwise operations and loops of unknown length (counted once) are left out.

    Args:
      function: what to trace.
      *arguments: its arrays, or their shapes.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(program) -> int:
    return sum(_own(step) + sum(map(_count, _inner(step))) * _times(step) for step in program.eqns)


def _own(step) -> int:
    shapes = [value.aval.shape for value in (*step.invars[:2], *step.outvars[:1])]
    if step.primitive.name == "dot_general":
        left, _, out = shapes
        (contracted, _), _ = step.params["dimension_numbers"]
        return math.prod(out) * math.prod(left[axis] for axis in contracted)
    if step.primitive.name == "conv_general_dilated":
        _, kernel, out = shapes
        features = kernel[step.params["dimension_numbers"].rhs_spec[0]]
        return math.prod(out) * math.prod(kernel) // features
    return 0


def _inner(step) -> Iterator:
    """The programs within a step: of loops, branches and functions."""
    for value in step.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield inner


def _times(step) -> int:
    return step.params["length"] if step.primitive.name == "scan" else 1
