"""Recordings in memory: rates, what is above the band, strength, models that do not stream."""

import jax
import numpy as np
import pytest
from flax import linen as nn
from stubs import Difference, Gain, Whole, decibels, noise, sine

from zoo import denoise
from zoo.errors import ZooError
from zoo.inference import audio_chunks
from zoo.models import create_model

RATES = [8000, 11025, 22050, 44100, 48000, 96000]


class LowPass(Whole):
    """Keeps what lies below 4 kHz."""

    def __call__(self, x, level=None, *, train=False):
        spectrum = jax.numpy.fft.rfft(x, axis=1)
        keep = np.fft.rfftfreq(x.shape[1], 1 / 16000) < 4000
        kept = spectrum * keep[None, :, None].astype(np.complex64)
        return jax.numpy.fft.irfft(kept, x.shape[1], axis=1)


# ------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("samples", [1, 2, 257, 30011])
def test_what_the_model_leaves_stays_to_the_bit(rate, samples):
    x = noise(samples, 2) if samples > 1 else noise(1)
    np.testing.assert_array_equal(denoise(x, Gain(1.0), sample_rate=rate), x)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("model", [Gain(0.5), Whole(0.5)])
def test_a_gain_scales_at_any_rate_and_above_the_band_too(rate, model):
    x = noise(30011, 2)
    found = denoise(x, model, sample_rate=rate)
    # The ends ring, as those of a band-limited signal do.
    np.testing.assert_allclose(found[500:-500], 0.5 * x[500:-500], atol=2e-3)
    assert found.shape == x.shape


@pytest.mark.parametrize("rate", RATES)
def test_the_places_stay(rate):
    """By the cross-correlation with what went in."""
    x = noise(20011)
    found = denoise(x, Difference(), sample_rate=rate)
    # Less the sample before: as large at lag 0 as at lag 1 of the model's rate, there negative.
    both = np.fft.rfft(x[:, 0], 40022), np.fft.rfft((x - found)[:, 0], 40022)
    correlation = np.fft.irfft(np.conj(both[0]) * both[1])
    lag = np.argmax(correlation)
    assert abs(lag - rate / 16000) <= 1


def test_hiss_above_the_band_goes_where_the_model_takes_hiss():
    x = noise(44100)
    found = denoise(x, Gain(0.0), sample_rate=44100)
    assert decibels(found[500:-500]) < decibels(x) - 50


def test_what_is_above_the_band_follows_the_models_upper_edge():
    low, high, hiss = (sine(f, 44100) for f in (1000, 12000, 6000))
    found = denoise(low + high + hiss, LowPass(), sample_rate=44100)
    assert decibels((found - low)[2000:-2000]) < decibels(high) - 40
    # Nothing at the edge to tell a gain of: what is above stays.
    found = denoise(low + high, LowPass(), sample_rate=44100)
    np.testing.assert_allclose(found[2000:-2000], (low + high)[2000:-2000], atol=2e-3)


def test_the_gain_above_the_band_moves_with_time():
    """The model takes all of the first half and leaves the second."""

    class Gate(Whole):
        def __call__(self, x, level=None, *, train=False):
            return x * (np.arange(x.shape[1]) >= x.shape[1] // 2)[None, :, None].astype(x.dtype)

    x = noise(44100)
    found = denoise(x, Gate(), sample_rate=44100)
    assert decibels(found[1000:20000]) < decibels(x) - 50
    np.testing.assert_allclose(found[24000:-1000], x[24000:-1000], atol=2e-3)


# ---------------------------------------------------------------------------------- strength


@pytest.mark.parametrize("rate", [16000, 44100])
def test_strength_mixes(rate):
    x, model = noise(9001, 2), create_model("wiener")
    whole = denoise(x, model, sample_rate=rate)
    half = denoise(x, model, sample_rate=rate, strength=0.5)
    np.testing.assert_allclose(half, (x + whole) / 2, atol=1e-6)
    np.testing.assert_array_equal(denoise(x, model, sample_rate=rate, strength=0), x)


def test_a_limit_in_decibels_is_what_a_gate_takes_at_most():
    x = noise(9000)
    found = denoise(x, Gain(0.0), sample_rate=16000, limit=12)
    np.testing.assert_allclose(found, x * 10 ** (-12 / 20), atol=1e-7)
    np.testing.assert_array_equal(denoise(x, Gain(0.0), sample_rate=16000, limit=0), x)
    for limit, strength in ((-1, 1), ("much", 1), (np.nan, 1), (12, 0.5)):
        with pytest.raises(ZooError, match=f"limit={limit!r} "):
            denoise(x, Gain(0.0), sample_rate=16000, limit=limit, strength=strength)
    with pytest.raises(ZooError, match="limit= is an option of audio, and this is an image"):
        denoise(np.zeros((32, 32)), level=0.1, limit=12)


# ------------------------------------------------------------------------- noise profile


def test_a_noise_profile_takes_the_noise_of_a_stretch_at_the_rate_of_the_recording():
    rate = 44100
    x, tone = noise(2 * rate, 2), 0.2 * sine(12000, rate, 2)
    tone[:rate] = 0
    found = denoise(x + tone, sample_rate=rate, profile=(0, 0.9))
    np.testing.assert_allclose(
        found[-rate // 2 : -2000], tone[-rate // 2 : -2000] * [1, 1], atol=0.1
    )
    assert decibels(found[2000 : rate - 2000]) < decibels(x) - 12
    for stretch, match in (
        ((1, 0.5), "from 1 to 0.5 s ends before it begins"),
        ((-1, 0.5), "from -1 to 0.5 s"),
        ((0, np.nan), "from 0 to nan s"),
        ((1, 2.5), "from 1 to 2.5 s is not all in the audio, which has 2.00 s"),
        ((1, 1.1), "takes 0.18 s or more"),
    ):
        with pytest.raises(ZooError, match=match):
            denoise(x, sample_rate=rate, profile=stretch)
    with pytest.raises(ZooError, match="is for model='spectral-gate', and wiener takes none"):
        denoise(x, "wiener", sample_rate=rate, profile=(0, 1))


# ---------------------------------------------------------- models that do not stream


@pytest.mark.parametrize("seconds", [0.1, 16, 16.001, 17, 31, 31.001, 40.7])
def test_segments_are_the_whole(seconds):
    x = noise(round(16000 * seconds), 2)
    found = denoise(x, Whole(0.5), sample_rate=16000)
    np.testing.assert_allclose(found, 0.5 * x, atol=1e-6)


def test_segments_fade_into_each_other(monkeypatch):
    """Of a model that gives the place in its segment, by hand."""

    class Place(nn.Module):
        modality, sample_rate, hop = "audio", 1, 0

        def __call__(self, x, level=None, *, train=False):
            return jax.numpy.ones_like(x) * np.arange(x.shape[1], dtype=np.float32)[None, :, None]

    monkeypatch.setattr(audio_chunks, "SEGMENT", 10)
    monkeypatch.setattr(audio_chunks, "OVERLAP", 3)
    feeder = audio_chunks.Segments(Place(), {}, 1)
    x = np.zeros((19, 1), np.float32)
    found = np.concatenate([*(feeder.feed(x[i : i + 1]) for i in range(19)), feeder.finish()])
    # Segments begin at 0, 7 and, since the recording ends at 19, at 9.
    expected = [*range(7), 7 * 0.75, 8 * 0.5 + 0.5, 9 * 0.25 + 1.5, *range(3, 7)]
    expected += [7 * 0.75 + 5 * 0.25, 8 * 0.5 + 6 * 0.5, 9 * 0.25 + 7 * 0.75, 8, 9]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


def test_a_short_recording_goes_through_whole_mirrored_to_one_of_few_lengths():
    model, found = create_model("spectral-gate"), []
    before = audio_chunks._apply._cache_size()
    for length in (9001, 11003, 12100, 15999, 16000):
        x = noise(length, 2)
        found.append(denoise(x, model, sample_rate=16000))
        assert found[-1].shape == x.shape
    assert audio_chunks._apply._cache_size() == before + 1
    x = noise(12100, 2)
    alone = np.asarray(jax.jit(model.apply)({}, x[None])[0])
    assert decibels(found[2] - alone) < decibels(x) - 20


# -------------------------------------------------------------------------- shapes and mistakes


@pytest.mark.parametrize("dtype", [np.int16, np.float16, np.float32, np.float64])
def test_shape_and_dtype_are_kept(dtype):
    x = (noise(1000)[:, 0] * (32768 if dtype == np.int16 else 1)).astype(dtype)
    found = denoise(x, Gain(0.5), sample_rate=16000)
    assert (found.shape, found.dtype) == (x.shape, dtype)
    np.testing.assert_allclose(found, x / 2, atol=0.5 if dtype == np.int16 else 1e-3)


@pytest.mark.parametrize("name", ["wiener", "spectral-gate"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_silence_gives_silence(name, rate):
    x = np.zeros((5000, 2), np.float32)
    np.testing.assert_array_equal(denoise(x, name, sample_rate=rate), x)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.zeros((2, 16000), np.float32), "transpose"),
        (np.zeros((16000, 33), np.float32), "transpose"),
        (np.zeros((16000, 65), np.float32), "transpose"),
        (np.zeros((1, 2), np.float32), "transpose"),
        (np.full((100, 1), np.nan, np.float32), "NaN"),
        (np.full(100, np.inf), "NaN or infinity"),
        (np.full((100, 1), 20000.0), "-1 to 1"),
        (np.zeros(0, np.float32), r"\(0, 1\)"),
        (np.zeros((0, 2), np.float32), r"\(0, 2\)"),
        (np.zeros((1, 100, 2), np.float32), r"\(samples, channels\)"),
        (np.float32(1), r"\(samples, channels\)"),
        (np.zeros((100, 1), np.int32), "int32"),
        (np.array(["noise.wav"]), "<U9"),
    ],
)
def test_what_is_no_recording(x, match):
    with pytest.raises(ZooError, match=match) as caught:
        denoise(x, "wiener", sample_rate=16000)
    assert "\n" not in str(caught.value)
