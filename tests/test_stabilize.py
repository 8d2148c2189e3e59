"""Against numerical expectations by scipy's distributions, and published closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from zoo.stabilize import (
    PoissonGaussian,
    Rician,
    anscombe,
    inverse_anscombe,
    inverse_rician,
    rician,
)

RNG = np.random.default_rng


def of_photons(mean):
    """Counts and how likely each is."""
    counts = np.arange(stats.poisson.ppf(1 - 1e-12, mean) + 2)
    return counts, stats.poisson.pmf(counts, mean)


def of_magnitudes(signal):
    """Magnitudes of sigma 1, and how likely each is."""
    values = np.linspace(max(signal - 9, 0), signal + 9, 8001)
    density = stats.rice.pdf(values, signal)
    return values, density / density.sum()


def moments(values, shares):
    mean = values @ shares
    return mean, np.sqrt(values**2 @ shares - mean**2)


@pytest.mark.parametrize("mean", [4, 10, 60, 900])
def test_photons_are_even_and_come_back_without_bias(mean):
    counts, shares = of_photons(mean)
    found, deviation = moments(anscombe(counts, gain=1.0), shares)
    assert deviation == pytest.approx(1, abs=0.03)
    assert inverse_anscombe(found, gain=1.0) == pytest.approx(mean, abs=0.03)
    # The inverse of the function is off by a quarter of a photon, as its expansion says.
    assert found**2 / 4 - 3 / 8 == pytest.approx(mean - 1 / 4, abs=0.05)


@pytest.mark.parametrize("mean", [0, 0.5, 1, 2])
def test_few_photons_come_back_without_bias(mean):
    counts, shares = of_photons(mean)
    found, _ = moments(anscombe(counts, gain=1.0), shares)
    assert inverse_anscombe(found, gain=1.0) == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize(("gain", "read", "offset"), [(3.0, 4.5, 0.0), (0.5, 2.0, 100.0)])
@pytest.mark.parametrize("photons", [4, 30, 900])
def test_photons_and_their_reading(gain, read, offset, photons):
    counts = gain * RNG(0).poisson(photons, 400_000) + RNG(1).normal(offset, read, 400_000)
    noise = PoissonGaussian(gain, read, offset)
    roots = noise.forward(counts)
    assert roots.std() == pytest.approx(1, abs=0.03)
    signal = gain * photons + offset
    unit = np.hypot(read, np.sqrt(gain * (signal - offset)))
    assert noise.inverse(roots.mean()) == pytest.approx(signal, abs=0.03 * unit)


def test_the_inverse_is_the_published_one():
    # Makitalo and Foi 2011, equation 10.
    y = np.float64(3.7)
    half = np.sqrt(3 / 2)
    terms = (y**2 / 4, half / 4 / y, -11 / 8 / y**2, 5 / 8 * half / y**3, -1 / 8)
    assert inverse_anscombe(y, gain=1.0) == pytest.approx(sum(terms), rel=1e-12)


@pytest.mark.parametrize("signal", [0, 0.5, 1, 1.5, 2, 3, 5, 9, 13, 40])
def test_magnitudes_are_even_and_come_back_without_bias(signal):
    values, shares = of_magnitudes(signal)
    mean, deviation = moments(rician(values, sigma=1.0), shares)
    assert deviation == pytest.approx(1, abs=0.04)
    assert inverse_rician(mean, sigma=1.0) == pytest.approx(signal, abs=0.01)
    # By the unit of the values alone.
    again, _ = moments(rician(7 * values, sigma=7.0), shares)
    assert inverse_rician(again, sigma=7.0) == pytest.approx(7 * signal, abs=0.07)


def test_what_the_inverse_takes_away_is_the_bias_of_magnitudes():
    signal = np.float64(2.0)
    values, shares = of_magnitudes(signal)
    # Rice 1944: sqrt(pi / 2) L(-s^2 / 2), a Laguerre function of degree 1/2.
    expected = np.sqrt(np.pi / 2) * special.eval_laguerre(0.5, -(signal**2) / 2)
    assert moments(values, shares)[0] == pytest.approx(expected, rel=1e-3)
    transformed, _ = moments(rician(values, sigma=1.0), shares)
    assert inverse_rician(transformed, sigma=1.0) < expected - 0.25


@pytest.mark.parametrize("noise", [PoissonGaussian(2.0, 3.0, 10.0), Rician(5.0)])
def test_both_ways_ascend_and_jax_gives_what_numpy_gives(noise):
    x = np.linspace(-50, 900, 500)
    for function in (noise.forward, noise.inverse):
        values = x if function == noise.forward else x / 12
        found = function(values)
        assert np.all(np.diff(found) >= 0)
        assert np.isfinite(found).all()
        jitted = jax.jit(function)(jnp.asarray(values, jnp.float32))
        assert jitted.dtype == jnp.float32
        np.testing.assert_allclose(jitted, found, rtol=2e-5, atol=2e-4)
    slope = jax.grad(noise.forward)(jnp.float32(300))
    around = noise.forward(np.float64([299, 301]))
    assert slope == pytest.approx((around[1] - around[0]) / 2, rel=0.02)
