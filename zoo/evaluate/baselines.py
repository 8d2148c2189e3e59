"""What scikit-image can do, the bar a network has to clear.

A baseline takes `(noisy, sigma, clean)`, NumPy float32 of shape (H, W, C), and returns the denoised
picture, float32 of that shape, not clipped. `sigma` is the noise's standard deviation in signal
units; None has it estimated from the picture. `clean` is there for those that choose their strength
by the PSNR they reach: no user has that oracle, so it errs in the baseline's favour.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy import ndimage
from skimage import restoration

Baseline = Callable[[np.ndarray, float | None, np.ndarray], np.ndarray]


def estimate_sigma(noisy: np.ndarray) -> float:
    """The standard deviation of the noise, judged by the finest wavelet's coefficients.

    Right for white Gaussian noise; texture is taken for noise too.

    Args:
      noisy: (H, W, C), float.

    Returns:
      The mean over the channels, in signal units.

    References:
      Donoho, Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994.
    """
    return float(np.mean(restoration.estimate_sigma(noisy, channel_axis=-1)))


def nlm(noisy: np.ndarray, sigma: float | None, clean: np.ndarray) -> np.ndarray:
    """Non-local means: the best by PSNR of three filter strengths, all channels together.

    References:
      Buades, Coll, Morel, "A non-local algorithm for image denoising", CVPR 2005.
    """
    sigma = estimate_sigma(noisy) if sigma is None else sigma
    if sigma <= 0:
        return noisy
    candidates = (
        restoration.denoise_nl_means(
            noisy,
            patch_size=5,
            patch_distance=6,
            h=strength * sigma,
            sigma=sigma,
            fast_mode=True,
            channel_axis=-1,
        ).reshape(noisy.shape)
        for strength in (0.4, 0.6, 0.8)
    )
    return _closest(candidates, clean)


def wavelet(noisy: np.ndarray, sigma: float | None, clean: np.ndarray) -> np.ndarray:
    """BayesShrink in the Haar wavelet, averaged over the four shifts by one pixel; no oracle.

    Colour is shrunk in YCbCr, where the noise stands out from the little chroma there is. On three
    photographs at sigma 25/255 that gains 1.0 to 1.8 dB, the shifts 1.1 to 1.4 dB more, while
    VisuShrink loses 3.5 to 4.5 dB everywhere and is therefore not tried.

    References:
      Chang, Yu, Vetterli, "Adaptive wavelet thresholding for image denoising and compression",
      IEEE TIP 2000. Coifman, Donoho, "Translation-invariant de-noising", 1995.
    """
    del clean
    sigma = estimate_sigma(noisy) if sigma is None else sigma
    if sigma <= 0:
        return noisy
    # Not skimage's `cycle_spin`: it wants dask, or else warns.
    total = np.zeros(noisy.shape, np.float64)
    for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
        shrunk = restoration.denoise_wavelet(
            np.roll(noisy, shift, axis=(0, 1)),
            sigma=sigma,
            method="BayesShrink",
            mode="soft",
            convert2ycbcr=noisy.shape[-1] == 3,
            channel_axis=-1,
            rescale_sigma=True,
        )
        total += np.roll(shrunk, (-shift[0], -shift[1]), axis=(0, 1))
    return (total / 4).astype(np.float32)


def tv(noisy: np.ndarray, sigma: float | None, clean: np.ndarray) -> np.ndarray:
    """Total variation: the best by PSNR of five weights, channel by channel.

    References:
      Chambolle, "An algorithm for total variation minimization and applications", JMIV 2004.
    """
    sigma = estimate_sigma(noisy) if sigma is None else sigma
    if sigma <= 0:
        return noisy
    candidates = (
        restoration.denoise_tv_chambolle(noisy, weight=factor * sigma, channel_axis=-1)
        for factor in (0.5, 0.75, 1.0, 1.25, 1.5)
    )
    return _closest(candidates, clean)


def median(noisy: np.ndarray, sigma: float | None, clean: np.ndarray) -> np.ndarray:
    """The 3x3 median of each channel: the one to beat on salt and pepper."""
    del sigma, clean
    return ndimage.median_filter(noisy, size=(3, 3, 1), mode="reflect")


BASELINES: Mapping[str, Baseline] = {"median": median, "nlm": nlm, "tv": tv, "wavelet": wavelet}


def _closest(candidates: Iterable[np.ndarray], clean: np.ndarray) -> np.ndarray:
    """The candidate of the highest PSNR against `clean`, clipped as it will be for its score."""
    best = min(candidates, key=lambda x: float(np.mean(np.square(np.clip(x, 0, 1) - clean))))
    return best.astype(np.float32)
