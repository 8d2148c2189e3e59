"""Training on arrays by one call: learning, resuming, its errors, and the same as by a config."""

import signal

import jax
import numpy as np
import pytest

import zoo
from zoo.data import image_files
from zoo.errors import ZooError
from zoo.models import create_model, small_options
from zoo.train import fit, fit_arrays
from zoo.train.config import default_config
from zoo.train.loop import train
from zoo.train.metrics_writer import Metrics

SMALL = {"steps": 4, "batch_size": 2, "crop": 8, "progress": False}


def small():
    return create_model("dncnn-color", depth=2, width=2)


@pytest.fixture(scope="module")
def photos():
    """Smooth images of two sizes."""
    y, x = np.mgrid[:24, :30].astype(np.float32) / 30
    image = np.stack([x, y, (x + y) / 2], -1)
    return [(255 * image).astype(np.uint8), (255 * image[:, ::-1][:, :25]).astype(np.uint8)]


@pytest.fixture
def standard():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.usefixtures("standard")
def test_it_learns_to_denoise_and_writes_nothing(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = create_model("dncnn-color", depth=2, width=8)
    variables, history = fit(
        model, photos, level=25, steps=40, batch_size=4, crop=16, learning_rate=0.02, progress=False
    )
    assert not list(tmp_path.iterdir())
    assert history["step"] == list(range(1, 41))
    assert np.mean(history["loss"][-5:]) < 0.7 * np.mean(history["loss"][:5])
    clean = photos[0] / np.float32(255)
    noisy = clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape).astype(np.float32)
    found = zoo.denoise(noisy, model, variables=variables)
    assert np.mean((found - clean) ** 2) < 0.7 * np.mean((noisy - clean) ** 2)


@pytest.mark.matrix
@pytest.mark.usefixtures("standard")
def test_a_run_stopped_by_ctrl_c_goes_on_to_the_same_end(photos, tmp_path, monkeypatch, capsys):
    whole = fit(small(), photos, **SMALL)
    add = Metrics.add

    def interrupted(metrics, step, values):
        add(metrics, step, values)
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Metrics, "add", interrupted)
        bare = fit(small(), photos, **SMALL)
        without = capsys.readouterr().err
        part = fit(small(), photos, workdir=tmp_path / "run", **SMALL)
    assert bare.history == part.history
    assert without == "stopped by SIGINT at step 2; nothing is saved without a workdir\n"
    assert part.history["step"] == [1, 2]
    assert "at step 2; the same command resumes from there" in capsys.readouterr().err
    again = fit(small(), photos, workdir=tmp_path / "run", **SMALL)
    assert again.history["step"] == [1, 2, 3, 4]
    assert again.history["loss"] == whole.history["loss"]
    for a, b in zip(*map(jax.tree.leaves, (again.variables, whole.variables)), strict=True):
        np.testing.assert_array_equal(a, b)
    model, variables = zoo.load(tmp_path / "run" / "weights.safetensors")
    assert model == small()
    np.testing.assert_array_equal(
        variables["params"]["head"]["kernel"], again.variables["params"]["head"]["kernel"]
    )
    with pytest.raises(ZooError, match=r"data\.options\.checksum .* differ"):
        fit(small(), photos[:1], workdir=tmp_path / "run", **SMALL)


@pytest.mark.matrix
@pytest.mark.usefixtures("standard")
def test_it_computes_what_a_config_does(photos, tmp_path):
    for n, image in enumerate(photos):
        for split in ("train", "test"):
            (tmp_path / "data" / split).mkdir(parents=True, exist_ok=True)
            image_files.write(tmp_path / "data" / split / f"{n}.png", image)
    config = default_config()
    config.model.name, config.model.options = "dncnn-color", {"depth": 2, "width": 2}
    config.data.name, config.data.path = "folder", str(tmp_path / "data")
    config.data.crop, config.noise.level = (8, 8), (0, 55)
    config.train.steps, config.train.batch_size, config.log.every = 4, 2, 1
    train(config, tmp_path / "run")
    _, expected = zoo.load(tmp_path / "run" / "weights.safetensors")
    found, _ = fit(small(), photos, learning_rate=1e-3, **SMALL)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.matrix
@pytest.mark.usefixtures("standard")
def test_recordings_and_a_start(tmp_path):
    rng = np.random.default_rng(0)
    sounds = [rng.normal(0, 0.1, (size, 1)).astype(np.float32) for size in (5000, 9000)]
    model = create_model("stream-t", **small_options("stream-t"))
    options = {"steps": 2, "batch_size": 2, "sample_rate": 16000, "crop": 4096, "progress": False}
    first = fit(model, sounds, **options)
    assert set(first.history) >= {"loss", "si_sdr"}
    mixed = {"noise": "add_at_snr", "level": (0, 10), "noise_recordings": sounds}
    second = fit(model, sounds, variables=first.variables, learning_rate=1e-9, **mixed, **options)
    for a, b in zip(
        *(jax.tree.leaves(one.variables["params"]) for one in (first, second)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": []}, "nothing to train on"),
        ({"images": np.zeros((2, 8))}, r"shape \(8,\); make it \(H, W, C\)"),
        ({"images": np.zeros((2, 8, 8, 1))}, r"build it with zoo\.create_model\(name, channels=1"),
        ({"images": np.full((1, 8, 8, 3), 200.0)}, "floats beyond"),
        ({"images": np.full((1, 8, 8, 3), np.nan)}, "NaN or infinity"),
        ({"images": np.zeros((1, 8, 8, 3), int)}, "make it uint8 or uint16 or float"),
        ({"crop": 99}, "at most 24x25"),
        ({"crop": 8.5}, r"crop is 8\.5; make it a height and a width"),
        ({"crop": (8, 8, 8)}, "make it a height and a width"),
        ({"steps": 0}, "steps is 0; make it a whole number of 1 or more"),
        ({"steps": 2.5}, "make it a whole number of 1 or more"),
        ({"batch_size": 0}, "batch_size is 0; make it a whole number of 1 or more"),
        ({"seed": -1}, "seed is -1; make it a whole number of 0 or more"),
        ({"learning_rate": -1}, "learning_rate is -1; make it greater than 0"),
        ({"learning_rate": "fast"}, "make it greater than 0"),
        ({"noise": lambda key, x: (x, 0), "level": 5}, "a sampler has its own level"),
        ({"noise": "gausian"}, "did you mean 'gaussian'"),
        ({"loss": "l3"}, "unknown loss"),
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"sample_rate": 16000}, "leave out sample_rate"),
        ({"model": "unet-tny"}, "did you mean 'unet-tiny'"),
        ({"model": "stream-t"}, "give its sample_rate"),
        ({"model": 3}, "a model is a name or a module, not int"),
        ({"variables": {"params": {}}}, "variables holds another model"),
        ({"variables": 3}, "variables are a dictionary such as init returns, not int"),
        (
            {"model": "wiener", "images": np.zeros((1, 99)), "sample_rate": 16000, "crop": "2 s"},
            "crop is '2 s'; make it a number of samples",
        ),
        (
            {"model": "wiener", "images": np.zeros((1, 2048)), "sample_rate": 16000, "crop": 2048},
            "Wiener has no parameters to train",
        ),
    ],
)
def test_arguments_that_do_not_fit(photos, changes, words):
    given = {"model": small(), "images": photos, **SMALL, **changes}
    with pytest.raises(ZooError, match=words) as caught:
        fit(given.pop("model"), given.pop("images"), **given)
    assert "\n" not in str(caught.value)


def test_the_default_crop_fits_the_images_and_the_model(photos):
    shapes = [photo.shape for photo in photos]
    spec = zoo.models.spec_of(create_model("unet-tiny"))
    assert fit_arrays._crop(None, shapes, spec, 0) == (24, 24)
