"""SCUNet: its size, and what the paper says of it beyond what the certificates compare."""

import jax
import numpy as np
import pytest
import reach
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import SCUNet, count_parameters

SMALL = {"channels": 1, "width": 8, "head_width": 4, "window": 4}


def test_sizes():
    assert count_parameters("scunet-gray") == 17_943_768
    assert count_parameters("scunet-color") == 17_946_072
    assert count_parameters("scunet-small") < 2_000_000


@pytest.mark.parametrize("blocks", [1, pytest.param(2, marks=pytest.mark.matrix)])
def test_windows_reach_as_far_as_described(blocks):
    shape, pixel = (1, 24, 28, 1), (10, 9)
    expected = np.zeros(shape[1:3], bool)
    expected[pixel] = True
    expected = reach.convolved(expected, 1)
    for i in range(blocks):
        expected = reach.convolved(expected, 2) | reach.attended(expected, 4, 2 * i)
    expected = reach.convolved(expected, 1)
    assert not expected.all()
    # With fewer channels the ReLUs of the only path to a corner may all be shut.
    model = SCUNet(blocks=(blocks,), **SMALL | {"width": 16})
    np.testing.assert_array_equal(reach.measured(model, shape, pixel), expected)


@pytest.mark.matrix
def test_other_sizes_repeat_the_border():
    model = SCUNet(blocks=(1, 2, 1), **SMALL)
    x = np.random.default_rng(0).random((1, 15, 9, 1), np.float32)
    variables = random_variables(model, x)
    padded = np.pad(x, ((0, 0), (0, 1), (0, 7), (0, 0)), mode="edge")
    apply = jax.jit(model.apply)
    expected = apply(variables, padded)[:, :15, :9]
    np.testing.assert_allclose(apply(variables, x), expected, atol=1e-5)


@pytest.mark.parametrize("options", [{"blocks": (2, 2)}, {"width": 24, "head_width": 8}], ids=str)
def test_wrong_fields_raise_one_line(options):
    with pytest.raises(ZooError, match=r"^SCUNet: (blocks|width)=[^\n]+$"):
        SCUNet(**options)


@pytest.mark.matrix
def test_a_deep_one_starts_at_the_scale_of_its_input():
    x = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    quick = {"xla_backend_optimization_level": 0}
    init = jax.jit(SCUNet(blocks=(8,), **SMALL).init_with_output, compiler_options=quick)
    y, _ = init(jax.random.key(0), x)
    assert 0.1 < y.std() < 5
