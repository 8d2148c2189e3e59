"""SwinIR: its size, and what the paper says of it beyond what the certificates compare."""

import jax
import numpy as np
import pytest
import reach
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import SwinIR, count_parameters

KEY = jax.random.key(0)
SMALL = {"width": 8, "heads": 2, "window": 4}


def pictures(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def test_sizes():
    assert count_parameters("swinir-color") == 11_504_163
    # Two colours less in the first convolution and in the last, which has a bias for each.
    assert count_parameters("swinir-gray") == 11_504_163 - 2 * (2 * 9 * 180) - 2
    assert count_parameters("swinir-small") < 1_000_000


# The last is of each kind of block, and of two groups.
@pytest.mark.parametrize(
    "depths", [*(pytest.param(d, marks=pytest.mark.matrix) for d in ((1,), (2,))), (2, 1)]
)
def test_windows_reach_as_far_as_described(depths):
    shape, pixel = (1, 24, 28, 1), (10, 9)
    expected = np.zeros(shape[1:3], bool)
    expected[pixel] = True
    expected = reach.convolved(expected, 1)
    for depth in depths:
        for i in range(depth):
            expected = reach.attended(expected, 4, 2 * (i % 2))
        expected = reach.convolved(expected, 1)
    expected = reach.convolved(expected, 2)
    assert not expected.all()
    model = SwinIR(channels=1, depths=depths, **SMALL)
    np.testing.assert_array_equal(reach.measured(model, shape, pixel), expected)


@pytest.mark.parametrize(
    ("channels", "mean"), [(1, [0]), (3, [0.4488, 0.4371, 0.4040]), (4, [0, 0, 0, 0])]
)
def test_mean_colour_is_the_origin(channels, mean):
    """There the first convolution gives its bias, at the zero-padded borders too."""
    x = np.broadcast_to(np.float32(mean), (1, 8, 8, channels))
    model = SwinIR(channels=channels, depths=(1,), **SMALL)
    variables = random_variables(model, x)

    # Compiled, it computes no more than this.
    @jax.jit
    def first(variables, x):
        _, kept = model.apply(variables, x, capture_intermediates=True)
        return kept["intermediates"]["head"]["__call__"][0]

    head = first(variables, x)
    bias = variables["params"]["head"]["bias"]
    np.testing.assert_allclose(head, np.broadcast_to(bias, head.shape), atol=1e-7)


def test_other_sizes_are_mirrored():
    model = SwinIR(depths=(2,), **SMALL)
    x = pictures(1, 7, 13, 3)
    variables = random_variables(model, x)
    padded = np.pad(x, ((0, 0), (0, 1), (0, 3), (0, 0)), mode="reflect")
    apply = jax.jit(model.apply)
    expected = apply(variables, padded)[:, :7, :13]
    np.testing.assert_allclose(apply(variables, x), expected, atol=1e-6)


@pytest.mark.matrix
def test_it_starts_near_its_input():
    x = pictures(1, 16, 16, 3)
    quick = {"xla_backend_optimization_level": 0}
    init = jax.jit(SwinIR(depths=(2,)).init_with_output, compiler_options=quick)
    y, _ = init(KEY, x)
    assert 0 < np.abs(y - x).mean() < 0.1


def test_heads_must_divide_the_width():
    with pytest.raises(ZooError, match=r"^SwinIR: width=10 must be a multiple of heads=4$"):
        SwinIR(width=10, heads=4)
