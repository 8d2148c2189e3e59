"""Classical methods of scikit-image, which a network has to beat.

A baseline takes `(noisy, sigma, clean)`, NumPy float32 of shape (H, W, C), and returns the denoised
image, float32 of that shape, not clipped. `sigma` is the noise's standard deviation in signal
units; None has `zoo.estimate.estimate_sigma` estimate it. `clean` is there for those that choose
their strength by the PSNR they reach: no user has that oracle, which favors the baseline.
"""

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np

from zoo.errors import ZooError
from zoo.estimate import estimate_sigma

Baseline = Callable[[np.ndarray, float | None, np.ndarray], np.ndarray]

# Op by op every size of image would compile a dozen programs instead of one.
_estimate_sigma = jax.jit(estimate_sigma)


def _with_sigma(method: Baseline) -> Baseline:
    """The method with sigma estimated where it is not known; without noise nothing is done."""

    @functools.wraps(method)
    def baseline(noisy: np.ndarray, sigma: float | None, clean: np.ndarray) -> np.ndarray:
        sigma = float(_estimate_sigma(noisy)) if sigma is None else sigma
        return method(noisy, sigma, clean) if sigma > 0 else noisy

    return baseline


@_with_sigma
def nlm(noisy: np.ndarray, sigma: float, clean: np.ndarray) -> np.ndarray:
    """Non-local means: the best by PSNR of three filter strengths, all channels together.

    References:
      Buades, Coll, Morel, "A non-local algorithm for image denoising", CVPR 2005.
    """
    from skimage import restoration  # noqa: PLC0415 - an extra

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


@_with_sigma
def wavelet(noisy: np.ndarray, sigma: float, clean: np.ndarray) -> np.ndarray:
    """BayesShrink in the Haar wavelet, averaged over the four shifts by one pixel; no oracle.

    Color is shrunk in YCbCr, where the noise stands out from the little chroma there is. On three
    photographs at sigma 25/255 that gains 1.0 to 1.8 dB, the shifts 1.1 to 1.4 dB more, while
    VisuShrink loses 3.5 to 4.5 dB everywhere and is therefore not tried.

    References:
      Chang, Yu, Vetterli, "Adaptive wavelet thresholding for image denoising and compression",
      IEEE TIP 2000. Coifman, Donoho, "Translation-invariant de-noising", 1995.
    """
    del clean
    from skimage import restoration  # noqa: PLC0415 - an extra

    # Not skimage's `cycle_spin`: it wants dask, or else warns.
    total = np.zeros(noisy.shape, np.float64)
    for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
        with warnings.catch_warnings():
            # PyWavelets warns about small images, which cannot be avoided.
            warnings.filterwarnings("ignore", "Level value", UserWarning)
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


@_with_sigma
def tv(noisy: np.ndarray, sigma: float, clean: np.ndarray) -> np.ndarray:
    """Total variation: the best by PSNR of five weights, channel by channel.

    References:
      Chambolle, "An algorithm for total variation minimization and applications", JMIV 2004.
    """
    from skimage import restoration  # noqa: PLC0415 - an extra

    candidates = (
        restoration.denoise_tv_chambolle(noisy, weight=factor * sigma, channel_axis=-1)
        for factor in (0.5, 0.75, 1.0, 1.25, 1.5)
    )
    return _closest(candidates, clean)


def median(noisy: np.ndarray, sigma: float | None, clean: np.ndarray) -> np.ndarray:
    """The 3x3 median of each channel: the one to beat on salt and pepper."""
    del sigma, clean
    from scipy import ndimage  # noqa: PLC0415 - training names baselines long before it runs one

    return ndimage.median_filter(noisy, size=(3, 3, 1), mode="reflect")


@_with_sigma
def bm3d(noisy: np.ndarray, sigma: float, clean: np.ndarray) -> np.ndarray:
    """Block-matching and 3D filtering, if the user has installed it; color as CBM3D.

    Raises:
      ZooError: the package bm3d is not there.

    References:
      Dabov, Foi, Katkovnik, Egiazarian, "Image denoising by sparse 3-D transform-domain
      collaborative filtering", IEEE TIP 2007. Makinen, Azzari, Foi, "Collaborative filtering of
      correlated noise", IEEE TIP 2020, is what the package implements.
    """
    del clean
    if not is_installed("bm3d"):
        raise ZooError(
            "the baseline bm3d needs the package bm3d, whose license is non-commercial; install it "
            "if that suits you: pip install bm3d"
        )
    package = importlib.import_module("bm3d")
    color = noisy.shape[-1] == 3
    denoise = package.bm3d_rgb if color else package.bm3d
    return denoise(noisy if color else noisy[..., 0], sigma).reshape(noisy.shape).astype(np.float32)


BASELINES: Mapping[str, Baseline] = {
    "bm3d": bm3d,
    "median": median,
    "nlm": nlm,
    "tv": tv,
    "wavelet": wavelet,
}


def is_installed(name: str) -> bool:
    """Whether a baseline can run here: all but bm3d, which users install."""
    return name != "bm3d" or importlib.util.find_spec("bm3d") is not None


def _closest(candidates: Iterable[np.ndarray], clean: np.ndarray) -> np.ndarray:
    """The candidate of the highest PSNR against `clean`, clipped as it will be for its score."""
    best = min(candidates, key=lambda x: float(np.mean(np.square(np.clip(x, 0, 1) - clean))))
    return best.astype(np.float32)
