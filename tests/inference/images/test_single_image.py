"""Networks learned from one noisy image: that they denoise it, are kept, and leave out what is not
there."""

import jax
import numpy as np
import pytest
from variables import random_variables

import zoo
from zoo.errors import ZooError
from zoo.inference import load_adapted, single_image


def imaged(side=64, channels=1):
    """A smooth image up to 255 and a noisy copy whose noise grows with it."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(*2 * [np.arange(side) / side])
    clean = np.stack([110 + 90 * np.sin(5 * x + n) * np.cos(4 * y) for n in range(channels)], -1)
    noisy = clean + np.sqrt(4 * clean) * rng.standard_normal(clean.shape)
    return clean, np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((np.float64(a) - b) ** 2))


@pytest.mark.matrix
def test_it_learns_and_is_kept(tmp_path):
    clean, noisy = imaged()
    adapted = zoo.adapt(noisy, method="noise2fast", steps=60)
    denoised = adapted(noisy)
    assert psnr(denoised, clean) > psnr(noisy, clean) + 1.5
    path = tmp_path / "own.safetensors"
    adapted.save(path)
    np.testing.assert_array_equal(load_adapted(path)(noisy), denoised)
    assert zoo.weights.read_record(path)["adapted"]["method"] == "noise2fast"


def test_a_network_is_not_given_one():
    with pytest.raises(ZooError, match="leave out model"):
        zoo.adapt(imaged()[1], "unet-gray", method="zs-n2n")
    with pytest.raises(ZooError, match="did you mean 'zs-n2n'"):
        zoo.adapt(imaged()[1], method="zsn2n")


@pytest.mark.matrix
@pytest.mark.parametrize("method", single_image.METHODS)
def test_values_that_are_not_there_have_no_weight(method):
    model = zoo.create_model("dncnn-gray", **single_image.OPTIONS)
    x = np.random.default_rng(0).random((2, 16, 16, 1), np.float32)
    params = random_variables(model, x)["params"]
    loss = jax.jit(single_image._loss, static_argnums=1)
    known = np.ones(x.shape, bool)
    assert float(loss(params, (model, method), x, known, jax.random.key(0))) > 0
    assert float(loss(params, (model, method), x, ~known, jax.random.key(0))) == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["noise2fast", "zs-n2n"])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_takes_most_of_the_noise(method, channels):
    clean, noisy = imaged(64, channels)
    denoised = zoo.adapt(noisy, method=method, steps=200)(noisy)
    assert psnr(denoised, clean) > psnr(noisy, clean) + 9


@pytest.mark.slow
def test_what_is_not_finite_counts_for_nothing():
    clean, noisy = imaged(64)
    masked = noisy.astype(np.float32)
    masked[20:40, 20:40] = np.nan
    denoised = zoo.adapt(masked, method="zs-n2n", steps=200)(masked)
    there = np.isfinite(masked)
    np.testing.assert_array_equal(np.isfinite(denoised), there)
    assert psnr(denoised[there], clean[there]) > psnr(noisy[there], clean[there]) + 6
