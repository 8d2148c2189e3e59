"""What training makes small, as pure functions.

A loss takes `(prediction, target)`, both pictures (..., H, W, C) with values in [0, 1] or both
recordings (..., T, C) with values in [-1, 1], and returns a map, float32, that broadcasts against
them: of their own shape for a loss of single values, (..., 1, 1, 1) or (..., 1, 1) for one of whole
signals. It never averages over a batch; `weighted_mean` does, and `make_loss` joins the two.
"""

from zoo.losses.combine import LOSSES, LossMap, make_loss, weighted_mean
from zoo.losses.pictures import binary_cross_entropy, ms_ssim, psnr, ssim
from zoo.losses.recordings import (
    compressed_complex,
    compressed_magnitude,
    multi_resolution_stft,
    si_sdr,
)
from zoo.losses.values import charbonnier, huber, l1, mse

__all__ = [
    "LOSSES",
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
