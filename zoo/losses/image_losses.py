"""Losses of single values, for any signal, and of images (..., H, W, C) with values in [0, 1]."""

import jax
import jax.numpy as jnp

from zoo import metrics
from zoo.losses.loss_registry import float32, loss
from zoo.modality import IMAGE


@loss()
def mse(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Squared error, of the shape of both."""
    return jnp.square(_error(prediction, target))


@loss("mae")
def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Absolute error, of the shape of both."""
    return jnp.abs(_error(prediction, target))


@loss()
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


@loss()
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


@loss(modality=IMAGE)
def binary_cross_entropy(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Cross entropy between gray values as probabilities, in nats, (..., H, W, C).

    Predictions are held in [1e-6, 1 - 1e-6], so 0 and 1 cost 13.8 where they are wrong, and no
    gradient reaches a prediction outside that range: use it with models that end in a sigmoid.

    Args:
      prediction: probabilities (not logits), (..., H, W, C).
      target: values in [0, 1] of the same shape.
    """
    prediction, target = float32(prediction, target)
    prediction = jnp.clip(prediction, 1e-6, 1 - 1e-6)
    return -(target * jnp.log(prediction) + (1 - target) * jnp.log1p(-prediction))


@loss(modality=IMAGE)
def psnr(prediction: jax.Array, target: jax.Array, *, eps: float = 1e-6) -> jax.Array:
    """Minus the PSNR of each image in dB, (..., 1, 1, 1): 10 log10(MSE + eps).

    Every image has the same weight, however noisy; in `mse` the noisiest of a batch dominate.

    Args:
      prediction: images, (..., H, W, C), made for [0, 1].
      target: images of the same shape.
      eps: added to the mean squared error, so that an image that is nearly right (60 dB by
        default) does not outweigh the others.

    References:
      Chen et al., "Simple baselines for image restoration" (NAFNet), ECCV 2022, whose code
      adds 1e-8.
    """
    prediction, target = float32(prediction, target)
    error = jnp.mean(jnp.square(prediction - target), axis=(-3, -2, -1), keepdims=True)
    return 10 * jnp.log10(error + eps)


@loss(modality=IMAGE)
def ssim(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """1 - SSIM of each image, (..., 1, 1, 1), in [0, 2]; sides of 11 or more, else a ZooError."""
    value = metrics.ssim(prediction, target, data_range=1.0)
    return 1 - value[..., None, None, None]


@loss(modality=IMAGE)
def ms_ssim(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """1 - MS-SSIM of each image, (..., 1, 1, 1), in [0, 1), on as many scales as fit.

    Three scales for a 64-pixel crop, five from 176 pixels on: see `zoo.metrics.ms_ssim`.
    """
    value = metrics.ms_ssim(prediction, target, data_range=1.0)
    return 1 - value[..., None, None, None]


def _error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    prediction, target = float32(prediction, target)
    return prediction - target
