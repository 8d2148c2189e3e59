"""Signals made by rule, against what a spectrum says of them."""

import time

import numpy as np
import pytest

from zoo.data import sources, synthetic
from zoo.errors import ZooError

RATE, LENGTH = 16000, 64000


def clean(index, seed=0, **options):
    return synthetic.clean(seed, index, **{"sample_rate": RATE, "length": LENGTH} | options)[:, 0]


def ambience(index, seed=0, **options):
    options = {"sample_rate": RATE, "length": LENGTH} | options
    return synthetic.ambience(seed, index, **options)[:, 0]


def test_pulses_are_the_sum_of_their_harmonics():
    frequency = 120 + 20 * np.sin(np.arange(4000) / 700)
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    count = int(0.45 * RATE / frequency.max())
    expected = sum(np.cos(k * phase) for k in range(1, count + 1))
    np.testing.assert_allclose(synthetic.pulses(frequency, RATE), expected, atol=2e-3 * count)


def test_resonances_peak_at_the_formants():
    frequency = np.arange(100, 4000, 10, dtype=np.float32)
    for formants in synthetic.VOWELS:
        passed = synthetic.resonances(formants, frequency)
        # The skirt of one may hide another that stands close to it.
        inner = np.log(passed[1:-1])
        bends = inner[1:-1] - (inner[:-2] + inner[2:]) / 2
        for formant in formants:
            near = np.abs(frequency[2:-2] - formant) < 40
            assert bends[near].max() > 5 * np.median(np.abs(bends))
    np.testing.assert_allclose(synthetic.resonances(synthetic.VOWELS, np.zeros(1, np.float32)), 1)


def test_a_voice_has_lines_at_multiples_of_its_pitch():
    """In a steady stretch the autocorrelation repeats by the pitch and finds little between."""
    for index in range(5):
        x = clean(index)
        best = 0.0
        for at in range(0, LENGTH - 1024, 512):
            piece = x[at : at + 1024] * np.hanning(1024)
            if np.abs(piece).max() < 0.1:
                continue
            spectrum = np.abs(np.fft.rfft(piece, 8192)) ** 2
            correlation = np.fft.irfft(spectrum)[: RATE // 80]
            lags = np.arange(RATE // 300, RATE // 80)
            pitch = RATE / lags[np.argmax(correlation[lags])]
            comb = np.arange(1, int(1500 / pitch)) * pitch * 8192 / RATE
            lines = spectrum[np.rint(comb).astype(int)].sum()
            between = spectrum[np.rint(comb + pitch * 4096 / RATE).astype(int)].sum()
            best = max(best, lines / between)
        assert best > 100


def loudness(x):
    frames = x[: len(x) // 160 * 160].reshape(-1, 160)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)


@pytest.mark.parametrize("index", range(8))
def test_clean_signals_pause_and_noises_do_not(index):
    x = clean(index)
    silent = (x == 0).mean()
    assert 0.02 < silent < 0.7
    assert x.dtype == np.float32
    assert x.shape == (LENGTH,)
    assert 0.299 < np.abs(x).max() < 0.901
    noise = ambience(index)
    assert 0.299 < np.abs(noise).max() < 0.901
    assert loudness(noise).min() > -90
    assert abs(x.mean()) < 0.02


def test_each_seed_and_index_is_another_and_always_the_same():
    every = [make(i, seed)[:32000] for make in (clean, ambience) for seed in (0, 1) for i in (0, 1)]
    assert len({one.tobytes() for one in every}) == 8
    np.testing.assert_array_equal(clean(3), clean(3))
    np.testing.assert_array_equal(ambience(2), ambience(2))


@pytest.mark.parametrize("rate", [8000, 48000])
def test_any_rate_and_length(rate):
    for index in range(8):
        for length in (rate // 10, 3 * rate + 1):
            for make in (clean, ambience):
                x = make(index, sample_rate=rate, length=length)
                assert x.shape == (length,)
                assert np.isfinite(x).all()


def test_colored_noise_has_no_lines_and_hum_has():
    def peakiness(x):
        spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))[200:4000]
        return (spectrum / np.convolve(spectrum, np.ones(101) / 101, "same")).max()

    assert peakiness(ambience(1)) > 20
    assert peakiness(ambience(0)) < 6


def test_a_signal_takes_milliseconds():
    took = []
    for index in range(5):
        start = time.process_time()
        clean(index)
        took.append(time.process_time() - start)
    # 10 ms on one core; the bound is for a busy machine.
    assert min(took) < 0.1


def test_the_source():
    loaded = sources.load("voices", channels=1)
    assert [len(source) for source in loaded.values()] == [64, 8, 8]
    assert [len(source.noise) for source in loaded.values()] == [32, 4, 4]
    test = loaded["test"]
    one = test[2]
    assert (one.name, one.target.shape, one.target.dtype) == (
        "voice-test-002",
        (64000, 1),
        np.int16,
    )
    assert one.input is None
    np.testing.assert_array_equal(one.target[:, 0], np.rint(clean(2, seed=2) * 32768))
    np.testing.assert_array_equal(test.excerpt(2, 100, 50).target, one.target[100:150])
    assert test.lengths() == [64000] * 8
    assert set(test.noise.lengths()) == {96000}
    firsts = {source[0].target.tobytes() for source in loaded.values()}
    firsts |= {source.noise[0].target.tobytes() for source in loaded.values()}
    assert len(firsts) == 6
    stereo = sources.load("voices", channels=2, sample_rate=8000, seconds=1.5, train=2)["train"]
    assert stereo[1].target.shape == (12000, 2)
    assert repr(stereo) == "Source(2 audio signals, channels=2, sample_rate=8000)"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"channels": 3}, "channels is 3; for audio choose 1"),
        ({"size": (8, 8)}, "size and tile are for images"),
        ({"tile": (8, 8)}, "size and tile are for images"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"train": -1}, "train is -1"),
        ({"seconds": 0}, "seconds is 0"),
    ],
)
def test_wrong_arguments(options, match):
    with pytest.raises(ZooError, match=match) as caught:
        sources.load("voices", **{"channels": 1} | options)
    assert "\n" not in str(caught.value)


def test_a_low_rate_is_refused():
    with pytest.raises(ZooError, match="4000 Hz or more, not 2000"):
        sources.load("voices", channels=1, sample_rate=2000)["test"][0]
