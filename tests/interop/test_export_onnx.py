"""Graphs as ONNX in onnxruntime, where the converter is: its pins clash with those of training."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import random_variables

from zoo import ZooError
from zoo.interop.export import to_onnx
from zoo.models import create_model

# As the converter and what it brings warn of themselves.
pytestmark = pytest.mark.filterwarnings("ignore")
RECORD = {"model": "unet-tiny", "options": {"channels": 1}, "noise": {"name": "gaussian"}}
# Pads by edge, and takes a level; not at all; or takes one size.
IMAGES = {
    "unet-tiny": {"channels": 1, "widths": (4, 8), "takes_level": True},
    "dncnn-gray-blind": {"depth": 3, "width": 4},
    "mlp_autoencoder-mnist": {},
}


def made(name, **options):
    model = create_model(name, **options)
    x = jnp.zeros((1, *(getattr(model, "size", None) or (16, 16)), model.channels))
    return model, random_variables(model, x, jnp.zeros(1))


@pytest.fixture
def onnxruntime():
    pytest.importorskip("jax2onnx")
    # The converter itself relies on promotion.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_any_size(tmp_path, onnxruntime, name):
    model, variables = made(name, **IMAGES[name])
    reported = to_onnx(tmp_path / "it.onnx", model, variables, record=RECORD)
    session = onnxruntime.InferenceSession(tmp_path / "it.onnx")
    stored = json.loads(session.get_modelmeta().custom_metadata_map["zoo"])
    assert stored == reported
    assert stored["weights"] == RECORD
    assert [i.name for i in session.get_inputs()] == [i["name"] for i in reported["inputs"]]
    sizes = [model.size] if getattr(model, "size", None) else [(1, 1), (9, 21), (32, 24)]
    for size in sizes:
        x = np.random.default_rng(0).random((2, *size, model.channels), np.float32)
        level = [np.float32([0.1, 0.3])] * len(reported["inputs"][1:])
        expected = jax.jit(model.apply)(variables, x, *level)
        given = dict(zip(("x", "level"), (x, *level), strict=False))
        np.testing.assert_allclose(session.run(None, given)[0], expected, atol=1e-4)


def test_windows_cannot_be_of_any_size(tmp_path, onnxruntime):
    options = {"width": 8, "depths": (2,), "heads": 2, "window": 4}
    model, variables = made("swinir-small", **options)
    with pytest.raises(ZooError, match=r"cannot convert swinir .*give the size"):
        to_onnx(tmp_path / "it.onnx", model, variables, name="swinir")
    assert not list(tmp_path.iterdir())


def test_one_size_only(tmp_path, onnxruntime):
    options = {"width": 4, "encoder": (1,), "middle": 1, "decoder": (1,)}
    model, variables = made("nafnet-small", **options)
    to_onnx(tmp_path / "it.onnx", model, variables, size=(13, 10))
    session = onnxruntime.InferenceSession(tmp_path / "it.onnx")
    x = np.random.default_rng(0).random((1, 13, 10, 3), np.float32)
    expected = jax.jit(model.apply)(variables, x)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, atol=1e-4)


STREAMS = {
    "stream-t": {"width": 8, "convs": 1, "inner": 4, "bands": 6, "blocks": 1},
    "wiener": {},
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_frame_by_frame(tmp_path, onnxruntime, name):
    model = create_model(name, **STREAMS[name])
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 20 * model.hop, 1)).astype(np.float32)
    variables = random_variables(model, x) if name != "wiener" else {}
    reported = to_onnx(tmp_path / "it.onnx", model, variables)
    assert (reported["kind"], reported["inputs"][0]["shape"]) == ("step", [1, model.hop, 1])
    session = onnxruntime.InferenceSession(tmp_path / "it.onnx")
    assert [i.name for i in session.get_inputs()] == ["x", *(i["name"] for i in reported["state"])]
    state = {one["name"]: np.zeros(one["shape"], np.float32) for one in reported["state"]}
    found = []
    for at in range(0, x.shape[1], model.hop):
        y, *after = session.run(None, {"x": x[:, at : at + model.hop], **state})
        found.append(y)
        state = dict(zip(state, after, strict=True))
    expected = np.asarray(jax.jit(model.apply)(variables, x))
    found = np.concatenate(found, axis=1)[:, model.latency :]
    np.testing.assert_allclose(found, expected[:, : -model.latency], atol=1e-4)


def test_whole_recordings_are_refused(tmp_path, onnxruntime):
    model = create_model("spectral-gate")
    with pytest.raises(ZooError, match=r"gate does not stream.*take the format stablehlo"):
        to_onnx(tmp_path / "it.onnx", model, {}, name="spectral-gate", size=(32000,))


def test_a_missing_converter(tmp_path, monkeypatch):
    from zoo.interop.export import onnx_graph

    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None)
    with pytest.raises(ZooError, match="pip install jax2onnx"):
        to_onnx(tmp_path / "it.onnx", create_model("wiener"), {})
