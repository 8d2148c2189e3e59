"""Channels, length and sample rate of audio arrays."""

import numpy as np
import pytest
import scipy.signal
from audio_cases import RATE, noise, refused, sine

from zoo.data import audio_files, audio_writing, pcm


def test_channels(tmp_path):
    x = noise(channels=2)
    audio_writing.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    mono = audio_files.read(tmp_path / "a.wav", channels=1)
    np.testing.assert_allclose(mono, (x[:, :1] + x[:, 1:]) / 2, atol=1e-7)
    audio_writing.write(tmp_path / "b.wav", mono, RATE, subtype="FLOAT")
    both = audio_files.read(tmp_path / "b.wav", channels=2)
    np.testing.assert_array_equal(both, np.concatenate([mono, mono], axis=1))
    loud = np.full((3, 2), 32767, np.int16)
    np.testing.assert_array_equal(pcm.to_channels(loud, 1), loud[:, :1])
    refused("audio of 3 channels", pcm.to_channels, noise(channels=3), 2)


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
@pytest.mark.parametrize("frequency", [100.0, 3000.0])
def test_resampling_keeps_a_sine(tmp_path, rate, frequency):
    audio_writing.write(tmp_path / "a.wav", sine(frequency, rate), rate, subtype="FLOAT")
    found = audio_files.read(tmp_path / "a.wav", sample_rate=RATE)
    assert found.shape == (RATE, 1)
    # The ends ring, for the sine begins from nothing.
    np.testing.assert_allclose(found[500:-500], sine(frequency, RATE)[500:-500], atol=1e-3)


def test_resampling_lets_nothing_fold_back():
    high = pcm.resample(sine(11000, 48000), 48000, RATE)[500:-500]
    assert np.abs(high).max() < 1e-4


@pytest.mark.parametrize("rates", [(44100, 16000), (16000, 44100), (96000, 16000), (8000, 16000)])
def test_resampled_length(rates):
    soxr = pytest.importorskip("soxr")
    for length in [1, 2, 7, 160, 441, 999, 1001, 12345]:
        expected = pcm.resampled_length(length, *rates)
        assert expected == int(np.floor(length * rates[1] / rates[0] + 0.5))
        x = noise(length)
        assert len(pcm.resample(x, *rates)) == expected
        assert abs(len(soxr.resample(x, *rates)) - expected) <= 1


def test_lengthen():
    x = np.arange(3, dtype=np.int16)[:, None]
    assert pcm.lengthen(x, 8).ravel().tolist() == [0, 1, 2, 0, 0, 0, 0, 0]
    assert pcm.lengthen(x, 8, wrap=True).ravel().tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert pcm.lengthen(x, 2) is x
    assert pcm.lengthen(x[None], 5).shape == (1, 5, 1)


def test_resampling_is_scipys():
    low = scipy.signal.butter(8, 4000, fs=48000, output="sos")  # where no filter's edge matters
    x = scipy.signal.sosfilt(low, noise(9600), axis=0).astype(np.float32)
    expected = scipy.signal.resample_poly(x, 1, 3, window=("kaiser", 12.0))
    found = pcm.resample(x, 48000, RATE)
    assert np.abs(found - expected)[100:-100].max() < 1e-3
