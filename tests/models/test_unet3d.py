"""Volumetric U-Nets are what three-dimensional convolutions make of a volume."""

from functools import partial

import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import create_model
from zoo.models.conv import Conv
from zoo.models.unet import _convolved


def volume(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def conv3d(x, kernel, *, strides=(1, 1, 1), padding=((0, 0), (1, 1), (1, 1))):
    """Of (N, D, H, W, C), "valid" along D where nothing else is given."""
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )


class OfPlanes(nn.Module):
    """The convolution of two stacks."""

    features: int

    @nn.compact
    def __call__(self, x):
        return _convolved(partial(Conv, self.features, (3, 3), use_bias=False), x, 2)


# The wider one by Winograd's form on a CPU.
@pytest.mark.parametrize("channels", [2, 64])
def test_the_convolution_of_planes_is_a_three_dimensional_one(channels):
    x, kernel = volume(2, 5, 9, 7, channels), volume(3, 3, 3, channels, channels, seed=1)
    flat = kernel.transpose(1, 2, 0, 3, 4).reshape(3, 3, 3 * channels, channels)
    apply = jax.jit(OfPlanes(channels).apply)
    found = apply({"params": {"Conv_0": {"kernel": flat}}}, x.reshape(10, 9, 7, -1))
    wanted = jax.jit(conv3d)(x, kernel)
    scale = float(np.abs(wanted).max())
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-5 * scale)


@pytest.mark.parametrize("planes", [5, pytest.param(7, marks=pytest.mark.matrix)])
def test_a_volumetric_unet_is_as_described_in_three_dimensions(planes):
    """With 5 planes one is left after the first level, with 7 after the second."""
    model = create_model("unet3d-tiny", channels=2, planes=planes, widths=(4, 6), stem=1)
    x = volume(2, 8, 12, planes * 2)
    params = random_variables(model, x)["params"]

    def conv(y, layer):
        *_, inputs, features = layer["kernel"].shape
        depth = inputs // y.shape[-1]
        kernel = layer["kernel"].reshape(3, 3, depth, -1, features).transpose(2, 0, 1, 3, 4)
        return conv3d(y, kernel) + layer["bias"].reshape(1, 1, 1, 1, -1)

    def cropped(y, depth):
        first = (y.shape[1] - depth) // 2
        return y[:, first : first + depth]

    def block(y, name):
        inner = conv(jax.nn.relu(conv(y, params[f"{name}_conv0"])), params[f"{name}_conv1"])
        return cropped(y, inner.shape[1]) + inner

    @jax.jit
    def described(x):
        y = x.reshape(2, 8, 12, planes, 2).transpose(0, 3, 1, 2, 4)
        fine = block(conv(y, params["head"]), "encoder0_0")
        assert fine.shape == (2, planes - 4, 8, 12, 4)
        down = params["down1"]
        halved = {"strides": (1, 2, 2), "padding": "VALID"}
        y = conv3d(fine, down["kernel"][None], **halved) + down["bias"].reshape(1, 1, 1, 1, -1)
        y = block(y, "encoder1_0")
        assert y.shape == (2, 1, 4, 6, 6)
        up = params["up0"]
        y = lax.conv_transpose(
            y[:, 0],
            up["kernel"].transpose(1, 2, 0, 3)[::-1, ::-1],
            (2, 2),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        y = block(cropped(fine, 1) + (y + up["bias"].reshape(1, 1, 1, -1))[:, None], "decoder0_0")
        return x[..., planes - 1 : planes + 1] - conv(y, params["tail"])[:, 0]

    found = jax.jit(model.apply)({"params": params}, x)
    np.testing.assert_allclose(found, described(x), atol=2e-5)


def test_it_begins_with_the_plane_in_the_center():
    x = volume(2, 5, 9, 7, 2)
    y, variables = jax.jit(OfPlanes(2).init_with_output)(jax.random.key(0), x.reshape(10, 9, 7, 2))
    kernel = variables["params"]["Conv_0"]["kernel"][None, :, :, 2:4]
    wanted = jax.jit(conv3d)(x[:, 1:-1], kernel)
    np.testing.assert_allclose(y.reshape(wanted.shape), wanted, atol=1e-5)


def test_more_planes_than_it_takes_in_are_refused():
    message = "planes=9 are more than its 3-D convolutions take in; make it 7 or fewer, or add"
    with pytest.raises(ZooError, match=message):
        create_model("unet3d-tiny", planes=9)
    create_model("unet3d-tiny", planes=9, blocks=2)
