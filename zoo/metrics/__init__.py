"""Distances between two signals, as pure functions: one figure for each signal of a batch.

Images are (..., H, W, C), in any unit that `data_range` names: `mse`, `mae`, `psnr`, `ssim`,
`ms_ssim`. Audio is (..., T, C), the estimate first and the reference second: `snr`, `si_sdr`,
`segmental_snr`, `log_spectral_distance`; and on the host `pesq`, `stoi` and `dnsmos`,
which predict the scores of listeners and need the extra "audio".

A metric is added in one place: `@IMAGE.metric("heading", digits)` before its function enters it in
`zoo.modality.IMAGE.metrics`, from which evaluation, tables and reports take it.
"""

from zoo.metrics.audio_metrics import log_spectral_distance, segmental_snr, si_sdr, snr
from zoo.metrics.image_metrics import (
    MS_SSIM_WEIGHTS,
    SIGMA,
    WINDOW,
    mae,
    ms_ssim,
    mse,
    psnr,
    ssim,
    ssim_map,
)
from zoo.metrics.perceptual import dnsmos, pesq, stoi
from zoo.modality import Metric, Modality


def main_metric(modality: Modality) -> Metric:
    """The metric that training and validation go by."""
    return modality.metrics[modality.merit]


__all__ = [
    "MS_SSIM_WEIGHTS",
    "SIGMA",
    "WINDOW",
    "dnsmos",
    "log_spectral_distance",
    "mae",
    "main_metric",
    "ms_ssim",
    "mse",
    "pesq",
    "psnr",
    "segmental_snr",
    "si_sdr",
    "snr",
    "ssim",
    "ssim_map",
    "stoi",
]
