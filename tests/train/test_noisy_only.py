"""Runs on noisy images alone: what they refuse, what they choose by, and that they denoise."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.cli import main
from zoo.errors import ZooError
from zoo.selfsupervised import METHODS, make_method
from zoo.train import experiment, noisy_only
from zoo.train.config import audio_config, default_config
from zoo.train.feed import make_feed
from zoo.train.fit_arrays import fit
from zoo.train.loop import train
from zoo.train.scoring import evaluate_run
from zoo.train.value_ranges import Ranges

SIGMA = 25


def noisy_images(count=4, side=48, sigma=SIGMA, top=255):
    """Smooth ones with Gaussian noise, uint16 up to `top`, and the clean ones."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(*2 * [np.arange(side) / side])
    clean = np.stack([0.5 + 0.3 * np.sin(6 * x + n) * np.cos(5 * y) for n in range(count)])
    noisy = clean + sigma / 255 * rng.standard_normal(clean.shape)
    return [np.clip(np.rint(top * values), 0, 65535).astype(np.uint16) for values in (noisy, clean)]


@pytest.fixture(autouse=True)
def _promotion():
    # Adam of optax relies on promotion.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("noisy")
    # As of a camera of 12 bits.
    for number, image in enumerate(noisy_images(count=10, top=4095)[0]):
        Image.fromarray(image).save(path / f"{number}.png")
    return path


def config_of(path, **target):
    config = default_config()
    config.model.name = "unet-tiny"
    config.data.name, config.data.path, config.data.channels = "folder", str(path), 1
    config.data.fractions, config.data.crop = (0.8, 0.2, 0.0), (24, 24)
    config.noise.name, config.noise.level = "", None
    config.loss = "mse"
    config.target.update(target)
    config.train.steps, config.train.batch_size = 4, 4
    config.log.every, config.validation.every = 1, 2
    return config


@pytest.mark.matrix
def test_a_folder_of_noisy_images_trains_and_leaves_weights(folder, tmp_path, capsys):
    config = config_of(folder, name="noise2void", options={"spacing": 8})
    built = train(config, tmp_path)
    assert built.method.name == "noise2void"
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    # What was not computed from a clean image is not called PSNR.
    assert not any("psnr" in key for row in rows for key in row)
    losses = [row["validation_loss"] for row in rows if "validation_loss" in row]
    assert len(losses) == 2
    assert evaluate_run(built, tmp_path) is None
    record = zoo.weights.read_record(tmp_path / "weights.safetensors")
    assert record["scores"] == {"validation_loss": pytest.approx(min(losses))}
    assert record["target"]["name"] == "noise2void"
    assert main(["weights", str(tmp_path / "weights.safetensors")]) in (0, None)
    shown = capsys.readouterr().out
    assert " noise2void " in shown
    assert f" loss {min(losses):.3g} " in shown
    assert main(["report", str(tmp_path)]) in (0, None)
    assert "No clean images were there to score with." in (tmp_path / "report.html").read_text()


def test_values_of_12_bits_are_seen_as_inference_sees_them(folder):
    images = [np.asarray(Image.open(path))[..., None] for path in sorted(folder.iterdir())]
    ranges = Ranges.of(images)
    # A power of two of white.
    assert ranges.by_dtype == {"uint16": (0.0, 65535 / 16)}
    np.testing.assert_allclose(ranges.enter(images[0]), images[0] / (65535 / 16), atol=1e-6)
    full = np.full((16, 16, 1), 60000, np.uint16)
    assert Ranges.of([full]).enter(full) is full
    # Each depth has a range of its own, also one that the training had not.
    bright = np.linspace(0, 255, 1024).reshape(32, 32, 1).astype(np.uint8)
    for mixed in (Ranges.of([images[0], bright]), ranges):
        np.testing.assert_allclose(mixed.enter(bright), bright / 255, atol=1e-6)


def counts(count=5, side=40):
    """Photons as floats far beyond 1, a part of one image masked."""
    rng = np.random.default_rng(0)
    clean = 3000 + 1000 * np.sin(np.arange(side) / 6)[:, None] * np.ones(side)
    images = [np.float32(10 * rng.poisson(clean / 10)) for _ in range(count)]
    images[0][:8, :8] = np.nan
    return images


@pytest.mark.matrix
def test_floats_of_any_range_train_and_are_denoised_in_it(tmp_path):
    images = counts()
    model = zoo.create_model("dncnn-gray", depth=2, width=2)
    options = {"target": "noise2void", "target_options": {"spacing": 8}, "progress": False}
    fitted = fit(model, images, steps=1, batch_size=2, crop=16, workdir=tmp_path, **options)
    assert fitted.ranges == {"float32": (0.0, 4096.0)}
    file = tmp_path / "weights.safetensors"
    assert zoo.weights.read_record(file)["ranges"] == {"float32": [0.0, 4096.0]}
    # Of an image that is darker too, and of floats of any width.
    dark = np.float64(images[1] / 8)
    seen = np.float32(dark / 4096)[None, ..., None]
    expected = 4096 * np.asarray(jax.jit(model.apply)(fitted.variables, seen))[0, ..., 0]
    np.testing.assert_allclose(zoo.denoise(dark, file), expected, rtol=0, atol=0.02)
    note = zoo.inference.ImageDenoiser(file)(dark * 1e-4).notes
    assert note == ("the values fill hardly any of 0 to 4096, which the model learned from",)
    # The run goes on with the range that it began with.
    more = fit(model, images, steps=2, batch_size=2, crop=16, workdir=tmp_path, **options)
    assert more.ranges == fitted.ranges


def test_a_stream_sees_what_the_memory_would_hold(tmp_path):
    for number, image in enumerate(counts()):
        np.save(tmp_path / f"{number}.npy", image)
    config = config_of(tmp_path, name="noise2void", options={"spacing": 8})
    built = experiment.build(config)
    kept = make_feed(built)
    assert kept.notes == (
        "images with values that are not finite: 1; the nearest stand in for them",
    )
    config.data.stream = True
    feed = make_feed(experiment.build(config))
    assert feed.ranges == kept.ranges
    crops = next(feed.batches.starting_at(0)).crops
    assert crops.shape == (4, 24, 24, 1)
    assert np.isin(crops, np.asarray(kept.bank.values)).all()


def test_a_level_is_seen_in_the_range_of_the_values():
    twelve = Ranges({"uint16": (0.0, 65535 / 16)})
    assert twelve.seen_by(make_method("sure"), 1 / 255)[1] == pytest.approx(16 / 255)
    # A sixteenth of white holds a sixteenth of the photons.
    assert twelve.seen_by(make_method("poisson_sure"), 1600)[1] == pytest.approx(100)
    assert twelve.seen_by(make_method("recorrupted_gamma"), 4)[1] == 4
    mixed = make_method("poisson_gaussian_sure", {"gain": 0.001})
    assert twelve.seen_by(mixed, 1 / 255)[0].options["gain"] == pytest.approx(0.016)
    with pytest.raises(ZooError, match="of values from 0 on, and those of these images"):
        Ranges({"float32": (-50.0, 14.0)}).seen_by(make_method("poisson_sure"), 30)
    two = Ranges({"uint16": (0.0, 65535 / 16), "uint8": (0.0, 255.0)})
    with pytest.raises(ZooError, match="images of several depths"):
        two.seen_by(make_method("sure"), 0.1)
    assert two.seen_by(make_method("noise2void"), 0.0)[1] == 0


REFUSED = {
    "no such target": ({"name": "noise2vold"}, {}, "did you mean 'noise2void'"),
    "no such option": (
        {"name": "noise2void", "options": {"radios": 1}},
        {},
        "did you mean 'radius'",
    ),
    "an option of no target": ({"level": 25}, {}, "set target.name"),
    "no level": ({"name": "sure"}, {}, "needs the noise's sigma; set target.level"),
    "a negative level": ({"name": "sure", "level": -1}, {}, "target.level is -1"),
    "another loss": ({"name": "sure", "level": 25}, {"loss": "l1"}, "set loss='mse'"),
    "two levels": (
        {"name": "sure", "level": 25},
        {"noise.name": "gaussian", "noise.level": 25},
        "leave target.level out",
    ),
    "another noise": (
        {"name": "recorrupted_poisson"},
        {"noise.name": "gaussian", "noise.level": 25},
        "known peak, and noise 'gaussian' has another level",
    ),
    "one image of a pair": ({"name": "noise2noise"}, {}, "two noisy images of each scene"),
    "a model that asks for a level": (
        {"name": "noise2void"},
        {"model.name": "unet-tiny", "model.options": {"takes_level": True}},
        "takes a noise level, which is not known",
    ),
    "batch statistics": (
        {"name": "sure", "level": 25},
        {"model.name": "dncnn-gray", "model.options": {"norm": "batch", "depth": 3}},
        "batch statistics",
    ),
    "clean images that are not there": (
        {},
        {"data.fractions": (0.5, 0.2, 0.3)},
        "target.name='noise2void'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_one_line(folder, case):
    target, others, message = REFUSED[case]
    config = config_of(folder, **target)
    for key, value in others.items():
        *groups, last = key.split(".")
        part = config
        for group in groups:
            part = part[group]
        part.update({last: value})
    with pytest.raises(ZooError, match=message) as caught:
        experiment.build(config)
    assert "\n" not in str(caught.value)


def test_pairs_of_noisy_and_clean_are_refused(tmp_path):
    noisy, clean = noisy_images()
    for number, pair in enumerate(zip(noisy, clean, strict=True)):
        for name, image in zip(("noisy", "clean"), pair, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / name / f"{number}.png")
    config = config_of(tmp_path, name="noise2void")
    config.data.name = "pairs"
    config.data.fractions = (0.5, 0.25, 0.25)
    config.data.options = {"noisy": "noisy/*.png", "clean": "clean/*.png"}
    with pytest.raises(ZooError, match="are pairs, and target 'noise2void' learns from noisy"):
        experiment.build(config)
    # The same two folders are what noise2noise takes.
    config.target.name = "noise2noise"
    assert experiment.build(config).method.pairs


@pytest.mark.parametrize(
    ("name", "unit", "level"),
    [("sure", "1/255", 25 / 255), ("sure", "1", 25), ("poisson_sure", "1/255", 25)],
)
def test_a_level_is_in_the_unit_of_the_noise_unless_it_counts_photons(name, unit, level):
    config = config_of("", name=name, level=25)
    config.noise.unit = unit
    assert noisy_only.level_of_data(config) == level


def test_audio_is_refused():
    config = audio_config()
    config.target.name = "noise2void"
    with pytest.raises(ZooError, match="is for images"):
        experiment.build(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    ["noise2void", "noise2self", "neighbor2neighbor", "unsure"],
)
def test_it_denoises_without_a_clean_image(target):
    level = SIGMA if METHODS[target].level else None
    noisy, clean = noisy_images(count=16, top=65535 // 2)
    model = zoo.create_model("unet-tiny", channels=1)
    found = fit(
        model,
        noisy[..., None],
        target=target,
        target_options={"spacing": 8} if target == "noise2void" else None,
        level=level,
        steps=400,
        batch_size=8,
        crop=32,
        learning_rate=2e-3,
        progress=False,
    )
    assert "psnr" not in found.history
    test = np.float32(noisy[:4, ..., None] / (65535 // 2 + 1))
    expected = clean[:4, ..., None] / (65535 // 2 + 1)
    result = np.asarray(jax.jit(model.apply)(found.variables, test, None))
    gained = 10 * np.log10(np.mean((test - expected) ** 2) / np.mean((result - expected) ** 2))
    assert gained > 5
    if target == "unsure":
        assert 255 * found.history["level"][-1] == pytest.approx(SIGMA, rel=0.2)
