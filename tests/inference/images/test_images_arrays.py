"""What comes out of an image in memory: its kind, its alpha, its level, and clear errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from families import first
from flax import traverse_util
from variables import random_variables

from zoo.errors import ZooError
from zoo.inference import ImageDenoiser, denoise, value_scale
from zoo.inference.noise_level import estimate_level
from zoo.models import UNet, create_model
from zoo.resolve import resolve
from zoo.stabilize import PoissonGaussian


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64, ">u2"])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_shape_dtype_and_alpha_are_kept(dtype, channels):
    x = small.make_image(20, 30, channels or 1, np.dtype(dtype).newbyteorder("="))
    x = x[..., 0] if channels is None else x
    before = x.astype(dtype)
    x = before.copy()
    y = denoise(x, small.Half(1 if channels in (None, 1, 2) else 3))
    np.testing.assert_array_equal(x, before)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    expected = x.astype(np.float64) / 2
    if channels in (2, 4):
        expected[..., -1] = x[..., -1]
    # Half a step of integers, rounded to even; of float16 a unit in the last place.
    step = 0.5 if np.dtype(dtype).kind == "u" else np.finfo(dtype).eps
    np.testing.assert_allclose(y, expected, rtol=0, atol=max(step, 1e-7))


def test_arrays_of_jax_and_bfloat16_are_taken():
    x = jnp.full((4, 5, 3), 0.5, jnp.bfloat16)
    y = denoise(x, small.Half())
    assert isinstance(y, np.ndarray)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y.astype(np.float32), 0.25)


def test_integers_are_clipped_and_floats_are_not():
    x = small.make_image(20, 20, 3)
    model = small.Half(takes_level=True)
    np.testing.assert_array_equal(denoise(x, model, 1.0), 255)
    assert denoise(x.astype(np.float32) / 255, model, 1.0).min() >= 1


@pytest.mark.parametrize("tile", [0, 16])
def test_strength_mixes_with_what_was_given(tile):
    x = small.make_image(30, 30, 3, np.float32)
    for strength in (0, 0.25, 1):
        y = denoise(x, small.Half(), strength=strength, tile=tile)
        np.testing.assert_allclose(y, x * (1 - strength / 2), atol=1e-6)


def test_a_color_model_averages_gray_and_a_gray_one_takes_each_channel():
    gray = small.make_image(24, 30, 1, np.float32)
    model, variables = small.build("unet-tiny", 3)
    by_hand = small.jitted(model)(variables, np.repeat(gray, 3, -1)[None])[0]
    by_hand = by_hand.mean(-1, keepdims=True)
    np.testing.assert_allclose(denoise(gray, model, variables=variables), by_hand, atol=1e-5)
    color = small.make_image(24, 30, 3, np.float32)
    model, variables = small.build("unet-tiny", 1)
    apply = small.jitted(model)
    planes = [apply(variables, color[None, ..., i : i + 1])[0] for i in range(3)]
    found = denoise(color, model, variables=variables)
    np.testing.assert_allclose(found, np.concatenate(planes, -1), atol=1e-5)


@pytest.mark.matrix
@pytest.mark.parametrize("options", first(1, [{"tile": 64}, {}]))
def test_ensemble_is_the_mean_over_flips_and_turns(options):
    model, variables = small.build("unet-tiny")
    x = small.make_image(80, 120, 1, np.float32)
    apply = small.jitted(model)
    total = 0
    for turn in range(4):
        for flip in (False, True):
            view = np.rot90(x, turn)
            view = view[:, ::-1] if flip else view
            y = np.asarray(apply(variables, view[None])[0])
            total = total + np.rot90(y[:, ::-1] if flip else y, -turn)
    found = denoise(x, model, variables=variables, ensemble=True, **options)
    np.testing.assert_allclose(found, total / 8, rtol=0, atol=1e-5)
    # Integers are rounded once, at the end.
    rounded = np.rint(x * 255).astype(np.uint8)
    whole = denoise(rounded.astype(np.float32) / 255, model, variables=variables, ensemble=True)
    found = denoise(rounded, model, variables=variables, ensemble=True, **options)
    assert np.abs(found - np.clip(whole, 0, 1) * 255).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("half", ["bfloat16", jnp.bfloat16, jnp.dtype("bfloat16")])
def test_dtype_is_that_of_the_computation(half):
    model, variables = small.build("unet-tiny")
    x = small.make_image(40, 40, 1, np.float32)
    exact = denoise(x, model, variables=variables, dtype="float32")
    coarse = denoise(x, model, variables=variables, dtype=half)
    assert coarse.dtype == np.float32
    assert 1e-5 < np.abs(coarse - exact).max() < 0.1


# Estimates here are of sides of 256 pixels, which is how large the crops of larger images are.
def test_level_is_given_or_estimated_and_never_from_alpha():
    model = small.Half(takes_level=True)
    x = small.make_image(256, 256, 4, np.float32)
    x[..., -1] = np.random.default_rng(0).random((256, 256))
    found = ImageDenoiser(model)(x)
    assert abs(found.level - 0.1) < 0.01
    reported = ImageDenoiser(model)(x, 25 / 255)
    assert reported.level == 25 / 255
    np.testing.assert_allclose(reported.image[..., :3], x[..., :3] / 2 + 25 / 255, atol=1e-6)
    assert ImageDenoiser(small.Half())(x, 0.1).level is None


def test_the_level_of_a_large_image_is_that_of_its_crops():
    rng = np.random.default_rng(0)
    x = np.clip(0.5 + 0.05 * rng.standard_normal((1500, 1200, 1)), 0, 1)
    x = np.rint(255 * x).astype(np.uint8)
    # Half of it a clipped sky.
    x[:700] = 255
    assert abs(estimate_level(x) - 0.05) < 0.003
    assert estimate_level(np.zeros((256, 256, 1), np.uint8)) == 0


def test_noise_of_the_luma_alone_counts_as_that_of_all_channels():
    """As JPEG leaves it: luma has 0.668 (ITU-R BT.601) of what channels of their own would have."""
    rng = np.random.default_rng(0)
    alike, own = (0.5 + rng.normal(0, 0.05, (256, 256, c)) for c in (1, 3))
    assert estimate_level(np.repeat(alike, 3, -1)) == pytest.approx(0.05 / 0.6685, rel=0.05)
    assert estimate_level(own) == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("level", [0, -0.1, float("nan"), 1.5, 25, "auto", [0.1, 0.2]])
def test_levels_out_of_range_are_refused(level):
    with pytest.raises(ZooError, match=r"level=.*above 0 and at most 1; write 25 / 255"):
        denoise(small.make_image(20, 20), small.Half(1, takes_level=True), level)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 20, 20), np.uint8), r"\(3, 20, 20\); put the channels last, by x.transpose"),
        (np.zeros((20, 20, 7), np.uint8), r"\(20, 20, 7\); give 1 to 4 channels"),
        (np.zeros((2, 20, 20, 3), np.uint8), "give one at a time"),
        (np.zeros(20, np.uint8), "give such an array"),
        (np.zeros((0, 20, 3), np.uint8), "no pixels"),
        (np.zeros((20, 20), bool), "not bool; convert it"),
        (np.zeros((20, 20), complex), "not complex128; convert it"),
        (np.full((20, 20), np.nan), "holds no finite value"),
        (np.full((20, 20), np.inf, np.float32), "holds no finite value"),
        ([[1, 2], [3]], r"no array \(.*\); give one of numbers"),
        (None, r"not object|got shape \(\)"),
        ("picture.png", r"got shape \(\)"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(image, message):
    with pytest.raises(ZooError, match=message) as caught:
        denoise(image, small.Half(1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.5}, "strength=1.5 is not from 0"),
        ({"strength": float("nan")}, "strength=nan is not from 0"),
        ({"tile": -1}, "tile=-1 is not a whole number of pixels, at least 0"),
        ({"tile": 12.5}, "tile=12.5 is not a whole number"),
        ({"overlap": True}, "overlap=True is not a whole number"),
        ({"dtype": "float16"}, "float16"),
        ({"dtype": np.float64}, "unknown dtype 'float64'"),
        ({"dtype": 3}, "unknown dtype '3'"),
        ({"dtype": "bfloat16"}, "Half has no dtype to choose"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ZooError, match=message):
        ImageDenoiser(small.Half(1), **options)


def test_images_that_a_model_does_not_take_are_refused():
    fixed = create_model("mlp_autoencoder-mnist", widths=(4,))
    variables = random_variables(fixed, np.zeros((1, 28, 28, 1), np.float32))
    assert denoise(small.make_image(28, 28), fixed, variables=variables).shape == (28, 28, 1)
    with pytest.raises(ZooError, match=r"of 28x28 pixels only, got 20x28; resize the image"):
        denoise(small.make_image(20, 28), fixed, variables=variables)
    with pytest.raises(ZooError, match=r"takes images of 4 channels, got 3 beside alpha"):
        denoise(small.make_image(20, 20, 3), small.Half(4))
    with pytest.raises(ZooError, match="16x15 pixels is too small to estimate its noise from"):
        denoise(small.make_image(16, 15), small.Half(1, takes_level=True))
    with pytest.raises(ZooError, match="name it too"):
        ImageDenoiser(variables={})
    with pytest.raises(ZooError, match="denoises audio signals"):
        ImageDenoiser("wiener")
    listed = UNet(channels=1, widths=[4, 6], blocks=1, stem=2)
    with pytest.raises(ZooError, match="list or dict among its fields"):
        ImageDenoiser(listed, variables=small.build("unet-tiny")[1])


def test_a_model_that_diverged_is_reported():
    model, variables = small.build("unet-tiny")
    huge = jax.tree.map(lambda v: v * np.float32(1e30), variables)
    # The ReLU after it, by oneDNN in bfloat16, makes 0 of NaN.
    inner = traverse_util.flatten_dict(variables, sep="/")
    inner["params/encoder0_0_conv0/kernel"] = inner["params/encoder0_0_conv0/kernel"] * np.nan
    inner = traverse_util.unflatten_dict(inner, sep="/")
    for broken, dtype in ((huge, None), (inner, None), (inner, "bfloat16")):
        with pytest.raises(ZooError, match="output of UNet is not finite"):
            denoise(small.make_image(20, 20), model, variables=broken, dtype=dtype)


def test_inside_jit_the_remedy_is_reported():
    with pytest.raises(ZooError, match=r"outside of jit; inside it, take model\.apply"):
        jax.jit(lambda x: denoise(x, small.Half(1)))(jnp.zeros((8, 8)))


def test_constant_and_tiny_images_are_taken():
    model, variables = small.build("unet-tiny", takes_level=True)
    for shape in [(1, 1), (2, 3), (1, 40)]:
        y = denoise(np.full(shape, 7, np.uint8), model, 0.1, variables=variables)
        assert y.shape == shape
    found = ImageDenoiser(model, variables=variables)(np.full((256, 256), 7, np.uint8))
    assert found.level == 0


def test_the_default_model_goes_by_the_channels(monkeypatch):
    from zoo.inference import image_denoiser as module

    asked = []

    def fake(name):
        asked.append(name)
        return resolve(small.Half(1 if name == "unet-gray" else 3))

    monkeypatch.setattr(module, "resolve", fake)
    denoiser = ImageDenoiser()
    for channels in (1, 2, 3, 4, 1):
        denoiser(small.make_image(8, 8, channels))
    assert asked == ["unet-gray", "unet-photo"]
    image = small.make_image(8, 8, 3)
    denoiser(image, 0.1)
    assert asked == ["unet-gray", "unet-photo", "unet-color"]
    # Photon noise made even is Gaussian, as no photograph's is.
    even = value_scale.scale_of_range((0, 255), image.dtype)
    even = even._replace(noise=PoissonGaussian(gain=3.0, read=20.0))
    asked.clear()
    ImageDenoiser()(small.make_image(64, 64, 3), scale=even)
    assert asked == ["unet-color"]
