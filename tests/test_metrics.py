"""Against scikit-image, SciPy and closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from scipy import ndimage
from skimage import data
from skimage.metrics import structural_similarity

from zoo import metrics
from zoo.errors import ZooError

# Op by op each of the five scales would compile by itself.
ssim = jax.jit(metrics.ssim, static_argnames="data_range")
ms_ssim = jax.jit(metrics.ms_ssim, static_argnames=("data_range", "scales"))


def noisy(clean, sigma=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return (clean + rng.normal(0, sigma, clean.shape)).astype(np.float32)


def reference_ssim(a, b, data_range):
    return structural_similarity(
        a.astype(np.float64),
        b.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1,
        data_range=data_range,
    )


@pytest.fixture(scope="module")
def cat():
    return (data.chelsea()[:200, :230] / 255).astype(np.float32)


def test_psnr_by_hand():
    # One of four values is wrong by 51 of 255: mse = .2^2 / 4 = .01, hence 20 dB.
    a = np.zeros((2, 2, 1), np.float32)
    b = a.copy()
    b[0, 0, 0] = 51
    assert metrics.psnr(a, b, data_range=255) == pytest.approx(20, abs=1e-4)
    assert metrics.psnr(a / 255, b / 255, data_range=1) == pytest.approx(20, abs=1e-4)
    assert metrics.mse(a, b) == pytest.approx(51**2 / 4)
    assert metrics.mae(a, b) == pytest.approx(51 / 4)


def test_psnr_of_identical_images_is_infinite():
    assert np.isposinf(metrics.psnr(np.ones((4, 4, 1)), np.ones((4, 4, 1)), data_range=1))


def test_data_range_must_be_named():
    a = np.ones((16, 16, 1), np.float32)
    for metric in (metrics.psnr, metrics.ssim, metrics.ms_ssim):
        with pytest.raises(TypeError):
            metric(a, a)


def test_psnr_of_a_photograph_agrees_with_double_precision():
    clean = data.astronaut()
    other = np.clip(clean + np.random.default_rng(0).integers(-9, 10, clean.shape), 0, 255)
    expected = 10 * np.log10(255**2 / np.mean((clean.astype(np.float64) - other) ** 2))
    got = metrics.psnr(clean, other.astype(np.uint8), data_range=255)
    assert got == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("data_range", [1, 255, 65535])
@pytest.mark.parametrize("sigma", [0.002, 0.1])
def test_ssim_agrees_with_skimage(cat, data_range, sigma):
    a, b = cat * data_range, noisy(cat, sigma) * data_range
    expected = reference_ssim(a, b, data_range)
    assert ssim(a, b, data_range=data_range) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_ssim_of_nearly_plain_areas_agrees_with_skimage(level):
    a = np.full((40, 30, 1), level, np.float32)
    b = noisy(a, 0.01)
    expected = reference_ssim(a, b, 1)
    assert ssim(a, b, data_range=1) == pytest.approx(expected, abs=1e-4)


def test_ssim_of_bytes_and_of_the_smallest_image():
    a = data.camera()[:11, :11, None]
    b = data.camera()[5:16, :11, None]
    expected = reference_ssim(a, b, 255)
    assert ssim(a, b, data_range=255) == pytest.approx(expected, abs=1e-4)
    assert metrics.ssim_map(a, b, data_range=255).shape == (1, 1, 1)


def test_a_batch_is_its_images(cat):
    batch = cat.reshape(2, 100, 230, 3)[:, None]
    other = noisy(batch)
    for name in ("mse", "mae", "psnr", "ssim", "ms_ssim"):
        metric = getattr(metrics, name)
        options = {} if name in ("mse", "mae") else {"data_range": 1.0}
        metric = jax.jit(functools.partial(metric, **options))
        got = metric(batch, other)
        assert got.shape == (2, 1)
        assert got.dtype == jnp.float32
        for i in range(2):
            one = metric(batch[i, 0], other[i, 0])
            np.testing.assert_allclose(got[i, 0], one, rtol=2e-5)


def test_bfloat16_is_computed_in_float32(cat):
    a, b = jnp.asarray(cat, jnp.bfloat16), jnp.asarray(noisy(cat), jnp.bfloat16)
    got = ssim(a, b, data_range=1)
    assert got.dtype == jnp.float32
    expected = reference_ssim(np.asarray(a, np.float32), np.asarray(b, np.float32), 1)
    assert got == pytest.approx(expected, abs=1e-4)


def matlab_ms_ssim(a, b, weights):
    """The authors' `msssim.m` in float64, one channel, range 1, on SciPy's filters."""
    kernel = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    kernel /= kernel.sum()

    def blur(x):
        for axis in (0, 1):
            x = ndimage.correlate1d(x, kernel, axis=axis)
        return x[5:-5, 5:-5]

    contrasts = []
    for _ in weights:
        ma, mb = blur(a), blur(b)
        va, vb, ab = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        contrast = (2 * ab + 0.03**2) / (va + vb + 0.03**2)
        similarity = (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2) * contrast
        contrasts.append(contrast.mean())
        # imfilter(x, ones(2) / 4, 'symmetric'), then every other sample.
        a, b = (
            ndimage.correlate(x, np.full((2, 2), 0.25), mode="reflect", origin=-1)[::2, ::2]
            for x in (a, b)
        )
    return np.prod(np.power([*contrasts[:-1], similarity.mean()], weights))


@pytest.mark.parametrize("shape", [(176, 180), (201, 233)])
def test_ms_ssim_agrees_with_the_authors_algorithm(shape):
    a = (data.camera()[: shape[0], : shape[1]] / 255).astype(np.float32)
    b = noisy(a, 0.2)
    expected = matlab_ms_ssim(a.astype(np.float64), b.astype(np.float64), metrics.MS_SSIM_WEIGHTS)
    got = ms_ssim(a[..., None], b[..., None], data_range=1, scales=5)
    assert got == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_takes_the_scales_that_fit():
    a = (data.camera()[100:164, 200:264] / 255).astype(np.float32)
    b = noisy(a)
    weights = np.array([0.0448, 0.2856, 0.3001])
    expected = matlab_ms_ssim(a.astype(np.float64), b.astype(np.float64), weights / weights.sum())
    got = ms_ssim(a[..., None], b[..., None], data_range=1)
    assert got == pytest.approx(expected, abs=1e-4)
    one = ms_ssim(a[..., None], b[..., None], data_range=1, scales=1)
    single = float(ssim(a[..., None], b[..., None], data_range=1))
    assert one == pytest.approx(single, abs=1e-6)


@functools.cache
def value_and_slope(name):
    metric = functools.partial(getattr(metrics, name), data_range=1)
    return jax.jit(jax.value_and_grad(metric))


def test_ms_ssim_of_a_negative_is_finite(cat):
    part = cat[:64, :64]
    value, slope = value_and_slope("ms_ssim")(1 - part, part)
    assert 0 <= value < 0.2
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", ["ssim", "ms_ssim"])
@pytest.mark.parametrize("image", first(1, ["black", "cat"]))
def test_gradients_are_finite_and_zero_at_equality(cat, name, image):
    a = jnp.asarray(cat if image == "cat" else np.zeros((64, 64, 3), np.float32))
    value, slope = value_and_slope(name)(a, a)
    assert value == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_ssim_gradient_agrees_with_finite_differences():
    rng = np.random.default_rng(0)
    a, b, direction = rng.random((3, 16, 17, 1)).astype(np.float32)
    slope = jax.jit(jax.grad(lambda x: metrics.ssim(x, b, data_range=1)))(a)
    step = 1e-4 * direction.astype(np.float64)
    numeric = (reference_ssim(a + step, b, 1) - reference_ssim(a - step, b, 1)) / 2e-4
    assert np.sum(slope * direction) == pytest.approx(numeric, rel=1e-3)


def test_errors_are_one_line():
    small = np.zeros((10, 64, 1), np.float32)
    square = np.zeros((64, 64, 1), np.float32)
    for call, words in [
        (lambda: metrics.ssim(small, small, data_range=1), "10x64"),
        (lambda: metrics.ms_ssim(small, small, data_range=1), "10x64"),
        (lambda: metrics.ms_ssim(square, square, data_range=1, scales=5), "176"),
        (lambda: metrics.ms_ssim(square, square, data_range=1, scales=0), "1 to 5"),
        (lambda: metrics.mse(small, square), "one shape"),
        (lambda: metrics.mae(square[0], square[0]), "H, W, C"),
    ]:
        with pytest.raises(ZooError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
