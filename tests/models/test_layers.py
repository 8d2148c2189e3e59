"""The shared layers against XLA's own convolutions and against NumPy."""

import jax
import numpy as np
import pytest
from jax import lax
from scipy import special
from variables import random_variables

from zoo.models import layers

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# Float32 sums of a few dozen products, in another order.
TOLERANCE = 1e-5


def image(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def initialised(layer, x):
    """Its output on x, its kernel and its bias, both random."""
    params = random_variables(layer, x)["params"]
    return layer.apply({"params": params}, x), params["kernel"], params["bias"]


def test_space_to_depth_orders_row_column_channel():
    x = image(2, 6, 9, 2)
    y = layers.space_to_depth(x, 3)
    assert y.shape == (2, 2, 3, 18)
    # Row 1, column 2, channel 1 of the patch in the second row and third column.
    np.testing.assert_array_equal(y[:, 1, 2, (1 * 3 + 2) * 2 + 1], x[:, 3 + 1, 6 + 2, 1])


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_depth_to_space_is_the_inverse(factor):
    x = image(2, 6, 12, 3)
    y = layers.depth_to_space(layers.space_to_depth(x, factor), factor)
    np.testing.assert_array_equal(x, y)


def test_down_is_a_strided_convolution():
    x = image(2, 6, 8, 5)
    y, kernel, bias = initialised(layers.Down(7), x)
    expected = lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=DIMENSIONS)
    np.testing.assert_allclose(y, expected + bias[None, None, None], atol=TOLERANCE)


@pytest.mark.parametrize("size", [2, 4])
def test_up_is_a_transposed_convolution(size):
    x = image(2, 3, 5, 6)
    y, kernel, bias = initialised(layers.Up(4, size), x)
    # XLA lays the kernel down mirrored, as a correlation; a scatter, as ours, lays it as it is.
    flipped = kernel.transpose(1, 2, 0, 3)[::-1, ::-1]
    expected = lax.conv_transpose(x, flipped, (2, 2), "SAME", dimension_numbers=DIMENSIONS)
    assert y.shape == (2, 6, 10, 4)
    np.testing.assert_allclose(y, expected + bias[None, None, None], atol=TOLERANCE)


def test_up_of_another_kernel_raises():
    with pytest.raises(ValueError, match="kernels of 2 and 4, not 3"):
        layers.Up(4, 3).init(jax.random.key(0), image(1, 2, 2, 1))


def test_upsample_conv_is_repeat_then_convolution():
    x = image(2, 3, 5, 6)
    y, kernel, bias = initialised(layers.UpsampleConv(4), x)
    repeated = np.repeat(np.repeat(x, 2, 1), 2, 2)
    expected = lax.conv_general_dilated(
        repeated, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS
    )
    np.testing.assert_allclose(y, expected + bias[None, None, None], atol=TOLERANCE)


def test_upsample_nearest_and_pools():
    x = image(2, 4, 6, 3)
    np.testing.assert_array_equal(layers.upsample_nearest(x), x.repeat(2, 1).repeat(2, 2))
    corners = np.stack([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    np.testing.assert_array_equal(layers.max_pool(x), corners.max(0))
    np.testing.assert_allclose(layers.mean_pool(x), corners.mean(0), atol=TOLERANCE)


def test_pad_repeats_the_last_row_and_column():
    x = image(1, 5, 6, 1)
    expected = np.pad(x, ((0, 0), (0, 3), (0, 2), (0, 0)), mode="edge")
    np.testing.assert_array_equal(layers.pad_to_multiple(x, 4), expected)
    assert layers.pad_to_multiple(x[:, :4, :4], 4).shape == (1, 4, 4, 1)


def test_norm_keeps_small_variances_beside_large_means():
    x = 300 + image(1, 2, 3, 64)
    model = layers.ChannelNorm()
    params = random_variables(model, x)["params"]
    z = x.astype(np.float64)
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    expected = z * params["scale"][None, None, None] + params["bias"][None, None, None]
    # At 300 a float32 has steps of 3e-5, which the mean averages.
    np.testing.assert_allclose(model.apply({"params": params}, x), expected, atol=5e-5)


def test_gelu_is_exact():
    x = np.linspace(-6, 6, 1001, dtype=np.float32)
    expected = x * special.ndtr(x.astype(np.float64))
    np.testing.assert_allclose(layers.gelu(x), expected, atol=1e-6)
