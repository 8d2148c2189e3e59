"""Against closed forms and the formulas written out in NumPy."""

import importlib
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from zoo import metrics
from zoo.errors import ZooError
from zoo.metrics.perceptual import judge
from zoo.modality import AUDIO

DEVICE = {
    "snr": metrics.snr,
    "si_sdr": metrics.si_sdr,
    "zero_mean": lambda *a, **k: metrics.si_sdr(*a, zero_mean=True, **k),
    "segmental_snr": metrics.segmental_snr,
    "log_spectral_distance": metrics.log_spectral_distance,
}
EACH = pytest.mark.parametrize("function", list(DEVICE.values()), ids=list(DEVICE))
snr, si_sdr = jax.jit(metrics.snr), jax.jit(metrics.si_sdr, static_argnames="zero_mean")
segmental_snr = jax.jit(metrics.segmental_snr, static_argnames="sample_rate")
log_spectral_distance = jax.jit(metrics.log_spectral_distance)


def recordings(*shape, seed=0):
    """A reference that swells and fades, and an estimate with a tenth of noise."""
    rng = np.random.default_rng(seed)
    swell = 0.3 + 0.3 * np.sin(np.arange(shape[-2]) / 700)[:, None]
    reference = swell * rng.normal(0, 0.3, shape)
    estimate = 0.8 * reference + rng.normal(0, 0.03, shape)
    return estimate.astype(np.float32), reference.astype(np.float32)


def si_sdr_by_the_paper(e, r):
    """Le Roux et al. 2019, equation 3, of one channel."""
    e, r = (x.astype(np.float64) - x.mean(dtype=np.float64) for x in (e, r))
    target = e @ r / (r @ r) * r
    return 10 * np.log10(np.sum(target**2) / np.sum((e - target) ** 2))


def segmental_by_loizou(e, r, sample_rate):
    """Loizou's comp_snr, of one channel."""
    size = round(0.03 * sample_rate)
    hop = size // 4
    n = np.arange(1, size + 1)
    window = 0.5 * (1 - np.cos(2 * np.pi * n / (size + 1)))
    found = []
    for start in range(0, len(r) - size + 1, hop):
        a, b = (x[start : start + size].astype(np.float64) * window for x in (r, e))
        found.append(np.clip(10 * np.log10(np.sum(a**2) / np.sum((a - b) ** 2)), -10, 35))
    return np.mean(found)


def test_snr_by_hand():
    # An error of .1 on a value of 1: 20 dB; the second channel has 40 dB.
    reference = np.ones((2, 100, 2), np.float32)
    estimate = reference + np.array([0.1, 0.01], np.float32)
    np.testing.assert_allclose(snr(estimate, reference), [30, 30], atol=1e-3)


def test_si_sdr_by_the_paper():
    estimate, reference = recordings(3, 5000, 1)
    estimate = estimate + np.float32(0.02)
    expected = [
        si_sdr_by_the_paper(e[:, 0], r[:, 0]) for e, r in zip(estimate, reference, strict=True)
    ]
    got = si_sdr(estimate, reference, zero_mean=True)
    np.testing.assert_allclose(got, expected, atol=1e-3)
    # The offset is a distortion unless it is taken off.
    assert (si_sdr(estimate, reference) < got - 1).all()


def test_si_sdr_by_hand():
    # Orthogonal noise of a hundredth of the energy: 20 dB, however loud the estimate.
    t = np.arange(1600) / 1600
    reference = np.sin(2 * np.pi * 50 * t)[:, None].astype(np.float32)
    noise = 0.1 * np.cos(2 * np.pi * 50 * t)[:, None].astype(np.float32)
    for scale in (np.float32(1), np.float32(-0.01), np.float32(30)):
        got = si_sdr(scale * (reference + noise), reference)
        assert got == pytest.approx(20, abs=1e-2)
    # Channels are measured by themselves, each with its own scale.
    both = np.concatenate([reference + noise, 0.5 * (reference - noise)], axis=1)
    got = si_sdr(both, np.concatenate([reference, reference], axis=1))
    assert got == pytest.approx(20, abs=1e-2)


@pytest.mark.parametrize("sample_rate", [16000, 8000])
def test_segmental_snr_by_loizou(sample_rate):
    estimate, reference = recordings(2, 4001, 1)
    # Some frames at either limit.
    estimate[0, :1500] = 1.001 * reference[0, :1500]
    reference[1, 2000:3000] *= 1e-3
    got = segmental_snr(estimate, reference, sample_rate=sample_rate)
    expected = [
        segmental_by_loizou(estimate[i, :, 0], reference[i, :, 0], sample_rate) for i in (0, 1)
    ]
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_segmental_snr_has_limits():
    estimate, reference = recordings(2000, 1)
    assert segmental_snr(reference, reference) == 35
    assert segmental_snr(-100 * estimate, reference) == -10


def test_log_spectral_distance_against_scipy():
    estimate, reference = recordings(4096, 1)

    def levels(x):
        _, _, z = signal.stft(x[:, 0], window="hann", nperseg=512, noverlap=256, boundary="zeros")
        return 20 * np.log10(np.maximum(np.abs(z) * 256, 1e-4))

    expected = np.sqrt(np.mean((levels(estimate) - levels(reference)) ** 2, axis=0)).mean()
    got = log_spectral_distance(estimate, reference)
    assert got == pytest.approx(expected, abs=1e-3)
    # A tenth of the amplitude is 20 dB less everywhere.
    got = log_spectral_distance(reference / 10, reference)
    assert got == pytest.approx(20, abs=1e-3)


@EACH
def test_one_figure_a_recording_in_float32(function):
    estimate, reference = recordings(2, 3, 1500, 2)
    got = jax.jit(function)(estimate, reference)
    assert got.shape == (2, 3)
    assert got.dtype == jnp.float32
    one_by_one = jax.jit(jax.vmap(jax.vmap(function)))(estimate, reference)
    np.testing.assert_allclose(got, one_by_one, atol=1e-3)
    # Only its dtype is asked for.
    low = (jax.ShapeDtypeStruct(reference.shape, jnp.bfloat16),) * 2
    low = jax.eval_shape(function, *low)
    assert low.dtype == jnp.float32


@EACH
def test_what_lies_beyond_the_length_does_not_count(function):
    estimate, reference = recordings(3, 3000, 2)
    lengths = np.array([3000, 1700, 300])
    alone = jax.jit(function)
    expected = [alone(e[:n], r[:n]) for e, r, n in zip(estimate, reference, lengths, strict=True)]
    for e, r, n in zip(estimate, reference, lengths, strict=True):
        e[n:], r[n:] = np.nan, np.inf
    got = jax.jit(function)(estimate, reference, length=lengths)
    np.testing.assert_allclose(got, expected, atol=2e-3)


@EACH
def test_silence_is_finite_and_so_are_gradients(function):
    estimate, reference = recordings(1500, 1)
    silence = np.zeros_like(reference)
    value_and_slope = jax.jit(jax.value_and_grad(function))
    pairs = [(silence, silence), (estimate, silence), (silence, reference), (reference, reference)]
    for e, r in pairs:
        value, slope = value_and_slope(e, r)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
    assert function(silence, silence) == 0


@EACH
def test_shapes_must_agree(function):
    with pytest.raises(ZooError, match="one shape"):
        function(np.zeros((100, 1), np.float32), np.zeros((99, 1), np.float32))
    with pytest.raises(ZooError, match="one shape"):
        function(np.zeros(100, np.float32), np.zeros(100, np.float32))


# ------------------------------------------------------------------------- pesq and stoi


def speech(seconds=2.0, rate=16000):
    """Buzzing syllables, which both packages take for speech."""
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 25))
    clean = (0.2 * buzz * (np.sin(2 * np.pi * 3 * t) > -0.3)).astype(np.float32)
    return clean, (clean + rng.normal(0, 0.05, clean.shape)).astype(np.float32)


def test_pesq():
    package = pytest.importorskip("pesq")
    clean, noisy = speech()
    # The ends of the scale are those of P.862.2 and P.862.1.
    assert metrics.pesq(clean, clean, 16000) == pytest.approx(4.64, abs=0.01)
    assert metrics.pesq(clean[::2], clean[::2], 8000) == pytest.approx(4.55, abs=0.01)
    expected = package.pesq(16000, clean, noisy, "wb")
    assert 1 < expected < 4
    assert metrics.pesq(noisy, clean, 16000) == pytest.approx(expected)
    both = np.stack([noisy, clean], axis=1), np.stack([clean, clean], axis=1)
    assert metrics.pesq(*both, 16000) == pytest.approx((expected + 4.64) / 2, abs=0.01)


def test_stoi():
    package = pytest.importorskip("pystoi")
    clean, noisy = speech()
    assert metrics.stoi(clean, clean, 16000) == pytest.approx(1)
    for extended in (False, True):
        expected = package.stoi(clean, noisy, 16000, extended=extended)
        got = metrics.stoi(noisy[:, None], clean[:, None], 16000, extended=extended)
        assert got == pytest.approx(expected)


def published_dnsmos(x):
    """SIG, BAK and OVRL by the package itself; only its code reads files, by librosa."""
    network = types.ModuleType("librosa")
    session = types.ModuleType("requests")
    session.session = None
    with pytest.MonkeyPatch.context() as patch:
        for name, module in (("librosa", network), ("requests", session)):
            patch.setitem(sys.modules, name, module)
        package = importlib.import_module("speechmos.dnsmos")
        model = package.DNSMOS.__new__(package.DNSMOS)
        folder = Path(package.__file__).parent / "dnsmos_models"
        runtime = importlib.import_module("onnxruntime")
        model.onnx_sess = runtime.InferenceSession(folder / "sig_bak_ovr.onnx")
        # The other network, of one score without scales, and its spectrum are not of P.835.
        model.p808_onnx_sess = types.SimpleNamespace(run=lambda *_: [[[0.0]]])
        model.audio_melspec = lambda audio: audio[:, None]
        found = model(x, 16000, False)
    return [found[f"{name}_mos"] for name in ("sig", "bak", "ovrl")]


@pytest.mark.parametrize("seconds", [5.0, 11.9])
def test_dnsmos_is_that_of_its_package(seconds):
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    clean, noisy = speech(seconds)
    names = ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl")
    bound = [AUDIO.metrics[name].bound(sample_rate=16000) for name in names]
    got = [metric(noisy[:, None], clean[:, None]) for metric in bound]
    np.testing.assert_allclose(got, published_dnsmos(noisy), atol=1e-3)
    # Of one sample, which is repeated too; of silence there is no figure.
    assert 0 < bound[1](clean[99:100], clean[99:100]) < 5
    assert judge(bound[0], 0 * clean, clean).reason == (
        "DNSMOS has no figure for silence; leave that signal out"
    )


def test_estoi_is_the_extended_stoi():
    package = pytest.importorskip("pystoi")
    clean, noisy = speech()
    got = AUDIO.metrics["estoi"].bound(sample_rate=16000)(noisy, clean)
    assert got == pytest.approx(package.stoi(clean, noisy, 16000, extended=True))


@pytest.mark.parametrize(
    ("name", "change", "rate", "words"),
    [
        ("pesq", lambda e, r: (e, r), 48000, "16000 and 8000 Hz, not 48000; resample"),
        ("pesq", lambda e, r: (e[:1000], r[:1000]), 16000, "quarter of a second"),
        ("pesq", lambda e, r: (e, 0 * r), 16000, "silence"),
        ("pesq", lambda e, r: (0 * e, r), 16000, "silence"),
        ("pesq", lambda e, r: (e * np.float32("nan"), r), 16000, "NaN"),
        ("pesq", lambda e, r: (e[:-1], r), 16000, "one shape"),
        ("stoi", lambda e, r: (e[:3000], r[:3000]), 16000, ".4 s of speech"),
        ("stoi", lambda e, r: (e[:10], r[:10]), 16000, ".4 s of speech"),
        ("stoi", lambda e, r: (e, 0 * r), 16000, "silence"),
    ],
)
def test_no_figure_in_one_line(name, change, rate, words):
    pytest.importorskip({"pesq": "pesq", "stoi": "pystoi"}[name])
    clean, noisy = speech(1.0)
    with pytest.raises(ZooError, match=words) as caught:
        getattr(metrics, name)(*change(noisy, clean), rate)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pesq", "stoi"])
def test_without_the_package(name, monkeypatch):
    def missing(package):
        raise ImportError(package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ZooError, match=r"denoising-zoo\[audio\]"):
        getattr(metrics, name)(*speech(0.5), 16000)
