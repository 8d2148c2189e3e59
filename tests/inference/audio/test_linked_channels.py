"""Several channels get one gain: sources stay where they are."""

import jax.numpy as jnp
import numpy as np
import pytest
from stubs import Gain, Whole, noise
from test_denoise_stream import heard

from zoo import AudioStream, denoise, denoise_file
from zoo.data import audio_files, audio_writing, synthetic
from zoo.models import create_model

RATE = 16000


class Loud(Whole):
    """Keeps a channel whose mean square is above 1e-3, as a gate does, and closes others."""

    def __call__(self, x, level=None, *, train=False):
        return jnp.where(jnp.square(x).mean(1, keepdims=True) > 1e-3, x, 0)


def panned(x, *shares):
    """A mono recording (T, 1) on several channels."""
    return x * np.asarray(shares, np.float32)[None]


def speech_in_noise(*shares):
    """A voice panned to some channels, each with noise of its own at an equal level."""
    voice = synthetic.clean(1, 0, sample_rate=RATE, length=2 * RATE)
    own = 0.03 * np.random.default_rng(2).standard_normal((2 * RATE, len(shares)))
    return voice, panned(voice, *shares) + own.astype(np.float32)


def levels(x, voice):
    """Level of the voice in each channel, in dB, by projection."""
    return 20 * np.log10(np.abs((x * voice).sum(0)) / np.square(voice).sum())


def test_the_gain_is_that_of_least_squares():
    # Of 4 : 1 the gate keeps the first, so the squared error is least for 16 / 17 of both.
    x = panned(noise(9000), 1, 0.25)
    found = denoise(x, Loud(), sample_rate=RATE)
    np.testing.assert_allclose(found, x * 16 / 17, atol=1e-6)
    separate = denoise(x, Loud(), sample_rate=RATE, separate_channels=True)
    np.testing.assert_array_equal(separate, panned(x[:, :1], 1, 0))


@pytest.mark.parametrize(
    ("rate", "shares"), [(RATE, (1, 1)), (RATE, (1, 1, 1, -1, 1, -1)), (44100, (1, -1))]
)
def test_equal_and_opposite_channels_get_what_one_alone_gets(rate, shares):
    x, model = noise(8000), create_model("wiener")
    alone = denoise(x, model, sample_rate=rate)
    assert np.square(alone).mean() < 0.2 * np.square(x).mean()
    found = denoise(panned(x, *shares), model, sample_rate=rate)
    np.testing.assert_allclose(found, panned(alone, *shares), atol=1e-5)


def test_a_panned_voice_keeps_its_place():
    voice, x = speech_in_noise(1, 0.25)
    place = -np.diff(levels(x, voice))
    found, separate = (
        denoise(x, "wiener", sample_rate=RATE, separate_channels=one) for one in (False, True)
    )
    assert abs(-np.diff(levels(found, voice)) - place) < 0.1
    assert abs(-np.diff(levels(separate, voice)) - place) > 0.5


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_a_stream_gives_what_the_whole_recording_gives(rate):
    _, x = speech_in_noise(1, 0.5)
    x = x[:20011]
    stream = AudioStream("wiener", channels=2, sample_rate=rate)
    expected = denoise(x, "wiener", sample_rate=rate)
    np.testing.assert_allclose(heard(stream, x), expected, atol=1e-5)
    if rate == RATE:
        assert stream.latency == 3 * 256


def test_what_a_model_leaves_stays_to_the_bit_and_silence_stays_silent(tmp_path):
    x = noise(3001, 3)
    np.testing.assert_array_equal(denoise(x, Gain(1.0), sample_rate=RATE), x)
    silent = np.zeros((3001, 2), np.float32)
    np.testing.assert_array_equal(denoise(silent, "wiener", sample_rate=RATE), silent)
    audio_writing.write(tmp_path / "a.wav", panned(x[:, :1], 1, 0, -1), RATE, subtype="FLOAT")
    denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", Gain(0.25))
    found = audio_files.read(tmp_path / "b.wav")
    np.testing.assert_allclose(found, panned(x[:, :1], 0.25, 0, -0.25), atol=1e-6)
