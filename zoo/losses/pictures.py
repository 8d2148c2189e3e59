"""Losses of pictures (..., H, W, C) with values in [0, 1]."""

import jax
import jax.numpy as jnp

from zoo import metrics
from zoo.losses.values import float32


def binary_cross_entropy(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Cross entropy between grey values read as probabilities, in nats, (..., H, W, C).

    Predictions are held in [1e-6, 1 - 1e-6], so 0 and 1 cost 13.8 where they are wrong, and no
    gradient reaches a prediction outside that range: use it with models that end in a sigmoid.

    Args:
      prediction: probabilities (not logits), (..., H, W, C).
      target: values in [0, 1] of the same shape.
    """
    prediction, target = float32(prediction, target)
    prediction = jnp.clip(prediction, 1e-6, 1 - 1e-6)
    return -(target * jnp.log(prediction) + (1 - target) * jnp.log1p(-prediction))


def psnr(prediction: jax.Array, target: jax.Array, *, eps: float = 1e-6) -> jax.Array:
    """Minus the PSNR of each picture in dB, (..., 1, 1, 1): 10 log10(MSE + eps).

    Every picture weighs alike, however noisy: `mse` follows the noisiest of a batch.

    Args:
      prediction: pictures, (..., H, W, C), made for [0, 1].
      target: pictures of the same shape.
      eps: added to the mean squared error, so that a picture that is nearly right (60 dB by
        default) does not outweigh the others.

    References:
      Chen et al., "Simple baselines for image restoration" (NAFNet), ECCV 2022, whose code
      adds 1e-8.
    """
    prediction, target = float32(prediction, target)
    error = jnp.mean(jnp.square(prediction - target), axis=(-3, -2, -1), keepdims=True)
    return 10 * jnp.log10(error + eps)


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
