"""How far an output pixel looks: stated by the model, measured by moving a column of pixels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import marked
from variables import random_variables

from zoo.models import canvas, create_model, list_models, model_spec, small_options, spec_of

# What an option may be, beside those of the registered variants, which keep their depth.
OPTIONS = [
    pytest.param("unet-tiny", {"widths": (4,), "stem": 1}, marks=pytest.mark.matrix),
    ("unet-tiny", {"widths": (4,), "stem": 2, "blocks": 2}),
    ("unet-tiny", {"widths": (4, 4), "stem": 3, "down": "max", "up": "nearest"}),
    ("unet-tiny", {"widths": (4, 4, 4, 4), "stem": 1, "down": "mean", "skip": "concat"}),
    pytest.param("unet-tiny", {"widths": (4, 4), "blocks": 0}, marks=pytest.mark.matrix),
    ("unet-tiny", {"widths": (4, 4), "norm": "batch", "takes_level": True}),
    ("dncnn-gray", {"width": 4, "depth": 2, "norm": "batch"}),
    ("ffdnet-gray", {"width": 4, "depth": 2}),
    ("drunet-gray", {"widths": (4,), "blocks": 1}),
    pytest.param("drunet-gray", {"widths": (4, 4), "blocks": 3}, marks=pytest.mark.matrix),
    ("conv_autoencoder-photo", {"widths": (4, 4), "strides": (1, 2)}),
    pytest.param(
        "conv_autoencoder-photo", {"widths": (4,), "strides": (1,)}, marks=pytest.mark.matrix
    ),
    pytest.param(
        "conv_autoencoder-photo",
        {"widths": (4, 4, 4), "strides": (2, 2, 2)},
        marks=pytest.mark.matrix,
    ),
]
# By its edge to blocks of pixels, and by reflection to windows; the others in the matrix.
PAD_DIFFERENTLY = {"unet-tiny", "swinir-small"}


def local():
    for name in list_models():
        facts = model_spec(name)
        if facts.modality == "image" and facts.locality == "local":
            # Beside the representative ones DnCNN, which has no stride.
            family = "unet" if name == "dncnn-gray" else facts.family
            family = "" if name == "unet-base" else family
            options = {"channels": 1, **small_options(name, shallow=False)}
            yield marked(name, family, options)


@functools.cache
def measured(model, offsets):
    """The farthest of the output columns that notice one of some columns in the middle."""
    stride, reach = getattr(model, "stride", 1), model.reach
    middle = -(-(reach + 2) // stride) * stride
    # The walks along both axes are alike. Several images, for pools and ReLUs hide some pixels.
    height, width = 2 * stride, 2 * middle + 2 * stride
    inputs = spec_of(model).inputs
    x = np.random.default_rng(0).random((8, height, width, inputs), np.float32)
    variables = random_variables(model, x, np.float32([0.1]))

    @jax.jit
    def change(column):
        at = jnp.zeros(x.shape).at[:, :, column].set(1.0)
        apply = lambda x: model.apply(variables, x, 0.1)  # noqa: E731
        return (jax.jvp(apply, (x,), (at,))[1] != 0).any((0, 1, 3))

    farthest = 0
    for offset in offsets:
        moved = np.flatnonzero(change(middle + offset))
        assert moved[0] > 0, "the picture is too small for the test"
        assert moved[-1] < width - 1, "the picture is too small for the test"
        farthest = max(farthest, *abs(moved - middle - offset))
    return farthest


@pytest.mark.parametrize(("name", "options"), [*local(), *OPTIONS])
def test_no_output_pixel_looks_farther_than_the_reach_and_some_look_as_far(name, options):
    model = create_model(name, **options)
    facts = model_spec(name, **options)
    assert facts.reach == model.reach
    assert facts.stride == getattr(model, "stride", 1)
    found = measured(model, range(facts.stride))
    assert found <= facts.reach <= 1.5 * found


def test_models_that_see_everything_have_none():
    for name in list_models():
        facts = model_spec(name)
        if facts.locality != "local" or facts.modality == "audio":
            assert facts.reach == 0, name
    assert model_spec("unet-tiny", norm="group").reach == 0


@functools.cache
def jitted(model):
    return jax.jit(model.apply)


of_any_size = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.matrix] * (name not in PAD_DIFFERENTLY))
        for name in list_models()
        if model_spec(name).modality == "image" and not model_spec(name).size
    ],
)


def padded(name, **options):
    """The model, narrow and shallow, its variables, an image, and what it pads that to."""
    options = {"channels": 1, **small_options(name), **options}
    model, facts = create_model(name, **options), model_spec(name, **options)
    side = facts.stride + 1
    x = np.random.default_rng(0).random((1, side, side + 1, facts.inputs), np.float32)
    margins = ((0, 0), (0, -side % facts.stride), (0, -(side + 1) % facts.stride), (0, 0))
    variables = random_variables(model, x, np.float32([0.1]))
    return model, variables, x, np.pad(x, margins, mode=facts.margin)


@of_any_size
def test_padding_before_the_model_is_its_own(name):
    """An image padded as the specification says has the output it has unpadded."""
    model, variables, x, whole = padded(name)
    # Narrow and shallow variants of a family are often one model.
    apply = jitted(model)
    expected = apply(variables, x, 0.1)
    found = apply(variables, whole, 0.1)[:, : x.shape[1], : x.shape[2]]
    np.testing.assert_allclose(found, expected, atol=2e-6)


@functools.cache
def jitted_on_canvas(model):
    def apply(variables, x, level, size):
        with canvas.on_canvas(size, x.shape[1:3]):
            return model.apply(variables, x, level)

    return jax.jit(apply)


@of_any_size
def test_on_a_canvas_a_image_has_the_result_it_has_alone(name):
    check_on_canvas(name)


@pytest.mark.matrix
@pytest.mark.parametrize(
    "options",
    [
        {"norm": "group"},
        {"up": "nearest", "down": "max", "skip": "concat"},
        {"stem": 3},
        {"norm": "layer"},
    ],
)
def test_on_a_canvas_every_option_of_the_unet_has_it_too(options):
    check_on_canvas("unet-tiny", **options)


def check_on_canvas(name, **options):
    """Two sizes by one program; what lies beyond the image is not black, but is not seen."""
    model, variables, _, whole = padded(name, **options)
    assert model.canvas
    stride = spec_of(model).stride
    h, w = whole.shape[1:3]
    apply = jitted_on_canvas(model)
    for shape in ((h, w), (h, w - stride)):
        laid = np.full((1, h + 2 * stride, w + stride, whole.shape[-1]), 0.7, np.float32)
        laid[:, : shape[0], : shape[1]] = whole[:, : shape[0], : shape[1]]
        found = apply(variables, laid, 0.1, np.int32(shape))[:, : shape[0], : shape[1]]
        expected = jitted(model)(variables, whole[:, : shape[0], : shape[1]], 0.1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
