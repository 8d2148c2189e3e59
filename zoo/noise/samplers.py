"""Samplers: noise at a random level, as the training step applies it.

A sampler is a pure function `sampler(key, x, noise=None) -> (noisy, level)`. The level is float32
of the shape of `x` without the signal's own axes: a scalar for one image `(H, W, C)`, `(N,)` for
a batch `(N, H, W, C)`. Every example has its own level and noise, whether a batch is given with one
key or the sampler is vmapped over keys and examples. `signal_ndim` is the number of the signal's
axes, 3 for images and 2 for audio `(T, C)`.

`noise` is the audio that some ops mix in: `(T', C')` for all examples, or one for each, with the
leading axes of `x`. A sampler says with its attribute `needs_noise` whether it must be
given; one that does not need it ignores it.

`by_plane` makes a sampler of windows of planes. What their noise has in common, the level and which
noise of a `choice` it is, comes from `key_level`, which the samplers of this module take too; by
default it is a part of `key`.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError, unknown
from zoo.modality import Modality
from zoo.noise.op_contract import OPS, registry

Sampler = Callable[..., tuple[jax.Array, jax.Array]]
Level = float | tuple[float, float]

_FIELDS = ("name", "level", "unit", "options")


def sampler(
    op: Callable, level: Level, *, signal_ndim: int | None = None, **options: Any
) -> Sampler:
    """A sampler of one noise op.

    Args:
      op: a noise op, such as `zoo.noise.gaussian`.
      level: a number, or a range `(low, high)` from which every example's level is sampled
        uniformly; whole levels, such as a JPEG's quality, from `low` to `high` inclusive.
      signal_ndim: the number of axes of one example; by default that of the op's registry.
      **options: the op's other keywords. An op that mixes noise in takes it here as `noise`, or at
        every call.

    Returns:
      A function `(key, x, noise=None) -> (noisy, level)`.

    Raises:
      ZooError: the level is out of range, or an option is unknown or missing.
    """
    name, span = next(iter(op.levels.items()))
    low, high = _ends(op, level)
    _check_options(op, name, options)
    ndim = op.signal_ndim if signal_ndim is None else signal_ndim
    needs_noise = "noise" in inspect.signature(op).parameters and options.get("noise") is None

    def sample(key, x, noise=None, key_level=None):
        key_own, key_noise = jax.random.split(key)
        key_level = key_own if key_level is None else key_level
        lead = _lead(x, ndim)
        if low == high:
            levels = jnp.full(lead, low, jnp.float32)
        elif span.whole:
            levels = jax.random.randint(key_level, lead, int(low), int(high) + 1)
            levels = levels.astype(jnp.float32)
        else:
            levels = jax.random.uniform(key_level, lead, jnp.float32, minval=low, maxval=high)
        given = dict(options)
        if needs_noise:
            if noise is None:
                raise ZooError(
                    f"{op.__name__} needs an audio signal of noise; "
                    "give it as its option 'noise' or call the sampler as (key, x, noise)"
                )
            given["noise"] = noise
        return op(key_noise, x, **{name: levels}, **given), levels

    sample.needs_noise = needs_noise
    sample.signal_ndim = ndim
    sample.takes_key_level = True
    return sample


def by_plane(member: Sampler, channels: int) -> Sampler:
    """A sampler for windows of planes, whose noise is independent and of one level.

    Args:
      member: the sampler of a plane. One that takes no `key_level` draws a level for each plane.
      channels: C of a plane.

    Returns:
      A function `(key, x, noise=None) -> (noisy, level)` for x (..., H, W, K C), K any number; the
      level is that of the center.
    """

    def sample(key, x, noise=None):
        count = x.shape[-1] // channels
        key_level, key_noise = jax.random.split(key)

        def one(key, plane):
            return _apply(member, key, plane, noise, key_level)

        planes = jnp.stack(jnp.split(x, count, axis=-1))
        noisy, levels = jax.vmap(one)(jax.random.split(key_noise, count), planes)
        return jnp.concatenate([*noisy], axis=-1), levels[count // 2]

    sample.needs_noise = getattr(member, "needs_noise", False)
    sample.signal_ndim = getattr(member, "signal_ndim", OPS.signal_ndim)
    return sample


def sequence(*samplers: Sampler) -> Sampler:
    """A sampler that applies others one after the other.

    Args:
      *samplers: the samplers, the first to be applied first.

    Returns:
      A function `(key, x, noise=None) -> (noisy, level)`; the level is that of the first sampler.
      All that need an audio signal are given the same one.

    Raises:
      ZooError: there are no samplers.
    """
    if not samplers:
        raise ZooError("sequence: no noise to apply; give at least one sampler")

    def sample(key, x, noise=None, key_level=None):
        keys, shared = jax.random.split(key, len(samplers)), [None] * len(samplers)
        if key_level is not None:
            shared = jax.random.split(key_level, len(samplers))
        x, level = _apply(samplers[0], keys[0], x, noise, shared[0])
        for key_next, own, member in zip(keys[1:], shared[1:], samplers[1:], strict=True):
            x, _ = _apply(member, key_next, x, noise, own)
        return x, level

    return _combined(sample, samplers)


def choice(*samplers: Sampler, weights: Sequence[float] | None = None) -> Sampler:
    """A sampler that applies one of several, chosen at random for every example.

    Given one example it computes the chosen noise only. Under vmap, and on a batch, every example
    goes through all of them, so it costs the sum of its members.

    Args:
      *samplers: the samplers to choose from.
      weights: how often each is chosen, in any unit; equally often by default.

    Returns:
      A function `(key, x, noise=None) -> (noisy, level)`; the level is that of the chosen sampler,
      in its own unit.

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
    branches = [functools.partial(_apply, member) for member in samplers]

    def sample_one(key, x, noise, key_level):
        key_choice, key_noise = jax.random.split(key)
        if key_level is not None:
            key_choice, key_level = jax.random.split(key_level)
        chosen = jax.random.choice(key_choice, len(samplers), p=jnp.asarray(chances))
        return jax.lax.switch(chosen, branches, key_noise, x, noise, key_level)

    def sample(key, x, noise=None, key_level=None):
        lead = _lead(x, combined.signal_ndim)
        keys, batched = key, sample_one
        if lead:
            keys = jax.random.split(key, lead)
            key_level = None if key_level is None else jax.random.split(key_level, lead)
        # An audio signal without leading axes is for all examples.
        shared = noise is None or np.ndim(noise) <= combined.signal_ndim
        for _ in lead:
            of_level = None if key_level is None else 0
            batched = jax.vmap(batched, (0, 0, None if shared else 0, of_level))
        return batched(keys, x, noise, key_level)

    combined = _combined(sample, samplers)
    return combined


def make_sampler(
    name: str,
    level: Level | None = None,
    *,
    unit: str = "1",
    options: Any = None,
    modality: str | Modality = "image",
    sample_rate: int | None = None,
) -> Sampler:
    """A sampler from plain values, such as those of a config.

    Args:
      name: the name of a noise op; or `"sequence"` or `"choice"`, whose option `ops` then holds
        the members, each a mapping of the arguments `name`, `level`, `unit` and `options` of this
        function. `"choice"` also has an option `weights`.
      level: a number or a range `(low, high)`, as for `sampler`. None for `"sequence"` and
        `"choice"`, whose members have their own.
      unit: what the level is given in: `"1"` where white is 1, `"1/255"` where white is 255. The
        latter is for levels that are intensities, such as the sigma of `gaussian`; levels of
        audio ops have the one unit that the op names.
      options: a mapping of the other options of the op; anything `dict` takes.
      modality: whose ops the names mean: a registered modality or its name.
      sample_rate: of audio, in Hz, for the ops that need it and have no such option set.

    Returns:
      A function `(key, x, noise=None) -> (noisy, level)`; the level it returns is in unit `"1"`.

    Raises:
      ZooError: a name, level, unit or option is unknown, missing or out of range.
    """
    ops = registry(modality)
    if unit not in ("1", "1/255"):
        raise ZooError(f"noise {name!r}: unit must be '1' or '1/255', got {unit!r}")
    options = _mapping(options or {}, f"noise {name!r}: options")
    if name in ("sequence", "choice"):
        given = {"modality": modality, "sample_rate": sample_rate}
        return _make_composite(name, level, options, given)
    if name not in ops:
        raise unknown("noise", name, [*ops, "sequence", "choice"])
    op = ops[name]
    low, high = _ends(op, level, unit)
    if sample_rate is not None and "sample_rate" in inspect.signature(op).parameters:
        options = {"sample_rate": sample_rate} | options
    # As keywords of `sampler` these would be given twice.
    for given in ("op", "level", "signal_ndim"):
        if given in options:
            raise ZooError(
                f"{name}: {given!r} is not an option; give it as an argument beside the options"
            )
    return sampler(op, (low, high), **options)


def _apply(
    member: Sampler,
    key: jax.Array,
    x: jax.Array,
    noise: jax.Array | None,
    key_level: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """A member of a combination; one that is a plain function of (key, x) will do too."""
    given = () if not getattr(member, "needs_noise", False) else (noise,)
    shared = key_level is not None and getattr(member, "takes_key_level", False)
    return member(key, x, *given, **({"key_level": key_level} if shared else {}))


def _combined(sample: Sampler, members: Sequence[Sampler]) -> Sampler:
    """A combination with the attributes of its members."""
    sample.needs_noise = any(getattr(member, "needs_noise", False) for member in members)
    known = [member.signal_ndim for member in members if hasattr(member, "signal_ndim")]
    sample.signal_ndim = next(iter(known), OPS.signal_ndim)
    sample.takes_key_level = True
    return sample


def _make_composite(name: str, level: Any, options: dict, given: dict[str, Any]) -> Sampler:
    """A sequence or choice whose members are all made with the arguments `given`."""
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
            if argument not in _FIELDS:
                raise unknown(f"field of an op of {name}", argument, _FIELDS)
        if "name" not in arguments:
            raise ZooError(f"noise {name!r}: one of its ops has no name")
        members.append(make_sampler(**arguments, **given))
    if name == "sequence":
        return sequence(*members)
    return choice(*members, weights=options.get("weights"))


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
        # An audio signal may come with every call instead.
        required = parameter.default is parameter.empty and option != "noise"
        if required and option not in options:
            raise ZooError(f"{op.__name__}: the option {option!r} is missing; give it a value")


def _lead(x: jax.Array, signal_ndim: int) -> tuple[int, ...]:
    shape = np.shape(x)
    if len(shape) < signal_ndim:
        raise ZooError(f"noise: x of shape {shape} has fewer than the signal's {signal_ndim} axes")
    return shape[: len(shape) - signal_ndim]
