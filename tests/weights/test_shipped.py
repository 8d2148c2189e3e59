"""The weights that come with the package: they load, score what they did, say what they are."""

import json
import re
from pathlib import Path

import embedded
import jax
import numpy as np
import pytest
from families import first
from flax import traverse_util
from variables import random_variables

import zoo
from zoo import denoise, weights
from zoo.errors import ZooError
from zoo.models import create_model
from zoo.weights.weight_files import SHIPPED

NAMES = weights.list_weights()
STATED = ("summary", "trained_on", "terms", "license", "command", "scores")
# Of those trained here, and of those their authors published.
TRAINED, PUBLISHED = ("commit", "seconds", "device", "config"), ("source", "notice", "sha256")


def test_names_are_the_files():
    assert sorted(path.stem for path in SHIPPED.iterdir()) == NAMES
    assert zoo.list_weights() == NAMES
    assert json.loads(embedded.PATH.read_text()).keys() == set(NAMES)


def scored():
    """Of weights of one family the quickest, and the others in the matrix."""
    others = {"unet-color", "unet-photo", "unet-real"} | {
        n for n in NAMES if weights.read_record(n)["contract"]["modality"] == "audio"
    }
    return [
        pytest.param(n, marks=[pytest.mark.matrix] * (n in others - {"stream-t-48k"}))
        for n in NAMES
    ]


@pytest.mark.parametrize("name", scored())
def test_scores_as_it_did(name):
    assert embedded.score(name) == pytest.approx(
        json.loads(embedded.PATH.read_text())[name], abs=0.05
    )


@pytest.mark.parametrize("name", first(3, NAMES[::-1]))
def test_variables_are_as_init_gives_them(name):
    model, variables = zoo.load(name)
    facts = zoo.models.spec_of(model)
    shape = (1, 4096) if facts.modality == "audio" else (1, *(facts.size or (64, 64)))
    fresh = jax.eval_shape(
        model.init, jax.random.key(0), np.zeros((*shape, facts.channels), "f4"), 0.1
    )
    found, wanted = (traverse_util.flatten_dict(tree) for tree in (variables, fresh))
    assert found.keys() == wanted.keys()
    for path, leaf in found.items():
        assert (leaf.shape, leaf.dtype) == (wanted[path].shape, wanted[path].dtype), path
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_record_tells_what_a_user_must_know(name):
    record = weights.read_record(name)
    assert record["name"] == name
    reported = PUBLISHED if "source" in record else TRAINED
    assert [key for key in (*STATED, *reported) if not record.get(key)] == []
    text = json.dumps(record)
    assert not re.search(r'"(/|~|[A-Z]:\\\\)[^" ]*/', text), "a path of the machine it was made on"
    path = record.get("config", {}).get("data", {}).get("path", "")
    assert path in ("", "DATA") or not Path(path).is_absolute()


@pytest.mark.parametrize("name", [n for n in NAMES if "source" in weights.read_record(n)])
def test_published_ones_come_with_the_notice_of_their_license(name):
    record = weights.read_record(name)
    assert record["license"] == "MIT"
    assert weights.is_free(record)
    assert re.match(r"MIT License\n\nCopyright \(c\) 20\d\d \w", record["notice"])
    assert "Permission is hereby granted" in record["notice"]
    assert "WITHOUT WARRANTY OF ANY KIND" in record["notice"]
    assert re.match(r"\w[\w-]+, github\.com/[\w-]+/[\w-]+", record["source"])


def test_they_fit_into_a_package():
    sizes = {path.stem: path.stat().st_size for path in SHIPPED.iterdir()}
    assert max(sizes.values(), default=0) <= 8_000_000
    assert sum(sizes.values()) <= 60_000_000
    for name in NAMES:
        assert weights.read_record(name)["parameters"] <= 4_000_000


def test_half_precision_comes_back_single(tmp_path):
    model = create_model("unet-tiny")
    variables = random_variables(model, np.zeros((1, 8, 8, 3), np.float32))
    half = jax.tree.map(lambda x: x.astype("float16"), variables)
    weights.save(tmp_path / "half.safetensors", half, {"model": "unet-tiny", "options": {}})
    _, found = weights.load(tmp_path / "half.safetensors")
    assert {str(x.dtype) for x in jax.tree.leaves(found)} == {"float32"}
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y.astype("f4")), found, half)


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("unet-gry", "unknown weights 'unet-gry'"),
        ("drunet-color", "no weights of drunet-color come with the zoo"),
        ("there/unet.safetensors", "there is no weight file there/unet.safetensors"),
    ],
)
def test_a_name_that_is_none(name, reported):
    with pytest.raises(ZooError, match=re.escape(reported)):
        zoo.load(name)


@pytest.mark.matrix
def test_a_name_is_enough_for_a_recording():
    model, variables = zoo.load("stream-t")
    x = np.random.default_rng(0).normal(0, 0.1, (4096, 1)).astype(np.float32)
    expected = jax.jit(model.apply)(variables, x[None])[0]
    found = denoise(x, "stream-t", sample_rate=16000)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(ZooError, match="has learned weights"):
        denoise(x, "stream-t", variables={"params": {}}, sample_rate=16000)


def test_a_name_is_enough_for_a_image():
    model, variables = zoo.load("mlp-mnist-0.5")
    x = np.random.default_rng(0).random((28, 28), np.float32)
    expected = jax.jit(model.apply)(variables, x[None, ..., None])[0, ..., 0]
    np.testing.assert_allclose(zoo.denoise(x, "mlp-mnist-0.5"), expected, atol=1e-5)
