"""What only FFDNet does: it runs on the unshuffled image beside a map of the noise level."""

import jax
import numpy as np
import pytest
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import FFDNet, count_parameters

# Float32 sums of hundreds of products, in another order, through a few layers.
TOLERANCE = 1e-5


def images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def small(x, **options):
    model = FFDNet(channels=x.shape[-1], depth=3, width=6, **options)
    return model, random_variables(model, x, 0.1)


@pytest.mark.parametrize(
    ("name", "expected"), [("ffdnet-gray", 485_316), ("ffdnet-color", 852_108)]
)
def test_sizes_are_the_published_ones(name, expected):
    assert count_parameters(name) == expected


@pytest.mark.parametrize("size", [(5, 8), (6, 7), (5, 7)])
def test_odd_sides_are_repeated_and_cropped(size):
    h, w = size
    x = images(1, h, w, 3)
    model, variables = small(x)
    even = np.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    expected = model.apply(variables, even, 0.1)[:, :h, :w]
    np.testing.assert_allclose(model.apply(variables, x, 0.1), expected, atol=TOLERANCE)


def test_a_delta_kernel_passes_the_image():
    """Every layer the identity on the channels of the image, which are positive."""
    x = images(2, 6, 8, 1)
    model = FFDNet(channels=1, depth=3, width=5)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x, 0.1)
    variables = jax.tree.map(lambda v: np.zeros(v.shape, np.float32), shapes)
    for layer in variables["params"].values():
        layer["kernel"][1, 1] = np.eye(*layer["kernel"].shape[2:])
    np.testing.assert_array_equal(model.apply(variables, x, 0.1), x)


def test_the_level_is_the_last_channel_at_half_resolution():
    """Every layer passes the fifth channel only, to all four corners of a patch."""
    x = images(2, 6, 8, 1)
    model = FFDNet(channels=1, depth=3, width=5)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x, 0.1)
    variables = jax.tree.map(lambda v: np.zeros(v.shape, np.float32), shapes)
    for layer in variables["params"].values():
        layer["kernel"][1, 1, 4, :] = 1
    level = np.array([0.1, 0.25], np.float32)
    expected = np.broadcast_to(level[:, None, None, None], x.shape)
    np.testing.assert_array_equal(model.apply(variables, x, level), expected)


def test_it_takes_one_level_or_one_each():
    x = images(2, 5, 7, 1)
    model, variables = small(x)
    np.testing.assert_array_equal(
        model.apply(variables, x, 0.1),
        model.apply(variables, x, np.full(2, 0.1, np.float32)),
    )


def test_too_few_layers_raise_one_line():
    with pytest.raises(ZooError, match=r"^FFDNet: depth=1 [^\n]+$"):
        FFDNet(depth=1)
