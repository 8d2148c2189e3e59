"""GTCRN; that it is the original is proven in tests/interop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import count_parameters, create_model, model_spec

HOP = 256
LENGTH = 15 * HOP - 99


def recordings(*shape):
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


@functools.cache
def built():
    model = create_model("gtcrn")
    return model, random_variables(model, recordings(1, 600, 1))


def quickly(function):
    """Compiled, but not for speed: for so few calls LLVM would take far longer."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def apply():
    return quickly(built()[0].apply)


@functools.cache
def step():
    return quickly(built()[0].step)


def stream(x, chunks):
    """What the chunks give, behind the latency, flushed with zeros."""
    variables = built()[1]
    state = built()[0].init_state(x.shape[0], x.shape[2])
    silence = np.zeros((x.shape[0], sum(chunks) - x.shape[1], x.shape[2]), np.float32)
    parts = np.split(np.concatenate([x, silence], 1), np.cumsum(chunks)[:-1], axis=1)
    outputs = []
    for part in parts:
        state, y = step()(variables, state, part)
        assert (y.shape, y.dtype) == (part.shape, part.dtype)
        outputs.append(y)
    return np.concatenate(outputs, 1)[:, HOP : HOP + x.shape[1]]


def test_it_has_the_published_number_of_parameters():
    assert count_parameters("gtcrn") == 23_669


def test_specification():
    facts = model_spec("gtcrn")
    assert (facts.modality, facts.sample_rate, facts.hop, facts.latency) == (
        "audio",
        16000,
        HOP,
        HOP,
    )


@pytest.mark.matrix
@pytest.mark.parametrize("chunks", [[1] * 16, [3] * 6, [3, 1, 3, 3, 1, 1, 3, 1]], ids=str)
def test_a_stream_is_the_whole_recording(chunks):
    """Longer than the deepest cache, of two channels and an odd length, which needs the flush."""
    x = recordings(1, LENGTH, 2)
    expected = apply()(built()[1], x)
    np.testing.assert_allclose(stream(x, [HOP * n for n in chunks]), expected, atol=1e-4)


@pytest.mark.matrix
def test_examples_and_channels_do_not_see_each_other():
    x = recordings(1, LENGTH, 2)
    folded = apply()(built()[1], x.transpose(2, 1, 0))
    y = apply()(built()[1], x)
    np.testing.assert_allclose(folded.transpose(2, 1, 0), y, atol=1e-5)


@pytest.mark.matrix
def test_it_does_not_see_ahead():
    """A sample shows in the outputs from one frame before it on, and reaches those behind."""
    x = recordings(1, LENGTH, 2)
    changed = x.copy()
    changed[:, 8 * HOP] += 0.3
    a, b = (np.asarray(apply()(built()[1], v)) for v in (x, changed))
    np.testing.assert_array_equal(a[:, : 7 * HOP], b[:, : 7 * HOP])
    assert np.abs(a - b)[:, 9 * HOP :].max() > 0


@pytest.mark.matrix
def test_any_length():
    model, variables = built()
    for length in (1, 255, 257):
        x = jax.ShapeDtypeStruct((1, length, 1), jnp.float32)
        assert jax.eval_shape(model.apply, variables, x) == x


@pytest.mark.matrix
def test_silence_gives_silence_and_finite_gradients():
    model, variables = built()
    x = np.zeros((1, 1, 1), np.float32)

    def loss(params, x):
        y = model.apply(variables | {"params": params}, x)
        return jnp.abs(y - 0.1).mean(), y

    run = quickly(jax.grad(loss, (0, 1), has_aux=True))
    slopes, y = run(variables["params"], x)
    np.testing.assert_array_equal(y, x)
    assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))
    # A single sample that is not silent.
    assert np.isfinite(run(variables["params"], recordings(1, 1, 1))[1]).all()


@pytest.mark.matrix
def test_training_moves_the_running_statistics():
    """With the statistics of a batch of two, split over two devices or not."""
    x = recordings(2, 300, 1)
    _, variables = built()

    def run(axis_name):
        model = create_model("gtcrn", axis_name=axis_name)
        return lambda x: model.apply(variables, x, train=True, mutable=["batch_stats"])

    y, whole = quickly(run(None))(x)
    split, halves = quickly(jax.vmap(run("batch"), axis_name="batch"))(x[:, None])
    np.testing.assert_allclose(split[:, 0], y, atol=1e-4)
    before = variables["batch_stats"]["encoder0"]["norm"]["mean"]
    after = whole["batch_stats"]["encoder0"]["norm"]["mean"]
    assert np.abs(after - before).max() > 1e-3
    half = halves["batch_stats"]["encoder0"]["norm"]["mean"]
    np.testing.assert_allclose(half, np.stack([after, after]), atol=1e-5)


def test_bad_input_is_refused_in_one_line():
    model, variables = built()
    state = model.init_state(1)
    for call, said in (
        (lambda: model.apply(variables, recordings(300, 1)), r"takes \(B, T, C\), got shape"),
        (lambda: model.apply(variables, recordings(1, 2, 300)), "samples before the channels"),
        (lambda: model.step(variables, state, recordings(1, 300, 1)), "multiples of 256"),
        (lambda: create_model("gtcrn", padding="edge"), "padding='edge' is unknown; choose from"),
    ):
        with pytest.raises(ZooError, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)
