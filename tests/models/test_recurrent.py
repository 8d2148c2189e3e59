"""Recurrent layers against loops in NumPy, and their carry."""

import functools

import jax
import numpy as np
import pytest
from families import first
from variables import random_variables

from zoo.models.recurrent import GRU, LSTM

TOLERANCE = 1e-6
LAYERS = pytest.mark.parametrize("layer", first(1, [GRU, LSTM]))


def signal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loop(layer, params, x, way=""):
    """(B, T, F) to (B, T, R), sample by sample, in float64, from zeros."""
    p = {
        k.removesuffix("_reverse"): v
        for k, v in params.items()
        if k.endswith("_reverse") == (way != "")
    }
    p = {k: v.astype(np.float64) for k, v in p.items()}
    h = c = np.zeros((len(x), p["hidden_kernel"].shape[0]))
    out = []
    for t in range(x.shape[1]):
        left = x[:, t] @ p["input_kernel"] + p["input_bias"]
        right = h @ p["hidden_kernel"] + p["hidden_bias"]
        if layer is GRU:
            (a, b, n), (d, e, m) = np.split(left, 3, -1), np.split(right, 3, -1)
            z = sigmoid(b + e)
            h = (1 - z) * np.tanh(n + sigmoid(a + d) * m) + z * h
        else:
            i, f, g, o = np.split(left + right, 4, -1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out, 1)


@functools.cache
def jitted(model):
    return jax.jit(model.apply)


@LAYERS
@pytest.mark.parametrize("samples", [1, pytest.param(3, marks=pytest.mark.matrix), 11])
def test_layer_is_as_a_loop(layer, samples):
    x = signal(2, samples, 5)
    variables = random_variables(layer(4), x)
    y, _ = jitted(layer(4))(variables, x)
    np.testing.assert_allclose(y, loop(layer, variables["params"], x), atol=TOLERANCE)


@LAYERS
def test_both_directions_lie_beside_each_other(layer):
    x = signal(2, 7, 5)
    model = layer(4, bidirectional=True)
    params = random_variables(model, x)["params"]
    y, _ = jax.jit(model.apply)({"params": params}, x)
    backward = loop(layer, params, x[:, ::-1], "_reverse")[:, ::-1]
    expected = np.concatenate([loop(layer, params, x), backward], -1)
    np.testing.assert_allclose(y, expected, atol=TOLERANCE)


@LAYERS
def test_time_major_is_a_transposition(layer):
    x = signal(2, 11, 5)
    variables = random_variables(layer(4), x)
    expected, carry = jitted(layer(4))(variables, x)
    y, other = jitted(layer(4, time_major=True))(variables, x.swapaxes(0, 1))
    np.testing.assert_allclose(y.swapaxes(0, 1), expected, atol=TOLERANCE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=TOLERANCE), carry, other)


@LAYERS
def test_parts_with_the_carry_are_the_whole(layer):
    x = signal(2, 11, 5)
    model = layer(4)
    variables = random_variables(model, x)
    whole, end = jitted(model)(variables, x)
    carry, parts = None, []
    for part in np.split(x, [1, 2, 6], axis=1):
        y, carry = jitted(model)(variables, part, carry)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=TOLERANCE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=TOLERANCE), carry, end)


@LAYERS
def test_gradient_is_that_of_differences(layer):
    x = signal(1, 6, 3)
    model = layer(2)
    variables = random_variables(model, x)

    @jax.jit
    @jax.value_and_grad
    def total(x):
        return (model.apply(variables, x)[0] ** 2).sum()

    along = signal(1, 6, 3)[:, ::-1].copy()
    step = 1e-2
    expected = (total(x + step * along)[0] - total(x - step * along)[0]) / (2 * step)
    found = (total(x)[1] * along).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-2)


@LAYERS
def test_first_parameters_are_within_pytorch_bounds(layer):
    params = jax.jit(layer(16).init)(jax.random.key(0), signal(1, 2, 5))["params"]
    for value in params.values():
        assert 0.2 < np.abs(value).max() <= 0.25
        assert np.abs(np.mean(value)) < 0.1
