"""Losses that training minimizes, as pure functions.

A loss takes `(prediction, target)`, both images (..., H, W, C) with values in [0, 1] or both
audio (..., T, C) with values in [-1, 1], and returns a map, float32, that broadcasts against
them: of their own shape for losses of single values, (..., 1, 1, 1) or (..., 1, 1) for losses of
whole signals. It never averages over a batch; `weighted_mean` does, and `make_loss` combines both.
"""

from zoo.losses.audio_losses import (
    compressed_complex,
    compressed_magnitude,
    multi_resolution_stft,
    si_sdr,
)
from zoo.losses.image_losses import (
    binary_cross_entropy,
    charbonnier,
    huber,
    l1,
    ms_ssim,
    mse,
    psnr,
    ssim,
)
from zoo.losses.loss_registry import LOSSES, Example, LossMap, make_loss, weighted_mean

__all__ = [
    "LOSSES",
    "Example",
    "LossMap",
    "binary_cross_entropy",
    "charbonnier",
    "compressed_complex",
    "compressed_magnitude",
    "huber",
    "l1",
    "make_loss",
    "ms_ssim",
    "mse",
    "multi_resolution_stft",
    "psnr",
    "si_sdr",
    "ssim",
    "weighted_mean",
]
