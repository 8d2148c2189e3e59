"""The whole evaluation of recordings, on signals of a second and models of one line."""

import csv
import importlib.util
import json

import jax.numpy as jnp
import numpy as np
import pytest

from zoo.data.sources import Example
from zoo.errors import ZooError
from zoo.evaluate import REAL, AudioProtocol, Level, evaluate, mean_merit
from zoo.evaluate.audio_evaluator import AudioEvaluator
from zoo.modality import AUDIO

soundfile = pytest.importorskip("soundfile")
pystoi = pytest.importorskip("pystoi")

RATE = 16000
ZERO, FIVE, TEN = (Level(snr, "dB", "SNR") for snr in (0.0, 5.0, 10.0))
QUICK = ("si_sdr", "si_sdr_gain", "segmental_snr", "log_spectral_distance")


def voice(seconds, pitch):
    """Syllables of harmonics with pauses, (T, 1), int16."""
    time = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time), 0, None)
    return np.round(6000 * tone * syllables).astype(np.int16)[:, None]


def hiss(seconds, seed):
    draw = np.random.default_rng(seed).normal(0, 2000, (int(seconds * RATE), 1))
    return draw.round().astype(np.int16)


VOICES = [
    Example("a/one.flac", voice(1.3, 110), None),
    Example("two.wav", voice(2.5, 150), None),
    Example("three", voice(1.9, 200), None),
]
NOISES = [Example("long", hiss(4, 0), None), Example("short", hiss(0.7, 1), None)]


def identity(noisy, level):
    assert noisy.dtype == level.dtype == np.float32
    assert level.shape == noisy.shape[:1]
    assert noisy.shape[1] % (2 * RATE) == 0
    return noisy


def smooth(noisy, level):
    return (noisy + jnp.roll(noisy, 1, axis=1)) / 2


def si_sdr(estimate, reference):
    estimate, reference = estimate.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    target = reference * (estimate @ reference) / (reference @ reference)
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


@pytest.fixture(scope="module")
def two_levels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    steps = []
    result = evaluate(
        {"model": identity, "smooth": smooth},
        VOICES,
        levels={ZERO: None, TEN: None},
        outdir=folder,
        noise=NOISES,
        baselines=("wiener",),
        title="hiss",
        progress=lambda *step: steps.append(step),
    )
    assert steps[-1] == (6, 6)
    return folder, result


def test_every_file_is_there_and_nothing_else(two_levels):
    folder, result = two_levels
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    names = ("a_one", "two", "three")
    levels = ("0_dB", "10_dB")
    heard = ("clean", "noisy", "model", "smooth", "wiener")
    assert found == sorted(
        [
            *(f"denoised/{level}/{name}.wav" for level in levels for name in names),
            *(f"listen/{lv}/{name}_{m}.wav" for lv in levels for name in names for m in heard),
            *(f"{kind}_{lv}.png" for kind in ("spectrograms", "waveforms") for lv in levels),
            *(f"curves_{metric.name}.png" for metric in result.metrics),
            "by_level.json",
            "manifest.json",
            "per_recording.csv",
            "protocol.json",
            "summary.csv",
            "summary.json",
        ]
    )


def test_means_are_those_of_the_rows(two_levels):
    folder, result = two_levels
    with (folder / "per_recording.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["level", "recording", "method", *(m.name for m in result.metrics)]
    methods = ["model", "smooth", "noisy", "wiener"]
    assert [row["method"] for row in rows[:4]] == methods
    assert [row["recording"] for row in rows[::4]] == [v.name for v in VOICES] * 2
    summary = json.loads((folder / "summary.json").read_text())
    by_level = json.loads((folder / "by_level.json").read_text())
    assert summary == result.summary
    assert by_level == {level.label: means for level, means in result.by_level.items()}
    for method in methods:
        for metric in (metric.name for metric in result.metrics):
            mine = [(r["level"], float(r[metric])) for r in rows if r["method"] == method]
            mean = np.mean([value for _, value in mine])
            assert summary[method][metric] == pytest.approx(mean, rel=1e-4)
            mean = np.mean([value for level, value in mine if level == "0 dB"])
            assert by_level["0 dB"][method][metric] == pytest.approx(mean, rel=1e-4)
    lines = result.table().splitlines()
    assert lines[0].split()[:4] == ["0", "dB", "SI-SDR,", "dB"]
    assert lines[-1] == AudioProtocol().line()


def test_the_identity_scores_as_the_noise_does(two_levels):
    _, result = two_levels
    assert result.summary["model"] == result.summary["noisy"]
    assert result.summary["noisy"]["si_sdr_gain"] == 0
    low, high = (result.by_level[level]["noisy"]["si_sdr"] for level in (ZERO, TEN))
    assert high - low == pytest.approx(10, abs=0.1)
    assert result.by_level[ZERO]["smooth"]["si_sdr_gain"] > 1


def test_figures_are_those_computed_here(two_levels):
    folder, result = two_levels
    for score in result.scores:
        if (score.level, score.example) != (ZERO, "two.wav"):
            continue
        # 16 bits are all that the files have lost, and one gain that SI-SDR and STOI do not see.
        estimate, reference = (
            soundfile.read(folder / "listen" / "0_dB" / f"two_{name}.wav")[0]
            for name in (score.method, "clean")
        )
        assert len(estimate) == len(VOICES[1].target)
        assert score.figures["si_sdr"] == pytest.approx(si_sdr(estimate, reference), abs=0.01)
        stoi = pystoi.stoi(reference, estimate, RATE)
        assert score.figures["stoi"] == pytest.approx(stoi, abs=1e-3)
        if importlib.util.find_spec("pesq"):
            import pesq

            expected = pesq.pesq(RATE, reference, estimate, "wb")
            assert score.figures["pesq"] == pytest.approx(expected, abs=0.01)


def test_wavs_can_be_played_and_are_the_mixtures(two_levels):
    folder, _ = two_levels
    gains = json.loads((folder / "protocol.json").read_text())["wavs scaled down"]
    wavs = sorted((folder / "listen").rglob("*.wav")) + sorted((folder / "denoised").rglob("*.wav"))
    assert wavs
    for path in wavs:
        facts = soundfile.info(path)
        assert (facts.samplerate, facts.channels, facts.subtype) == (RATE, 1, "PCM_16")
        values = soundfile.read(path, dtype="int16")[0]
        if np.abs(values.astype(int)).max() >= 32767:
            # Scaled to fit, or a mixture that was made to.
            assert np.count_nonzero(np.abs(values.astype(int)) >= 32767) < 3
    clean, noisy = (
        soundfile.read(folder / "listen" / "0_dB" / f"three_{name}.wav")[0]
        for name in ("clean", "noisy")
    )
    frames = [clean[at : at + 512] for at in range(0, len(clean), 512)]
    powers = np.array([np.mean(frame**2) for frame in frames])
    loud = powers > 1e-4 * powers.max()
    active = np.concatenate([f for f, keep in zip(frames, loud, strict=True) if keep])
    ratio = np.mean(active**2) / np.mean((noisy - clean) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(0, abs=0.05)
    assert set(gains) <= {str(path.relative_to(folder)) for path in wavs}


def test_what_would_clip_is_scaled_down_and_reported(tmp_path):
    evaluate(
        {"loud": lambda x, level: 8 * x},
        VOICES[:1],
        levels={FIVE: None},
        outdir=tmp_path,
        noise=NOISES,
        baselines=(),
        metrics=("si_sdr",),
    )
    gains = json.loads((tmp_path / "protocol.json").read_text())["wavs scaled down"]
    assert gains["denoised/a_one.wav"] < 1
    # What is compared by ear keeps its relative loudness.
    shared = {gain for path, gain in gains.items() if path.startswith("listen/a_one_")}
    assert len(shared) == 1
    clean = soundfile.read(tmp_path / "listen" / "a_one_clean.wav")[0]
    assert np.abs(clean).max() < 0.2
    assert np.abs(soundfile.read(tmp_path / "denoised" / "a_one.wav")[0]).max() < 1


def test_mean_merit_is_that_of_the_summary(two_levels):
    _, result = two_levels
    levels = {ZERO: None, TEN: None}
    found = mean_merit(smooth, VOICES, levels=levels, noise=NOISES)
    assert type(found) is float
    assert found == pytest.approx(result.summary["smooth"]["si_sdr"], abs=1e-4)
    first = [s.figures["si_sdr"] for s in result.scores if s[1:3] == ("a/one.flac", "smooth")]
    found = mean_merit(smooth, VOICES, levels=levels, noise=NOISES, limit=1)
    assert found == pytest.approx(np.mean(first), abs=1e-4)


@pytest.mark.matrix
def test_paired_recordings_bring_their_own_noise(tmp_path):
    noisy = [Example(v.name, v.target, np.roll(v.target, 1, axis=0) // 2) for v in VOICES]
    reported = []

    def model(x, level):
        reported.extend(level.tolist())
        return x

    result = evaluate(
        {"model": model},
        noisy,
        levels={REAL: None},
        outdir=tmp_path,
        baselines=(),
        metrics=QUICK,
        protocol=AudioProtocol(active=False),
    )
    assert set(reported) == {0}
    expected = [si_sdr(pair.input, pair.target) for pair in noisy]
    assert [s.figures["si_sdr"] for s in result.scores[::2]] == pytest.approx(expected, abs=1e-3)
    assert not list(tmp_path.glob("curves_*"))
    written = soundfile.read(tmp_path / "denoised" / "two.wav", dtype="int16")[0]
    np.testing.assert_array_equal(written, noisy[1].input[:, 0])


def test_two_channels(tmp_path):
    stereo = [Example("s", np.repeat(VOICES[0].target, 2, axis=1), None)]
    result = evaluate(
        {"model": smooth},
        stereo,
        levels={FIVE: None},
        outdir=tmp_path,
        noise=NOISES,
        baselines=(),
        metrics=("si_sdr", "stoi"),
    )
    assert soundfile.info(tmp_path / "denoised" / "s.wav").channels == 2
    mono = mean_merit(smooth, VOICES[:1], levels={FIVE: None}, noise=NOISES)
    assert result.summary["model"]["si_sdr"] == pytest.approx(mono, abs=1e-3)


def test_undefined_figures_are_counted_not_averaged(tmp_path):
    beep = np.zeros((RATE, 1), np.int16)
    beep[:800] = voice(0.05, 300)
    silent = Example("nothing", np.zeros((RATE, 1), np.int16), None)
    result = evaluate(
        {"model": smooth},
        [VOICES[1], Example("beep", beep, None), silent],
        levels={FIVE: None},
        outdir=tmp_path,
        noise=NOISES,
        baselines=(),
        metrics=("si_sdr", "stoi"),
    )
    notes = result.notes
    assert notes[0] == "nothing is silent and was left out"
    assert notes[1].startswith("no STOI for 1 of 2 mixtures")
    assert [s.example for s in result.scores] == ["two.wav"] * 2 + ["beep"] * 2
    assert np.isnan(result.scores[2].figures["stoi"])
    assert result.summary["model"]["stoi"] == result.scores[0].figures["stoi"]
    assert json.loads((tmp_path / "protocol.json").read_text())["notes"] == notes
    assert notes[1] in result.table()


def test_without_a_package_its_column_is_left_out(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pesq" else find(name)
    )
    evaluator = AudioEvaluator(AUDIO, VOICES, noise=NOISES)
    found, notes = evaluator.available(None)
    assert "pesq" not in {metric.name for metric in found}
    assert "stoi" in {metric.name for metric in found}
    assert len(notes) == 1
    assert "pip install pesq" in notes[0]


def test_pesq_is_left_out_at_other_rates():
    protocol = AudioProtocol(sample_rate=48000)
    found, notes = AudioEvaluator(AUDIO, VOICES, protocol=protocol).available(("si_sdr", "pesq"))
    assert [metric.name for metric in found] == ["si_sdr"]
    assert len(notes) == 1
    assert "48000" in notes[0] or "pip install pesq" in notes[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recordings": []}, "nothing to evaluate on"),
        ({"limit": 0}, "no audio signal"),
        ({"levels": {}}, "no noise level"),
        ({"levels": {Level(None, name="a/b"): None, Level(None, name="a b"): None}}, "share"),
        ({"levels": {REAL: None}}, "number of dB"),
        ({"levels": {Level(np.inf, "dB", "SNR"): None}}, "number of dB"),
        ({"noise": None}, "folder of noises"),
        ({"noise": []}, "folder of noises"),
        ({"noise": [Example("n", np.zeros((9, 1), np.int16), None)]}, "n is silent"),
        ({"noise": [Example("n", np.ones((9, 2), np.int16), None)]}, "2 channels"),
        ({"baselines": ("weiner",)}, "did you mean 'wiener'"),
        ({"metrics": ("si_sdrr",)}, "did you mean 'si_sdr"),
        ({"models": {"noisy": identity}}, "rename"),
        ({"models": {"model": lambda x, level: x[:, 1:]}}, "model turned audio signals"),
        ({"models": {"m": lambda x, level: x * np.float32("nan")}}, "m for .* is not finite"),
        ({"recordings": [Example("p", VOICES[0].target.T, None)]}, "p has shape .* transpose"),
        ({"recordings": [Example("p", VOICES[0].target * np.nan, None)]}, "p holds NaN"),
        ({"recordings": [Example("p", np.zeros((0, 1), np.int16), None)]}, "p has shape"),
        ({"recordings": [Example("p", np.zeros((99, 1), np.int16), None)]}, "silent"),
        ({"recordings": [Example("p", *[v.target for v in VOICES[:2]])]}, "correct the pair"),
        ({"recordings": [Example("p", *[VOICES[0].target] * 2)]}, "without a number"),
        (
            {"recordings": [VOICES[0], Example("p", *[VOICES[0].target] * 2)]},
            "split them",
        ),
    ],
)
def test_mistakes(tmp_path, changes, words):
    arguments = {
        "models": {"model": identity},
        "recordings": VOICES,
        "levels": {FIVE: None},
        "noise": NOISES,
        "baselines": (),
        "metrics": ("si_sdr",),
        "outdir": tmp_path / "out",
        **changes,
    }
    with pytest.raises(ZooError, match=words) as caught:
        evaluate(arguments.pop("models"), arguments.pop("recordings"), **arguments)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("changes", [{"seed": -1}, {"seconds": 1.0}, {"sample_rate": 0}])
def test_a_protocol_must_make_sense(changes):
    with pytest.raises(ZooError, match=next(iter(changes))):
        AudioProtocol(**changes)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ZooError, match="cannot make"):
        evaluate(
            {"model": identity},
            VOICES,
            levels={FIVE: None},
            outdir=tmp_path / "out",
            noise=NOISES,
            baselines=(),
        )
