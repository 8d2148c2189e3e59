"""Programs as StableHLO: run by jax alone, at any size, and equal to the model."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from variables import random_variables

from zoo import ZooError
from zoo.interop.export import reload, stablehlo, to_stablehlo
from zoo.interop.export.exported_program import Signature, pad
from zoo.models import create_model, layers, small_options, spec_of

pytest.importorskip("flatbuffers")

RECORD = {"model": "unet-tiny", "options": {"channels": 1}, "noise": {"name": "gaussian"}}
# Beside unet-tiny: pads by edge; not at all; and, for which compilers take longer, by zeros and by
# reflection.
IMAGES = ["ffdnet-gray", "dncnn-gray-blind"]
SLOW = ["conv_autoencoder-mnist", "nafnet-small", "restormer-small"]
# Apart from all else: what the process holds that runs the file.
ALONE = """
import sys
path, folder = sys.argv[1:]
sys.path.insert(0, path)
import numpy as np
import reload
denoiser = reload.load(path)
for name in ("a", "b", "c", "d"):
    x = np.load(f"{folder}/{name}.npy")
    np.save(f"{folder}/{name}_clean.npy", denoiser(x, 0.1))
assert denoiser.record["weights"]["noise"]["name"] == "gaussian"
print(*{name.split(".")[0] for name in sys.modules})
"""


def made(name, **options):
    model = create_model(name, **options)
    size = (512,) if getattr(model, "modality", "image") == "audio" else (16, 16)
    x = jnp.zeros((1, *(getattr(model, "size", None) or size), spec_of(model).inputs))
    return model, random_variables(model, x, jnp.zeros(1))


def image(*shape):
    return np.random.default_rng(shape[-2]).random(shape, np.float32)


@pytest.mark.matrix
def test_another_process_runs_it_without_the_zoo(tmp_path):
    narrow = small_options("unet-tiny")
    model, variables = made("unet-tiny", channels=1, takes_level=True, **narrow)
    path = tmp_path / "unet.zip"
    to_stablehlo(path, model, variables, record=RECORD)
    shapes = {"a": (1, 1, 1, 1), "b": (3, 2, 5, 1), "c": (2, 40, 23, 1), "d": (1, 64, 64, 1)}
    for name, shape in shapes.items():
        np.save(tmp_path / f"{name}.npy", image(*shape))
    done = subprocess.run(
        [sys.executable, "-c", ALONE, path, tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not {"zoo", "flax", "safetensors"} & set(done.stdout.split())
    for name, shape in shapes.items():
        expected = jax.jit(model.apply)(variables, image(*shape), 0.1)
        found = np.load(tmp_path / f"{name}_clean.npy")
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        # Another process runs this one above.
        pytest.param("unet-tiny", marks=pytest.mark.matrix),
        pytest.param("unet3d-tiny", marks=pytest.mark.matrix),
        *IMAGES,
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_images_of_any_size(tmp_path, name):
    model, variables = made(name, **small_options(name))
    reported = to_stablehlo(tmp_path / "it.zip", model, variables)
    inputs = spec_of(model).inputs
    assert reported["inputs"][0]["shape"] == ["b", "h", "w", inputs]
    denoiser = reload.load(tmp_path / "it.zip")
    assert denoiser.record == reported
    x = image(3, 9, 22, inputs)
    level = [0.2] * len(reported["inputs"][1:])
    expected = jax.jit(model.apply)(variables, x, *level)
    np.testing.assert_allclose(denoiser(x, *level), expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["edge", "reflect", "constant"])
def test_padding_is_the_models(mode):
    facts = spec_of(create_model("unet-tiny"))
    signature = Signature(facts, None, multiple=8, mode=mode)

    @jax.jit
    def padded(x):
        return pad(pad(x, 1, signature), 2, signature)

    spec = jax.ShapeDtypeStruct((1, *jax.export.symbolic_shape("h, w"), 2), jnp.float32)
    exported = jax.export.export(padded)(spec)
    for shape in ((1, 1), (2, 16), (3, 13)):
        x = image(1, *shape, 2)
        expected = layers.pad_to_multiple(x, 8, mode)
        np.testing.assert_array_equal(exported.call(x), expected)


@pytest.mark.matrix
def test_windows_take_any_size(tmp_path):
    options = {"width": 8, "depths": (2,), "heads": 2, "window": 4}
    model, variables = made("swinir-small", **options)
    to_stablehlo(tmp_path / "it.zip", model, variables, name="swinir")
    for size in ((10, 13), (3, 5)):
        x = image(3, *size, 3)
        expected = jax.jit(model.apply)(variables, x)
        np.testing.assert_allclose(reload.load(tmp_path / "it.zip")(x), expected, atol=1e-5)


def test_a_model_of_one_size(tmp_path):
    model, variables = made("mlp_autoencoder-mnist")
    reported = to_stablehlo(tmp_path / "it.zip", model, variables)
    assert reported["inputs"][0]["shape"] == ["b", 28, 28, 1]
    with pytest.raises(ZooError, match="28x28 only"):
        to_stablehlo(tmp_path / "other.zip", model, variables, size=(32, 32))


@pytest.mark.matrix
def test_streams(tmp_path):
    """A step of one hop, for any number of streams: the same as the whole recording."""
    model, variables = made("wiener")
    to_stablehlo(tmp_path / "it.zip", model, variables)
    stream = reload.load(tmp_path / "it.zip")
    hop, lag = model.hop, model.latency
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 6 * hop, 1)).astype(np.float32)
    expected = jax.jit(model.apply)(variables, x)
    state, found = stream.start(len(x)), []
    for i in range(6):
        state, y = stream(state, x[:, i * hop : (i + 1) * hop])
        found.append(y)
    found = np.concatenate(found, axis=1)[:, lag:]
    np.testing.assert_allclose(found, expected[:, : found.shape[1]], atol=1e-5)


@pytest.mark.matrix
def test_whole_recordings_of_one_length(tmp_path):
    model, variables = made("spectral-gate")
    with pytest.raises(ZooError, match="give their length in samples"):
        to_stablehlo(tmp_path / "it.zip", model, variables)
    to_stablehlo(tmp_path / "it.zip", model, variables, size=(3000,))
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 3000, 1)).astype(np.float32)
    expected = jax.jit(model.apply)(variables, x)
    np.testing.assert_allclose(reload.load(tmp_path / "it.zip")(x), expected, atol=1e-5)


def test_every_device_has_a_program_of_its_own_form(tmp_path):
    """What this zoo does on CPUs alone, a convolution by many, is left out."""
    model, variables = made("dncnn-gray-blind", depth=4, width=64, norm="none")
    to_stablehlo(tmp_path / "it.zip", model, variables)
    exported = reload.load(tmp_path / "it.zip").exported
    assert exported.platforms == ("cpu", "cuda", "tpu")
    # Each layer has one for each device.
    assert exported.mlir_module().count("stablehlo.convolution") == 3 * 4
    assert str(Path(__file__).parents[2]) not in exported.mlir_module()
    x = image(1, 12, 12, 1)
    # Here the model itself is in that other form.
    found, expected = exported.call(x), jax.jit(model.apply)(variables, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_is_the_same_each_time_and_whole(tmp_path):
    model, variables = made("dncnn-gray-blind", **small_options("dncnn-gray-blind"))
    for name in ("a", "b"):
        to_stablehlo(tmp_path / name, model, variables, record=RECORD)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("record.json"))["weights"] == RECORD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_level_that_is_missing(tmp_path):
    model, variables = made("ffdnet-gray", **small_options("ffdnet-gray"))
    to_stablehlo(tmp_path / "it.zip", model, variables)
    with pytest.raises(ValueError, match="takes the level"):
        reload.load(tmp_path / "it.zip")(image(1, 8, 8, 1))


def test_a_model_that_diverged_is_not_written(tmp_path):
    model, variables = made("dncnn-gray-blind", **small_options("dncnn-gray-blind"))
    variables = jax.tree.map(lambda value: np.full_like(value, np.nan), variables)
    with pytest.raises(ZooError, match="the output of it is not finite; its variables"):
        to_stablehlo(tmp_path / "a.zip", model, variables, name="it")
    assert not list(tmp_path.iterdir())


def test_a_program_that_differs_is_not_written(tmp_path, monkeypatch):
    model, variables = made("dncnn-gray-blind", **small_options("dncnn-gray-blind"))
    monkeypatch.setattr(stablehlo, "whole", lambda *given: lambda x: x)
    with pytest.raises(ZooError, match="differs from it by"):
        to_stablehlo(tmp_path / "it.zip", model, variables, name="it")
    assert not list(tmp_path.iterdir())


def test_places_that_do_not_do(tmp_path):
    model, variables = made("dncnn-gray-blind", **small_options("dncnn-gray-blind"))
    (tmp_path / "old").write_bytes(b"mine")
    for path, message in (
        (tmp_path / "old", "is there already"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "it.zip", "there is no folder"),
    ):
        with pytest.raises(ZooError, match=message):
            to_stablehlo(path, model, variables)
    assert (tmp_path / "old").read_bytes() == b"mine"
    to_stablehlo(tmp_path / "old", model, variables, overwrite=True)
    assert zipfile.is_zipfile(tmp_path / "old")
