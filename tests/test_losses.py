"""Against optax, scikit-image and hand-computed values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from ml_collections import ConfigDict
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from zoo import losses
from zoo.errors import ZooError
from zoo.losses import loss_registry
from zoo.modality import AUDIO

ELEMENTWISE = ["binary_cross_entropy", "charbonnier", "huber", "l1", "mae", "mse"]
WHOLE = ["psnr", "ssim", "ms_ssim"]


JITTED = {name: jax.jit(losses.LOSSES[name]) for name in ELEMENTWISE + WHOLE}


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    target = rng.random((8, 24, 26, 3)).astype(np.float32)
    prediction = np.clip(target + rng.normal(0, 0.2, target.shape), 0.01, 0.99)
    return prediction.astype(np.float32), target


def test_every_loss_is_covered():
    # Those of recordings are in test_losses_recordings.py.
    recordings = sorted(name for name, own in loss_registry._MODALITY_OF.items() if own is AUDIO)
    assert sorted(losses.LOSSES) == sorted(ELEMENTWISE + WHOLE + recordings)


@pytest.mark.parametrize("name", ELEMENTWISE + WHOLE)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_map_is_float32_and_broadcasts(pair, name, dtype):
    prediction, target = (jnp.asarray(x, dtype) for x in pair)
    got = JITTED[name](prediction, target)
    assert got.dtype == jnp.float32
    assert got.shape == (target.shape if name in ELEMENTWISE else (8, 1, 1, 1))


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("mse", optax.losses.squared_error),
        ("l1", lambda a, b: np.abs(a - b)),
        ("huber", functools.partial(optax.losses.huber_loss, delta=0.1)),
    ],
)
def test_against_optax(pair, name, reference):
    np.testing.assert_allclose(JITTED[name](*pair), reference(*pair), rtol=1e-5, atol=1e-8)


def test_huber_takes_another_delta(pair):
    got = losses.huber(*pair, delta=0.3)
    np.testing.assert_allclose(got, optax.losses.huber_loss(*pair, delta=0.3), rtol=1e-5, atol=1e-8)


def test_binary_cross_entropy_against_optax_on_logits(pair):
    logits = jnp.asarray(np.random.default_rng(1).normal(0, 3, pair[1].shape), jnp.float32)
    expected = optax.losses.sigmoid_binary_cross_entropy(logits, pair[1])
    got = losses.binary_cross_entropy(jax.nn.sigmoid(logits), pair[1])
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


def test_binary_cross_entropy_at_the_ends():
    ends = jnp.asarray([0.0, 1.0, 0.0, 1.0]).reshape(4, 1, 1, 1)
    target = jnp.asarray([0.0, 1.0, 1.0, 0.0]).reshape(4, 1, 1, 1)
    got = losses.binary_cross_entropy(ends, target).ravel()
    np.testing.assert_allclose(got, [0, 0, 13.8155, 13.8155], atol=0.02)
    slope = jax.jit(jax.grad(lambda p: losses.binary_cross_entropy(p, target).sum()))(ends)
    assert np.isfinite(slope).all()


def test_charbonnier_by_hand():
    a, b = jnp.full((1, 1, 1), 0.7), jnp.full((1, 1, 1), 0.3)
    assert losses.charbonnier(a, b, eps=0.3).item() == pytest.approx(0.5)
    assert losses.charbonnier(a, a).item() == pytest.approx(1e-3)


def test_psnr_against_skimage(pair):
    got = losses.psnr(*pair, eps=0.0)
    for i in range(2):
        expected = peak_signal_noise_ratio(pair[1][i], pair[0][i], data_range=1)
        assert got[i].item() == pytest.approx(-expected, abs=1e-4)
    assert losses.psnr(pair[1], pair[1])[0].item() == pytest.approx(-60, abs=1e-3)
    # To halve an error is worth as much in a good image as in a bad one.
    halves = losses.psnr(pair[1] + 0.05, pair[1]) - losses.psnr(pair[1] + 0.1, pair[1])
    np.testing.assert_allclose(halves, -20 * np.log10(2), atol=0.01)


def test_ssim_against_skimage(pair):
    got = JITTED["ssim"](*pair)
    for i in range(2):
        expected = structural_similarity(
            pair[0][i].astype(np.float64),
            pair[1][i].astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1,
            data_range=1,
        )
        assert got[i].item() == pytest.approx(1 - expected, abs=1e-4)


@pytest.mark.parametrize("name", ELEMENTWISE + WHOLE)
def test_gradients_are_finite_even_at_equality(pair, name):
    prediction, target = pair
    slope = jax.jit(jax.grad(lambda p, t: losses.LOSSES[name](p, t).sum()))
    for p in (prediction, target, np.zeros_like(target), np.ones_like(target)):
        assert np.isfinite(slope(p, target)).all()
        assert np.isfinite(slope(p, p)).all()


@pytest.mark.parametrize("map_shape", [(8, 4, 5, 3), (8, 1, 1, 1)])
@pytest.mark.parametrize("weight_shape", [(8, 1, 1, 1), (8, 4, 5, 3), (8, 4, 5, 1)])
def test_weighted_mean_by_the_definition(map_shape, weight_shape):
    rng = np.random.default_rng(0)
    values = rng.random(map_shape).astype(np.float32)
    weight = rng.integers(0, 3, weight_shape).astype(np.float32)
    v, w = np.broadcast_arrays(values.astype(np.float64), weight)
    got = losses.weighted_mean(values, weight)
    assert got.shape == ()
    assert got == pytest.approx(np.average(v, weights=w), rel=1e-5)


def test_no_weight_is_zero_with_zero_gradient():
    value, slope = jax.jit(jax.value_and_grad(losses.weighted_mean))(
        jnp.ones((2, 3, 3, 1)), jnp.zeros((2, 1, 1, 1))
    )
    assert value == 0
    np.testing.assert_array_equal(slope, 0)


@pytest.mark.parametrize("spec", ["mse", {"l1": 0.3, "ssim": 0.7}])
def test_pmap_on_several_devices_equals_one(pair, spec):
    prediction, target = pair
    devices = jax.device_count()
    each = 8 // devices
    # One device has no weight at all, the others unequal ones.
    weight = np.array([9, 1, 3, 1, 0.5, 1, 2, 1], np.float32).reshape(8, 1, 1, 1)
    weight[:each] = 0
    loss = losses.make_loss(spec)

    def scaled(scale, p, t, w, axis_name=None):
        return loss(scale * p, t, w, axis_name)

    one = jax.jit(jax.value_and_grad(scaled))(jnp.float32(0.9), prediction, target, weight)

    def on_device(scale, p, t, w):
        return lax.pmean(jax.value_and_grad(scaled)(scale, p, t, w, "batch"), "batch")

    split = (x.reshape(devices, each, *x.shape[1:]) for x in (prediction, target, weight))
    several = jax.pmap(on_device, axis_name="batch", in_axes=(None, 0, 0, 0))(
        jnp.float32(0.9), *split
    )
    np.testing.assert_allclose(several[0], np.full(devices, one[0]), rtol=1e-5)
    np.testing.assert_allclose(several[1], np.full(devices, one[1]), rtol=1e-5)


def test_sums(pair):
    ones = jnp.ones((8, 1, 1, 1))
    # One of values and one of whole images.
    l1, psnr = (np.mean(JITTED[name](*pair)) for name in ("l1", "psnr"))
    expected = float(0.16 * l1 + 0.84 * psnr)
    spec = {"l1": 0.16, "psnr": 0.84}
    for form in (spec, ConfigDict(spec), list(spec.items()), tuple(spec.items())):
        got = losses.make_loss(form)(*pair, ones)
        assert got.shape == ()
        assert got == pytest.approx(expected, rel=1e-5)
    whole = losses.make_loss("mse")(*pair, ones)
    assert whole == pytest.approx(np.mean((pair[0] - pair[1]) ** 2), rel=1e-5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("charbonier", "did you mean 'charbonnier'"),
        ({"l3": 1.0}, "unknown loss 'l3'"),
        ({}, "empty"),
        ({"l1": 0}, "positive"),
        ({"l1": float("nan")}, "positive"),
        ({"l1": "much"}, "positive"),
        (["l1", "mse"], "pairs"),
        ([("l1", 1, 2)], "pairs"),
    ],
)
def test_mistakes(spec, words):
    with pytest.raises(ZooError, match=words) as caught:
        losses.make_loss(spec)
    assert "\n" not in str(caught.value)
