"""Recordings through the same step, loop and evaluation as images."""

import csv
import json
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import soundfile
from conftest import ROOT
from families import first
from flax import linen as nn
from user_process import Forked, user_environment

import zoo
from zoo import losses, noise, weights
from zoo.data.augment import make_augment
from zoo.data.batches import Batch, make_bank
from zoo.modality import AUDIO
from zoo.models import create_model, small_options, spec_of, variable_shapes
from zoo.train import parallel
from zoo.train.config import load_config
from zoo.train.experiment import build
from zoo.train.step import create_state, make_prepare, make_step

T, BATCH = 512, 8
CONFIG = f"--config={ROOT}/configs/audio_stream.py"
SMALL = small_options("stream-t")
SHORT = (
    "--config.data.crop=(4096,)",
    "--config.train.batch_size=8",
    "--config.train.steps=3",
    "--config.log.every=1",
    "--config.eval.levels=(5,)",
    "--config.eval.baselines=('wiener',)",
    "--config.eval.limit=2",
    "--config.validation.limit=2",
)


def signals(seed, count, length=900):
    rng = np.random.default_rng(seed)
    return [
        rng.integers(-9000, 9000, (1, length + 50 * i, 1)).astype(np.int16) for i in range(count)
    ]


def prepare(**augment):
    sampler = noise.make_sampler("add_at_snr", (0, 10), options={"active": False}, modality="audio")
    return make_prepare(size=(T, 1), augment=make_augment(**augment), sampler=sampler)


def batch():
    return Batch(
        np.arange(BATCH, dtype=np.int32),
        np.arange(BATCH, dtype=np.int32) % 3,
        bank=jax.tree.map(jnp.asarray, make_bank(signals(0, 3), T)),
        noise=jax.tree.map(jnp.asarray, make_bank(signals(1, 4), T, wrap=True)),
    )


def test_target_and_noisy_come_through_the_same_line():
    """Where the line takes the upper half of the band, it takes it of both, else of neither."""
    sampler = noise.make_sampler("add_at_snr", (0, 10), options={"active": False}, modality="audio")
    ops = ({"name": "gain", "level": 0}, {"name": "low_pass", "level": (1000, 3000)})
    line = noise.make_sampler("choice", options={"ops": ops}, modality="audio", sample_rate=16000)
    through = make_prepare(size=(T, 1), augment=make_augment(), sampler=sampler, line=line)
    example = jax.jit(through)(batch(), jax.random.key(3))
    spectra = np.abs(np.fft.rfft(np.asarray(example[:2])[..., 0]))
    limited = spectra[..., T // 4 :].mean(-1) < 0.2 * spectra[..., : T // 32].mean(-1)
    np.testing.assert_array_equal(limited[0], limited[1])
    assert 0 < limited[0].sum() < BATCH


def test_8_khz_can_be_trained():
    """The model is built for it: frames of 32 ms, and the parameters of 16 kHz."""
    config = runpy.run_path(f"{ROOT}/configs/audio_stream.py")["get_config"]()
    config.data.sample_rate = 8000
    config.data.options.train = config.data.options.validation = config.data.options.test = 2
    experiment = build(config)
    assert experiment.model_options["sample_rate"] == experiment.model.sample_rate == 8000
    assert experiment.model.hop == 128
    shapes = [
        variable_shapes(model, spec_of(model))
        for model in (experiment.model, create_model("stream-t"))
    ]
    assert shapes[0] == shapes[1]
    assert experiment.line is not None


def test_the_sample_rate_is_that_of_the_model_unless_given():
    config = load_config("audio_stream", ["model.name=stream-t-48k"])
    config.model.options.update(small_options("stream-t-48k"))
    config.data.options.train = config.data.options.validation = config.data.options.test = 1
    experiment = build(config)
    assert experiment.config.data.sample_rate == experiment.sources["train"].sample_rate == 48000
    assert experiment.model.hop == create_model("stream-t-48k").hop


def test_every_example_has_a_crop_of_its_recording_and_noise_at_its_level():
    example = jax.jit(prepare())(batch(), jax.random.key(3))
    assert example.input.shape == example.target.shape == (BATCH, T, 1)
    clean = [x.reshape(-1) / 32768 for x in signals(0, 3)]
    noises = [x.reshape(-1) / 32768 for x in signals(1, 4)]
    drawn = set()
    for i in range(BATCH):
        target = np.asarray(example.target[i, :, 0], np.float64)
        assert found(target, clean[i % 3])
        rest = np.asarray(example.input[i, :, 0], np.float64) - target
        snr = 10 * np.log10(np.mean(target**2) / np.mean(rest**2))
        assert snr == pytest.approx(float(example.level[i]), abs=0.01)
        # What was added is an excerpt of one of the noises, scaled.
        likeness = [np.max(np.abs(np.correlate(n, rest, "valid"))) for n in noises]
        drawn.add(int(np.argmax(likeness)))
        best = noises[int(np.argmax(likeness))]
        cosine = max(likeness) / np.linalg.norm(rest)
        at = int(np.argmax(np.abs(np.correlate(best, rest, "valid"))))
        assert cosine == pytest.approx(np.linalg.norm(best[at : at + T]), rel=1e-3)
    assert len(drawn) > 1
    assert np.ptp(np.asarray(example.level)) > 1


def found(piece, whole):
    windows = np.lib.stride_tricks.sliding_window_view(whole, len(piece))
    return bool((np.abs(windows - piece).max(axis=1) < 1e-6).any())


def test_gain_and_polarity_act_before_the_noise_is_measured():
    example = jax.jit(prepare(gain=6.0, polarity=True))(batch(), jax.random.key(3))
    target = np.asarray(example.target, np.float64)
    snr = 10 * np.log10(
        np.mean(target**2, (1, 2)) / np.mean((np.asarray(example.input) - target) ** 2, (1, 2))
    )
    np.testing.assert_allclose(snr, example.level, atol=0.01)


@pytest.mark.matrix
def test_noises_are_augmented_by_themselves():
    plain, colored = (
        jax.jit(prepare(**options))(batch(), jax.random.key(3)) for options in ({}, {"tone": 9.0})
    )
    for example in (plain, colored):
        rest = np.asarray(example.input) - np.asarray(example.target)
        target = np.asarray(example.target, np.float64)
        snr = 10 * np.log10(np.mean(target**2, (1, 2)) / np.mean(rest**2, (1, 2)))
        np.testing.assert_allclose(snr, example.level, atol=0.01)
    before, after = (np.asarray(e.input - e.target)[..., 0] for e in (plain, colored))
    gain = np.abs(np.fft.rfft(after)) / np.abs(np.fft.rfft(before))
    assert np.all(np.std(20 * np.log10(gain), axis=1) > 0.5)


def test_noise_cut_on_the_host_is_mixed_as_it_is():
    rng = np.random.default_rng(5)
    pixels, noises = rng.integers(-9000, 9000, (2, BATCH, T, 1)).astype(np.int16)
    given = Batch(np.arange(BATCH, dtype=np.int32), crops=pixels, noise_crops=noises)
    example = jax.jit(prepare())(given, jax.random.key(0))
    np.testing.assert_allclose(example.target, pixels / 32768, atol=1e-7)
    rest = np.asarray(example.input - example.target)
    scale = np.sum(rest * noises, (1, 2)) / np.sum(np.square(noises / 1.0), (1, 2))
    np.testing.assert_allclose(rest, scale[:, None, None] * noises, atol=1e-5)


class Filter(nn.Module):
    """One convolution: the smallest network for recordings."""

    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, level=None, *, train=False):
        return x + nn.Conv(1, (9,))(x)


@pytest.mark.matrix  # test_step.py has the same of images.
@pytest.mark.parametrize("model", [Filter(), "stream-t"], ids=["filter", "stream"])
def test_one_device_and_several_under_jit_and_pmap_agree(model):
    model = create_model(model, **SMALL) if isinstance(model, str) else model
    optimizer = optax.sgd(0.01)

    def step(axis_name):
        return make_step(
            model=model.clone(axis_name=axis_name),
            loss=losses.make_loss("l1"),
            optimizer=optimizer,
            prepare=prepare(),
            ema_decay=0.9,
            modality=AUDIO,
            axis_name=axis_name,
        )

    state = jax.device_get(create_state(model, optimizer, jax.random.key(0), (1, T, 1)))
    one = jax.jit(step(None))(state, batch(), jax.random.key(7))
    host = batch()
    for kind in ("jit", "pmap"):
        runner = parallel.make_runner(kind, step, BATCH)
        banks = [runner.place_bank(jax.device_get(bank)) for bank in (host.bank, host.noise)]
        fed = runner.feed(Batch(host.slot, host.example), *banks)
        many = runner.fetch(runner.run(runner.place(state), fed, jax.random.key(7)))
        for ours, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
            np.testing.assert_allclose(theirs, ours, atol=2e-5)


@pytest.mark.matrix
def test_a_run_on_the_embedded_voices_leaves_all_it_promises(tmp_path, programs):
    sizes = [f"--config.data.options.{split}=2" for split in ("validation", "test")]
    flags = (*SHORT, *sizes, "--config.data.options.train=8", f"--config.model.options={SMALL}")
    arguments = (CONFIG, *flags, f"--workdir={tmp_path}/run")
    code, output = Forked(arguments, user_environment(programs), tmp_path / "output").wait()
    assert code == 0, output
    assert "this run uses synthetic voices; for your own data: zoo train audio_stream" in output
    assert "STOI" in output
    rows = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(np.isfinite(row["si_sdr"]) for row in rows)
    assert np.isfinite(rows[-1]["validation_si_sdr"])
    with (tmp_path / "run" / "eval" / "per_recording.csv").open() as file:
        methods = {row["method"] for row in csv.DictReader(file)}
    assert methods == {"model", "noisy", "wiener"}
    wavs = sorted((tmp_path / "run" / "eval" / "denoised").rglob("*.wav"))
    assert len(wavs) == 2
    assert soundfile.info(wavs[0]).samplerate == 16000
    model, variables = zoo.load(tmp_path / "run" / "weights.safetensors")
    assert model.apply(variables, jnp.zeros((1, 1000, 1))).shape == (1, 1000, 1)
    record = weights.read_record(tmp_path / "run" / "weights.safetensors")
    assert record["contract"]["modality"] == "audio"
    assert np.isfinite(record["scores"]["validation_si_sdr"])


@pytest.mark.parametrize(
    ("flags", "words"),
    first(
        5,
        [
            (
                ["--config.data.name=photos", "--config.data.channels=3"],
                ["stream-t", "audio signals"],
            ),
            (["--config.model.name=unet-tiny"], ["unet-tiny", "images"]),
            (["--config.data.crop=(64, 64)"], ["data.crop", "samples"]),
            (["--config.model.name=gtcrn", "--config.data.sample_rate=8000"], ["gtcrn", "16000"]),
            (["--config.noise.line.name=low_pas"], ["low_pas", "low_pass"]),
            (["--config.loss=ssim"], ["ssim", "audio signals"]),
            (["--config.noise.name=gaussian"], ["gaussian"]),
            (["--config.eval.baselines=('nlm',)"], ["nlm", "wiener"]),
            (["--config.eval.published.gtcrn=missing.tar"], ["missing.tar"]),
            (["--config.data.augment.flip=True"], ["flip"]),
            (["--config.noise.name="], ["noise.name"]),
            (["--config.model.name=wiener"], ["wiener", "no parameters"]),
        ],
    ),
)
def test_mistakes_are_one_line(command, tmp_path, flags, words):
    code, out, errors = command(CONFIG, *SHORT, *flags, f"--workdir={tmp_path}/run")
    assert code == 2, errors
    assert out == ""
    last = errors.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert word in last
    assert "Traceback" not in errors


@pytest.mark.parametrize("noises", [None, "silence"])
def test_what_could_not_be_scored_is_reported_before_training(command, tmp_path, noises):
    rng = np.random.default_rng(0)
    for folder, loud in (("speech", 0.1), ("silence", 0)):
        (tmp_path / folder).mkdir()
        for i in range(6):
            x = loud * rng.standard_normal((6000, 1))
            soundfile.write(tmp_path / folder / f"{i}.wav", x, 16000)
    flags = ["--config.noise.name=hum", "--config.noise.level=10"]
    flags += [f"--config.data.options.noise={tmp_path / noises}"] if noises else []
    config = f"{CONFIG}:{tmp_path / 'speech'}"
    code, out, errors = command(config, *SHORT, *flags, f"--workdir={tmp_path}/run")
    assert code == 2, errors
    assert "step" not in out
    last = errors.strip().splitlines()[-1]
    assert ("is silent; leave it out" if noises else "no noise to mix") in last
