"""Each op's distribution against its closed form or scipy.stats, with fixed seeds."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from scipy import signal, stats
from skimage import color

from zoo import noise
from zoo.errors import ZooError

KEY = jax.random.key(7)
SHAPE = (4, 64, 64, 3)
SIZE = np.prod(SHAPE)

# The chance that a right sampler fails a test with another seed.
SIGNIFICANCE = 1e-4
# Five standard errors: 1 in 2 million.
DEVIATIONS = 5


def full(value, dtype=jnp.float32, shape=SHAPE):
    return jnp.full(shape, value, dtype)


def numbers(x):
    return np.asarray(x, np.float64).ravel()


def check_moments(sample, mean, variance, kurtosis=3.0):
    """Mean and variance within `DEVIATIONS` standard errors of theirs."""
    sample = numbers(sample)
    assert abs(sample.mean() - mean) < DEVIATIONS * np.sqrt(variance / sample.size)
    error = variance * np.sqrt((kurtosis - 1) / sample.size)
    assert abs(sample.var() - variance) < DEVIATIONS * error


@pytest.mark.parametrize(
    ("noisy", "expected"),
    [
        (lambda x: noise.gaussian(KEY, x, sigma=0.2), stats.norm(0.5, 0.2)),
        (lambda x: noise.uniform(KEY, x, half_width=0.2), stats.uniform(0.3, 0.4)),
        (lambda x: noise.laplace(KEY, x, scale=0.2), stats.laplace(0.5, 0.2)),
        (lambda x: noise.speckle(KEY, x, sigma=0.4), stats.norm(0.5, 0.2)),
        (lambda x: noise.poisson_gaussian(KEY, x, a=0.06, b=0.01), stats.norm(0.5, 0.2)),
        (lambda x: noise.rician(KEY, x, sigma=0.2), stats.rice(2.5, scale=0.2)),
        (lambda x: noise.gamma(KEY, x, looks=0.6), stats.gamma(0.6, scale=0.5 / 0.6)),
        (lambda x: noise.gamma(KEY, x, looks=4), stats.gamma(4, scale=0.5 / 4)),
    ],
)
def test_continuous(noisy, expected):
    sample = numbers(noisy(full(0.5)))
    assert stats.kstest(sample, expected.cdf).pvalue > SIGNIFICANCE
    mean, variance, excess = expected.stats("mvk")
    check_moments(sample, mean, variance, 3 + excess)


@pytest.mark.parametrize("dtype", first(1, [jnp.bfloat16, jnp.float16]))
def test_low_precision_has_no_bias(dtype):
    """Sampled in bfloat16 the mean would be off by 0.011 sigma."""
    check_moments(noise.gaussian(KEY, full(0, dtype), sigma=0.5), 0, 0.25)
    x = full(0.5, dtype)
    for sample, variance in (
        (noise.poisson(KEY, x, peak=8), 0.5 / 8),
        (noise.uniform(KEY, x, half_width=0.25), 0.25**2 / 3),
        (noise.gamma(KEY, x, looks=16), 0.5**2 / 16),
    ):
        check_moments(sample, 0.5, variance)


POISSON_RATES = (0.05, 0.7, 3.0, 9.9, 10.1, 17.0, 30.0)
POISSON_PEAK = 40.0
# What the docstring promises of the total variation distance.
POISSON_DISTANCE = 2e-4


@pytest.mark.parametrize(("exact", "size"), first(1, [(False, 2**17), (True, 2**14)]))
def test_poisson(exact, size):
    rates = np.asarray(POISSON_RATES, np.float32)
    x = jnp.broadcast_to((rates / POISSON_PEAK)[:, None], (rates.size, size))
    noisy = jax.jit(lambda x: noise.poisson(KEY, x, peak=POISSON_PEAK, exact=exact))(x)
    sample = numbers(noisy).reshape(x.shape) * POISSON_PEAK
    for rate, counts in zip(POISSON_RATES, sample, strict=True):
        whole = np.round(counts)
        np.testing.assert_allclose(counts, whole, atol=1e-5)
        expected = stats.poisson(rate)
        check_moments(whole, rate, rate, 3 + 1 / rate)
        # Chi-square over the counts expected 10 times or more, and the tails.
        low, high = expected.ppf([1e-4, 1 - 1e-4])
        edges = np.arange(low, high + 1)
        observed = np.histogram(np.clip(whole, low, high), np.append(edges, high + 1) - 0.5)[0]
        chances = expected.pmf(edges)
        chances[0], chances[-1] = expected.cdf(low), expected.sf(high - 1)
        assert stats.chisquare(observed, chances * whole.size).pvalue > SIGNIFICANCE


@pytest.mark.parametrize(
    "rate", first(4, [0.0, 4.0, 9.99, 30.0, 1e-3, 0.5, 1.0, 10.01, 14.0, 100.0])
)
def test_poisson_quantile(rate):
    """The sampler is a function of one uniform number: feed it all of them, evenly spaced."""
    from zoo.noise import sensor

    # Odd multiples of a power of two below 1: exact in float32, and symmetric about 0.
    size = 2**20
    v = jnp.asarray((np.arange(size) * 2 + 1) / size - 1, jnp.float32)
    rates = jnp.full(size, rate, jnp.float32)
    if rate <= sensor._FEW:
        counts = sensor._few_counts(rates, 0.5 + 0.5 * v)
    else:
        counts = sensor._many_counts(rates, v)
    found = np.bincount(np.asarray(counts, int)) / size
    k = np.arange(max(found.size, 200))
    found = np.pad(found, (0, k.size - found.size))
    expected = stats.poisson.pmf(k, rate)
    assert np.abs(found - expected).sum() / 2 < POISSON_DISTANCE
    mean = found @ k
    np.testing.assert_allclose(mean, rate, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found @ (k - mean) ** 2, rate, rtol=1e-3, atol=1e-6)


def test_poisson_extremes():
    from zoo.noise import sensor

    # No u is so near 1 that the sum's rounding lets the count run away.
    rates = jnp.geomspace(1e-3, sensor._FEW, 4000)
    last = np.asarray(sensor._few_counts(rates, jnp.full(4000, 1 - 2.0**-24)))
    assert (last <= stats.poisson.isf(1e-9, np.asarray(rates)) + 1).all()
    assert (last >= stats.poisson.isf(1e-5, np.asarray(rates))).all()
    # Negative light emits no photons; very bright light keeps its relative noise.
    np.testing.assert_array_equal(noise.poisson(KEY, full(-0.3), peak=20), 0)
    np.testing.assert_array_equal(noise.poisson(KEY, full(0.0), peak=20), 0)
    check_moments(noise.poisson(KEY, full(0.5), peak=1e5), 0.5, 0.5e-5)


def test_poisson_gaussian_of_negative_light_is_read_noise():
    check_moments(noise.poisson_gaussian(KEY, full(-0.5), a=1.0, b=0.04), -0.5, 0.04)


@pytest.mark.slow
def test_poisson_costs_at_most_ten_gaussians():
    x = jax.random.uniform(KEY, (16, 64, 64, 3))

    def fastest(function):
        function(KEY, x).block_until_ready()
        times = []
        for _ in range(30):
            start = time.perf_counter()
            function(KEY, x).block_until_ready()
            times.append(time.perf_counter() - start)
        return min(times)

    gaussian = fastest(jax.jit(lambda key, x: noise.gaussian(key, x, sigma=0.1)))
    assert fastest(jax.jit(lambda key, x: noise.poisson(key, x, peak=30.0))) <= 10 * gaussian


KERNEL = np.asarray([[1, 2, 1], [0, 3, -1]], np.float32)


def test_correlated_gaussian():
    small = noise.correlated_gaussian(
        KEY, full(0.5, shape=(4096, 5, 6, 2)), sigma=0.2, kernel=KERNEL
    )
    small = np.asarray(small, np.float64) - 0.5
    # The border as well as the middle: every pixel has the variance.
    tolerance = DEVIATIONS * 0.04 * np.sqrt(2 / 4096)
    np.testing.assert_allclose(small.var(0), 0.04, atol=tolerance)
    # All covariances with the pixel (2, 3), against the kernel's autocorrelation.
    energy = KERNEL / np.linalg.norm(KERNEL)
    expected = np.zeros((5, 6))
    expected[1:4, 1:6] = 0.04 * signal.correlate(energy, energy)
    for channel in range(2):
        found = np.einsum("n,nhw->hw", small[:, 2, 3, 0], small[..., channel]) / 4096
        np.testing.assert_allclose(found, expected * (channel == 0), atol=tolerance)


def test_correlated_gaussian_rejects_a_bad_kernel():
    for kernel, culprit in ((np.zeros((3, 3)), "only zeros"), (np.ones(3), r"\(kh, kw\)")):
        with pytest.raises(ZooError, match=culprit):
            noise.correlated_gaussian(KEY, full(0.5), sigma=0.1, kernel=kernel)


@pytest.mark.parametrize(
    ("axis", "other", "per_channel"),
    first(2, [("row", 2, False), ("column", 1, True), ("row", 2, True), ("column", 1, False)]),
)
def test_stripes(axis, other, per_channel):
    x = full(0.5, shape=(512, 32, 32, 3))
    noisy = np.asarray(noise.stripes(KEY, x, sigma=0.2, axis=axis, per_channel=per_channel))
    assert (noisy.std(other) < 1e-6).all()
    assert (noisy.std(3) < 1e-6).all() == (not per_channel)
    lines = noisy.take(0, other)
    check_moments(lines if per_channel else lines[..., 0], 0.5, 0.04)
    with pytest.raises(ZooError, match="axis must be 'row' or 'column'"):
        noise.stripes(KEY, x, sigma=0.2, axis="both")


def check_share(hits, expected):
    """The share of hits within `DEVIATIONS` standard errors."""
    error = np.sqrt(expected * (1 - expected) / hits.size)
    assert abs(hits.mean() - expected) <= DEVIATIONS * error


@pytest.mark.parametrize("per_channel", [False, True])
def test_salt_and_pepper(per_channel):
    x = np.asarray(full(0.5))
    options = {"amount": 0.3, "per_channel": per_channel}
    both = np.asarray(noise.salt_and_pepper(KEY, x, salt_fraction=0.2, **options))
    salt, pepper = (np.asarray(op(KEY, x, **options)) for op in (noise.salt, noise.pepper))
    for noisy, value, share in ((both, 1, 0.06), (both, 0, 0.24), (salt, 1, 0.3), (pepper, 0, 0.3)):
        hits = noisy == value
        whole = (hits == hits[..., :1]).all()
        assert whole == (not per_channel)
        check_share(hits if per_channel else hits[..., 0], share)
    assert set(np.unique(both)) == {0, 0.5, 1}
    assert set(np.unique(salt)) == {0.5, 1}
    assert set(np.unique(pepper)) == {0, 0.5}


@pytest.mark.parametrize("per_channel", [False, True])
def test_impulse(per_channel):
    noisy = np.asarray(noise.impulse(KEY, full(2.0), amount=0.3, per_channel=per_channel))
    hits = noisy != 2
    assert (hits == hits[..., :1]).all() == (not per_channel)
    check_share(hits if per_channel else hits[..., 0], 0.3)
    assert stats.kstest(noisy[hits], "uniform").pvalue > SIGNIFICANCE
    pixels = noisy[hits.all(-1)]
    assert abs(np.corrcoef(pixels[:, 0], pixels[:, 1])[0, 1]) < DEVIATIONS / np.sqrt(len(pixels))


def test_dead_and_masked_pixels():
    value = np.asarray([0.1, 0.2, 0.3, 1.0], np.float32)
    dead = np.asarray(noise.dead_pixels(KEY, full(0.5), amount=0.25, value=value))
    masked = np.asarray(noise.mask_pixels(KEY, full(0.5), amount=0.25))
    for noisy, shown in ((dead, value.reshape(4, 1, 1, 1)), (masked, 0)):
        hits = noisy == shown
        assert ((noisy == 0.5) | hits).all()
        assert (hits == hits[..., :1]).all()
        check_share(hits[..., 0], 0.25)
    assert (np.asarray(noise.dead_pixels(KEY, full(0.5), amount=1.0)) == 0).all()
    np.testing.assert_array_equal(noise.mask_pixels(KEY, full(0.5), amount=0), full(0.5))


def linear(encoded):
    """Linear light by scikit-image: the luminance of grays, whose weights sum to 1."""
    gray = np.broadcast_to(np.asarray(encoded, np.float64).reshape(-1, 1, 1), (encoded.size, 1, 3))
    return color.rgb2xyz(gray)[..., 1].ravel()


@pytest.mark.parametrize("encoded", first(1, [0.3, 0.02, 0.9]))
def test_camera(encoded):
    x = full(encoded)
    light = linear(np.full(1, encoded)).item()
    sample = linear(noise.camera(KEY, x, shot=1e-3, read=1e-4))
    check_moments(sample, light, 1e-3 * light + 1e-4)
    # The curve and its inverse cancel, outside [0, 1] too.
    line = np.linspace(-0.5, 1.5, 101, dtype=np.float32)
    np.testing.assert_allclose(noise.camera(KEY, line, shot=0), line, atol=1e-6)


def test_camera_negative_light_has_read_noise_only():
    noisy = noise.camera(KEY, full(-0.5), shot=1.0, read=1e-6)
    check_moments(noisy, -0.5, 1e-6 * 12.92**2)


def test_rician_of_nothing_is_rayleigh():
    sample = numbers(noise.rician(KEY, full(0.0), sigma=0.3))
    assert stats.kstest(sample, stats.rayleigh(scale=0.3).cdf).pvalue > SIGNIFICANCE


def test_keras_habit():
    """The line of Keras' denoising autoencoder example."""
    x = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    normal = np.asarray(jax.random.normal(KEY, x.shape))
    np.testing.assert_allclose(
        noise.gaussian(KEY, x, sigma=0.4, clip=(0, 1)), np.clip(x + 0.4 * normal, 0, 1), atol=1e-6
    )


@pytest.mark.parametrize(
    ("apply", "value"),
    first(
        1,
        [
            (lambda level, x: noise.poisson(KEY, x, peak=level), 1e-38),
            (lambda level, x: noise.rician(KEY, x, sigma=level), 1e25),
            (lambda level, x: noise.gamma(KEY, x, looks=level), 1e-38),
            (lambda level, x: noise.poisson(KEY, x * 1e9, peak=level), 1e30),
            (lambda level, x: noise.rician(KEY, x * 1e-25, sigma=level), 1e-25),
        ],
    ),
)
def test_levels_at_the_edge_of_float32(apply, value):
    x = np.full(500, 0.5, np.float32)
    level = np.float32(value)
    for noisy in (apply(value, x), jax.jit(apply)(level, x)):
        assert np.isfinite(noisy).all()


def test_rician_of_any_size_has_its_mean_square():
    for scale in (1e-25, 1e25):
        x = np.full(20_000, 2 * scale, np.float32)
        found = np.asarray(noise.rician(KEY, x, sigma=scale), np.float64) / scale
        assert np.square(found).mean() == pytest.approx(4 + 2, rel=0.02)


def test_a_kernel_may_be_traced():
    x = np.zeros((6, 5, 1), np.float32)

    def apply(kernel):
        return noise.correlated_gaussian(KEY, x, sigma=0.1, kernel=kernel)

    kernel = ((1.0, 2.0), (0.0, 1.0))
    expected = apply(kernel)
    for given in (kernel, np.asarray(kernel, np.float32), np.asarray(kernel, int)):
        np.testing.assert_allclose(jax.jit(apply)(given), expected, atol=1e-6)
