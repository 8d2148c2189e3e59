"""What training makes small, as pure functions.

A loss takes `(prediction, target)`, both (..., H, W, C) with values in [0, 1], and returns a map,
float32, that broadcasts against them: (..., H, W, C) for a loss of single values, (..., 1, 1, 1)
for one of whole pictures. It never averages; `weighted_mean` does, and `make_loss` joins the two.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
from jax import lax

from zoo import metrics
from zoo.errors import ZooError, unknown

LossMap = Callable[[jax.Array, jax.Array], jax.Array]


def mse(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Squared error, (..., H, W, C)."""
    return jnp.square(_error(prediction, target))


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Absolute error, (..., H, W, C)."""
    return jnp.abs(_error(prediction, target))


def huber(prediction: jax.Array, target: jax.Array, *, delta: float = 0.1) -> jax.Array:
    """Huber's loss, (..., H, W, C): half the squared error up to `delta`, linear beyond.

    Args:
      prediction: pictures, (..., H, W, C).
      target: pictures of the same shape.
      delta: where the loss turns linear, in the pictures' unit. The usual 1 is as far as white is
        from black, where Huber's loss would be the squared error.

    References:
      Huber, "Robust estimation of a location parameter", Annals of Statistics 1964.
    """
    error = jnp.abs(_error(prediction, target))
    near = jnp.minimum(error, delta)
    # near = error gives error^2 / 2; near = delta gives delta * (error - delta / 2).
    return near * (error - 0.5 * near)


def charbonnier(prediction: jax.Array, target: jax.Array, *, eps: float = 1e-3) -> jax.Array:
    """Charbonnier's loss, (..., H, W, C): sqrt(error^2 + eps^2), an l1 that is smooth at 0.

    It is `eps`, not 0, where prediction and target agree.

    Args:
      prediction: pictures, (..., H, W, C).
      target: pictures of the same shape.
      eps: the width of the smooth part, in the pictures' unit.

    References:
      Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed
      imaging", ICIP 1994; eps as in Lai et al., "Deep Laplacian pyramid networks", CVPR 2017.
    """
    return jnp.sqrt(jnp.square(_error(prediction, target)) + eps**2)


def binary_cross_entropy(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Cross entropy between grey values read as probabilities, in nats, (..., H, W, C).

    Predictions are held in [1e-6, 1 - 1e-6], so 0 and 1 cost 13.8 where they are wrong, and no
    gradient reaches a prediction outside that range: use it with models that end in a sigmoid.

    Args:
      prediction: probabilities (not logits), (..., H, W, C).
      target: values in [0, 1] of the same shape.
    """
    prediction, target = _float32(prediction, target)
    prediction = jnp.clip(prediction, 1e-6, 1 - 1e-6)
    return -(target * jnp.log(prediction) + (1 - target) * jnp.log1p(-prediction))


def ssim(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """1 - SSIM of each picture, (..., 1, 1, 1), in [0, 2]; sides of 11 or more, else a ZooError."""
    value = metrics.ssim(prediction, target, data_range=1.0)
    return 1 - value[..., None, None, None]


def ms_ssim(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """1 - MS-SSIM of each picture, (..., 1, 1, 1), in [0, 1), on as many scales as fit.

    Three scales for a 64-pixel crop, five from 176 pixels on: see `zoo.metrics.ms_ssim`.
    """
    value = metrics.ms_ssim(prediction, target, data_range=1.0)
    return 1 - value[..., None, None, None]


LOSSES: Mapping[str, LossMap] = {
    "binary_cross_entropy": binary_cross_entropy,
    "charbonnier": charbonnier,
    "huber": huber,
    "l1": l1,
    "mae": l1,
    "ms_ssim": ms_ssim,
    "mse": mse,
    "ssim": ssim,
}


def weighted_mean(values: jax.Array, weight: jax.Array, axis_name: str | None = None) -> jax.Array:
    """The weighted mean of a loss map: sum(values * weight) / sum(weight), after broadcasting.

    Under pmap, `axis_name` divides by the devices' mean weight instead of this device's. The mean
    over the devices of the results, and of their gradients, is then the true one even where the
    devices hold unequal weight; take it with `lax.pmean`, outside the gradient.

    Args:
      values: a loss map, (..., H, W, C) or (..., 1, 1, 1).
      weight: non-negative weights, likewise (..., H, W, C) or (..., 1, 1, 1): 0 leaves a picture
        or a pixel out. No gradient flows into it.
      axis_name: the mapped axis the batch is split over, or None.

    Returns:
      A float32 scalar; 0 where all the weights are 0.
    """
    values, weight = _float32(values, lax.stop_gradient(weight))
    shape = jnp.broadcast_shapes(values.shape, weight.shape)
    # The sum of the broadcast weights, without building them.
    total = jnp.sum(weight) * (math.prod(shape) / math.prod(weight.shape))
    if axis_name is not None:
        total = lax.pmean(total, axis_name)
    return jnp.sum(values * weight) / jnp.where(total > 0, total, 1.0)


def make_loss(
    spec: str | Mapping[str, float] | Iterable[tuple[str, float]],
) -> Callable[..., jax.Array]:
    """A scalar loss from a name or from a weighted sum of names.

    Args:
      spec: a name of `LOSSES`; or a mapping from names to factors, such as
        `{"l1": 0.16, "ms_ssim": 0.84}` (an `ml_collections.ConfigDict` will do); or a sequence of
        (name, factor).

    Returns:
      `loss(prediction, target, weight, axis_name=None)`, the sum of the factors times the
      `weighted_mean` of each map, a float32 scalar. `weight` and `axis_name` are
      `weighted_mean`'s.

    Raises:
      ZooError: for an unknown name, an empty spec, or a factor that is not a positive number.
    """
    terms = [(_lookup(name), _factor(name, factor)) for name, factor in _terms(spec)]
    if not terms:
        raise ZooError(f"the loss is empty; choose from {', '.join(sorted(LOSSES))}")

    def loss(
        prediction: jax.Array,
        target: jax.Array,
        weight: jax.Array,
        axis_name: str | None = None,
    ) -> jax.Array:
        means = (
            factor * weighted_mean(function(prediction, target), weight, axis_name)
            for function, factor in terms
        )
        return sum(means, start=jnp.float32(0))

    return loss


def _terms(spec: str | Mapping[str, float] | Iterable[tuple[str, float]]) -> list:
    """The spec as a list of (name, factor)."""
    if isinstance(spec, str):
        return [(spec, 1.0)]
    if not hasattr(spec, "items") and not isinstance(spec, Iterable):
        raise ZooError(f"a loss is a name, or factors by name, not {spec!r}")
    # Asking for `items` rather than for a Mapping admits a ConfigDict, which is none.
    terms = list(spec.items() if hasattr(spec, "items") else spec)
    for term in terms:
        if isinstance(term, str) or len(term) != 2:
            raise ZooError(f"a sum of losses is made of (name, factor) pairs, not {term!r}")
    return terms


def _lookup(name: str) -> LossMap:
    if name not in LOSSES:
        raise unknown("loss", str(name), LOSSES)
    return LOSSES[name]


def _factor(name: str, factor: float) -> float:
    number = isinstance(factor, int | float) and not isinstance(factor, bool)
    if not (number and math.isfinite(factor) and factor > 0):
        raise ZooError(f"the factor of loss {name!r} must be a positive number, not {factor!r}")
    return float(factor)


def _float32(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(array).astype(jnp.float32) for array in arrays)


def _error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """prediction - target, in float32 so that a bfloat16 model's loss keeps its digits."""
    prediction, target = _float32(prediction, target)
    return prediction - target
