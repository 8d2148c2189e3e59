"""Strided convolutions as matmuls, against XLA's."""

import numpy as np
import pytest
from jax import lax

from zoo.models.strided import strided_conv, strided_conv_transpose

TOLERANCE = 1e-5
DIMENSIONS = ("NWC", "WIO", "NWC")


def draw(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 4])
def test_convolution_is_that_of_xla(stride):
    x, kernel = draw(2, 6 * stride, 3), draw(2 * stride, 3, 5)
    expected = lax.conv_general_dilated(x, kernel, (stride,), "VALID", dimension_numbers=DIMENSIONS)
    np.testing.assert_allclose(strided_conv(x, kernel), expected, atol=TOLERANCE)


@pytest.mark.parametrize("stride", [1, 4])
def test_transpose_is_that_of_xla(stride):
    x, kernel = draw(2, 6, 3), draw(2 * stride, 5, 3)
    expected = lax.conv_transpose(
        x, kernel, (stride,), "VALID", dimension_numbers=DIMENSIONS, transpose_kernel=True
    )
    np.testing.assert_allclose(strided_conv_transpose(x, kernel), expected, atol=TOLERANCE)
