"""How far two signals are apart, as pure functions: one figure a signal, never one a batch.

Pictures are (..., H, W, C), in any unit that `data_range` names: `mse`, `mae`, `psnr`, `ssim`,
`ms_ssim`. Recordings are (..., T, C), the estimate first and the reference second: `snr`, `si_sdr`,
`segmental_snr`, `log_spectral_distance`; and on the host `pesq` and `stoi`, which listeners' scores
stand behind and which need the extra "audio".
"""

from zoo.metrics.listeners import pesq, stoi
from zoo.metrics.pictures import (
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
from zoo.metrics.recordings import log_spectral_distance, segmental_snr, si_sdr, snr

__all__ = [
    "MS_SSIM_WEIGHTS",
    "SIGMA",
    "WINDOW",
    "log_spectral_distance",
    "mae",
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
