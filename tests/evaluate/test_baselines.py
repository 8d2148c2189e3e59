"""The baselines denoise, keep shape and dtype, and do not warn."""

import functools

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, restoration

from zoo.evaluate.baselines import BASELINES, estimate_sigma, is_installed

SIGMA = 25 / 255


def psnr(a, b):
    return -10 * np.log10(np.mean((np.clip(a, 0, 1) - b) ** 2))


def image(shape, channels, seed=0):
    clean = data.astronaut()[: shape[0], 200 : 200 + shape[1], :channels]
    clean = (clean / 255).astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, SIGMA, clean.shape)
    return clean, (clean + noise).astype(np.float32)


@pytest.mark.parametrize("name", [n for n in sorted(BASELINES) if is_installed(n)])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("sigma", [SIGMA, None])
def test_every_baseline_denoises(name, channels, sigma):
    clean, noisy = image((61, 70), channels)
    before = noisy.copy()
    denoised = BASELINES[name](noisy, sigma, clean)
    np.testing.assert_array_equal(noisy, before)
    assert denoised.shape == noisy.shape
    assert denoised.dtype == np.float32
    assert psnr(denoised, clean) > psnr(noisy, clean) + 3


@pytest.mark.parametrize("name", [n for n in sorted(BASELINES) if is_installed(n)])
def test_plain_small_and_noiseless_images(name):
    plain = np.full((11, 12, 3), 0.5, np.float32)
    np.testing.assert_allclose(BASELINES[name](plain, 0.0, plain), plain, atol=1e-6)
    np.testing.assert_allclose(BASELINES[name](plain, SIGMA, plain), plain, atol=1e-4)
    clean, noisy = image((7, 9), 1)
    assert np.isfinite(BASELINES[name](noisy, SIGMA, clean)).all()


def test_nlm_is_the_best_of_three():
    clean, noisy = image((48, 48), 3)
    denoise = functools.partial(
        restoration.denoise_nl_means, patch_size=5, patch_distance=6, sigma=SIGMA, channel_axis=-1
    )
    best = max(psnr(denoise(noisy, h=h * SIGMA), clean) for h in (0.4, 0.6, 0.8))
    assert psnr(BASELINES["nlm"](noisy, SIGMA, clean), clean) == pytest.approx(best, abs=1e-6)


def test_wavelet_beats_a_single_shift():
    clean, noisy = image((96, 96), 3)
    single = restoration.denoise_wavelet(noisy, sigma=SIGMA, convert2ycbcr=True, channel_axis=-1)
    assert psnr(BASELINES["wavelet"](noisy, SIGMA, clean), clean) > psnr(single, clean) + 0.5


def test_median_is_of_each_channel():
    _, noisy = image((16, 16), 3)
    expected = ndimage.median_filter(noisy[..., 1], 3)
    np.testing.assert_array_equal(BASELINES["median"](noisy, None, noisy)[..., 1], expected)


def test_sigma_is_estimated():
    noise = np.random.default_rng(0).normal(0.5, SIGMA, (128, 128, 3)).astype(np.float32)
    assert estimate_sigma(noise) == pytest.approx(SIGMA, rel=0.05)
