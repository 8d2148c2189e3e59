"""Against the formulas written out in NumPy and SciPy, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from scipy import signal

from zoo import losses, metrics
from zoo.errors import ZooError

NAMES = ["compressed_complex", "compressed_magnitude", "consistency"]
NAMES += ["multi_resolution_stft", "si_sdr"]
FAST_ENHANCER = {
    "compressed_magnitude": 0.3,
    "compressed_complex": 0.2,
    "consistency": 0.3,
    "l1": 0.2,
}


# Each compiled once for all tests.
JITTED = {name: jax.jit(losses.LOSSES[name]) for name in NAMES}


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    target = rng.normal(0, 0.1, (3, 2100, 2)).astype(np.float32)
    prediction = 0.7 * target + rng.normal(0, 0.02, target.shape)
    return prediction.astype(np.float32), target


def spectra(x, size, hop, length):
    """(frames, bins) of one channel, framed by NumPy and transformed in float64."""
    window = np.zeros(size)
    left = (size - length) // 2
    window[left : left + length] = signal.windows.hann(length, sym=False)
    padded = np.pad(x.astype(np.float64), size // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return np.fft.rfft(frames * window)


def each(pair, function):
    """The mean over channels of `function(prediction, target)`: (B,)."""
    prediction, target = pair
    b, _, c = target.shape
    return np.array(
        [
            np.mean([function(prediction[i, :, j], target[i, :, j]) for j in range(c)])
            for i in range(b)
        ]
    )


def compressed(x):
    z = spectra(x, 512, 256, 512)
    return np.abs(z) ** 0.3 * np.exp(1j * np.angle(z))


@pytest.mark.parametrize("name", first(1, NAMES))
@pytest.mark.parametrize("dtype", first(1, [jnp.bfloat16, jnp.float32]))
def test_the_map_is_float32_and_broadcasts(pair, name, dtype):
    got = JITTED[name](*(jnp.asarray(x, dtype) for x in pair))
    assert got.dtype == jnp.float32
    assert got.shape == (3, 1, 1)
    assert np.isfinite(got).all()


@pytest.mark.parametrize("name", first(1, NAMES))
def test_vmap(pair, name):
    got = jax.jit(jax.vmap(losses.LOSSES[name]))(*pair)
    np.testing.assert_allclose(got, JITTED[name](*pair), rtol=1e-4)


def test_compressed_magnitude(pair):
    def reference(a, b):
        return np.mean((np.abs(compressed(a)) - np.abs(compressed(b))) ** 2)

    got = JITTED["compressed_magnitude"](*pair)[:, 0, 0]
    np.testing.assert_allclose(got, each(pair, reference), rtol=1e-4)


@pytest.mark.parametrize("name", ["compressed_complex", "consistency"])
def test_compressed_complex(pair, name):
    def reference(a, b):
        error = compressed(a) - compressed(b)
        return np.mean(np.stack([error.real, error.imag]) ** 2)

    got = JITTED[name](*pair)[:, 0, 0]
    np.testing.assert_allclose(got, each(pair, reference), rtol=1e-4)


def test_multi_resolution_stft(pair):
    def reference(a, b):
        total = 0
        for resolution in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
            x, y = (np.sqrt(np.maximum(np.abs(spectra(s, *resolution)) ** 2, 1e-7)) for s in (a, b))
            total += np.linalg.norm(x - y) / np.linalg.norm(y)
            total += np.mean(np.abs(np.log(x / y)))
        return total / 3

    got = JITTED["multi_resolution_stft"](*pair)[:, 0, 0]
    np.testing.assert_allclose(got, each(pair, reference), rtol=1e-4)


def test_half_as_loud_by_hand(pair):
    # Every magnitude is halved: convergence .5 and a logarithm of log 2 at every resolution.
    target = pair[1]
    got = JITTED["multi_resolution_stft"](target / 2, target)
    np.testing.assert_allclose(got, 0.5 + np.log(2), rtol=1e-3)


def test_si_sdr_is_the_metric_with_its_sign_turned(pair):
    si_sdr = JITTED["si_sdr"]
    np.testing.assert_allclose(si_sdr(*pair)[:, 0, 0], -jax.jit(metrics.si_sdr)(*pair))
    np.testing.assert_allclose(si_sdr(3 * pair[0], pair[1]), si_sdr(*pair), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_at_silence_and_equality(pair, name):
    prediction, target = pair
    silence = np.zeros_like(target)
    slope = jax.jit(jax.value_and_grad(lambda p, t: losses.LOSSES[name](p, t).sum()))
    for p, t in (
        (prediction, target),
        (target, target),
        (silence, target),
        (prediction, silence),
        (silence, silence),
    ):
        value, gradient = slope(p, t)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_a_silent_target_does_not_drown_the_others(pair):
    prediction, target = pair
    # The whole of the prediction is wrong; by the target's own norm the loss would be some 5000.
    got = JITTED["multi_resolution_stft"](prediction, np.zeros_like(target))
    assert got.max() < 300


def test_a_descent_finds_the_target(pair):
    target = jnp.asarray(pair[1][:1, :1200])
    loss = losses.make_loss(FAST_ENHANCER, modality="audio")
    step = jax.jit(jax.value_and_grad(lambda p: loss(p, target, jnp.ones((1, 1, 1)))))
    prediction = 0.5 * target
    first, _ = step(prediction)
    for _ in range(20):
        _, slope = step(prediction)
        prediction = prediction - 0.01 * slope / jnp.abs(slope).max()
    assert step(prediction)[0] < 0.7 * first


def test_the_sum_of_fast_enhancer(pair):
    weight = jnp.ones((3, 1, 1))
    expected = sum(
        factor * float(np.mean(JITTED.get(name, losses.LOSSES[name])(*pair)))
        for name, factor in FAST_ENHANCER.items()
    )
    got = jax.jit(losses.make_loss(FAST_ENHANCER))(*pair, weight)
    assert got == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["compressed_complex", "multi_resolution_stft"])
def test_too_short_in_one_line(name):
    short = np.zeros((1, 256, 1), np.float32)
    with pytest.raises(ZooError, match="take longer crops") as caught:
        losses.LOSSES[name](short, short)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "modality", "shape", "words"),
    [
        ("ssim", "audio", (2, 64, 1), "'ssim' is not for audio signals; choose from charbonnier"),
        ({"l1": 1.0, "ms_ssim": 1.0}, "audio", (2, 64, 1), "'ms_ssim' is not for audio signals"),
        ("binary_cross_entropy", "audio", (2, 64, 1), "not for audio signals"),
        ({"si_sdr": 1.0}, "image", (2, 64, 64, 1), "'si_sdr' is not for images; choose from"),
        ("multi_resolution_stft", "image", (2, 64, 64, 1), "not for images"),
    ],
)
def test_the_other_modality_is_refused(spec, modality, shape, words):
    with pytest.raises(ZooError, match=words) as caught:
        losses.make_loss(spec, modality=modality)
    assert "\n" not in str(caught.value)
    # Without it, the loss finds it by the axes of the first batch.
    signal_ = np.zeros(shape, np.float32)
    with pytest.raises(ZooError, match=words):
        losses.make_loss(spec)(signal_, signal_, np.ones((1,) * len(shape), np.float32))


def test_losses_of_values_serve_both():
    for modality in ("image", "audio"):
        losses.make_loss(
            {"l1": 1.0, "mse": 1.0, "huber": 1.0, "charbonnier": 1.0}, modality=modality
        )
    with pytest.raises(ZooError, match="unknown modality 'sound'"):
        losses.make_loss("l1", modality="sound")
