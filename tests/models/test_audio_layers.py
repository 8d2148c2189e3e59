"""Layers of audio models: strided convolutions against XLA's, the fused batch norm against
Flax's, and recurrent units against loops in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from flax import linen as nn
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from variables import random_variables

from zoo.models.audio_layers import GRU, LSTM, BatchNorm, strided_conv, strided_conv_transpose

STRIDED_TOLERANCE = NORM_TOLERANCE = 1e-5
RECURRENT_TOLERANCE = 1e-6
DIMENSIONS = ("NWC", "WIO", "NWC")
LAYERS = pytest.mark.parametrize("layer", first(1, [GRU, LSTM]))


def signal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 4])
def test_convolution_is_that_of_xla(stride):
    x, kernel = signal(2, 6 * stride, 3), signal(2 * stride, 3, 5)
    expected = lax.conv_general_dilated(x, kernel, (stride,), "VALID", dimension_numbers=DIMENSIONS)
    np.testing.assert_allclose(strided_conv(x, kernel), expected, atol=STRIDED_TOLERANCE)


@pytest.mark.parametrize("stride", [1, 4])
def test_transpose_is_that_of_xla(stride):
    x, kernel = signal(2, 6, 3), signal(2 * stride, 5, 3)
    expected = lax.conv_transpose(
        x, kernel, (stride,), "VALID", dimension_numbers=DIMENSIONS, transpose_kernel=True
    )
    np.testing.assert_allclose(strided_conv_transpose(x, kernel), expected, atol=STRIDED_TOLERANCE)


class Twin(nn.Module):
    """The same layer of Flax's parts."""

    activation: str
    train: bool

    @nn.compact
    def __call__(self, x):
        y = nn.BatchNorm(not self.train, momentum=0.9, epsilon=1e-5, name="norm")(x)
        return nn.silu(y) if self.activation == "silu" else y


def variables(c):
    rng = np.random.default_rng(1)
    above = lambda low: (low + rng.random(c)).astype(np.float32)  # noqa: E731
    params = {"scale": above(0.5), "bias": above(-0.5)}
    return {"params": params, "batch_stats": {"mean": above(-0.5), "var": above(0.5)}}


def wrapped(v):
    return {kind: {"norm": leaves} for kind, leaves in v.items()}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("activation", first(1, ["silu", "none"]))
def test_outputs_statistics_and_gradients_are_those_of_flax(activation, train):
    rng = np.random.default_rng(0)
    x = (2 * rng.standard_normal((6, 5, 3)) + 0.7).astype(np.float32)
    weight = rng.standard_normal(x.shape).astype(np.float32)
    v = variables(3)

    def run(model, v, x):
        y, new = model.apply(v, x, mutable=["batch_stats"])
        return (y * weight).sum(), (y, new)

    with jax.numpy_rank_promotion("allow"):
        expected = jax.grad(run, (1, 2), has_aux=True)(Twin(activation, train), wrapped(v), x)
    found = jax.grad(run, (1, 2), has_aux=True)(BatchNorm(activation, train), v, x)
    (dv, dx), (y, new) = expected
    (our_dv, our_dx), (our_y, our_new) = found
    np.testing.assert_allclose(our_y, y, atol=NORM_TOLERANCE)
    np.testing.assert_allclose(our_dx, dx, atol=NORM_TOLERANCE)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=3 * NORM_TOLERANCE)  # noqa: E731
    jax.tree.map(close, wrapped(our_dv)["params"], dv["params"])
    jax.tree.map(close, our_new["batch_stats"], new["batch_stats"]["norm"])


def test_devices_share_their_statistics():
    x = np.random.default_rng(0).standard_normal((8, 5, 3)).astype(np.float32)
    weight = np.random.default_rng(2).standard_normal(x.shape).astype(np.float32)
    v = variables(3)

    def gradients(model, x, weight):
        def total(params, x):
            state = {"params": params, "batch_stats": v["batch_stats"]}
            y, _ = model.apply(state, x, mutable=["batch_stats"])
            return (y * weight).sum()

        return jax.grad(total, (0, 1))(v["params"], x)

    def part(x, weight):
        dv, dx = gradients(BatchNorm("silu", True, "i"), x, weight)
        return jax.lax.psum(dv, "i"), dx

    mesh = Mesh(jax.devices(), "i")
    split = jax.shard_map(
        part, mesh=mesh, in_specs=P("i"), out_specs=(P(), P("i")), check_vma=False
    )
    expected = gradients(BatchNorm("silu", True), x, weight)
    found = jax.jit(split)(x, weight)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=3 * NORM_TOLERANCE)  # noqa: E731
    jax.tree.map(close, found, expected)


def test_a_bfloat16_batch_is_summed_in_float32():
    # Summed in bfloat16, 4096 ones would stop at 256.
    x = jnp.ones((4096, 1, 2), jnp.bfloat16)
    v = variables(2)
    y, new = BatchNorm("none", True).apply(v, x, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    expected = 0.9 * v["batch_stats"]["mean"] + 0.1
    np.testing.assert_allclose(new["batch_stats"]["mean"], expected, atol=NORM_TOLERANCE)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loop(layer, params, x, way=""):
    """(T, B, F) to (T, B, R), sample by sample, in float64, from zeros."""
    p = {
        k.removesuffix("_reverse"): v
        for k, v in params.items()
        if k.endswith("_reverse") == (way != "")
    }
    p = {k: v.astype(np.float64) for k, v in p.items()}
    h = c = np.zeros((x.shape[1], p["hidden_kernel"].shape[0]))
    out = []
    for t in range(len(x)):
        left = x[t] @ p["input_kernel"] + p["input_bias"]
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
    return np.stack(out)


@functools.cache
def jitted(model):
    return jax.jit(model.apply)


@LAYERS
@pytest.mark.parametrize("samples", [1, pytest.param(3, marks=pytest.mark.matrix), 11])
def test_layer_is_as_a_loop(layer, samples):
    x = signal(samples, 2, 5)
    variables = random_variables(layer(4), x)
    y, _ = jitted(layer(4))(variables, x)
    np.testing.assert_allclose(y, loop(layer, variables["params"], x), atol=RECURRENT_TOLERANCE)


@LAYERS
def test_both_directions_lie_beside_each_other(layer):
    x = signal(7, 2, 5)
    model = layer(4, bidirectional=True)
    params = random_variables(model, x)["params"]
    y, _ = jax.jit(model.apply)({"params": params}, x)
    backward = loop(layer, params, x[::-1], "_reverse")[::-1]
    expected = np.concatenate([loop(layer, params, x), backward], -1)
    np.testing.assert_allclose(y, expected, atol=RECURRENT_TOLERANCE)


@LAYERS
def test_groups_are_each_by_itself(layer):
    x = signal(11, 2, 6)
    model = layer(8, groups=("0", "1"), bidirectional=True)
    variables = random_variables(model, x)
    y, _ = jitted(model)(variables, x)
    for i, features in enumerate(np.split(y, 2, -1)):
        own = {k.replace(str(i), ""): v for k, v in variables["params"].items() if str(i) in k}
        part = np.split(x, 2, -1)[i]
        back = loop(layer, own, part[::-1], "_reverse")[::-1]
        expected = np.concatenate([loop(layer, own, part), back], -1)
        np.testing.assert_allclose(features, expected, atol=RECURRENT_TOLERANCE)


@LAYERS
def test_parts_with_the_carry_are_the_whole(layer):
    x = signal(11, 2, 5)
    model = layer(4)
    variables = random_variables(model, x)
    whole, end = jitted(model)(variables, x)
    carry, parts = None, []
    for part in np.split(x, [1, 2, 6]):
        y, carry = jitted(model)(variables, part, carry)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=RECURRENT_TOLERANCE)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=RECURRENT_TOLERANCE), carry, end
    )


@LAYERS
def test_gradient_is_that_of_differences(layer):
    x = signal(6, 1, 3)
    model = layer(2)
    variables = random_variables(model, x)

    @jax.jit
    @jax.value_and_grad
    def total(x):
        return (model.apply(variables, x)[0] ** 2).sum()

    along = signal(6, 1, 3)[::-1].copy()
    step = 1e-2
    expected = (total(x + step * along)[0] - total(x - step * along)[0]) / (2 * step)
    found = (total(x)[1] * along).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-2)


@LAYERS
def test_first_parameters_are_within_pytorch_bounds(layer):
    params = jax.jit(layer(16).init)(jax.random.key(0), signal(2, 1, 5))["params"]
    for value in params.values():
        assert 0.2 < np.abs(value).max() <= 0.25
        assert np.abs(np.mean(value)) < 0.1
