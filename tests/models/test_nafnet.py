"""NAFNet: its size, its start and what it refuses."""

import jax
import numpy as np
import pytest
from flax import traverse_util
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import NAFNet, count_parameters


@pytest.mark.parametrize(("width", "count"), [(32, 29_159_715), (64, 115_982_915)])
def test_size_is_the_published_one(width, count):
    assert count_parameters(f"nafnet-w{width}") == count


def test_small_one_is_small():
    assert count_parameters("nafnet-small") < 500_000


def test_blocks_start_as_the_identity():
    model = NAFNet(width=4, encoder=(1,), middle=1, decoder=(1,))
    x = np.random.default_rng(0).random((1, 6, 5, 3), np.float32)
    variables = traverse_util.flatten_dict(random_variables(model, x))

    def scales(x):
        start = traverse_util.flatten_dict(model.init(jax.random.key(0), x))
        return {path: v for path, v in start.items() if path[-1] in ("beta", "gamma")}

    # Whatever else they hold: jit computes no more of `init` than is asked for.
    variables = traverse_util.unflatten_dict(variables | jax.jit(scales)(x))

    @jax.jit
    def run(variables, x):
        return model.apply(variables, x, capture_intermediates=True, mutable=["intermediates"])

    _, kept = run(variables, x)
    seen = {k: v["__call__"][0] for k, v in kept["intermediates"].items() if k != "__call__"}
    np.testing.assert_array_equal(seen["encoder0_0"], seen["head"])
    np.testing.assert_array_equal(seen["middle0"], seen["down1"])
    np.testing.assert_array_equal(seen["decoder0_0"], seen["up0"] + seen["head"])


def test_refuses_ways_down_and_up_of_unequal_depth():
    message = r"^NAFNet: encoder=\(1, 1\) and decoder=\(1,\) differ in length; [^\n]+$"
    with pytest.raises(ZooError, match=message):
        NAFNet(encoder=(1, 1), decoder=(1,))
