"""The contract of the noise ops, stated and enforced in one place.

A noise op is a pure function `op(key, x, *, level, ..., clip=None)`:

* `key` is a random key (`jax.random.key`). Deterministic ops take it too and ignore it.
* `x` is a signal of floats: images `(..., H, W, C)` in [0, 1], audio `(..., T, C)` in [-1, 1].
  Many ops are elementwise and take any shape; an op that needs the last axes names them by `axes`,
  such as `"HWC"` or `"TC"`.
* The first keyword is the op's level under the field's own name (`sigma`, `peak`, `amount`, `snr`),
  in units of the signal (white or full scale is 1) or in the unit its docstring states (dB, s, Hz).
  A level is a number or an array, traced or not, whose shape is a prefix of the shape of `x`
  without the op's `axes`: shape `(N,)` gives each of N examples its own. Some ops have further
  levels, with the same rules.
* A concrete level out of its range is a `ZooError`; a traced one is not checked.
* Random numbers and arithmetic are float32 whatever the dtype of `x`; the result is cast once, at
  the end, to the dtype of `x`. Integer signals are a `ZooError`.
* Nothing is clipped unless `clip=(low, high)` is given. Values out of the signal's range are valid.
* An op with an option `noise` mixes audio in: `(T', C')` for all examples, or one for each, with
  the leading axes of `x`. Samplers pass it on at call time; see `zoo.noise.samplers`.
* Axes, dtype and shape of the signal are kept. Every op works under `jit` and `vmap`; the gradient
  is that with the random numbers held fixed, hence zero through counts and rounding.

The decorator `op` holds a function to all of this, so that its body is the formula alone, and
enters it in the registry of its modality: `zoo.noise.OPS` for images, `zoo.noise.audio.OPS` for
signals. A name may be in both, since the formulas for the two ranges differ. A new op takes one
place, its function and the `__all__` of its module: samplers, commands, benchmarks and the tests of
this contract find it in the registry.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo import plugins
from zoo.data.pcm import MOST_CHANNELS
from zoo.errors import ZooError
from zoo.modality import AUDIO, IMAGE, Modality, get

# Of a level: its product with a random number must still be a float32.
_LARGEST = 1e30


class Registry(dict[str, Callable]):
    """The noise ops of one modality, by name.

    Attributes:
      modality: the kind of signal.
      signal_ndim: the number of axes of one example.
    """

    def __init__(self, modality: Modality):
        super().__init__()
        self.modality = modality
        self.signal_ndim = modality.ndim


_REGISTRIES: dict[str, Registry] = {}


def registry(modality: str | Modality) -> Registry:
    """The noise ops of a kind of signal, with those of plug-ins; empty where none is registered.

    Args:
      modality: a registered `zoo.modality.Modality` or its name, such as `"image"` or `"audio"`.

    Raises:
      ZooError: there is no such modality.
    """
    plugins.load()
    return _registry(modality)


def _registry(modality: str | Modality) -> Registry:
    modality = get(modality)
    return _REGISTRIES.setdefault(modality.name, Registry(modality))


OPS = _registry(IMAGE)
"""Every noise op for images by its name."""

AUDIO_OPS = _registry(AUDIO)
"""Every noise op for audio by its name."""


@dataclasses.dataclass(frozen=True)
class Range:
    """The values a level can take.

    Attributes:
      low: the smallest value.
      high: the largest value.
      above: whether `low` itself is excluded.
      whole: whether only whole numbers make sense.
      intensity: whether the level is a difference of intensities, which may be given in 1/255.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    whole: bool = False
    intensity: bool = False

    def __str__(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            text = "a finite number"
        elif math.isinf(self.high):
            text = f"above {self.low}" if self.above else f"at least {self.low}"
        else:
            text = f"from {self.low} to {self.high}"
            text = f"{text}, {self.low} excluded" if self.above else text
        return f"a whole number {text}" if self.whole else text

    def check(self, op: str, name: str, level: object) -> None:
        """Raises a `ZooError` if a value of the concrete `level` lies outside, or is NaN."""
        values = np.asarray(level).astype(np.float64)
        good = (values > self.low) if self.above else (values >= self.low)
        good &= np.isfinite(values) & (values <= self.high) & (np.abs(values) <= _LARGEST)
        if self.whole:
            good &= values == np.round(values)
        if not good.all():
            culprit = values[~good].flat[0]
            far = f" and within {_LARGEST:g}" if abs(culprit) > _LARGEST else ""
            raise ZooError(f"{op}: {name} must be {self}{far}, got {culprit:g}")


ANY = Range()
INTENSITY = Range(0, intensity=True)
NOT_NEGATIVE = Range(0)
POSITIVE = Range(0, above=True)
FRACTION = Range(0, 1)


def op(
    *,
    axes: str = "",
    examples: Mapping[str, Any] = MappingProxyType({}),
    modality: Modality = IMAGE,
    **levels: Range,
) -> Callable[[Callable], Callable]:
    """Makes a function follow the contract of this module and registers it.

    The function receives `x` in float32 and every level as a float32 array of the rank of `x`,
    ready to broadcast. The result has the function's signature with `clip` added, its docstring
    with what all ops share added, and keeps `levels`, `axes`, `examples` and the registry's
    `signal_ndim` as attributes.

    Args:
      axes: one letter for each of the last axes that the op distinguishes; levels cannot vary along
        them.
      examples: usual values: of the op's own level a pair, the one that changes the signal less
        first; of options without a default one value. Benchmarks and tests run the op with them,
        so that every op of `zoo` has some.
      modality: the kind of signal.
      **levels: the range of each level, the op's own level first.
    """
    ops = _registry(modality)

    def register(function: Callable) -> Callable:
        name = function.__name__
        signature = _signature(function, levels)

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            options = call.arguments
            key, x, clip = options.pop("key"), options.pop("x"), options.pop("clip")
            x = _signal(name, x, axes, modality)
            for level, span in levels.items():
                options[level] = _level(
                    options[level], x.shape, axes, op=name, name=level, span=span
                )
            noisy = function(key, x.astype(jnp.float32), **options)
            if clip is not None:
                noisy = jnp.clip(noisy, *_limits(name, clip))
            return noisy.astype(x.dtype)

        wrapper.__signature__ = signature
        wrapper.__doc__ = _documented(function.__doc__ or "", signature.parameters)
        wrapper.levels = levels
        wrapper.axes = axes
        wrapper.examples = examples
        wrapper.signal_ndim = ops.signal_ndim
        if name in ops and not plugins.replaces(wrapper, ops[name]):
            raise ValueError(f"a noise named {name!r} is already registered")
        ops[name] = wrapper
        return wrapper

    return register


audio_op = functools.partial(op, modality=AUDIO)
"""`op` for audio `(..., T, C)` in [-1, 1]."""


# Options of several ops.
_SHARED = {
    "active": "whether the power is that where there is speech rather than over pauses too.",
    "sample_rate": "of `x` in Hz.",
}


def _documented(docstring: str, options: Collection[str]) -> str:
    """A docstring of an op with the arguments and the result that ops have in common."""
    summary, heading, rest = inspect.cleandoc(docstring).partition("\nArgs:\n")
    if not heading:
        return docstring
    arguments, _, sections = rest.partition("\n\n")
    if not arguments.startswith("  key:"):
        arguments = f"  key: random key.\n{arguments}"
    for option, text in _SHARED.items():
        if option in options and f"\n  {option}:" not in arguments:
            arguments += f"\n  {option}: {text}"
    arguments += "\n  clip: `(low, high)` to clip the result to, or None."
    if not sections.startswith("Returns:"):
        sections = f"Returns:\n  The noisy signal, shape and dtype of `x`.\n\n{sections}".rstrip()
    return f"{summary}{heading}{arguments}\n\n{sections}\n"


def _signature(function: Callable, levels: dict[str, Range]) -> inspect.Signature:
    """The public signature, with `clip`; breaking the contract is a programming error."""
    signature = inspect.signature(function)
    first, second, *options = signature.parameters.values()
    names = [option.name for option in options]
    if (first.name, second.name) != ("key", "x"):
        raise TypeError(f"{function.__name__} must take key and x first")
    if any(option.kind is not option.KEYWORD_ONLY for option in options):
        raise TypeError(f"{function.__name__} must take its options by keyword only")
    if not levels or names[: len(levels)] != list(levels):
        raise TypeError(f"{function.__name__} must take its levels first, in the order declared")
    clip = inspect.Parameter("clip", inspect.Parameter.KEYWORD_ONLY, default=None)
    return signature.replace(parameters=[first, second, *options, clip])


def _signal(op: str, x: object, axes: str, modality: Modality) -> jax.Array:
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ZooError(
            f"{op}: x is {x.dtype}; convert it to float in {modality.span} first, "
            f"such as x / {modality.scale}"
        )
    if x.ndim < len(axes):
        raise ZooError(f"{op}: x of shape {x.shape} lacks axes; it must end in ({', '.join(axes)})")
    if axes and 0 in x.shape[-len(axes) :]:
        raise ZooError(f"{op}: x of shape {x.shape} is empty; leave such signals out")
    if axes == "TC" and x.shape[-1] > max(MOST_CHANNELS, x.shape[-2]):
        raise ZooError(
            f"{op}: x of shape {x.shape} has {x.shape[-1]} channels; audio is (..., T, C), "
            "so swap its last two axes"
        )
    return x


def _level(
    value: object, shape: tuple[int, ...], axes: str, *, op: str, name: str, span: Range
) -> jax.Array:
    """The level as float32, checked, with axes of length 1 appended up to the signal's rank."""
    level = value
    if not isinstance(value, jax.Array):
        # Not asarray of a tuple: (low, high) is a range, which only samplers take.
        level = np.asarray(value, object if isinstance(value, tuple | list) else None)
    if not jnp.issubdtype(level.dtype, jnp.number):
        raise ZooError(f"{op}: {name} must be a number or an array of numbers, got {value!r}")
    room = shape[: len(shape) - len(axes)]
    if level.shape != room[: level.ndim]:
        remedy = f" or an array of shape {room[:1]}" if room else ""
        raise ZooError(
            f"{op}: {name} of shape {level.shape} does not fit x of shape {shape}; "
            f"give one number{remedy}"
        )
    if not isinstance(level, jax.core.Tracer):
        span.check(op, name, level)
    return jnp.asarray(level, jnp.float32).reshape(level.shape + (1,) * (len(shape) - level.ndim))


def _limits(op: str, clip: object) -> tuple[float, float]:
    try:
        low, high = map(float, clip)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not low < high:
        raise ZooError(f"{op}: clip must be a pair (low, high) with low < high, got {clip!r}")
    return low, high
