"""The convolution of all models, against flax's, and its kernel gradient, against float64 sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from flax import linen as nn
from jax import lax
from variables import random_variables

from zoo.models import UNet, conv, disable_winograd, inference_options, registry
from zoo.models.conv import Conv, conv3x3

# N, H, W, C, D: even, odd, smaller than a tile, one pixel; thin signals, thin features, both; and
# channels for which the forward pass takes the other form too.
SHAPES = [
    (2, 8, 8, 16, 16),
    (3, 5, 7, 16, 24),
    (1, 1, 1, 16, 16),
    (2, 6, 9, 3, 16),
    (2, 6, 9, 16, 1),
    (2, 7, 6, 64, 72),
    (2, 3, 2, 24, 16),
    (2, 6, 9, 1, 16),
    (2, 5, 3, 16, 12),
    (2, 5, 6, 3, 3),
    (1, 4, 1, 72, 64),
]


def draw(shape, dtype=jnp.float32):
    n, h, w, c, d = shape
    sizes = ((n, h, w, c), (3, 3, c, d), (n, h, w, d))
    rng = np.random.default_rng(0)
    return [rng.standard_normal(size, np.float32).astype(dtype) for size in sizes]


def kernel_gradient(x, g):
    """Sums in float64: the definition."""
    x, g = np.asarray(x, np.float64), np.asarray(g, np.float64)
    h, w = x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        [np.einsum("nhwc,nhwd->cd", x[:, i : i + h, j : j + w], g) for j in range(3)]
        for i in range(3)
    ]
    return np.array(taps)


def convolved(x, kernel):
    """Sums in float64: the definition."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    h, w = x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [x[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(3) for j in range(3)]
    return np.sum(parts, 0)


def plain(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def off(found, expected):
    return np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max()


@jax.jit
def forward_and_back(x, kernel, g):
    y, pull = jax.vjp(conv3x3, x, kernel)
    return y, *pull(g)


@pytest.mark.parametrize("shape", first(6, [(shape,) for shape in SHAPES]))
def test_the_gradients_are_those_of_the_convolution(shape):
    x, kernel, g = draw(shape)
    y, dx, dkernel = forward_and_back(x, kernel, g)
    assert off(y, convolved(x, kernel)) < 1e-5
    assert off(dx, convolved(g, kernel[::-1, ::-1].swapaxes(2, 3))) < 1e-5
    assert off(dkernel, kernel_gradient(x, g)) < 2e-6


@pytest.mark.parametrize(("n", "chunk"), [(4, 2), (6, 4), (15, 6), (3, 1)])
def test_chunks_change_nothing(monkeypatch, n, chunk):
    shape = (n, 6, 8, 16, 16)
    x, _, g = draw(shape)
    monkeypatch.setattr(conv, "_CHUNK", chunk * 6 * 8 * 16)
    # A function of its own: what was compiled before was so with other chunks.
    gradient = jax.jit(lambda k, x, g: jax.vjp(lambda k: conv3x3(x, k), k)[1](g)[0])
    dkernel = gradient(np.zeros((3, 3, 16, 16), np.float32), x, g)
    assert off(dkernel, kernel_gradient(x, g)) < 2e-6


def test_many_pixels_are_summed_no_worse_than_xla_does():
    x, kernel, g = draw((4, 96, 96, 16, 16))
    expected = kernel_gradient(x, g)
    ours = forward_and_back(x, kernel, g)[2]
    assert off(ours, expected) < 1e-5


@pytest.mark.parametrize("channels", first(1, [16, 64]))
def test_every_transformation_of_jax_goes_through(channels):
    x, kernel, _ = draw((2, 5, 6, channels, channels))
    kernel = kernel / np.float32(channels)

    def loss(convolve):
        return lambda x, kernel: jnp.sum(jnp.tanh(convolve(x, kernel)))

    def slope(convolve, x, kernel):
        gradient = jax.grad(loss(convolve), 1)
        return jax.jvp(lambda x, k: jnp.sum(jnp.sin(gradient(x, k))), (x, kernel), (x, kernel))

    def each(convolve, x, kernel):
        gradient = jax.grad(lambda k, x: loss(convolve)(x[None], k))
        return jax.vmap(gradient, (None, 0))(kernel, x)

    def both(function):
        return jax.jit(lambda *args: (function(conv3x3, *args), function(plain, *args)))(x, kernel)

    for ours, theirs in zip(*both(slope), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(*both(each), atol=1e-4)


def test_no_gradient_is_computed_that_nobody_asked_for():
    x, kernel, g = draw((2, 5, 6, 16, 16))
    text = jax.jit(jax.vjp(lambda x: conv3x3(x, kernel), x)[1]).lower(g).as_text()
    assert text.count("stablehlo.convolution") == 1
    text = jax.jit(jax.vjp(lambda k: conv3x3(x, k), kernel)[1]).lower(g).as_text()
    assert text.count("stablehlo.convolution") == 6


def test_the_forward_pass_takes_the_form_that_is_fast_here():
    def convolutions(shape, dtype=jnp.float32):
        x, kernel, _ = draw(shape, dtype)
        return jax.jit(conv3x3).lower(x, kernel).as_text().count("stablehlo.convolution")

    assert convolutions((2, 8, 8, 64, 64)) == 6
    assert convolutions((2, 8, 8, 32, 64)) == convolutions((2, 3, 8, 64, 64)) == 1
    assert convolutions((2, 8, 8, 64, 64), jnp.bfloat16) == 1
    with disable_winograd():
        assert convolutions((2, 9, 8, 64, 64)) == 1
    # To a few channels by a matmul.
    assert convolutions((2, 8, 8, 64, 3)) == convolutions((2, 8, 8, 16, 12)) == 0
    assert convolutions((2, 8, 8, 64, 3), jnp.bfloat16) == convolutions((2, 8, 8, 3, 3)) == 1
    x, kernel, g = draw((2, 8, 8, 64, 3))
    text = jax.jit(jax.vjp(lambda k: conv3x3(x, k), kernel)[1]).lower(g).as_text()
    assert "stablehlo.convolution" not in text


def test_other_devices_have_the_convolution_of_xla(monkeypatch):
    def convolutions(*shape):
        x, kernel, _ = draw(shape)
        both = jax.jit(lambda x, kernel: jax.vjp(conv3x3, x, kernel)[1](x))
        return both.lower(x, kernel).as_text().count("stablehlo.convolution")

    assert convolutions(2, 8, 8, 64, 64) == 12
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    # Another shape, or JAX would remember the trace.
    assert convolutions(2, 8, 12, 64, 64) == 2


def test_bfloat16_gradients_are_summed_in_float32():
    n, size = 4, 32
    x, _, g = draw((n, size, size, 16, 16), jnp.bfloat16)
    model = Conv(16, (3, 3), dtype=jnp.bfloat16)
    variables = random_variables(model, x)

    @jax.jit
    def gradient(g):
        return jax.vjp(lambda v: model.apply(v, x), variables)[1](g)[0]["params"]

    # One rounding to bfloat16, which cannot count beyond 256.
    assert off(gradient(g)["kernel"], kernel_gradient(x, g)) < 0.005
    count = gradient(np.ones_like(g))["bias"]
    np.testing.assert_array_equal(count, n * size * size)


@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3), (4, 4)])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("use_bias", [True, False])
def test_it_is_the_convolution_of_flax(kernel_size, strides, use_bias):
    x = draw((2, 8, 6, 5, 1))[0]
    options = {"strides": strides, "use_bias": use_bias}
    ours, theirs = Conv(7, kernel_size, **options), nn.Conv(7, kernel_size, **options)
    variables = random_variables(theirs, x)
    shapes = jax.tree.map(jnp.shape, random_variables(ours, x))
    assert shapes == jax.tree.map(jnp.shape, variables)
    both = jax.jit(lambda v, x: (ours.apply(v, x), theirs.apply(v, x)))(variables, x)
    np.testing.assert_allclose(*both, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", first(4, [(shape,) for shape in SHAPES]))
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_options_of_inference_do_not_change_results(shape, dtype):
    x, kernel, _ = draw(shape, dtype)
    options = inference_options(UNet(dtype=jnp.bfloat16))
    found = jax.jit(plain, compiler_options=options)(x, kernel)
    assert found.dtype == dtype
    # Of bfloat16 the result alone is rounded, to 8 bits.
    assert off(found, convolved(x, kernel)) < (1e-5 if dtype == jnp.float32 else 2**-8)


def test_options_of_inference_are_those_of_bfloat16_where_jax_knows_them(monkeypatch):
    assert inference_options(UNet()) is None
    half = UNet(dtype=jnp.bfloat16)
    assert inference_options(half)
    registry._has_onednn.cache_clear()
    monkeypatch.setattr(registry, "_ONEDNN", {"xla_cpu_no_such_option": True})
    assert inference_options(half) is None
    registry._has_onednn.cache_clear()
