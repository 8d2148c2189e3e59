"""Losses of single values, whatever signal they make up."""

import jax
import jax.numpy as jnp


def mse(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Squared error, of the shape of both."""
    return jnp.square(_error(prediction, target))


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Absolute error, of the shape of both."""
    return jnp.abs(_error(prediction, target))


def huber(prediction: jax.Array, target: jax.Array, *, delta: float = 0.1) -> jax.Array:
    """Huber's loss: half the squared error up to `delta`, linear beyond.

    Args:
      prediction: any shape.
      target: of the same shape.
      delta: where the loss turns linear, in the signals' unit. The usual 1 is as far as white is
        from black, where Huber's loss would be the squared error.

    References:
      Huber, "Robust estimation of a location parameter", Annals of Statistics 1964.
    """
    error = jnp.abs(_error(prediction, target))
    near = jnp.minimum(error, delta)
    # near = error gives error^2 / 2; near = delta gives delta * (error - delta / 2).
    return near * (error - 0.5 * near)


def charbonnier(prediction: jax.Array, target: jax.Array, *, eps: float = 1e-3) -> jax.Array:
    """Charbonnier's loss: sqrt(error^2 + eps^2), an l1 that is smooth at 0.

    It is `eps`, not 0, where prediction and target agree.

    Args:
      prediction: any shape.
      target: of the same shape.
      eps: the width of the smooth part, in the signals' unit.

    References:
      Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed
      imaging", ICIP 1994; eps as in Lai et al., "Deep Laplacian pyramid networks", CVPR 2017.
    """
    return jnp.sqrt(jnp.square(_error(prediction, target)) + eps**2)


def float32(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays in float32."""
    return tuple(jnp.asarray(array).astype(jnp.float32) for array in arrays)


def _error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """prediction - target, in float32 so that a bfloat16 model's loss keeps its digits."""
    prediction, target = float32(prediction, target)
    return prediction - target
