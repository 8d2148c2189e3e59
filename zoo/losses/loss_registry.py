"""The losses by name, their weighted mean, and sums of them."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from zoo import plugins
from zoo.errors import ZooError, unknown
from zoo.modality import Modality, get, of_batch


class Example(NamedTuple):
    """What a loss and a model see of an example, or of a batch.

    Attributes:
      input: (H, W, C), of audio (T, C); noisy. A batch has one axis more in front.
      target: of that shape, what the model should give.
      weight: broadcasts against the target; how much each value counts.
      level: () noise level, in the unit of the noise op.
    """

    input: jax.Array
    target: jax.Array
    weight: jax.Array
    level: jax.Array


LossMap = Callable[[jax.Array, jax.Array], jax.Array]

LOSSES: dict[str, LossMap] = {}
"""Every loss by its name; `loss` adds one."""

# The losses that are for one modality only.
_MODALITY_OF: dict[str, Modality] = {}


def loss(*aliases: str, modality: Modality | None = None) -> Callable[[LossMap], LossMap]:
    """A decorator that registers a loss `(prediction, target) -> map`, see `zoo.losses`.

    Args:
      *aliases: names in `LOSSES` besides the function's own.
      modality: the only kind of signal it is for; None where it is for any.

    Raises:
      ValueError: a name is taken.
    """

    def register(function: LossMap) -> LossMap:
        for name in (function.__name__, *aliases):
            if name in LOSSES and not plugins.replaces(function, LOSSES[name]):
                raise ValueError(f"two losses are called {name!r}")
            LOSSES[name] = function
            if modality is not None:
                _MODALITY_OF[name] = modality
        return function

    return register


def float32(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays in float32, so that the loss of a bfloat16 model keeps its digits."""
    return tuple(jnp.asarray(array).astype(jnp.float32) for array in arrays)


def weighted_mean(values: jax.Array, weight: jax.Array, axis_name: str | None = None) -> jax.Array:
    """The weighted mean of a loss map: sum(values * weight) / sum(weight), after broadcasting.

    Under pmap, `axis_name` divides by the devices' mean weight instead of this device's. The mean
    over the devices of the results, and of their gradients, is then the true one even where the
    devices hold unequal weight; take it with `lax.pmean`, outside the gradient.

    Args:
      values: a loss map, such as (..., H, W, C) or (..., 1, 1, 1).
      weight: non-negative weights, likewise: 0 leaves an example or a single value out.
        No gradient flows into it.
      axis_name: the mapped axis the batch is split over, or None.

    Returns:
      A float32 scalar; 0 where all the weights are 0.
    """
    values, weight = float32(values, lax.stop_gradient(weight))
    shape = jnp.broadcast_shapes(values.shape, weight.shape)
    # The sum of the broadcast weights, without building them.
    total = jnp.sum(weight) * (math.prod(shape) / math.prod(weight.shape))
    if axis_name is not None:
        total = lax.pmean(total, axis_name)
    return jnp.sum(values * weight) / jnp.where(total > 0, total, 1.0)


def make_loss(
    spec: str | Mapping[str, float] | Iterable[tuple[str, float]],
    *,
    modality: str | Modality | None = None,
) -> Callable[..., jax.Array]:
    """A scalar loss from a name or from a weighted sum of names.

    Args:
      spec: a name of `LOSSES`; or a mapping from names to factors, such as
        `{"l1": 0.16, "ms_ssim": 0.84}` (an `ml_collections.ConfigDict` will do); or a sequence of
        (name, factor).
      modality: a registered modality or its name, where it is known, so that a loss of another one
        is refused at once.

    Returns:
      `loss(prediction, target, weight, axis_name=None)` of a batch, (B, H, W, C) or (B, T, C): the
      sum of the factors times the `weighted_mean` of each map, a float32 scalar. `weight` and
      `axis_name` are `weighted_mean`'s. A loss of another modality than the batch's is a
      ZooError.

    Raises:
      ZooError: for an unknown name, one of another modality, an empty spec, or a factor that is
        not a positive number.
    """
    names, factors = [], {}
    for name, factor in _terms(spec):
        names.append(name)
        if name not in LOSSES:
            plugins.load()
        if name not in LOSSES:
            raise unknown("loss", str(name), LOSSES)
        function = LOSSES[name]
        # Two names of one loss are computed once.
        factors[function] = factors.get(function, 0.0) + _factor(name, factor)
    if not names:
        raise ZooError(f"the loss is empty; choose from {', '.join(sorted(LOSSES))}")
    if modality is not None:
        _check_modality(names, modality)

    def total(
        prediction: jax.Array,
        target: jax.Array,
        weight: jax.Array,
        axis_name: str | None = None,
    ) -> jax.Array:
        if (found := of_batch(prediction.ndim)) is not None:
            _check_modality(names, found)
        means = (
            factor * weighted_mean(function(prediction, target), weight, axis_name)
            for function, factor in factors.items()
        )
        return sum(means, start=jnp.float32(0))

    return total


def _check_modality(names: Iterable[str], modality: str | Modality) -> None:
    """Refuses losses of another modality."""
    modality = get(modality)
    others = {name for name, own in _MODALITY_OF.items() if own is not modality}
    for name in names:
        if name in others:
            fitting = ", ".join(sorted(set(LOSSES) - others))
            raise ZooError(f"loss {name!r} is not for {modality.plural}; choose from {fitting}")


def _terms(spec: str | Mapping[str, float] | Iterable[tuple[str, float]]) -> list:
    """The spec as a list of (name, factor)."""
    if isinstance(spec, str):
        return [(spec, 1.0)]
    if not hasattr(spec, "items") and not isinstance(spec, Iterable):
        raise ZooError(f"a loss is a name, or factors by name, not {spec!r}")
    # A ConfigDict has `items` without being a Mapping.
    terms = list(spec.items() if hasattr(spec, "items") else spec)
    for term in terms:
        if isinstance(term, str) or len(term) != 2:
            raise ZooError(f"a sum of losses is made of (name, factor) pairs, not {term!r}")
    return terms


def _factor(name: str, factor: float) -> float:
    number = isinstance(factor, int | float) and not isinstance(factor, bool)
    if not (number and math.isfinite(factor) and factor > 0):
        raise ZooError(f"the factor of loss {name!r} must be a positive number, not {factor!r}")
    return float(factor)
