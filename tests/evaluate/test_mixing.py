"""Mixtures, pieces and the processes that listen."""

import os
import signal
import time

import jax
import numpy as np
import pytest

from zoo.data.sources import Example
from zoo.errors import ZooError
from zoo.evaluate import AudioProtocol, Level, mean_merit, spectrograms
from zoo.evaluate.audio_evaluator import AudioEvaluator
from zoo.evaluate.batching import Decoded
from zoo.evaluate.degrade import excerpt, mix
from zoo.evaluate.measure import measure
from zoo.metrics import stoi
from zoo.metrics.perceptual import Pool
from zoo.modality import AUDIO
from zoo.noise import audio

RATE = 16000
ZERO, NINE = (Level(snr, "dB", "SNR") for snr in (0.0, 9.0))
RNG = np.random.default_rng(0)
NOISES = [
    Example(f"n{i}", RNG.integers(-9000, 9000, (3000 + i, 1), np.int16), None) for i in range(3)
]


def recording(name, length, channels=1):
    return Example(name, RNG.integers(-8000, 8000, (length, channels), np.int16), None)


def mixtures(recordings, **changes):
    """Name -> noisy signal, as a model hears it and without what pads it."""
    protocol = AudioProtocol(**changes.pop("protocol", {}))
    levels = changes.pop("levels", [ZERO])
    limit = changes.pop("limit", None)
    evaluator = AudioEvaluator(AUDIO, recordings, noise=NOISES, protocol=protocol, limit=limit)
    evaluator.prepare(dict.fromkeys(levels))
    metrics = AUDIO.choose(["si_sdr"])
    return {
        (level, item.name): part.output("noisy", at)
        for level in levels
        for part in measure({}, evaluator, level, None, metrics=metrics)
        for at, item in enumerate(part.group.items)
    }


def test_a_mixture_depends_on_seed_and_place_alone():
    recordings = [recording(f"r{i}", 20000 + 7000 * i) for i in range(6)]
    whole = mixtures(recordings)
    for other in (mixtures(recordings), mixtures(recordings, limit=4)):
        for key, noisy in other.items():
            np.testing.assert_array_equal(noisy, whole[key])
    levels = mixtures(recordings, levels=[NINE, ZERO])
    for number, (key, noisy) in enumerate(whole.items()):
        np.testing.assert_array_equal(noisy, levels[key])
        clean = next(r.target for r in recordings if r.name == key[1]) / 32768
        louder = (levels[NINE, key[1]] - clean) * 10 ** (9 / 20)
        np.testing.assert_allclose(louder, noisy - clean, atol=1e-5)
        assert number < 6
    other = mixtures(recordings, protocol={"seed": 1})
    assert not any(np.array_equal(other[key], noisy) for key, noisy in whole.items())


def test_every_noise_gets_its_turn():
    flat = [Example(f"n{i}", np.full((50, 1), i + 1, np.int16), None) for i in range(4)]
    drawn = [
        int(excerpt(Decoded(flat), seed=3, place=place, start=0, length=20)[0, 0] * 32768)
        for place in range(40)
    ]
    turns = [drawn[at : at + 4] for at in range(0, 40, 4)]
    assert all(sorted(turn) == [1, 2, 3, 4] for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1


def test_an_excerpt_is_a_stretch_of_the_noise_and_a_short_noise_starts_over():
    noise = np.arange(1, 101, dtype=np.int16)[:, None]
    reader = Decoded([Example("n", noise, None)])
    firsts = set()
    for place in range(50):
        part = excerpt(reader, seed=0, place=place, start=0, length=30)[:, 0] * 32768
        np.testing.assert_array_equal(np.diff(part), 1)
        firsts.add(part[0])
        long = excerpt(reader, seed=0, place=place, start=0, length=250)[:, 0] * 32768
        np.testing.assert_array_equal(long[100:200], long[:100])
        assert set(np.diff(long)) == {1, -99}
    assert min(firsts) >= 1
    assert max(firsts) <= 71
    assert len(firsts) > 20


def test_a_silent_stretch_is_drawn_again():
    noise = np.zeros((1000, 1), np.int16)
    noise[::250] = 5
    reader = Decoded([Example("n", noise, None)])
    for place in range(20):
        assert excerpt(reader, seed=0, place=place, start=0, length=100).any()


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("snr", [-5.0, 0.0, 12.5])
def test_the_level_is_that_of_the_noise_op(active, snr):
    clean = (RNG.normal(0, 0.05, (5000, 2)) * (np.arange(5000) < 2000)[:, None]).astype(np.float32)
    noise = RNG.normal(0, 0.02, (5000, 2)).astype(np.float32)
    protocol = AudioProtocol(active=active)
    found = mix(clean, noise, snr, protocol)
    np.testing.assert_array_equal(found.clean, clean)
    added = np.mean((found.noisy - found.clean).astype(np.float64) ** 2)
    counted = clean[:2048] if active else clean
    ratio = 10 * np.log10(np.mean(counted.astype(np.float64) ** 2) / added)
    assert ratio == pytest.approx(snr, abs=0.001)
    # The op takes an excerpt of its own only from a noise of another length.
    theirs = audio.add_at_snr(jax.random.key(0), clean, snr=snr, noise=noise, active=active)
    assert np.mean((theirs - clean) ** 2) == pytest.approx(added, rel=1e-3)


def test_what_would_clip_is_scaled_with_its_target():
    clean = (0.9 * np.sin(np.arange(4000) / 9)).astype(np.float32)[:, None]
    noise = RNG.normal(0, 0.1, (4000, 1)).astype(np.float32)
    found = mix(clean, noise, -10.0, AudioProtocol())
    assert np.abs(found.noisy).max() == pytest.approx(32767 / 32768, abs=1e-6)
    gain = found.clean[100, 0] / clean[100, 0]
    assert gain < 0.5
    np.testing.assert_allclose(found.clean, clean * gain, rtol=1e-4, atol=1e-7)


def test_long_recordings_are_cut_into_equal_pieces_without_reading_the_whole():
    class Files(list):
        """As a source of files is."""

        def lengths(self):
            return [len(r.target) for r in self]

        def excerpt(self, index, start, frames):
            assert frames <= 3 * RATE
            name, target, _ = self[index]
            return Example(name, target[start : start + frames], None)

    long = recording("long", 7 * RATE)
    long.target[2 * 112000 // 3 :] = 0
    protocol = AudioProtocol(seconds=3.0)
    files = Files([long, recording("r", 100)])
    evaluator = AudioEvaluator(AUDIO, files, noise=NOISES, protocol=protocol)
    left_out = evaluator.prepare({ZERO: None})
    assert [(p.name, p.start, p.frames) for p in evaluator.pieces] == [
        ("long at 0.0 s", 0, 37334),
        ("long at 2.3 s", 37334, 37334),
        ("r", 0, 100),
    ]
    assert left_out == ["long at 4.7 s is silent and was left out"]
    levels = {ZERO: None}
    # SI-SDR of the mixtures themselves: near their SNR, for noise and signal are independent.
    found = mean_merit(
        lambda x, _: x, Files([long]), levels=levels, noise=NOISES, protocol=protocol
    )
    assert found == pytest.approx(0, abs=0.2)


def test_shapes_are_few_and_batches_even():
    recordings = [recording(f"r{i}", 1000 + i) for i in range(17)]
    evaluator = AudioEvaluator(AUDIO, recordings, noise=NOISES)
    sizes = {evaluator.canvas((length,)) for length in range(100, 64 * RATE, 501)}
    assert len(sizes) == 16
    assert min(sizes) == (2 * RATE,)
    for length in range(8 * RATE, 64 * RATE, 501):
        assert length <= evaluator.canvas((length,))[0] <= 1.26 * length
    evaluator.prepare({ZERO: None})
    found = list(evaluator.groups())
    shapes = [(len(g.items), g.capacity, g.canvas) for g in found]
    assert shapes == [(9, 9, (32000,)), (8, 9, (32000,))]
    laid = found[1].lay([np.ones((len(i.target), 1), np.float32) for i in found[1].items])
    assert laid.shape == (9, 32000, 1)
    assert laid[:, :, 0].sum(axis=1).tolist() == found[1].sizes[:, 0].tolist()


def test_a_set_of_another_rate_is_refused():
    class Source(list):
        sample_rate = 8000

    with pytest.raises(ZooError, match="16000 Hz and a set has 8000 Hz"):
        mean_merit(
            lambda x, _: x,
            Source([recording("r", 999)]),
            levels={ZERO: None},
            noise=NOISES,
            protocol=AudioProtocol(sample_rate=16000),
        )


@pytest.mark.matrix
def test_processes_give_what_this_one_gives():
    pytest.importorskip("pystoi")
    pytest.importorskip("joblib")
    clean = RNG.normal(0, 0.1, (RATE, 1)).astype(np.float32)
    noisy = clean + RNG.normal(0, 0.1, clean.shape).astype(np.float32)
    metric = AUDIO.metrics["stoi"].bound(sample_rate=RATE)
    job = (metric, noisy, clean)
    with Pool(jobs=0) as here:
        (expected,) = here.judge([job])
    assert expected.value == pytest.approx(stoi(noisy, clean, RATE))
    with Pool(jobs=100, workers=1) as there:
        assert there.judge([job] * 3) == [expected] * 3
        (bad,) = there.judge([(metric, noisy[:100], clean[:100])])
        (child,) = there._executor()._processes
        assert child != os.getpid()
        os.kill(child, signal.SIGKILL)
        time.sleep(0.1)
        (again,) = there.judge([job])
    assert np.isnan(bad.value)
    assert bad.reason
    assert again == expected


def test_the_busiest_stretch():
    signal = np.zeros(1000)
    signal[400:500] = 1
    assert spectrograms.busiest(signal, 100) == 400
    assert spectrograms.busiest(signal, 1000) == spectrograms.busiest(signal, 5000) == 0
