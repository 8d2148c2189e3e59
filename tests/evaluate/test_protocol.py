"""The pixels of the noise and the arithmetic of the scores."""

import json

import jax
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from zoo.errors import ZooError
from zoo.evaluate.protocol import Protocol, degrade, quantise, score, score_batch


def gaussian(key, x):
    return x + 0.1 * jax.random.normal(key, x.shape), np.float32(0.1)


def test_noise_is_decided_by_seed_and_index_alone():
    clean = np.full((3, 12, 13, 1), 0.5, np.float32)
    noisy, level = degrade(gaussian, 7, np.arange(3), clean)
    assert noisy.shape == clean.shape
    np.testing.assert_allclose(level, [0.1] * 3)
    alone, _ = degrade(gaussian, 7, np.array([2]), clean[:1])
    np.testing.assert_array_equal(alone[0], noisy[2])
    by_hand, _ = gaussian(jax.random.fold_in(jax.random.key(7), 2), clean[0])
    np.testing.assert_allclose(noisy[2], by_hand, atol=1e-6)
    assert not np.array_equal(noisy[0], noisy[1])
    other, _ = degrade(gaussian, 8, np.arange(3), clean)
    assert not np.array_equal(noisy, other)


def test_noise_is_not_clipped():
    noisy, _ = degrade(gaussian, 0, np.arange(1), np.zeros((1, 16, 16, 1), np.float32))
    assert noisy.min() < 0


def test_scores_are_of_the_rounded_picture():
    clean = data.chelsea()[:64, :70]
    rng = np.random.default_rng(0)
    denoised = (clean / 255 + rng.normal(0, 0.1, clean.shape)).astype(np.float32)
    written = np.round(np.clip(denoised, 0, 1) * 255).astype(np.uint8)
    found = score(clean, denoised, Protocol())
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, written), abs=1e-3)
    expected = structural_similarity(
        clean, written, gaussian_weights=True, use_sample_covariance=False, channel_axis=-1
    )
    assert found["ssim"] == pytest.approx(expected, abs=1e-4)
    error = (clean.astype(float) - written) / 255
    assert found["mse"] == pytest.approx(np.mean(error**2), rel=1e-5)
    assert found["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-5)
    assert all(type(value) is float for value in found.values())
    assert score(clean, written, Protocol()) == found


def test_sixteen_bits_stay_sixteen():
    target = np.array([[[1000], [65535]]], np.uint16)
    close = (np.array([[[1002], [65535]]]) / 65535).astype(np.float32)
    assert quantise(close, target).tolist() == [[[1002], [65535]]]
    assert score(target, close, Protocol())["mae"] == pytest.approx(1 / 65535, rel=1e-3)


def test_border_does_not_count():
    target = np.zeros((1, 20, 20, 1), np.uint8)
    denoised = np.zeros((1, 20, 20, 1), np.float32)
    denoised[:, :2] = 1
    assert score_batch(target, denoised, Protocol(border=2))["mae"] == [0]
    assert score_batch(target, denoised, Protocol())["mae"] == pytest.approx([0.1])
    with pytest.raises(ZooError, match="border of 10"):
        score_batch(target, denoised, Protocol(border=10))


def test_ssim_is_undefined_on_small_pictures_and_psnr_infinite_on_equal_ones():
    found = score(np.ones((8, 30, 1), np.uint8), np.ones((8, 30, 1), np.uint8), Protocol())
    assert np.isnan(found["ssim"])
    assert found["psnr"] == np.inf


def test_shapes_must_agree():
    with pytest.raises(ZooError, match="denoised"):
        score(np.ones((8, 8, 1), np.uint8), np.ones((8, 8, 3), np.float32), Protocol())


def test_protocol_prints_itself():
    protocol = Protocol(seed=3, border=2)
    assert json.loads(protocol.to_json())["seed"] == 3
    assert "\n" not in str(protocol)
    assert "seed 3" in str(protocol)
    assert "border 2" in str(protocol)
    for seed in (-1, 2**31):
        with pytest.raises(ZooError, match="seed"):
            Protocol(seed=seed)
    with pytest.raises(ZooError, match="border"):
        Protocol(border=-1)
