"""Samplers: noise with its level drawn, as the training step wants it.

A sampler is a pure function `sampler(key, x) -> (noisy, level)`. The level is float32 of the shape
of `x` without the signal's own axes: a scalar for one picture `(H, W, C)`, `(N,)` for a batch
`(N, H, W, C)`. Every example has its own level and noise, whether a batch is given with one key or
the sampler is vmapped over keys and examples. `signal_ndim` is the number of the signal's axes, 3
for pictures.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError, unknown
from zoo.noise.contract import OPS

Sampler = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
Level = float | tuple[float, float]

_FIELDS = ("name", "level", "unit", "options")


def sampler(op: Callable, level: Level, *, signal_ndim: int = 3, **options: Any) -> Sampler:
    """A sampler of one noise op.

    Args:
      op: a noise op, such as `zoo.noise.gaussian`.
      level: a number, or a range `(low, high)` from which every example's level is drawn
        uniformly; whole levels, such as a JPEG's quality, from `low` to `high` inclusive.
      signal_ndim: the number of axes of one example.
      **options: the op's other keywords.

    Returns:
      A function `(key, x) -> (noisy, level)`.

    Raises:
      ZooError: the level is out of range, or an option is unknown or missing.
    """
    name, span = next(iter(op.levels.items()))
    low, high = _ends(op, level)
    _check_options(op, name, options)

    def draw(key, x):
        key_level, key_noise = jax.random.split(key)
        lead = _lead(x, signal_ndim)
        if low == high:
            levels = jnp.full(lead, low, jnp.float32)
        elif span.whole:
            levels = jax.random.randint(key_level, lead, int(low), int(high) + 1)
            levels = levels.astype(jnp.float32)
        else:
            levels = jax.random.uniform(key_level, lead, jnp.float32, minval=low, maxval=high)
        return op(key_noise, x, **{name: levels}, **options), levels

    return draw


def sequence(*samplers: Sampler) -> Sampler:
    """A sampler that applies others one after the other.

    Args:
      *samplers: the samplers, the first to be applied first.

    Returns:
      A function `(key, x) -> (noisy, level)`; the level is that of the first sampler.

    Raises:
      ZooError: there are no samplers.
    """
    if not samplers:
        raise ZooError("sequence: no noise to apply; give at least one sampler")

    def draw(key, x):
        keys = jax.random.split(key, len(samplers))
        x, level = samplers[0](keys[0], x)
        for key_next, apply in zip(keys[1:], samplers[1:], strict=True):
            x, _ = apply(key_next, x)
        return x, level

    return draw


def choice(
    *samplers: Sampler, weights: Sequence[float] | None = None, signal_ndim: int = 3
) -> Sampler:
    """A sampler that applies one of several, drawn for every example.

    Given one example it computes the chosen noise only. Under vmap, and on a batch, every example
    goes through all of them, so it costs the sum of its members.

    Args:
      *samplers: the samplers to choose from.
      weights: how often each is chosen, in any unit; equally often by default.
      signal_ndim: the number of axes of one example, the same as the members'.

    Returns:
      A function `(key, x) -> (noisy, level)`; the level is that of the chosen sampler, in its own
      unit.

    Raises:
      ZooError: there are no samplers, or the weights are not one a sampler, 0 or more, some above.
    """
    if not samplers:
        raise ZooError("choice: no noise to choose from; give at least one sampler")
    chances = np.ones(len(samplers)) if weights is None else np.asarray(weights, np.float64)
    if chances.shape != (len(samplers),) or not (chances >= 0).all() or not chances.sum() > 0:
        raise ZooError(
            f"choice: weights must be {len(samplers)} numbers of 0 or more, some above 0, "
            f"got {weights!r}"
        )
    chances = np.asarray(chances / chances.sum(), np.float32)

    def draw_one(key, x):
        key_choice, key_noise = jax.random.split(key)
        chosen = jax.random.choice(key_choice, len(samplers), p=jnp.asarray(chances))
        return jax.lax.switch(chosen, samplers, key_noise, x)

    def draw(key, x):
        lead = _lead(x, signal_ndim)
        keys, batched = key, draw_one
        if lead:
            keys = jax.random.split(key, lead)
        for _ in lead:
            batched = jax.vmap(batched)
        return batched(keys, x)

    return draw


def make_sampler(
    name: str,
    level: Level | None = None,
    *,
    unit: str = "1",
    options: Any = None,
    signal_ndim: int = 3,
) -> Sampler:
    """A sampler from plain values, such as those of a config.

    Args:
      name: the name of a noise op; or `"sequence"` or `"choice"`, whose option `ops` then holds
        the members, each a mapping of the arguments `name`, `level`, `unit` and `options` of this
        function. `"choice"` also has an option `weights`.
      level: a number or a range `(low, high)`, as for `sampler`. None for `"sequence"` and
        `"choice"`, whose members have their own.
      unit: what the level is given in: `"1"` where white is 1, `"1/255"` where white is 255. The
        latter is for levels that are intensities, such as the sigma of `gaussian`.
      options: a mapping of the other options of the op; anything `dict` takes.
      signal_ndim: the number of axes of one example.

    Returns:
      A function `(key, x) -> (noisy, level)`; the level it returns is in unit `"1"`.

    Raises:
      ZooError: a name, level, unit or option is unknown, missing or out of range.
    """
    if unit not in ("1", "1/255"):
        raise ZooError(f"noise {name!r}: unit must be '1' or '1/255', got {unit!r}")
    options = _mapping(options or {}, f"noise {name!r}: options")
    if name in ("sequence", "choice"):
        return _make_composite(name, level, options, signal_ndim)
    if name not in OPS:
        raise unknown("noise", name, [*OPS, "sequence", "choice"])
    op = OPS[name]
    low, high = _ends(op, level, unit)
    return sampler(op, (low, high), signal_ndim=signal_ndim, **options)


def _make_composite(name: str, level: Any, options: dict, signal_ndim: int) -> Sampler:
    allowed = ("ops",) if name == "sequence" else ("ops", "weights")
    for option in options:
        if option not in allowed:
            raise unknown(f"{name} option", option, allowed)
    if level is not None:
        raise ZooError(f"noise {name!r} has no level of its own; give levels to its ops")
    members = []
    for member in options.get("ops", ()):
        arguments = _mapping(member, f"noise {name!r}: each of its ops")
        for argument in arguments:
            if argument not in ("name", "level", "unit", "options"):
                raise unknown(
                    f"field of an op of {name}", argument, ("name", "level", "unit", "options")
                )
        if "name" not in arguments:
            raise ZooError(f"noise {name!r}: one of its ops has no name")
        members.append(make_sampler(**arguments, signal_ndim=signal_ndim))
    if name == "sequence":
        return sequence(*members)
    return choice(*members, weights=options.get("weights"), signal_ndim=signal_ndim)


def _mapping(value: Any, what: str) -> dict[str, Any]:
    try:
        return dict(value)
    except (TypeError, ValueError):
        raise ZooError(f"{what} must be a mapping of names to values, got {value!r}") from None


def _ends(op: Callable, level: object, unit: str = "1") -> tuple[float, float]:
    """The ends of the level's range in unit 1, checked."""
    name, span = next(iter(op.levels.items()))
    if unit != "1" and not span.intensity:
        raise ZooError(f"{op.__name__}: {name} is not an intensity; give it in unit '1'")
    try:
        low, high = level if isinstance(level, tuple | list) else (level, level)
        low, high = float(low), float(high)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not low <= high:
        raise ZooError(
            f"{op.__name__}: {name} must be a number or a range (low, high), got {level!r}"
        )
    if unit == "1/255":
        low, high = low / 255, high / 255
    span.check(op.__name__, name, (low, high))
    return low, high


def _check_options(op: Callable, level: str, options: dict[str, Any]) -> None:
    known = dict(list(inspect.signature(op).parameters.items())[2:])
    del known[level]
    for option in options:
        if option not in known:
            raise unknown(f"{op.__name__} option", option, known)
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in options:
            raise ZooError(f"{op.__name__}: the option {option!r} is missing; give it a value")


def _lead(x: jax.Array, signal_ndim: int) -> tuple[int, ...]:
    shape = np.shape(x)
    if len(shape) < signal_ndim:
        raise ZooError(f"noise: x of shape {shape} has fewer than the signal's {signal_ndim} axes")
    return shape[: len(shape) - signal_ndim]
