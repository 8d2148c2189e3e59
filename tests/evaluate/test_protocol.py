"""The pixels of the noise and the arithmetic of the scores."""

import json

import jax
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from zoo.errors import ZooError
from zoo.evaluate import ImageProtocol, NumpyGaussian, compare
from zoo.evaluate.degrade import degrade
from zoo.evaluate.protocol import PUBLISHED, choices_of
from zoo.modality import IMAGE

METRICS = tuple(IMAGE.metrics)


def gaussian(key, x):
    return x + 0.1 * jax.random.normal(key, x.shape), np.float32(0.1)


def noisy_cat(channels=3, side=70):
    clean = data.chelsea()[:64, :side, :channels]
    rng = np.random.default_rng(0)
    return clean, (clean / 255 + rng.normal(0, 0.1, clean.shape)).astype(np.float32)


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


def test_numpy_noise_is_what_the_published_scripts_draw():
    clean = np.float32(data.chelsea()[:20, :30] / 255)
    np.random.seed(3)
    expected = np.float32(clean + np.random.normal(0, 25 / 255, clean.shape))
    np.testing.assert_array_equal(NumpyGaussian(25 / 255).add(3, clean), expected)


def test_scores_are_of_the_rounded_image():
    clean, denoised = noisy_cat()
    written = np.round(np.clip(denoised, 0, 1) * 255).astype(np.uint8)
    found = compare(clean, denoised, ImageProtocol(), METRICS)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, written), abs=1e-3)
    expected = structural_similarity(
        clean, written, gaussian_weights=True, use_sample_covariance=False, channel_axis=-1
    )
    assert found["ssim"] == pytest.approx(expected, abs=1e-4)
    error = (clean.astype(float) - written) / 255
    assert found["mse"] == pytest.approx(np.mean(error**2), rel=1e-5)
    assert found["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-5)
    assert all(type(value) is float for value in found.values())
    as_written = compare(clean, written, ImageProtocol(), METRICS)
    assert as_written == pytest.approx(found, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    ("output", "finish"),
    [
        ("float", lambda x: x),
        ("clip", lambda x: np.clip(x, 0, 1)),
        ("round", lambda x: np.round(np.clip(x, 0, 1) * 255) / 255),
    ],
)
def test_the_output_is_finished_as_named(output, finish):
    clean, denoised = noisy_cat()
    expected = 10 * np.log10(1 / np.mean((finish(denoised) - clean / 255) ** 2))
    found = compare(clean, denoised, ImageProtocol(output=output), ["psnr"])
    assert found["psnr"] == pytest.approx(expected, abs=1e-3)


def test_luma_is_that_of_matlab():
    """Y of rgb2ycbcr, whose documentation gives white as 235 and black as 16."""
    clean, denoised = noisy_cat()
    written = np.round(np.clip(denoised, 0, 1) * 255)
    weights = np.array([65.481, 128.553, 24.966])
    luma = [np.round(x / 255 @ weights + 16) for x in (clean.astype(float), written)]
    expected = 10 * np.log10(255**2 / np.mean((luma[0] - luma[1]) ** 2))
    found = compare(clean, denoised, ImageProtocol(channels="y"), ["psnr"])
    assert found["psnr"] == pytest.approx(expected, abs=1e-3)
    gray = compare(clean[..., :1], denoised[..., :1], ImageProtocol(channels="y"), ["psnr"])
    assert gray == compare(clean[..., :1], denoised[..., :1], ImageProtocol(), ["psnr"])


def test_the_range_may_be_that_of_the_image():
    clean, denoised = noisy_cat()
    clean = clean // 2
    spread = (int(clean.max()) - int(clean.min())) / 255
    full = compare(clean, denoised, ImageProtocol(), ["psnr"])["psnr"]
    own = compare(clean, denoised, ImageProtocol(data_range="image"), ["psnr"])["psnr"]
    assert own - full == pytest.approx(20 * np.log10(spread), abs=1e-3)


def test_sixteen_bits_stay_sixteen():
    target = np.array([[[1000], [65535]]], np.uint16)
    close = (np.array([[[1002], [65535]]]) / 65535).astype(np.float32)
    assert compare(target, close, ImageProtocol(), ["mae"])["mae"] == pytest.approx(
        1 / 65535, rel=1e-3
    )


def test_border_does_not_count():
    target = np.zeros((20, 20, 1), np.uint8)
    denoised = np.zeros((20, 20, 1), np.float32)
    denoised[:2] = 1
    assert compare(target, denoised, ImageProtocol(border=2), ["mae"])["mae"] == 0
    assert compare(target, denoised, ImageProtocol(), ["mae"])["mae"] == pytest.approx(0.1)
    with pytest.raises(ZooError, match="border of 10"):
        compare(target, denoised, ImageProtocol(border=10), ["mae"])


def test_ssim_is_undefined_on_small_images_and_psnr_infinite_on_equal_ones():
    image = np.random.default_rng(0).integers(0, 256, (8, 30, 3), np.uint8)
    found = compare(image, image, ImageProtocol(), METRICS)
    assert compare(image, image / np.float32(255), ImageProtocol(), ["psnr"])["psnr"] == np.inf
    assert np.isnan(found["ssim"])
    assert np.isnan(found["ms_ssim"])
    assert found["psnr"] == np.inf


def test_depths_must_agree():
    image = np.ones((8, 30, 1), np.uint8)
    for target, output in ((image / 2, image / 2), (image, image.astype(np.uint16))):
        with pytest.raises(ZooError, match="give a target of uint8 or uint16"):
            compare(target, output, ImageProtocol(), METRICS)


def test_shapes_must_agree_and_values_be_finite():
    with pytest.raises(ZooError, match="denoised"):
        compare(np.ones((8, 8, 1), np.uint8), np.ones((8, 8, 3), np.float32), ImageProtocol(), [])
    bad = np.full((8, 8, 1), np.nan, np.float32)
    with pytest.raises(ZooError, match="not finite"):
        compare(np.ones((8, 8, 1), np.uint8), bad, ImageProtocol(), [])


def test_protocol_prints_itself():
    protocol = ImageProtocol(seed=3, border=2)
    assert json.loads(json.dumps(protocol.choices()))["seed"] == 3
    assert "\n" not in protocol.line()
    assert "seed 3" in protocol.line()
    assert "border 2" in protocol.line()
    for seed in (-1, 2**31):
        with pytest.raises(ZooError, match="seed"):
            ImageProtocol(seed=seed)
    with pytest.raises(ZooError, match="border"):
        ImageProtocol(border=-1)


def test_nobody_chose_the_noise_of_pairs():
    protocol = ImageProtocol(seed=3)
    line, reported = protocol.line(paired=True), protocol.choices(paired=True)
    assert "the images' own noise" in line
    assert "own" in reported["noise"]
    assert not {"seed", "level"} & reported.keys()
    assert not any(word in line for word in ("seed", "level", "JAX"))
    assert "level estimated" in ImageProtocol(level="estimated").line(paired=True)
    assert "level" in ImageProtocol(level="estimated").choices(paired=True)


@pytest.mark.parametrize(
    "name", ["noise", "noisy", "output", "channels", "data_range", "level", "shapes"]
)
def test_every_choice_shows(name):
    lines, reported = set(), set()
    for choice in choices_of(name):
        protocol = ImageProtocol(**{name: choice})
        lines.add(protocol.line())
        reported.add(protocol.choices()[name])
        assert protocol.choices()[name].startswith(choice)
    assert len(lines) == len(reported) == len(choices_of(name)) > 1
    with pytest.raises(ZooError, match=f"^unknown {name} 'x'"):
        ImageProtocol(**{name: "x"})


def test_the_published_protocol_is_that_of_the_papers():
    """Of KAIR, DPIR, SwinIR and Restormer; the sets they use have two sizes at most."""
    assert PUBLISHED.noise == "numpy"
    assert (PUBLISHED.seed, PUBLISHED.border, PUBLISHED.noisy) == (0, 0, "float")
    assert (PUBLISHED.output, PUBLISHED.channels, PUBLISHED.data_range) == ("round", "all", "full")
