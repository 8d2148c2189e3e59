"""What training asks of pictures in one way and of recordings in another."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from zoo import metrics


class Modality(NamedTuple):
    """How a modality's examples are called and how good a prediction of them is.

    Attributes:
      examples: their name, a plural.
      rate: the same where they are counted by the second.
      metric: the name of the figure of merit, larger being better.
      label: the same for an axis, with its unit.
      measure: `(prediction, target) -> scalar` of a batch, averaged over the devices.
      finish: from that average to the figure.
    """

    examples: str
    rate: str
    metric: str
    label: str
    measure: Callable[[jax.Array, jax.Array], jax.Array]
    finish: Callable[[jax.Array], jax.Array]


def _clipped_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(jnp.clip(prediction, 0.0, 1.0) - target))


def _si_sdr(prediction: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.mean(metrics.si_sdr(prediction, target))


MODALITIES = {
    # Of the clipped output, range 1, from the mean error of the batch.
    "image": Modality(
        "pictures",
        "images",
        "psnr",
        "PSNR, dB",
        _clipped_error,
        lambda error: -10.0 * jnp.log10(error),
    ),
    "audio": Modality(
        "recordings", "recordings", "si_sdr", "SI-SDR, dB", _si_sdr, lambda mean: mean
    ),
}
"""By the name that a model's record gives."""
