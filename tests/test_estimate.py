"""Against scikit-image, closed forms and, on BSD68, the noise that was added."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from skimage import data, restoration

from zoo import estimate, noise
from zoo.data import image_files
from zoo.errors import ZooError

sigma_wavelet = jax.jit(estimate.estimate_sigma)
sigma_smooth = jax.jit(estimate.estimate_sigma_smooth)
poisson_gaussian = jax.jit(estimate.estimate_poisson_gaussian)
ALL = {f.__name__: f for f in (sigma_wavelet, sigma_smooth, poisson_gaussian)}

# Every function and shape is another program, slow to compile, so most tests share two shapes. One
# is that of BSD68.
GRAY, COLOR = (321, 481, 1), (150, 131, 3)

by_representative = pytest.mark.parametrize("name", first(1, ALL))


def photo(height, width, channels):
    return (data.astronaut()[:height, 100 : 100 + width, :channels] / 255).astype(np.float32)


def noisy(clean, a=0.0, b=0.01, seed=0):
    normal = np.random.default_rng(seed).standard_normal(clean.shape)
    return (clean + np.sqrt(a * clean + b) * normal).astype(np.float32)


def ramp(shape=GRAY):
    line = np.linspace(0.05, 0.95, shape[1], dtype=np.float32)
    return np.broadcast_to(line[None, :, None], shape)


def reference(x):
    channels = [
        restoration.estimate_sigma(x[..., c].astype(np.float64)) for c in range(x.shape[-1])
    ]
    return np.mean(channels)


SIDES = [(64, 64), (61, 70), (5, 6), (70, 61), (7, 9), (6, 5)]


@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        *first(3, [(sides, 3) for sides in SIDES]),
        (SIDES[0], 1),
        *(pytest.param(sides, 1, marks=pytest.mark.matrix) for sides in SIDES[1:]),
    ],
)
@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_sigma_is_that_of_scikit_image(shape, channels, sigma):
    x = noisy(photo(*shape, channels), b=sigma**2)
    for image in (x, np.clip(x, 0, 1)):
        assert sigma_wavelet(image) == pytest.approx(reference(image), rel=1e-5)


def test_exact_zeros_do_not_count():
    # Half of the image is clipped to 0. At white scikit-image keeps zeros that rounding hides.
    x = noisy(np.where(np.arange(GRAY[0])[:, None, None] < 200, -1.0, 0.5) * np.ones(GRAY))
    x = np.maximum(x, 0)
    assert np.mean(x == 0) > 0.5
    assert sigma_wavelet(x) == pytest.approx(reference(x), rel=1e-5)
    assert sigma_wavelet(x) == pytest.approx(0.1, rel=0.1)
    assert sigma_wavelet(1 - x) == pytest.approx(reference(x), rel=1e-5)


@pytest.mark.parametrize("shape", first(1, [(GRAY,), (COLOR,)]))
@pytest.mark.parametrize("sigma", first(1, [0.1, 0.002, 2.0]))
def test_white_noise_on_a_constant(shape, sigma):
    x = noisy(np.full(shape, 0.5), b=sigma**2)
    assert sigma_wavelet(x) == pytest.approx(sigma, rel=0.03)
    assert sigma_smooth(x) == pytest.approx(sigma, rel=0.03)
    a, b = poisson_gaussian(x)
    assert a == 0
    assert b == pytest.approx(sigma**2, rel=0.06)


@pytest.mark.matrix
def test_choosing_smooth_places_does_not_bias_white_noise():
    found = [sigma_smooth(noisy(np.full(COLOR, 0.5), seed=seed)) for seed in range(30)]
    assert np.mean(found) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("shape", first(1, [(GRAY,), ((240, 320, 3),)]))
@pytest.mark.parametrize(
    ("a", "b"), first(1, [(0.01, 0.0004), (0.002, 0.0001), (0.05, 0.0), (0.0, 0.01)])
)
def test_the_line_on_a_ramp(shape, a, b):
    found = poisson_gaussian(noisy(ramp(shape), a, b))
    signals = np.linspace(0.1, 0.9, 9)
    true, got = (np.sqrt(pair[0] * signals + pair[1]) for pair in ((a, b), found))
    np.testing.assert_allclose(got, true, rtol=0.05)
    assert found[0] == pytest.approx(a, abs=0.06 * (a + b))
    assert found[1] == pytest.approx(b, abs=0.06 * (a + b))


def test_the_pair_is_that_of_the_noise_op():
    op = jax.jit(noise.poisson_gaussian)
    x = op(jax.random.key(0), ramp(), a=0.02, b=0.001)
    again = op(jax.random.key(1), ramp(), **dict(zip("ab", poisson_gaussian(x), strict=True)))
    a, b = poisson_gaussian(again)
    assert a == pytest.approx(0.02, rel=0.15)
    assert b == pytest.approx(0.001, abs=0.001)


@pytest.mark.matrix
def test_units_cancel():
    # A power of two, because rounding may move a place across the threshold of smoothness.
    x = noisy(photo(*COLOR), 0.01, 0.0004)
    assert sigma_wavelet(256 * x) == pytest.approx(256 * float(sigma_wavelet(x)))
    assert sigma_smooth(256 * x) == pytest.approx(256 * float(sigma_smooth(x)))
    a, b = map(float, poisson_gaussian(x))
    assert poisson_gaussian(256 * x) == pytest.approx((256 * a, 256**2 * b), rel=1e-3)


@pytest.mark.matrix
def test_clipped_pixels_do_not_pass_for_quiet_ones():
    clean = photo(*COLOR)
    x = np.clip(noisy(2 * clean - 0.5, b=0.05**2), 0, 1)
    assert np.mean((x == 0) | (x == 1)) > 0.3
    assert sigma_smooth(x) == pytest.approx(0.05, rel=0.1)
    a, b = poisson_gaussian(x)
    assert np.sqrt(0.5 * a + b) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_constant_images_have_no_noise(name, value):
    assert all(leaf == 0 for leaf in jax.tree.leaves(ALL[name](np.full(COLOR, value))))


@pytest.mark.parametrize("name", ALL)
def test_any_image_gives_finite_numbers(name):
    binary = (photo(*COLOR) > 0.5).astype(np.float32)
    plateau = np.where(np.arange(COLOR[0])[:, None, None] < 110, np.float32(0.5), photo(*COLOR))
    diagonal = np.repeat(np.eye(*COLOR[:2], dtype=np.float32)[..., None], COLOR[2], axis=-1)
    for x in (binary, plateau, diagonal, ramp(COLOR)):
        assert all(np.isfinite(leaf) and leaf >= 0 for leaf in jax.tree.leaves(ALL[name](x)))


@functools.cache
def mapped(name):
    return jax.jit(jax.vmap(getattr(estimate, name)))


def images():
    """Four in two axes, the first for `vmap` and the second for the function itself."""
    levels = enumerate((0.001, 0.01, 0.002, 0.02))
    x = np.stack([noisy(photo(*COLOR), 0.01, b, seed) for seed, b in levels])
    return x.reshape(2, 2, *COLOR)


@by_representative
def test_batches_and_vmap(name):
    x = images()
    found = mapped(name)(x)
    assert all(leaf.shape == (2, 2) for leaf in jax.tree.leaves(found))
    one_by_one = map(ALL[name], x.reshape(4, *COLOR))
    one_by_one = jax.tree.map(lambda *leaves: np.stack(leaves), *one_by_one)
    for leaf, expected in zip(*map(jax.tree.leaves, (found, one_by_one)), strict=True):
        np.testing.assert_allclose(np.ravel(leaf), expected, rtol=1e-4, atol=1e-6)


@by_representative
def test_jit_agrees_with_no_jit(name):
    x = images()[0, 0]
    found, expected = getattr(estimate, name)(x), ALL[name](x)
    for leaf, same in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(leaf, same, rtol=1e-4, atol=1e-6)


@by_representative
def test_float32_whatever_the_dtype(name):
    x = jnp.asarray(noisy(photo(*COLOR))).astype(jnp.bfloat16)
    for leaf, same in zip(
        *(jax.tree.leaves(ALL[name](y)) for y in (x, x.astype(jnp.float32))), strict=True
    ):
        assert leaf.dtype == jnp.float32
        assert leaf == same


@pytest.mark.parametrize(("name", "smallest"), [*zip(ALL, (4, 16, 16), strict=True)])
def test_what_cannot_be_judged_is_an_error(name, smallest):
    function = getattr(estimate, name)
    with pytest.raises(ZooError, match=f"{name}.*at least {smallest}"):
        function(np.zeros((smallest - 1, 50, 1), np.float32))
    with pytest.raises(ZooError, match="uint8"):
        function(np.zeros((50, 50, 1), np.uint8))
    with pytest.raises(ZooError, match=r"\(50, 50\)"):
        function(np.zeros((50, 50), np.float32))
    # The shape alone decides, so there is nothing to compile.
    jax.eval_shape(function, np.zeros((smallest, smallest, 1), np.float32))


@pytest.fixture(scope="module")
def bsd68(zoo_data):
    # Those that the constants of zoo/estimate.py were not chosen on.
    paths = sorted((zoo_data / "bsd68").glob("*.png"))[1::4]
    images = [image_files.read(path).astype(np.float32) / 255 for path in paths]
    # All lying, for one shape and so one program.
    return [x if x.shape == GRAY else np.swapaxes(x, 0, 1) for x in images]


# Mean absolute errors in 1/255, as benchmarks/results/estimators_bsd68.csv has them, and a margin.
@pytest.mark.matrix
@pytest.mark.parametrize(
    ("sigma", "wavelet", "smooth"),
    [
        pytest.param(5, 2.4, 0.4, marks=pytest.mark.matrix),
        pytest.param(15, 1.5, 0.4, marks=pytest.mark.matrix),
        pytest.param(25, 0.9, 0.5, marks=pytest.mark.matrix),
        (50, 0.7, 0.7),
    ],
)
def test_sigma_on_photographs(bsd68, sigma, wavelet, smooth):
    errors = []
    for seed, clean in enumerate(bsd68):
        x = noisy(clean, b=(sigma / 255) ** 2, seed=seed)
        errors.append([255 * float(f(x)) - sigma for f in (sigma_wavelet, sigma_smooth)])
    mean = np.abs(errors).mean(axis=0)
    assert mean[0] < wavelet
    assert mean[1] < smooth


@pytest.mark.parametrize(
    ("a", "b", "bound"),
    [
        (0.002, 0.0001, 0.6),
        (0.01, 0.0004, 0.6),
    ],
)
@pytest.mark.matrix
def test_poisson_gaussian_on_photographs(bsd68, a, b, bound):
    signals = np.linspace(0.05, 0.95, 19)
    errors = []
    for seed, clean in enumerate(bsd68):
        found = poisson_gaussian(noisy(clean, a, b, seed))
        true, got = (np.sqrt(pair[0] * signals + pair[1]) for pair in ((a, b), found))
        errors.append(255 * np.abs(got - true).mean())
    assert np.mean(errors) < bound


@by_representative
@pytest.mark.parametrize("value", first(1, [np.nan, np.inf]))
def test_images_that_are_not_finite_have_no_level(name, value):
    x = images()
    x[1, 0, 5, 5, 1] = value
    for found in jax.tree.leaves(mapped(name)(x)):
        np.testing.assert_array_equal(np.isnan(found), [[False, False], [True, False]])
        assert np.isfinite(found[~np.isnan(found)]).all()


def test_the_line_of_few_photons_above_an_unknown_offset():
    light = np.clip(photo(*GRAY[:2], 1), 0.02, 1)
    counts = np.random.default_rng(0).poisson(3 * light)
    a, b = poisson_gaussian(np.float32(counts))
    assert a == pytest.approx(1, rel=0.05)
    assert b == pytest.approx(0, abs=0.05)
    fit = jax.jit(functools.partial(estimate.estimate_poisson_gaussian, offset=True))
    a, b = fit(np.float32(20 * counts + 300) / 400)
    assert a * 400 == pytest.approx(20, rel=0.05)
    assert b * 400**2 == pytest.approx(-20 * 300, rel=0.05)


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.4])
def test_sigma_of_magnitudes(sigma):
    rng = np.random.default_rng(0)
    light = np.where(np.hypot(*np.indices(GRAY[:2])) < 250, 2 * ramp()[..., 0], 0)
    parts = sigma * rng.standard_normal((2, *light.shape))
    x = np.float32(np.hypot(light + parts[0], parts[1]))[..., None]
    found = estimate.estimate_rician_sigma(x)
    assert found == pytest.approx(sigma, rel=0.08)
    assert estimate.estimate_rician_sigma(1000 * x) == pytest.approx(1000 * float(found), rel=1e-3)
    assert estimate.estimate_rician_sigma(0 * x) == 0
