"""`zoo score` on recordings, against the evaluation it calls and as its users meet it."""

import csv

import jax
import numpy as np
import pytest
from variables import random_variables

from zoo import cli, weights
from zoo.data import audio_files, audio_writing, image_files, sources
from zoo.evaluate import REAL, AudioProtocol, Level, Result, benchmark, evaluate
from zoo.evaluate import published_figures as published
from zoo.evaluate.audio_evaluator import AudioEvaluator
from zoo.evaluate.contenders import contenders
from zoo.modality import AUDIO
from zoo.models import create_model, merge_batch_norm, small_options

RATE = 16000
QUICK = ("si_sdr", "si_sdr_gain", "log_spectral_distance")


def voice(seconds, pitch):
    time = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
    return np.round(6000 * tone * np.clip(np.sin(18 * time), 0, None)).astype(np.int16)[:, None]


def hiss(seconds, seed):
    draw = np.random.default_rng(seed).normal(0, 2000, (int(seconds * RATE), 1))
    return draw.round().astype(np.int16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Speech without splits, noise with them, and pairs, all below one folder."""
    root = tmp_path_factory.mktemp("data")
    for name in ("speech/a", "noise/test", "noise/train", "pairs/clean", "pairs/noisy", "photos"):
        (root / name).mkdir(parents=True)
    for number, pitch in enumerate((110, 150, 200)):
        clean = voice(1 + 0.2 * number, pitch)
        audio_writing.write(root / f"speech/a/{number}.wav", clean, RATE)
        audio_writing.write(root / f"pairs/clean/{number}.wav", clean, RATE)
        noisy = clean // 2 + hiss(len(clean) / RATE, number) // 2
        audio_writing.write(root / f"pairs/noisy/{number}.wav", noisy, RATE)
    audio_writing.write(root / "noise/test/hiss.flac", hiss(2, 7), RATE)
    audio_writing.write(root / "noise/train/other.flac", hiss(2, 8), RATE)
    image_files.write(root / "photos/a.png", np.zeros((20, 20, 3), np.uint8))
    return root


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "mine" / "weights.safetensors"
    path.parent.mkdir()
    options = small_options("stream-t")
    model = create_model("stream-t", **options)
    variables = random_variables(model, np.zeros((1, 2048, 1), np.float32))
    weights.save(path, variables, {"model": "stream-t", "options": options})
    return path


@pytest.fixture
def zoo(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return cli.main([str(one) for one in arguments]), *capsys.readouterr()

    return run


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.matrix
def test_the_table_is_that_of_the_evaluation(zoo, folders, model_file, tmp_path, monkeypatch):
    # Images are no figures, and take longest.
    monkeypatch.setattr(AudioEvaluator, "rows", 1)
    code, output, errors = zoo(
        *("score", f"stream-t={model_file}", "--data", folders / "speech"),
        *("--noises", folders / "noise", "--snr", "-5", "10", "--seed", "3", "--limit", "2"),
        *("--metrics", *QUICK, "--baselines", "wiener"),
    )
    assert (code, errors) == (0, "")
    # As every command loads a model; unmerged, the last digits are others.
    model, variables = merge_batch_norm(*weights.load(model_file))
    apply = jax.jit(model.apply)
    everything = {"channels": 1, "fractions": (0.0, 0.0, 1.0)}
    found = evaluate(
        {"stream-t": lambda x, level: apply(variables, x, level)},
        sources.load("recordings", path=str(folders / "speech"), **everything)["test"],
        noise=sources.load("recordings", path=str(folders / "noise/test"), **everything)["test"],
        levels={Level(snr, "dB", "SNR"): None for snr in (-5.0, 10.0)},
        outdir=tmp_path / "directly",
        protocol=AudioProtocol(seed=3),
        baselines=("wiener",),
        metrics=QUICK,
        limit=2,
    )
    figure = found.by_level[Level(10.0, "dB", "SNR")]["wiener"]["si_sdr"]
    (row,) = (line for line in output.splitlines() if f"{figure:.2f}" in line and "wiener" in line)
    assert row.startswith("| wiener")
    assert (tmp_path / "scores" / "table.md").read_text() in output
    assert f"- speech: 3 in {folders / 'speech'}, mono at 16000 Hz" in output
    assert "only the first 2" in output
    assert f"- noises: 1 in {folders / 'noise/test'}" in output
    cells = rows(tmp_path / "scores" / "scores.csv")
    assert [(r["level"], r["method"]) for r in cells] == [
        (level, name) for level in ("-5 dB", "10 dB") for name in ("stream-t", "noisy", "wiener")
    ]
    assert {r["recordings"] for r in cells} == {"2"}
    assert float(cells[5]["si_sdr"]) == pytest.approx(figure, rel=1e-5)
    assert "published_si_sdr" in cells[0]
    for name in ("per_recording.csv", "summary.json", "by_level.json"):
        ours, theirs = tmp_path / "scores" / "speech" / name, tmp_path / "directly" / name
        assert ours.read_text() == theirs.read_text()
    assert (tmp_path / "scores/speech/spectrograms_10_dB.png").exists()


def test_files_of_one_model_are_distinguished(model_file):
    other = model_file.with_name("other.safetensors")
    other.write_bytes(model_file.read_bytes())
    found = contenders([f"stream-t={model_file}", f"stream-t={other}", "wiener"], ["5 dB"])
    assert [one.label for one in found] == ["stream-t mine", "stream-t other", "wiener"]
    assert [one.facts.modality for one in found] == ["audio"] * 3


@pytest.mark.matrix
def test_pairs_bring_their_own_noise(zoo, folders, tmp_path):
    code, output, errors = zoo(
        *("score", "wiener", "--data", folders / "pairs", "--pairs", "noisy", "clean"),
        *("--metrics", "si_sdr"),
    )
    assert (code, errors) == (0, "")
    expected = []
    for path in (folders / "pairs" / "clean").iterdir():
        clean = audio_files.read(path).astype(np.float64).ravel()
        noisy = audio_files.read(folders / "pairs" / "noisy" / path.name).astype(np.float64).ravel()
        target = clean * (noisy @ clean) / (clean @ clean)
        expected.append(10 * np.log10(target @ target / ((noisy - target) @ (noisy - target))))
    cells = {r["method"]: r for r in rows(tmp_path / "scores" / "scores.csv")}
    # A classical method that is asked for is the model, and no baseline besides.
    assert list(cells) == ["wiener", "noisy", "spectral-gate"]
    assert float(cells["noisy"]["si_sdr"]) == pytest.approx(np.mean(expected), abs=1e-3)
    assert {r["level"] for r in cells.values()} == {"real"}
    assert "- wiener: wiener, no weights" in output
    assert "published figures" not in output


def test_recordings_are_distinguished_from_images(zoo, folders):
    """By the files where nothing else tells, and then by the options."""
    speech = ("score", "--data", folders / "speech")
    assert "there is no noise to mix in" in zoo(*speech)[2]
    assert "has no images" in zoo(*speech, "--sigma", "25")[2]
    assert "has no images" in zoo(*speech, "--baselines", "nlm")[2]
    photos = ("score", "--data", folders / "photos")
    assert "has no audio files" in zoo(*photos, "--noises", folders / "noise")[2]
    assert "has no audio files" in zoo(*photos, "--baselines", "wiener")[2]
    assert "no image to evaluate on" in zoo(*photos, "--limit", "0")[2]


def test_published_figures_stand_beside_ours():
    names = [f"noisy/p{232 if i < 394 else 257}_{i:03}.wav" for i in range(824)]
    assert published.is_voicebank(names)
    assert not published.is_voicebank(names[:823])
    assert not published.is_voicebank(["noisy/p226_001.wav", *names[1:]])
    assert published.voicebank("gtcrn") == {"pesq": 2.87, "stoi": 0.940, "si_sdr": 18.83}
    assert published.voicebank("wiener") is None
    means = {
        "gtcrn a": {"si_sdr": 18.5, "stoi": 0.9412, "pesq": None},
        "noisy": {"si_sdr": 8.4501, "stoi": 0.9206, "pesq": 1.98},
    }
    protocol = AudioProtocol()
    wanted = AUDIO.choose(("si_sdr", "stoi", "pesq"))
    result = Result(AUDIO, [], means, {REAL: means}, protocol, wanted, 824, [], True)
    labels = {"gtcrn a": "gtcrn", "noisy": "noisy"}
    known = {
        (REAL, label): published.published("voicebank", names, 1, REAL, protocol, model)
        for label, model in labels.items()
    }
    table = benchmark.markdown({"voicebank": benchmark.Found(result, known)}, {})
    lines = " ".join(table.splitlines())
    assert "| gtcrn a | 0.941 (0.940, +0.001)" in lines
    assert "| - (2.87)" in lines
    assert "1.98 (1.97, +0.01)" in lines
    assert "8.45 (8.45, +0.00)" in lines
    none = {key: {} for key in known}
    assert "2.87" not in benchmark.markdown({"voicebank": benchmark.Found(result, none)}, {})
    level = Level(5.0, "dB", "SNR")
    assert not published.published("voicebank", names, 1, level, protocol, "gtcrn")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["MODEL", "unet-tiny=x.pth"],
            "MODEL denoises audio signals and unet-tiny=x.pth denoises ima",
        ),
        (["wiener=x.tar"], "wiener has no parameters to load; leave out x.tar"),
        (["weiner"], "unknown model 'weiner'; did you mean 'wiener'"),
        (["wave-unet-48"], "no weights of wave-unet-48 come with the zoo"),
        (["gtcrn=MODEL"], "holds a stream-t, not a gtcrn; leave out the name"),
        (["gtcrn=none.tar"], "there is no weight file none.tar"),
        (["gtcrn=g_{sigma}.tar"], "one file serves all levels; write it without {sigma}"),
        (["MODEL", "MODEL"], "two rows would be called mine"),
        (["wiener", "wiener"], "two rows would be called wiener"),
        (["MODEL", "--sigma", "25"], "--sigma is an option of images, and here audio signals are"),
        (["MODEL", "--border", "0"], "--border is an option of images"),
        (["MODEL", "--range", "full"], "--range is an option of images"),
        (["MODEL", "--no-gallery"], "--no-gallery is an option of images"),
        (["UNET", "--snr", "5"], "--snr is an option of audio signals, and here images are scored"),
        (["MODEL", "--pairs", "a", "b"], "pairs bring their own noise; drop --noises, or --pairs"),
        (["MODEL", "--metrics", "peskq"], "unknown metric 'peskq'; did you mean 'pesq'"),
        (["MODEL", "--baselines", "weiner"], "unknown baseline 'weiner'; did you mean 'wiener'"),
        (["--baselines"], "nothing to score"),
        (["--limit", "0"], "no audio signal to evaluate on; check the data and the limit"),
        (["--seed", "-1"], "seed must be"),
        (["--snr", "nan"], "the level nan dB has no SNR"),
        (["--noises", "nowhere"], "there is no folder nowhere; check --noises"),
        (["--data", "nowhere"], "there is no folder nowhere; check --data"),
        (["--data", "empty"], "empty has no audio files"),
        (["--data", "trained"], "trained has other splits but no test"),
        (["--data", "bad"], "bad/text.wav is not wav, flac, ogg or mp3"),
        (["--data", "SPEECH", "SPEECH"], "two folders are called speech"),
        (["--out", "NOISE"], "would be written and"),
        (["--out", "."], "would be written and"),
    ],
)
def test_mistakes_are_one_line(zoo, folders, model_file, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.wav").write_text("This is no sound at all, but a line of text.\n" * 9)
    (tmp_path / "trained" / "train").mkdir(parents=True)
    audio_writing.write(tmp_path / "trained" / "train" / "a.wav", voice(0.5, 100), RATE)
    (tmp_path / "speech").symlink_to(folders / "speech")
    weights.save(tmp_path / "unet.safetensors", {}, {"model": "unet-tiny", "options": {}})
    places = {
        "MODEL": str(model_file),
        "UNET": "unet.safetensors",
        "SPEECH": "speech",
        "NOISE": str(folders / "noise" / "test"),
    }
    for name, place in places.items():
        arguments = [one.replace(name, place) for one in arguments]
        words = words.replace(name, place)
    if "--data" not in arguments:
        arguments = [*arguments, "--data", "speech"]
    if not {"--noises", "--snr"} & {*arguments} or "nan" in arguments:
        arguments = [*arguments, "--noises", folders / "noise"]
    code, output, errors = zoo("score", *arguments)
    assert (code, output) == (2, "")
    assert words in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_what_is_scored_is_not_written_over(zoo, tmp_path):
    """A set's folder below --out is wiped before it is written."""
    for kind in ("clean", "denoised"):
        (tmp_path / "scores/old" / kind).mkdir(parents=True)
        audio_writing.write(tmp_path / "scores/old" / kind / "0.wav", voice(0.5, 100), RATE)
    asked = ("score", "wiener", "--data", "scores/old", "--pairs", "denoised", "clean")
    code, output, errors = zoo(*asked)
    assert (code, output) == (2, "")
    assert "choose another --out" in errors
    assert (tmp_path / "scores/old/denoised/0.wav").exists()
