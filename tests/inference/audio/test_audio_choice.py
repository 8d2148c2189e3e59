"""The model of a recording by its bandwidth, and warnings where it takes too much."""

import jax
import numpy as np
import pytest
import scipy.signal
from families import first
from stubs import Gain, Learned, sine

import zoo
from zoo import denoise, denoise_file
from zoo.data import audio_files, audio_writing, pcm, synthetic
from zoo.inference import audio_choice
from zoo.models import create_model
from zoo.resolve import resolve


@pytest.mark.parametrize("samples", [1, 2, 511, 512])
@pytest.mark.parametrize("channels", [1, 3])
def test_recordings_shorter_than_a_frame_tell_nothing(samples, channels):
    assert audio_choice.band_edge([np.full((samples, channels), 0.3, np.float32)], 16000) is None


@pytest.fixture
def usual(monkeypatch):
    """A network that halves, instead of the one that comes with the zoo."""
    usual = resolve(Gain(0.5))._replace(label="stream-s-48k")
    monkeypatch.setattr(audio_choice, "_usual", lambda: (usual, False))


@pytest.mark.parametrize("rate", first(2, [8000, 44100, 11025, 16000]))
def test_what_ends_below_speech_gets_the_wiener_filter_and_a_line(tmp_path, usual, rate):
    x = synthetic.clean(0, 1, sample_rate=16000, length=48000)
    x = x + synthetic.ambience(0, 0, sample_rate=16000, length=48000) * np.float32(0.05)
    telephone = pcm.resample(pcm.resample(x, 16000, 8000), 8000, rate)
    audio_writing.write(tmp_path / "a.wav", telephone, rate)
    (note,) = denoise_file(tmp_path / "a.wav", tmp_path / "b.wav").notes
    assert "gentle wiener filter" in note
    assert "kHz, where stream-s-48k takes consonants for noise" in note
    y = audio_files.read(tmp_path / "b.wav")
    filter = create_model("wiener", attenuation=6.0, smoothing=0.9)
    expected = denoise(audio_files.read(tmp_path / "a.wav"), filter, sample_rate=rate)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    if rate > 16000:
        audio_writing.write(tmp_path / "c.wav", pcm.resample(x, 16000, rate), rate)
        assert denoise_file(tmp_path / "c.wav", tmp_path / "d.wav").notes == ()
        halved = 0.5 * audio_files.read(tmp_path / "c.wav")
        difference = audio_files.read(tmp_path / "d.wav") - halved
        assert np.abs(difference)[999:-999].max() < 0.02


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
def test_the_usual_model_is_one_at_every_sample_rate(rate):
    x = np.random.default_rng(0).normal(0, 0.1, (rate, 1)).astype(np.float32)
    model, reason = audio_choice.choose([x], rate)
    assert (model.label, reason) == ("stream-s-48k", "")


@pytest.mark.matrix
def test_a_file_of_48_khz_goes_through_as_it_is(tmp_path):
    """By the default path and its report, and without resampling: as the model gives it."""
    voice = synthetic.clean(0, 1, sample_rate=48000, length=24000)
    x = np.float32(voice + np.random.default_rng(0).normal(0, 0.02, voice.shape))
    audio_writing.write(tmp_path / "a.wav", x, 48000)
    report = denoise_file(tmp_path / "a.wav", tmp_path / "b.wav")
    assert (report.model, report.sample_rate) == ("stream-s-48k", 48000)
    model, variables = zoo.load("stream-s-48k")
    expected = jax.jit(model.apply)(variables, audio_files.read(tmp_path / "a.wav")[None])[0]
    np.testing.assert_allclose(audio_files.read(tmp_path / "b.wav"), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("snr", [-5, 0, 5, 10, 15])
def test_telephone_speech_stays_as_intelligible_as_it_was(tmp_path, zoo_data, rate, snr):
    """STOI of the held test set behind a telephone line, in the mean, by the default path."""
    stoi = pytest.importorskip("pystoi").stoi
    band = scipy.signal.butter(6, (300, 3400), "bandpass", fs=16000, output="sos")
    noises = sorted((zoo_data / "noise" / "test").iterdir())
    gains = []
    for i, path in enumerate(sorted((zoo_data / "speech" / "test").iterdir())[::8]):
        clean = audio_files.read(path, sample_rate=16000, channels=1)
        noise = audio_files.read(noises[i % len(noises)], sample_rate=16000, channels=1)
        noise = np.resize(noise, clean.shape)
        active = clean[np.abs(clean) > 0.01 * np.abs(clean).max()]
        scale = np.sqrt(np.mean(active**2) / np.mean(noise**2)) * 10 ** (-snr / 20)
        clean, noisy = (
            pcm.resample(scipy.signal.sosfilt(band, x, axis=0).astype(np.float32), 16000, rate)
            for x in (clean, clean + scale * noise)
        )
        audio_writing.write(tmp_path / "a.wav", 0.3 * noisy / np.abs(noisy).max(), rate)
        report = denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", overwrite=True)
        assert "gentle wiener filter" in report.notes[0]
        before, after = (audio_files.read(tmp_path / f"{name}.wav") for name in "ab")
        gains.append(stoi(clean[:, 0], after[:, 0], rate) - stoi(clean[:, 0], before[:, 0], rate))
    assert np.mean(gains) > 0


@pytest.mark.slow
def test_where_sound_ends_is_heard_in_speech(zoo_data):
    """Of full and of limited recordings, clean and in noise."""
    noises = sorted((zoo_data / "noise" / "test").iterdir())
    wrong = limited = 0
    files = sorted((zoo_data / "speech" / "test").iterdir())[::4]
    for i, path in enumerate(files):
        clean = audio_files.read(path, channels=1)
        noise = np.resize(audio_files.read(noises[i % len(noises)], channels=1), clean.shape)
        noisy = clean + noise * (clean.std() / noise.std())
        wrong += sum(audio_choice.band_edge([x], 16000) is not None for x in (clean, noisy))
        for cutoff in (3400, 4500, 5500):
            sos = scipy.signal.butter(8, cutoff, fs=16000, output="sos")
            for x in (clean, noisy):
                heard = np.float32(np.round(scipy.signal.sosfilt(sos, x, axis=0) * 32768) / 32768)
                limited += audio_choice.band_edge([heard], 16000) is not None
    assert wrong <= 0.05 * 2 * len(files)
    assert limited >= 0.95 * 6 * len(files)


def test_a_network_of_speech_that_takes_all_is_warned_of(tmp_path):
    audio_writing.write(tmp_path / "a.wav", sine(440, 16000), 16000)
    for gain, reported in ((0.25, True), (0.5, False)):
        model = Learned(gain)
        variables = {"params": {"gain": np.float32(gain)}}
        report = denoise_file(
            tmp_path / "a.wav", tmp_path / "b.wav", model, variables=variables, overwrite=True
        )
        assert (len(report.notes) == 1) == reported
        if reported:
            assert report.notes[0].startswith("12 dB were taken where it is loudest")
    # The classical ones keep what is not steady, and a small strength keeps all.
    assert denoise_file(tmp_path / "a.wav", tmp_path / "c.wav", Gain(0.25)).notes == ()
