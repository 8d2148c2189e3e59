"""The estimators without parameters, against closed forms and scipy."""

import functools

import jax
import numpy as np
import pytest
from scipy import signal, special

from zoo.errors import ZooError
from zoo.models import SpectralGate, Wiener, count_parameters, create_model, model_spec
from zoo.models.classical import (
    _triangle,
    exponential_integral,
    log_mmse_gain,
    wiener_gain,
)

RATE, HOP = 16000, 256
T = 2 * RATE
BOTH = pytest.mark.parametrize("name", ["wiener", "spectral-gate"])


def white(power, seed=0):
    noise = np.random.default_rng(seed).standard_normal((1, T, 1))
    return (np.sqrt(power) * noise).astype(np.float32)


def bursts():
    """Tones that come and go, after a quarter of a second without; (1, T, 1)."""
    t = np.arange(T) / RATE
    gate = (t > 0.25) & (t % 0.5 < 0.25)
    tone = sum(np.sin(2 * np.pi * f * t) for f in (440, 880, 1760))
    return (0.1 * gate * tone)[None, :, None].astype(np.float32)


@functools.cache
def apply(name, **options):
    model = create_model(name, **options)
    return jax.jit(lambda x: model.apply({}, x))


@functools.cache
def jitted_step(model):
    return jax.jit(model.step)


def decibels(a, b):
    return 10 * np.log10((np.mean(np.square(a)) + 1e-15) / np.mean(np.square(b)))


@BOTH
def test_nothing_is_learnt(name):
    assert count_parameters(name) == 0
    assert jax.eval_shape(create_model(name).init, jax.random.key(0), white(1.0)) == {}
    facts = model_spec(name)
    assert (facts.modality, facts.sample_rate, facts.channels) == ("audio", RATE, 1)
    assert (facts.hop, facts.latency) == ((HOP, HOP) if name == "wiener" else (0, 0))


def test_exponential_integral_is_scipys():
    x = np.concatenate([np.logspace(-6, 1.5, 200), [0.9999999, 1.0, 1.0000001]])
    found = jax.jit(exponential_integral)(x.astype(np.float32))
    np.testing.assert_allclose(found, special.exp1(x), rtol=3e-5, atol=2e-6)
    assert np.isfinite(exponential_integral(np.float32([0, 1e4]))).all()


def test_gains_are_the_closed_forms():
    a_priori = np.logspace(-2, 2, 9, dtype=np.float32)[:, None]
    a_posteriori = np.logspace(-2, 2, 11, dtype=np.float32)[None]
    share = a_priori / (1 + a_priori)
    np.testing.assert_allclose(wiener_gain(a_priori), share, rtol=1e-6)
    expected = share * np.exp(0.5 * special.exp1(share * a_posteriori))
    np.testing.assert_allclose(log_mmse_gain(a_priori, a_posteriori), expected, rtol=1e-4)


@pytest.mark.parametrize("attenuation", [6.0, 12.0])
@pytest.mark.parametrize("power", [1e-2, 1e-5])
def test_noise_alone_is_attenuated_by_the_floor(attenuation, power):
    x = white(power)
    y = apply("wiener", attenuation=attenuation)(x)
    # Where noise fluctuates a gain lies above the floor now and then.
    assert -attenuation <= decibels(y[:, RATE:], x[:, RATE:]) < 1.5 - attenuation


def test_gate_opens_as_seldom_as_logarithms_of_noise_exceed_it():
    """The power of a bin is exponential, whose logarithm has a deviation of 5.57 dB.

    It exceeds its mean, -2.51 dB, by 1.5 deviations with a probability of exp(-3.84) = 0.0215.
    """
    x = white(1e-2)
    for deviations, most in ((1.5, 0.0215), (1.0, 0.132)):
        gate = {"quietest": 1.0, "smooth_hz": 0.0, "smooth_ms": 0.0, "deviations": deviations}
        y = apply("spectral-gate", **gate)(x)
        # The open bins are the loudest, so that more of the power is left than of the bins: of an
        # exponential variable the part above a is (1 + a) exp(-a). Half of that, by overlap.
        a = -np.log(most)
        left = np.mean(np.square(y)) / np.mean(np.square(x))
        assert most < left < 1.1 * (1 + a) * most


def test_smoothing_is_scipys_convolution():
    model = SpectralGate(smooth_hz=100.0, smooth_ms=40.0)
    mask = (np.random.default_rng(0).random((1, 40, 513)) < 0.2).astype(np.float32)
    rows, columns = (_triangle(round(r)) for r in (0.04 * RATE / HOP, 100 * 1024 / RATE))
    kernel = np.outer(rows, columns)
    assert kernel.shape == (2 * 2 + 1, 2 * 6 + 1)
    expected = signal.convolve2d(mask[0], kernel, "same")
    np.testing.assert_allclose(model._smooth(mask)[0], expected, atol=1e-6)


@BOTH
def test_tones_in_noise_gain(name):
    clean = bursts()
    x = clean + white(np.mean(np.square(clean)))
    y = apply(name)(x)
    assert decibels(clean, y - clean) > decibels(clean, x - clean) + 6


@BOTH
def test_without_noise_the_signal_stays(name):
    clean = bursts()
    y = apply(name)(clean)
    assert decibels(clean, y - clean) > 20


@BOTH
def test_silence_gives_silence(name):
    x = np.zeros((2, 3000, 1), np.float32)
    np.testing.assert_array_equal(apply(name)(x), x)
    x[0, 2000] = 1
    y = np.asarray(apply(name)(x))
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(y[1], 0)


@BOTH
def test_noise_after_silence_is_learnt(name):
    x = white(1e-3)
    x[:, : RATE // 4] = 0
    y = apply(name)(np.concatenate([x, white(1e-3, 1), white(1e-3, 2)], 1))
    assert decibels(y[:, -RATE:], x[:, -RATE:]) < -6


@pytest.mark.parametrize(
    ("length", "name"),
    [
        (1, "wiener"),
        (700, "spectral-gate"),
        pytest.param(700, "wiener", marks=pytest.mark.matrix),
        pytest.param(1, "spectral-gate", marks=pytest.mark.matrix),
    ],
)
def test_any_length_and_channels_by_themselves(name, length):
    x = white(1e-2)[:, : 2 * length].reshape(1, length, 2)
    y = apply(name)(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    alone = apply(name)(x.transpose(2, 1, 0))
    np.testing.assert_allclose(y, alone.transpose(2, 1, 0), atol=1e-6)


def test_bfloat16_stays():
    x = jax.ShapeDtypeStruct((1, 1000, 1), jax.numpy.bfloat16)
    for name in ("wiener", "spectral-gate"):
        assert jax.eval_shape(apply(name), x) == x


@pytest.mark.parametrize("chunks", [[1] * 40, [3] * 14, [3, 1, 1, 6, 3, 1, 6, 6, 14]], ids=str)
def test_wiener_streams(chunks):
    model, length = Wiener(), 40 * HOP - 300
    x = np.concatenate([white(1e-2), bursts() + white(1e-4, 1)], 2)[:, -length:]
    expected = apply("wiener")(x)
    padded = np.pad(x, ((0, 0), (0, sum(chunks) * HOP - length), (0, 0)))
    state, outputs = model.init_state(1, 2), []
    for part in np.split(padded, HOP * np.cumsum(chunks)[:-1], axis=1):
        state, y = jitted_step(model)({}, state, part)
        outputs.append(y)
    found = np.concatenate(outputs, 1)[:, HOP : HOP + length]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_wrong_fields_raise_one_line():
    for model, options in (
        ("wiener", {"sample_rate": 999}),
        ("wave-unet-small", {"sample_rate": 999}),
        ("wiener", {"gain": "mmse"}),
        ("wiener", {"smoothing": 1.0}),
        ("wiener", {"attenuation": 0.0}),
        ("spectral-gate", {"quietest": 0.0}),
        ("spectral-gate", {"reduction": 1.5}),
        ("spectral-gate", {"smooth_ms": -1.0}),
    ):
        with pytest.raises(ZooError, match=next(iter(options))) as caught:
            create_model(model, **options)
        assert "\n" not in str(caught.value)


@pytest.mark.matrix
def test_a_profile_is_the_level_of_its_noise_and_a_deviation():
    model, rng = SpectralGate(), np.random.default_rng(0)
    noise = rng.standard_normal((4 * 16000, 2)).astype(np.float32) * np.float32([0.01, 0.1])
    (threshold,) = jax.tree.leaves(model.profile(noise))
    # The logarithm of an exponential variable has the mean -gamma and the deviation pi / 6^.5.
    window = np.square(signal.get_window("hann", 1024)).sum()
    power = 10 * np.log10(window * np.float64([0.01, 0.1]) ** 2)
    expected = power + 10 / np.log(10) * (np.pi / np.sqrt(6) - np.euler_gamma)
    np.testing.assert_allclose(threshold[:, 1:-1].mean(1), expected, atol=0.2)
    assert float(threshold[:, 1:-1].std(1).max()) < 1
    # A tone that never pauses is no noise for a profile, and hum that it holds is.
    t = np.arange(2 * 16000) / 16000
    hum, tone = (np.float32(0.1 * np.sin(2 * np.pi * f * t))[:, None] for f in (100, 1000))
    model = SpectralGate(smooth_hz=0.0)
    variables = model.profile(noise[: len(t), :1] + hum)
    x = (noise[: len(t), 1:] / 10 + hum + tone)[None]
    y = np.asarray(jax.jit(model.apply)(variables, x))[0, 4000:-4000, 0]
    for wave, kept in ((hum[4000:-4000, 0], 0.05), (tone[4000:-4000, 0], 0.97)):
        assert abs(float(y @ wave / (wave @ wave)) - kept) < 0.05
    for wrong, match in ((noise[:2000], "takes 0.18 s or more"), (0 * noise, "digital silence")):
        with pytest.raises(ZooError, match=match):
            model.profile(wrong)
