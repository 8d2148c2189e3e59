"""Risks: closed forms for linear filters, unbiasedness, and what each leaves out of account."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from scipy.ndimage import convolve
from scipy.stats import norm

from zoo.errors import ZooError
from zoo.selfsupervised import make_method, neighbor2neighbor, poisson_sure, sure, unsure, zs_n2n
from zoo.selfsupervised.pairs_of_halves import neighbors, sub_image

SIDE = 12
# A circular blur: each output holds 0.4 of its own pixel.
KERNEL = np.float32([[0.05, 0.1, 0.05], [0.1, 0.4, 0.1], [0.05, 0.1, 0.05]])


@jax.jit
def blur(params, x, level):
    """A linear model, the blur times a parameter."""
    return sum(
        params * KERNEL[i + 1, j + 1] * jnp.roll(x, (i, j), (1, 2))
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    )


def clean_image():
    return np.random.default_rng(0).random((1, SIDE, SIDE, 1), np.float32)


def keys_of(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def test_the_blur_is_that_of_scipy():
    x = clean_image()
    expected = convolve(x[0, ..., 0], KERNEL, mode="wrap")
    np.testing.assert_allclose(blur(1.0, x, None)[0, ..., 0], expected, atol=1e-6)


def test_sure_of_a_linear_filter_is_its_closed_form():
    """The mean over probes is mse - s^2 + 2 s^2 trace / m."""
    noisy, level = clean_image(), np.float32([0.2])
    residual = np.asarray(blur(1.0, noisy, None)) - noisy
    closed = np.mean(residual**2) - 0.04 + 2 * 0.04 * KERNEL[1, 1]
    many = 4000
    tiled, levels = np.repeat(noisy, many, 0), np.repeat(level, many)
    found = np.asarray(sure(keys_of(many), blur, 1.0, tiled, levels)).mean((1, 2, 3))
    assert found.mean() == pytest.approx(closed, abs=5 * found.std() / np.sqrt(many))
    assert found.std() > 0


def test_the_divergence_of_a_pointwise_model_needs_no_mean():
    noisy, level = clean_image(), np.float32([0.2])
    found = sure(keys_of(1), lambda p, x, s: p * x, 0.7, noisy, level)
    np.testing.assert_allclose(found, (0.3 * noisy) ** 2 - 0.04 + 2 * 0.04 * 0.7, atol=1e-6)


def test_without_noise_the_risk_is_the_distance_from_the_input():
    noisy = clean_image()
    found = sure(keys_of(1), lambda p, x, s: p * x, 0.7, noisy, np.float32([0]))
    np.testing.assert_allclose(found, (0.3 * noisy) ** 2, atol=1e-6)


@pytest.mark.parametrize("kind", first(1, ["poisson_gaussian", "poisson", "gaussian"]))
def test_the_mean_over_the_noise_is_the_true_error(kind):
    clean, many, rng = clean_image() + np.float32(0.2), 5000, np.random.default_rng(1)
    peak, sigma = 20.0, 0.15
    noisy = np.repeat(clean, many, 0)
    if kind != "gaussian":
        noisy = (rng.poisson(noisy * peak) / peak).astype(np.float32)
    if kind != "poisson":
        noisy += np.float32(sigma) * rng.standard_normal(noisy.shape, np.float32)
    method = {
        "gaussian": (sure, sigma),
        "poisson": (poisson_sure, peak),
        "poisson_gaussian": (
            make_method("poisson_gaussian_sure", {"gain": 1 / peak}).function,
            sigma,
        ),
    }[kind]
    function, level = method
    levels = jnp.full(many, level, jnp.float32)
    risk = jax.jit(lambda keys, x, level: function(keys, blur, 1.0, x, level))
    estimate = np.asarray(risk(keys_of(many), noisy, levels), np.float64)
    error = np.asarray(jnp.square(blur(1.0, noisy, None) - clean), np.float64)
    # Of a linear model the first order in the gain is all there is.
    difference = (estimate - error).mean((1, 2, 3))
    assert difference.mean() == pytest.approx(0, abs=5 * difference.std() / np.sqrt(many))
    assert error.mean() > 5 * difference.std() / np.sqrt(many)


@pytest.mark.parametrize("function", first(1, [sure, unsure]))
def test_the_mean_gradient_is_that_of_the_error_where_relus_switch(function):
    """f(y) = max(y - p, 0): a change of p moves the place where the derivative jumps."""
    clean, sigma, p, side = 0.5, 0.2, 0.45, 1000
    noise = np.random.default_rng(2).standard_normal((1, side, side, 1), np.float32)
    noisy, level = clean + np.float32(sigma) * noise, np.float32([sigma])

    def mean(p):
        relu = lambda p, x, level: jax.nn.relu(x - p)  # noqa: E731
        return jnp.mean(function(keys_of(1), relu, p, noisy, level))

    z = (p - clean) / sigma
    # Of E (f(y) - x)^2, and how much of it the jump is.
    slope = 2 * p * norm.sf(z) - 2 * sigma * norm.pdf(z)
    jump = -2 * sigma * norm.pdf(z)
    found = float(jax.jit(jax.grad(mean))(np.float32(p)))
    assert found == pytest.approx(slope, abs=0.03 * abs(jump))


@pytest.mark.matrix
def test_unsure_finds_the_sigma_of_flat_images():
    """Over models p * x the saddle point has sigma^2 = E[y^2] - what a zero divergence leaves."""
    sigma, side = 0.3, 64
    noisy = sigma * jax.random.normal(jax.random.key(0), (1, side, side, 1))
    keys = keys_of(1)

    def total(p, level):
        return jnp.mean(unsure(keys, lambda p, x, s: p * x, p, noisy, level))

    p, level = jnp.float32(0.0), jnp.float32([0.1])
    slopes = jax.jit(jax.grad(total, (0, 1)))
    for _ in range(600):
        down, up = slopes(p, level)
        p, level = p - 0.5 * down, level + 0.1 * up
    assert float(level[0]) == pytest.approx(float(jnp.sqrt(jnp.mean(noisy**2))), rel=1e-2)
    assert float(p) == pytest.approx(0, abs=0.02)


def test_the_model_is_no_way_to_the_level():
    """The level's gradient is that of the multiplier alone: 4 level * mean divergence."""
    noisy = jnp.asarray(clean_image())
    apply = lambda p, x, level: x * level.reshape(-1, 1, 1, 1)  # noqa: E731
    slope = jax.grad(lambda s: jnp.mean(unsure(keys_of(1), apply, 1.0, noisy, s)))(
        jnp.float32([0.5])
    )
    np.testing.assert_allclose(slope, [4 * 0.5 * 0.5], rtol=1e-5)


@pytest.mark.matrix
def test_neighbor2neighbor_is_its_formula():
    noisy = np.random.default_rng(1).random((2, 6, 8, 1), np.float32)
    keys, level = keys_of(2), jnp.zeros(2)
    risk = jax.jit(lambda keys, x, level: neighbor2neighbor(keys, blur, 1.0, x, level, ratio=3.0))
    found = np.asarray(risk(keys, noisy, level))
    whole = blur(1.0, noisy, None)
    for i in range(2):
        first, second = neighbors(keys[i], (6, 8))
        a, b = (np.asarray(sub_image(noisy[i], p)) for p in (first, second))
        wa, wb = (np.asarray(sub_image(whole[i], p)) for p in (first, second))
        difference = np.asarray(blur(1.0, a[None], None))[0] - b
        expected = difference**2 + 3 * (difference - (wa - wb)) ** 2
        np.testing.assert_allclose(found[i], expected, atol=1e-6)


@pytest.mark.matrix
def test_neighbor2neighbor_has_no_gradient_through_the_whole():
    noisy = jnp.asarray(clean_image())
    one = lambda p: jnp.sum(neighbor2neighbor(keys_of(1), blur, p, noisy, jnp.zeros(1)))  # noqa: E731
    first, second = neighbors(keys_of(1)[0], (SIDE, SIDE))
    a, b = (sub_image(noisy[0], p)[None] for p in (first, second))
    whole = blur(1.0, noisy, None)[0]
    gap = (sub_image(whole, first) - sub_image(whole, second))[None]
    fixed = lambda p: jnp.sum(  # noqa: E731
        jnp.square(blur(p, a, None) - b) + jnp.square(blur(p, a, None) - b - gap)
    )
    slope = jax.jit(jax.grad(one))(1.0)
    assert float(slope) == pytest.approx(float(jax.grad(fixed)(1.0)), rel=1e-5)


@pytest.mark.matrix
def test_zs_n2n_is_its_formula():
    x = np.random.default_rng(2).random((1, 4, 6, 1), np.float32)
    found = np.asarray(zs_n2n(keys_of(1), blur, 0.9, x, jnp.zeros(1)))
    # The two means as convolutions with a stride of 2, as the authors have them.
    d1, d2 = (
        (x[:, ::2, ::2] + x[:, 1::2, 1::2]) / 2,
        (x[:, ::2, 1::2] + x[:, 1::2, ::2]) / 2,
    )
    y = np.asarray(blur(0.9, x, None))
    y1, y2 = (y[:, ::2, ::2] + y[:, 1::2, 1::2]) / 2, (y[:, ::2, 1::2] + y[:, 1::2, ::2]) / 2
    f1, f2 = (np.asarray(blur(0.9, d, None)) for d in (d1, d2))
    expected = ((f1 - d2) ** 2 + (f2 - d1) ** 2 + (f1 - y1) ** 2 + (f2 - y2) ** 2) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.matrix
@pytest.mark.parametrize("function", first(1, [neighbor2neighbor, sure, poisson_sure, unsure]))
def test_an_example_does_not_depend_on_the_batch(function):
    noisy = np.random.default_rng(1).random((3, 6, 8, 1), np.float32)
    level = np.float32([0.1, 0.2, 5.0])
    keys = keys_of(3)
    risk = jax.jit(lambda keys, x, level: function(keys, blur, 1.0, x, level))
    together = risk(keys, noisy, level)
    alone = risk(keys[1:2], noisy[1:2], level[1:2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def test_a_negative_gain_is_refused():
    function = make_method("poisson_gaussian_sure", {"gain": -1.0}).function
    with pytest.raises(ZooError, match="gain=-1"):
        function(keys_of(1), blur, 1.0, clean_image(), np.float32([0.1]))
