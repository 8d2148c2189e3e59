"""Functions of real arrays computed without complex numbers, which ONNX has none of."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from zoo.errors import ZooError


class _Pair(NamedTuple):
    """A complex array; an imaginary part of None is 0."""

    real: jax.Array
    imag: jax.Array | None

    def both(self) -> tuple[jax.Array, jax.Array]:
        """Both parts as arrays."""
        return self.real, jnp.zeros_like(self.real) if self.imag is None else self.imag


# Parameters of primitives that call another program.
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
# They act on the parts alike; further operands, such as indices, are real.
_PARTWISE = frozenset(
    {"add", "sub", "neg", "reshape", "transpose", "slice", "squeeze", "expand_dims", "rev", "pad"}
    | {"broadcast_in_dim", "concatenate", "select_n", "copy", "reduce_sum", "dynamic_slice"}
    | {"gather", "split", "stack", "cumsum"}
)


def without_complex(
    function: Callable[..., Any], given: Sequence[jax.ShapeDtypeStruct]
) -> Callable[..., list[jax.Array]]:
    """The same function with pairs of real arrays for complex ones.

    Fourier transforms become products with matrices of cosines and sines, and loops their steps,
    one after the other.

    Args:
      function: of real arrays to a tree of real arrays.
      given: its arguments, whose shapes are fixed.

    Returns:
      A function of arrays of these shapes to the leaves of the tree.

    Raises:
      ZooError: when it is called: the function holds a complex operation that is not known here.
    """
    # Without jit a loop is traced step by step.
    with jax.disable_jit():
        closed = jax.make_jaxpr(function)(*given)
    return lambda *arrays: _run(closed, arrays)


def _run(closed: core.ClosedJaxpr, given: Sequence) -> list:
    jaxpr, known = closed.jaxpr, {}

    def read(variable):
        value = variable.val if isinstance(variable, core.Literal) else known[variable]
        return value if isinstance(value, _Pair) else _parts(value)

    for variables, values in ((jaxpr.constvars, closed.consts), (jaxpr.invars, given)):
        known.update(zip(variables, values, strict=True))
    for equation in jaxpr.eqns:
        found = _apply(equation, [read(one) for one in equation.invars])
        known.update(zip(equation.outvars, found, strict=True))
    return [read(one) for one in jaxpr.outvars]


def _parts(value):
    """A constant, if it is complex as its parts."""
    if not jnp.issubdtype(jnp.result_type(value), jnp.complexfloating):
        return value
    value = np.asarray(value)
    return _Pair(value.real.copy(), value.imag.copy() if value.imag.any() else None)


def _apply(equation, given: list) -> list:
    """What an equation gives of real arrays and pairs."""
    name, params = equation.primitive.name, equation.params
    inner = next((params[key] for key in _CALLS if key in params), None)
    if inner is not None:
        return _run(inner if hasattr(inner, "consts") else core.ClosedJaxpr(inner, ()), given)
    out = equation.outvars[0].aval.dtype
    if not (jnp.issubdtype(out, jnp.complexfloating) or any(isinstance(x, _Pair) for x in given)):
        found = equation.primitive.bind(*given, **params)
        return list(found) if equation.primitive.multiple_results else [found]
    if name in _PARTWISE:
        return _each_part(equation, given)
    if name not in _RULES:
        raise ZooError(
            f"the operation {name} of complex numbers is not converted to real ones; take the "
            "format stablehlo"
        )
    return [_RULES[name](params, *given)]


def _each_part(equation, given: list) -> list:
    """An operation that acts on real and imaginary parts alike."""
    pairs = [isinstance(x, _Pair) for x in given]
    results = []
    for part in (0, 1):
        if part and not any(
            x.imag is not None for x, is_pair in zip(given, pairs, strict=True) if is_pair
        ):
            results.append(None)
            continue
        arrays = [x.both()[part] if is_pair else x for x, is_pair in zip(given, pairs, strict=True)]
        found = equation.primitive.bind(*arrays, **equation.params)
        results.append(list(found) if equation.primitive.multiple_results else [found])
    real, imag = results
    return [_Pair(*both) for both in zip(real, imag or [None] * len(real), strict=True)]


def _map(function: Callable, x):
    """A function of the array, or of both parts of a pair."""
    if not isinstance(x, _Pair):
        return function(x)
    return _Pair(function(x.real), None if x.imag is None else function(x.imag))


def _multiply(_, a: _Pair, b: _Pair) -> _Pair:
    if a.imag is None:
        a, b = b, a
    if b.imag is None:
        return _map(lambda x: x * b.real, a)
    return _Pair(a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real)


def _divide(_, a: _Pair, b: _Pair) -> _Pair:
    if b.imag is None:
        return _map(lambda x: x / b.real, a)
    power = b.real * b.real + b.imag * b.imag
    return _map(lambda x: x / power, _multiply(None, a, _Pair(b.real, -b.imag)))


def _convert(params: dict, x) -> Any:
    real = jnp.real(jnp.zeros((), params["new_dtype"])).dtype
    if not isinstance(x, _Pair):
        return _Pair(lax.convert_element_type(x, real), None)
    if jnp.issubdtype(params["new_dtype"], jnp.complexfloating):
        return _map(lambda part: part.astype(real), x)
    return x.real.astype(real)


def _transform(params: dict, x) -> Any:
    """A Fourier transform along the last axis, forward of a real one or back to it."""
    kind, lengths = params["fft_type"], params["fft_lengths"]
    if len(lengths) != 1 or kind not in (lax.FftType.RFFT, lax.FftType.IRFFT):
        raise ZooError(
            f"the transform {kind} is not converted to real numbers; take the format stablehlo"
        )
    (size,) = lengths
    bins = np.arange(size // 2 + 1)
    # Whole turns are left out before the product with 2 pi, which would round them.
    angles = 2 * np.pi * (np.outer(np.arange(size), bins) % size) / size
    if kind == lax.FftType.RFFT:
        return _Pair(x @ np.cos(angles).astype(np.float32), x @ -np.sin(angles).astype(np.float32))
    # All bins but the first and the last of an even size stand for two.
    weights = np.where((bins == 0) | (2 * bins == size), 1, 2)[:, None] / size
    real, imag = x.both()
    cosines, sines = (weights * wave(angles).T for wave in (np.cos, np.sin))
    return real @ cosines.astype(np.float32) - imag @ sines.astype(np.float32)


_RULES: dict[str, Callable] = {
    "complex": lambda _, real, imag: _Pair(real, imag),
    "real": lambda _, x: x.real,
    "imag": lambda _, x: x.both()[1],
    "conj": lambda _, x: _Pair(x.real, None if x.imag is None else -x.imag),
    "abs": lambda _, x: jnp.abs(x.real) if x.imag is None else jnp.sqrt(x.real**2 + x.imag**2),
    "mul": _multiply,
    "div": _divide,
    "convert_element_type": _convert,
    "fft": _transform,
}
