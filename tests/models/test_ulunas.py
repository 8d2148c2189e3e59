"""UL-UNAS as a stream; that it is the original is proven in tests/interop."""

import jax
import numpy as np
import pytest
from variables import random_variables

import zoo
from zoo.errors import ZooError
from zoo.interop.torch import load_torch
from zoo.models import count_parameters, create_model, model_spec, small_options

HOP = 256


def test_it_has_the_published_number_of_parameters_and_one_hop_of_latency():
    assert count_parameters("ulunas") == 146_752
    spec = model_spec("ulunas")
    assert (spec.sample_rate, spec.hop, spec.latency) == (16000, HOP, HOP)


@pytest.mark.parametrize("depth", [1, 6])
def test_a_depth_that_cannot_be(depth):
    with pytest.raises(ZooError, match=rf"^ULUNAS: depth={depth} is not from 2 to 5$"):
        create_model("ulunas", depth=depth)


@pytest.mark.matrix
def test_what_comes_with_the_zoo_is_what_its_authors_published(zoo_data):
    found = load_torch("ulunas", zoo_data / "weights" / "ulunas.tar")
    jax.tree.map(np.testing.assert_array_equal, found, zoo.load("ulunas")[1])


@pytest.mark.matrix
def test_a_stream_is_the_whole_recording_and_does_not_see_ahead():
    """Of two channels and an odd length, by chunks of two hops."""
    model = create_model("ulunas", **small_options("ulunas"))
    rng = np.random.default_rng(0)
    x = rng.uniform(-0.5, 0.5, (1, 7 * HOP - 99, 2)).astype(np.float32)
    variables = random_variables(model, x)
    # Compiled, but not for speed: for so few calls LLVM would take far longer.
    quick = {"xla_backend_optimization_level": 0}
    apply = jax.jit(model.apply, compiler_options=quick)
    step = jax.jit(model.step, compiler_options=quick)
    whole = np.asarray(apply(variables, x))
    assert np.abs(whole).max() > 0.01
    padded = np.pad(x, ((0, 0), (0, HOP + 99), (0, 0)))
    state, outputs = model.init_state(1, 2), []
    for part in np.split(padded, 4, axis=1):
        state, y = step(variables, state, part)
        outputs.append(y)
    y = np.concatenate(outputs, 1)[:, HOP:][:, : x.shape[1]]
    np.testing.assert_allclose(y, whole, atol=1e-4)
    changed = x.copy()
    changed[:, 5 * HOP] += 0.3
    difference = np.abs(apply(variables, changed) - whole)
    assert difference[:, : 4 * HOP].max() == 0
    assert difference[:, 5 * HOP :].max() > 0
