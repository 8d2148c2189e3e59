"""Adaptation to one image: the curve and its inverse, what is fitted, saved and applied."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from flax import traverse_util
from skimage import data, io
from variables import random_variables

import zoo
from zoo import models, noise, weights
from zoo.errors import ZooError
from zoo.inference import ImageDenoiser, adapt, adapt_file, load_adapted, noise_curve
from zoo.inference.curve_fit import Bank, line_curve, measured_curve
from zoo.resolve import resolve

RNG = np.random.default_rng


def curve(seed=0):
    slopes = np.float32(RNG(seed).normal(-5, 1, 127))
    return noise_curve.curve_of(jnp.asarray(slopes))


def psnr(a, b, peak):
    return 10 * np.log10(peak**2 / np.mean((a.astype(np.float64) - b) ** 2))


@pytest.fixture(scope="module")
def counted():
    """A photograph in counts of few photons, and its mean."""
    clean = np.float32(data.camera()[::2, ::2]) / 255
    noisy = noise.poisson_gaussian(jax.random.key(0), clean, a=0.05, b=0.0004)
    return 4000 * clean, np.asarray(4000 * noisy)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A weight file of a tiny network that takes a level."""
    options = {"takes_level": True, "channels": 1, "widths": [4, 6]}
    model = models.create_model("unet-tiny", **options)
    variables = random_variables(model, np.zeros((1, 16, 16, 1), np.float32), np.float32([0.1]))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save(path, variables, {"model": "unet-tiny", "options": options})
    return path


@pytest.fixture(scope="module")
def fitted(counted, tiny):
    return adapt(counted[1], tiny, steps=3)


def values_of(adapted):
    return traverse_util.flatten_dict(jax.device_get(adapted.model.variables), sep="/")


def test_the_curve_rises_and_its_inverse_leads_back():
    knots, level = curve()
    assert knots.shape == (128,)
    assert (np.diff(knots) > 0).all()
    assert 0 < level <= 55 / 255 + 1e-6
    x = np.linspace(-0.5, 1.5, 3001, dtype=np.float32)
    y = noise_curve.stabilize(jnp.asarray(x), knots)
    np.testing.assert_allclose(noise_curve.restore(y, knots), x, rtol=0, atol=1e-5)


def test_the_curve_and_its_inverse_are_those_of_numpy():
    knots, _ = curve(1)
    at = np.linspace(0, 1, 128)
    x = np.float32(RNG(2).random((3, 50)))
    there = noise_curve.stabilize(jnp.asarray(x), knots)
    np.testing.assert_allclose(there, np.interp(x, at, knots), rtol=0, atol=1e-6)
    y = x * np.asarray(knots)[-1]
    back = noise_curve.restore(jnp.asarray(y), knots)
    np.testing.assert_allclose(back, np.interp(y, knots, at), rtol=0, atol=1e-5)


def test_noise_louder_than_the_training_is_made_fainter():
    knots, level = noise_curve.curve_of(jnp.full(127, np.float32(np.log(0.1 / 127))))
    np.testing.assert_allclose(level, 55 / 255, rtol=1e-5)
    np.testing.assert_allclose(knots[-1], 0.1 * 55 / 25, rtol=2e-3)


def test_the_measured_curve_makes_the_noise_of_photons_even():
    """Of variance `a x + b` the curve is about the integral of 1 / sqrt(a x + b)."""
    a, b = 0.01, 0.0001
    ramp = np.broadcast_to(np.linspace(0, 1, 512, dtype=np.float32), (512, 512))
    noisy = noise.poisson_gaussian(jax.random.key(1), ramp, a=a, b=b)
    adapted = adapt(np.asarray(noisy), steps=0)
    knots, level = noise_curve.curve_of(adapted.model.variables["params"]["slopes"])
    low, high = adapted.range
    places = np.linspace(low, high, 128)[8:-8]
    steps = np.gradient(np.asarray(knots), 1 / 127)[8:-8] / (high - low)
    np.testing.assert_allclose(steps * np.sqrt(a * places + b), level, rtol=0.2)


def test_noise_whose_variance_is_a_line_needs_no_fit(tiny):
    rng = RNG(4)
    y, x = np.mgrid[:128, :128] / 128
    clean = 0.5 + 0.4 * np.sin(9 * x) * np.cos(7 * y)
    middles = (np.arange(127) + 0.5) / 127
    for a, b in ((0.0, 0.01), (0.01, 0.004)):
        noisy = np.float32(clean + np.sqrt(a * clean + b) * rng.standard_normal(clean.shape))
        said = []
        adapted = adapt(1000 * noisy, tiny, progress=lambda *done, said=said: said.append(done))
        assert not said
        low, high = np.array(adapted.range) / 1000
        slopes = np.asarray(adapted.model.variables["params"]["slopes"])
        found = noise_curve.LEVEL / 127 / np.exp(slopes) * (high - low)
        expected = np.sqrt(a * (low + middles * (high - low)) + b)
        np.testing.assert_allclose(found[10:-10], expected[10:-10], rtol=0.1)
    # Of noise that sets in at a brightness no line is the variance.
    noisy = clean + np.where(clean > 0.5, 0.1, 0.005) * rng.standard_normal(clean.shape)
    bank = Bank([(np.float32(noisy)[..., None],) * 2], 1)
    assert line_curve(bank, measured_curve(bank)) is None


@pytest.mark.matrix
def test_an_adapted_network_beats_one_for_gaussian_noise(counted):
    """Before the fit already, by its measurement; the fit itself takes longer than a test may."""
    clean, noisy = counted
    plain = psnr(zoo.denoise(noisy, "unet-gray"), clean, 4000)
    adapted = psnr(adapt(noisy, steps=0)(noisy), clean, 4000)
    assert adapted > plain + 9


@pytest.mark.matrix
def test_what_is_fitted_is_the_curve_alone(counted, tiny, fitted):
    before = traverse_util.flatten_dict(jax.device_get(resolve(tiny).variables["params"]), sep="/")
    start, after = values_of(adapt(counted[1], tiny, steps=0)), values_of(fitted)
    assert (start["params/slopes"] != after["params/slopes"]).any()
    assert (start["params/line"] != after["params/line"]).all()
    for name, value in before.items():
        np.testing.assert_array_equal(after[f"params/base/{name}"], value)


@pytest.mark.matrix
def test_the_seed_decides_what_is_fitted(counted, tiny, fitted):
    said = []
    again = adapt(counted[1], tiny, steps=3, progress=lambda *done: said.append(done))
    for name, value in values_of(fitted).items():
        np.testing.assert_array_equal(values_of(again)[name], value)
    assert said == [(3, 3)]
    other = adapt(counted[1], tiny, steps=3, seed=1)
    assert (values_of(other)["params/slopes"] != values_of(fitted)["params/slopes"]).any()


@pytest.mark.matrix
def test_hidden_values_say_nothing_of_themselves(fitted):
    """The derivative of an output by a hidden value is 0, by another one it is not."""
    module, variables = fitted.model.module, fitted.model.variables
    hidden = np.zeros((1, 16, 16, 1), bool)
    hidden[0, 6, 7] = True
    x = jnp.asarray(np.float32(RNG(3).random(hidden.shape)))
    output = jax.jit(lambda x: module.apply(variables, x, hidden=hidden)[0, 6, 7, 0])
    slope = jax.grad(output)(x)[0, ..., 0]
    assert slope[6, 7] == 0
    assert slope[6, 8] != 0


@pytest.mark.matrix
def test_a_saved_adaptation_does_the_same(counted, fitted, tmp_path):
    """Of a user's weights, which go into the file, and of those of the zoo, which are named."""
    noisy = counted[1]
    for number, adapted in enumerate((fitted, adapt(noisy, steps=0))):
        path = tmp_path / f"{number}.safetensors"
        adapted.save(path)
        loaded = load_adapted(path)
        assert loaded.range == adapted.range
        np.testing.assert_array_equal(loaded(noisy), adapted(noisy))
    assert path.stat().st_size < 2000
    with pytest.raises(ZooError, match="adapts unet-gray to an instrument; give it to"):
        zoo.load(path)


def test_tiles_make_no_difference(counted, fitted):
    noisy = counted[1]
    whole = fitted(noisy, tile=0)
    np.testing.assert_allclose(fitted(noisy, tile=128), whole, rtol=0, atol=0.02)
    assert np.abs(whole - noisy).max() > 10


@pytest.mark.matrix
def test_other_images_are_seen_as_the_fitted_one(counted, fitted):
    """A darker part of the image comes out as it does within the image, and so do other types."""
    noisy = counted[1]
    whole = fitted(noisy, tile=0)
    part = fitted(noisy[:128, :96], tile=0)
    inner = np.s_[: 128 - fitted.model.specification.reach, : 96 - fitted.model.specification.reach]
    np.testing.assert_allclose(part[inner], whole[inner], rtol=0, atol=0.02)
    counts = np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)
    close = fitted(counts.astype(np.float32))
    np.testing.assert_allclose(fitted(counts), np.clip(close, 0, 65535), rtol=0, atol=0.52)


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, np.int16), (2, np.uint8), (3, np.float64), (4, np.uint16)]
)
def test_any_channels_and_types(tiny, channels, dtype):
    """Alpha is kept; a gray network takes the channels of a color image one by one."""
    x = RNG(4).integers(20, 120, (20, 70, channels)).astype(dtype)
    y = adapt(x, tiny, steps=1)(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    if channels in (2, 4):
        np.testing.assert_array_equal(y[..., -1], x[..., -1])


@pytest.mark.matrix
def test_a_color_network_takes_gray_and_color_images():
    model, variables = small.build("ffdnet-color", 3, depth=2, width=4)
    for x in (RNG(5).random((40, 33)), RNG(5).random((40, 33, 3))):
        adapted = adapt(x, model, variables=variables, steps=1)
        assert adapted(x).shape == x.shape
        with pytest.raises(ZooError, match="FFDNet, adapted is of a module that no file can name"):
            adapted.save("x.safetensors")


@pytest.mark.matrix
def test_masks_constants_and_pages(tiny):
    x = np.float32(RNG(6).normal(200, 5, (50, 40)))
    x[10:20, 5:9] = np.nan
    y = adapt(x, tiny, steps=2)(x)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    flat = np.full((30, 30), 7, np.uint8)
    np.testing.assert_array_equal(adapt(flat, tiny, steps=1)(flat), flat)
    flat = np.full((64, 64), 0.25, np.float32)
    np.testing.assert_allclose(adapt(flat, steps=0)(flat), flat, rtol=0, atol=1e-6)
    pages = [np.float32(RNG(7).normal(mean, 2, (40, 60))) for mean in (50, 300)]
    adapted = adapt(pages, tiny, steps=1)
    assert adapted.range[0] < 60
    assert adapted.range[1] > 290


def test_the_pages_of_a_file(tiny, tmp_path):
    import tifffile

    pages = RNG(8).integers(0, 4000, (3, 40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    of_file = adapt_file(tmp_path / "stack.tif", tiny, steps=1)
    of_list = adapt(list(pages), tiny, steps=1)
    assert of_file.range == of_list.range
    np.testing.assert_array_equal(
        of_file.model.variables["params"]["slopes"], of_list.model.variables["params"]["slopes"]
    )


@pytest.mark.matrix
def test_it_goes_where_models_go(counted, fitted, tmp_path):
    noisy = counted[1][:96, :96]
    denoiser = ImageDenoiser(fitted.model, dtype="bfloat16", strength=0.5, ensemble=True)
    scale = zoo.inference.value_scale.find([noisy[..., None]], fitted.range)[noisy.dtype]
    half = denoiser(noisy, scale=scale).image
    np.testing.assert_allclose(half, fitted(noisy, strength=0.5, ensemble=True), rtol=0.05, atol=50)


def test_mistakes_are_one_line(tiny, tmp_path):
    x = np.zeros((40, 40), np.float32)
    for call, message in (
        (lambda: adapt(x, "unet-real"), "unet-real takes no noise level, so it cannot be adapted"),
        (lambda: adapt(x, "wiener"), "wiener denoises audio signals"),
        (lambda: adapt(x[:12]), "an image with a side below 16 pixels is too small to adapt"),
        (lambda: adapt([x, np.uint8(x)]), "of several depths .floats, uint8., whose"),
        (lambda: adapt([]), "there is no image to adapt to; give at least one"),
        (lambda: adapt(x, steps=-1), "steps=-1 is not a whole number, at least 0"),
        (lambda: adapt(x, steps=2.5), "steps=2.5 is not a whole number"),
        (lambda: adapt(x, variables={}), "variables are given without their model"),
        (lambda: load_adapted("unet-gray"), "unet-gray is no adaptation, but weights of unet-medi"),
        (lambda: load_adapted(tmp_path / "no.safetensors"), "there is no weight file"),
        (lambda: load_adapted(__file__), "is no whole safetensors file"),
    ):
        with pytest.raises(ZooError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_a_file_of_weights_that_are_not_here(fitted, tmp_path):
    record = dict(fitted.model.metadata)
    record["adapted"] = dict(record["adapted"], base="unet-new")
    weights.save(tmp_path / "new.safetensors", {"params": {"line": np.zeros(2)}}, record)
    with pytest.raises(ZooError, match="adapts unet-new, which this zoo does not bring"):
        load_adapted(tmp_path / "new.safetensors")
    for change, message in (
        ({"method": "new"}, "is adapted by new, which this zoo does not know"),
        ({"base": "unet-real"}, "unet-real takes no noise level"),
        ({"base": "stream-b"}, "stream-b denoises audio signals"),
    ):
        record["adapted"] = dict(fitted.model.metadata["adapted"], **change)
        weights.save(tmp_path / "new.safetensors", {"params": {"line": np.zeros(2)}}, record)
        with pytest.raises(ZooError, match=message):
            load_adapted(tmp_path / "new.safetensors")


@pytest.mark.slow
def test_the_fit_beats_its_measurement_and_one_network_for_all(counted):
    clean, noisy = counted
    fitted = psnr(adapt(noisy)(noisy), clean, 4000)
    assert fitted > psnr(zoo.denoise(noisy, "unet-gray"), clean, 4000) + 9.8
    # As good, nearly, as with the knowledge that the values are in proportion to light.
    assert fitted > psnr(zoo.denoise(noisy, "unet-gray", stabilize="poisson"), clean, 4000) - 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gain"), [("BPAE_B", 6.5), ("BPAE_R", 2.8), ("fish", 5.0)])
def test_confocal_images(zoo_data, name, gain):
    folder = zoo_data / "microscopy" / "confocal"
    clean, noisy = (io.imread(folder / kind / f"{name}.tif") for kind in ("clean", "noisy"))
    plain = psnr(zoo.denoise(noisy), clean, 255)
    assert psnr(adapt(noisy)(noisy), clean, 255) > plain + gain
