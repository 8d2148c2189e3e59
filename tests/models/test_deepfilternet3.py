"""DeepFilterNet3 where it differs from other models that stream: it looks two frames ahead. That it
is the original is proven in tests/interop."""

import functools

import jax
import numpy as np
import pytest
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import create_model, model_spec, small_options
from zoo.models.deepfilternet3 import vorbis, widths

HOP = 480
# As the contract of streaming models has it.
TOLERANCE = 1e-4


@functools.cache
def built():
    """A small model, its variables, and both of its programs."""
    model = create_model("deepfilternet3", **small_options("deepfilternet3"))
    variables = random_variables(model, np.zeros((1, 600, 1), np.float32))
    quick = {"xla_backend_optimization_level": 0}
    return (
        model,
        variables,
        jax.jit(model.apply, compiler_options=quick),
        jax.jit(model.step, compiler_options=quick),
    )


def recordings(*shape, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def test_its_output_lags_by_a_frame_and_the_two_it_looks_ahead():
    spec = model_spec("deepfilternet3")
    assert (spec.sample_rate, spec.hop, spec.latency) == (48000, HOP, 3 * HOP)


def test_bands_are_those_of_libdf():
    """As its authors' code prints them."""
    low, high = [2] * 13, [5, 5, 7, 7, 8, 10, 12, 13, 15, 18, 20, 24, 28, 31, 37, 42, 50, 56, 67]
    assert widths().tolist() == low + high
    assert widths().sum() == HOP + 1


def test_windows_add_up_to_one():
    squares = np.square(vorbis(2 * HOP))
    np.testing.assert_allclose(squares[:HOP] + squares[HOP:], 1, atol=1e-6)


@pytest.mark.matrix
def test_a_stream_is_the_whole_file_and_sees_two_frames_ahead():
    """Of two recordings of two channels, of an odd length, by chunks of one hop and of four."""
    model, variables, apply, step = built()
    x = recordings(2, 6 * HOP - 77, 2)
    whole = np.asarray(apply(variables, x))
    assert np.abs(whole).max() > 0.01
    padded = np.pad(x, ((0, 0), (0, 3 * HOP + 77), (0, 0)))
    for sizes in ([1] * 9, [1, 4, 4], [4, 4, 1]):
        state, outputs = model.init_state(2, 2), []
        for end, size in zip(np.cumsum(sizes), sizes, strict=True):
            state, y = step(variables, state, padded[:, (end - size) * HOP : end * HOP])
            outputs.append(y)
        y = np.concatenate(outputs, 1)[:, model.latency :]
        np.testing.assert_allclose(y[:, : x.shape[1]], whole, atol=TOLERANCE)
    changed = x.copy()
    changed[:, 5 * HOP :] *= -1
    difference = np.abs(apply(variables, changed) - whole)
    assert difference[:, : 2 * HOP].max() == 0
    assert difference[:, 2 * HOP : 3 * HOP].max() > 0


@pytest.mark.matrix
def test_its_batch_norm_merges():
    model, variables, apply, _ = built()
    x = recordings(1, 4 * HOP, 1)
    merged, params = model.merge_batch_norm(variables)
    assert "batch_stats" not in params
    found = jax.jit(merged.apply)(params, x)
    np.testing.assert_allclose(found, apply(variables, x), atol=1e-5)


@pytest.mark.parametrize(("field", "value"), [("width", 6), ("hidden", 24)])
def test_sizes_that_groups_do_not_divide_are_refused(field, value):
    with pytest.raises(ZooError, match=rf"^DeepFilterNet3: {field}={value} is not a multiple of"):
        create_model("deepfilternet3", **{field: value})
