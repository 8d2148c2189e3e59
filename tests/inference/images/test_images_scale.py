"""Images of any range, linear ones, clean ones: what the model sees, and what comes back."""

import jax.numpy as jnp
import numpy as np
import pytest
import small
from flax import linen as nn
from PIL import Image, ImageDraw
from skimage import data

from zoo.errors import ZooError
from zoo.inference import ImageDenoiser, denoise, noise_level
from zoo.inference.noise_level import estimate_level
from zoo.inference.value_scale import find
from zoo.resolve import resolve


def trained_to(model, level):
    """The model with a record that says up to which level it was trained."""
    noise = {"name": "gaussian", "level": level, "unit": "1"}
    return resolve(model)._replace(metadata={"noise": noise})


RNG = np.random.default_rng


class Bent(nn.Module):
    """No network is linear: what it sees decides."""

    channels: int = 1
    takes_level: bool = True

    def __call__(self, x, level=None, *, train=False):
        return jnp.sin(x) * (1 - jnp.asarray(level, x.dtype).reshape(-1, 1, 1, 1))


class Seen(nn.Module):
    """Nothing is changed, but what is beyond some value, which no model should see."""

    channels: int = 1

    def __call__(self, x, level=None, *, train=False):
        return jnp.where((x > 2) | (x < -1), jnp.nan, x)


class Columns(nn.Module):
    """The mean of each column."""

    channels: int = 1
    locality: str = "global"

    def __call__(self, x, level=None, *, train=False):
        return jnp.broadcast_to(x.mean(1, keepdims=True), x.shape)


def noisy(height=96, width=112, sigma=0.05):
    return small.make_image(height, width, 1, np.float64)[..., 0] + sigma * RNG(1).normal(
        size=(height, width)
    )


@pytest.fixture(scope="module")
def bent():
    x = np.clip(noisy(), 0, 1).astype(np.float32)
    return x, denoise(x, Bent())


@pytest.mark.parametrize("power", [-40, -8, -1, 1, 12])
def test_a_image_of_half_the_values_comes_out_with_half_the_values(bent, power):
    x, y = bent
    times = np.float32(2.0**power)
    np.testing.assert_allclose(denoise(x * times, Bent()) / times, y, rtol=0, atol=1e-6)
    assert np.abs(x - y).max() > 0.05


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [(np.uint16, 12), (np.uint16, 10), (np.int16, 14), (np.int32, 16), (np.uint32, 20)],
)
def test_integers_of_fewer_bits_are_as_those_of_all(bent, dtype, bits):
    x, y = bent
    most = 2**bits - 1
    found = denoise(np.rint(x * most).astype(dtype), Bent())
    assert found.dtype == dtype
    np.testing.assert_allclose(found / most, y, rtol=0, atol=1.5 / most + 2e-4)


def test_what_fills_its_type_is_left_as_it_is():
    for dtype in (np.uint8, np.uint16, np.float32):
        x = small.make_image(40, 40, 3, dtype)
        assert find([x])[x.dtype].plain(x.dtype)


@pytest.mark.matrix
def test_the_networks_leave_no_grid_on_dark_images():
    """Of flat images each of the four phases of 2x2 pixels has the mean that was there."""
    denoiser = ImageDenoiser("unet-gray")
    for base, sigma in ((60, 4), (1000, 30), (30000, 10)):
        x = base + sigma * RNG(0).normal(size=(64, 64))
        x = np.clip(np.rint(x), 0, 65535).astype(np.uint16)
        found = denoiser(x)
        y = found.image.astype(np.float64)
        means = [y[i::2, j::2].mean() for i in (0, 1) for j in (0, 1)]
        assert np.ptp(means) < sigma / 10
        assert y.std() < sigma / 4
        assert y.mean() == pytest.approx(x.mean(), abs=sigma / 10)
        assert 65535 * found.level == pytest.approx(sigma, rel=0.1)


def test_negative_values_and_a_given_range():
    x = (300 * np.add.outer(np.linspace(-0.5, 0, 40), np.linspace(0, 1, 48))).astype(np.int16)
    scale = ImageDenoiser(small.Half(1))(x).scale
    assert scale.low <= x.min()
    assert scale.high >= x.max()
    assert scale.high - scale.low <= 2 * np.ptp(x)
    half = denoise(x, small.Half(1), range=(-200, 200))
    np.testing.assert_allclose(half, (x - 200.0) / 2, atol=0.51)
    for wrong in ((5, 5), (1, 0), "ab", 3, (0, np.inf)):
        with pytest.raises(ZooError, match="is not the values of black and of white"):
            denoise(x, small.Half(1), range=wrong)


def test_what_is_not_finite_is_a_mask_that_is_given_back():
    x = noisy().astype(np.float32)
    x[10:30, 40:60] = np.nan
    x[50, 50], x[51, 51] = np.inf, -np.inf
    found = ImageDenoiser(small.Half(1, takes_level=True))(x)
    known = np.isfinite(x)
    np.testing.assert_array_equal(found.image[~known], x[~known])
    np.testing.assert_allclose(found.image[known], x[known] / 2 + found.level, atol=1e-5)
    assert found.level == pytest.approx(estimate_level(noisy()[..., None]), rel=0.1)


def test_a_mask_of_integers_is_refused_and_not_dropped():
    x = np.ma.masked_greater((255 * noisy()).astype(np.uint16), 100)
    with pytest.raises(ZooError, match="the image is masked, and uint16 has no value for that"):
        denoise(x, small.Half(1))
    # As floats its masked values come back as NaN; one that masks nothing is an array as any.
    found = denoise(x.astype(np.float32), small.Half(1))
    np.testing.assert_array_equal(np.isnan(found), x.mask)
    unmasked = np.ma.array(np.asarray(x))
    np.testing.assert_array_equal(denoise(unmasked, small.Half(1)), denoise(x.data, small.Half(1)))


def test_stars_beyond_white_are_kept_and_no_model_sees_them():
    x = (0.01 + 0.001 * RNG(0).normal(size=(64, 64))).astype(np.float32)
    x[20, 30], x[40, 8] = 0.9, 30
    np.testing.assert_allclose(denoise(x, Seen()), x, rtol=1e-6)


def test_gray_that_is_stored_as_rgb_is_gray(monkeypatch):
    x = np.rint(255 * np.clip(noisy(sigma=25 / 255), 0, 1)).astype(np.uint8)
    as_rgb = np.repeat(x[..., None], 3, -1)
    model = small.Half(3, takes_level=True)
    plain, found = ImageDenoiser(model)(x), ImageDenoiser(model)(as_rgb)
    assert found.level == plain.level
    np.testing.assert_array_equal(found.image, np.repeat(plain.image[..., None], 3, -1))
    with_alpha = np.concatenate([as_rgb, x[..., None]], -1)
    np.testing.assert_array_equal(ImageDenoiser(model)(with_alpha).image[..., 3], x)


def test_a_gray_model_is_given_the_noise_of_a_channel():
    """Noise of the luma, as JPEG leaves it, counts for models of all channels only."""
    x = np.repeat(noisy(256, 256)[..., None], 3, -1)
    x[..., 0] *= 0.99
    levels = [ImageDenoiser(small.Half(c, takes_level=True))(x).level for c in (1, 3)]
    assert levels[1] > 1.3 * levels[0]


def graphics():
    image = Image.new("RGB", (320, 240), "white")
    draw = ImageDraw.Draw(image)
    for i, color in enumerate(("red", "lime", "blue", "yellow", "magenta", "cyan", "gray")):
        draw.rectangle((10 + 38 * i, 20, 40 + 38 * i, 100), fill=color)
    for i in range(8):
        draw.text((10, 120 + 14 * i), "The quick brown fox jumps over", fill="black")
    return np.asarray(image)


def clean():
    rows, columns = np.mgrid[:256, :320]
    yield "graphics", graphics()
    yield "gradient", np.dstack([columns * 255 / 319, rows, 128 + 0 * rows]).astype(np.uint8)
    yield "checkers", (255 * ((rows + columns) % 2)).astype(np.uint8)
    yield "halftone", 255 * ((rows % 4 - 1.5) ** 2 + (columns % 4 - 1.5) ** 2 < 1.6).astype("u1")


@pytest.mark.parametrize(("name", "x"), list(clean()))
@pytest.mark.parametrize("takes_level", [True, False])
def test_clean_images_stay_as_they_are(name, x, takes_level):
    model = small.Half(1 if x.ndim == 2 else 3, takes_level=takes_level)
    np.testing.assert_array_equal(ImageDenoiser(model)(x).image, x)


def test_a_photograph_is_not_drawn_even_as_jpeg(tmp_path):
    camera = data.camera()
    assert not noise_level.is_drawn(camera[..., None])
    Image.fromarray(camera).save(tmp_path / "a.jpg", quality=30)
    assert not noise_level.is_drawn(np.asarray(Image.open(tmp_path / "a.jpg"))[..., None])


def test_noise_on_a_printed_raster_is_distinguished_from_it():
    rows, columns = np.mgrid[:256, :256]
    raster = 0.5 + 0.2 * np.cos(np.pi * rows * 0.7) * np.cos(np.pi * columns * 0.7)
    x = raster + 0.02 * RNG(0).normal(size=raster.shape)
    assert estimate_level(x[..., None]) == pytest.approx(0.02, rel=0.3)


def test_levels_beyond_the_training_are_said_and_no_model_hears_them():
    x = np.clip(noisy(sigma=0.2), 0, 1).astype(np.float32)
    model = small.Half(1, takes_level=True)
    found = ImageDenoiser(trained_to(model, 0.1))(x, 0.4)
    assert found.level == 0.4
    assert found.scale.dim == pytest.approx(4)
    assert "up to sigma 25.5" in found.notes[0]
    np.testing.assert_allclose(found.image, x / 2 + 0.4, atol=1e-5)
    assert ImageDenoiser(trained_to(model, 0.5))(x, 0.4).notes == ()


@pytest.mark.matrix
def test_a_image_of_photons_has_its_noise_made_even():
    light = np.repeat(np.linspace(100, 8000, 256)[None], 256, 0)
    x = np.rint(4 * RNG(0).poisson(light / 4)).astype(np.uint16)
    scale = find([x[..., None]], stabilize="poisson")[x.dtype]
    assert scale.noise.gain == pytest.approx(4, rel=0.15)
    seen = (scale.enter(x) - scale.enter(light)).std(0)
    assert seen[:64].mean() == pytest.approx(seen[-64:].mean(), rel=0.1)
    found = denoise(x, Columns(), stabilize="poisson")
    np.testing.assert_allclose(found.mean(0), x.mean(0), rtol=0.03)
    assert found.mean() == pytest.approx(x.mean(), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ((5,), "a model is a name, a module or a weight file's path, not int"),
        ((small.Half,), "a model is a name, a module"),
        (([small.Half()],), "a model is a name, a module"),
        ((small.Half(1), {}), "level={} is not"),
        ((small.Half(1), "25"), "level='25' is not"),
    ],
)
def test_arguments_of_other_types_are_refused(arguments, reported):
    with pytest.raises(ZooError) as caught:
        denoise(np.zeros((20, 20)), *arguments)
    assert str(caught.value).startswith(reported)
    with pytest.raises(ZooError, match="are a dictionary such as init returns, not int"):
        denoise(np.zeros((20, 20)), small.Half(1), variables=5)
