"""The waveform U-Net: its size, any length, silence, and its layers against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from variables import random_variables

from zoo.models import WaveUNet, count_parameters, init_variables

DIMENSIONS = ("NWC", "WIO", "NWC")


def recording(*shape):
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def test_parameters_are_those_of_the_paper():
    assert count_parameters("wave-unet-48") == 18_867_937
    assert count_parameters("wave-unet-64") == 33_533_569


def test_a_level_is_as_described():
    """Kernel 8, stride 4, ReLU, gated linear unit; LSTM; the same way back, and the deviation."""
    model = WaveUNet(width=3, depth=1)
    x = recording(2, 41, 1)
    variables = random_variables(model, x)
    p = variables["params"]
    deviation = x.std(1, keepdims=True)
    y = np.pad(x / (1e-3 + deviation), ((0, 0), (0, 3), (0, 0)))

    def bias(name):
        return p[name]["bias"][None, None]

    def gate(y, name):
        a, b = np.split(np.einsum("nwc,cd->nwd", y, p[name]["kernel"]) + bias(name), 2, -1)
        return a / (1 + np.exp(-b))

    y = lax.conv_general_dilated(
        y, p["down0"]["kernel"], (4,), "VALID", dimension_numbers=DIMENSIONS
    )
    skip = gate(np.maximum(y + bias("down0"), 0), "encoder0")
    y = skip
    for name in ("memory0", "memory1"):
        q, h, c, out = p[name], np.zeros((2, 3)), np.zeros((2, 3)), []
        for t in range(y.shape[1]):
            gates = y[:, t] @ q["input_kernel"] + q["input_bias"][None]
            gates = gates + h @ q["hidden_kernel"] + q["hidden_bias"][None]
            i, f, g, o = np.split(gates, 4, -1)
            sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h)
        y = np.stack(out, 1)
    y = gate(y + skip, "decoder0").astype(np.float32)
    y = lax.conv_transpose(
        y, p["up0"]["kernel"], (4,), "VALID", dimension_numbers=DIMENSIONS, transpose_kernel=True
    )
    expected = (y + bias("up0"))[:, :41] * deviation
    np.testing.assert_allclose(jax.jit(model.apply)(variables, x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "samples", [1, *(pytest.param(n, marks=pytest.mark.matrix) for n in (2, 9)), 500]
)
def test_any_length_and_any_scale(samples):
    model = WaveUNet(width=4, depth=3)
    x = recording(2, samples, 2)
    variables = random_variables(model, x)
    apply = jax.jit(model.apply)
    y = apply(variables, x)
    assert y.shape == x.shape
    assert np.isfinite(y).all()
    if samples > 9:
        np.testing.assert_allclose(apply(variables, 8 * x), 8 * y, rtol=0.2, atol=0.05)
        # The channels do not meet.
        x[..., 0] = 0
        np.testing.assert_allclose(apply(variables, x)[..., 1], y[..., 1], atol=1e-6)


@pytest.mark.matrix
def test_silence_stays_silence_and_its_gradient_is_finite():
    model = WaveUNet(width=4, depth=3)
    x = np.zeros((1, 300, 1), np.float32)
    variables = random_variables(model, x)
    np.testing.assert_allclose(jax.jit(model.apply)(variables, x), 0, atol=1e-5)
    gradient = jax.jit(jax.grad(lambda x: jnp.square(model.apply(variables, x) - 0.1).sum()))(x)
    assert np.isfinite(gradient).all()


@pytest.mark.matrix
def test_first_outputs_are_of_the_order_of_the_input():
    model = WaveUNet(width=8)
    x = recording(1, 2000, 1)
    variables = init_variables(model, jax.random.key(0), x.shape)
    y = jax.jit(model.apply)(variables, x)
    assert 0.02 < float(y.std() / x.std()) < 5
