"""Weight files: what goes in comes out, and errors are reported in one line."""

import json
import stat

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

import zoo
from zoo import weights
from zoo.errors import ZooError
from zoo.models import create_model, model_spec

RECORD = {"model": "unet-tiny", "options": {"widths": [4, 8], "norm": "batch"}, "step": 7}


def variables():
    """Of every layout: in C order, transposed, strided, empty of axes, half precision."""
    rng = np.random.default_rng(0)
    return {
        "params": {
            "conv": {
                "kernel": rng.normal(size=(5, 3, 4, 2)).astype(np.float32).transpose(3, 1, 0, 2),
                "bias": rng.normal(size=20).astype(np.float32)[::2],
            },
            "jax": {"kernel": jnp.arange(6.0).reshape(2, 3).T, "scale": jnp.float32(3)},
            "half": jnp.arange(5, dtype=jnp.bfloat16),
        },
        "batch_stats": {"norm": {"mean": np.arange(3, dtype=np.float32), "n": np.int32(4)}},
    }


@pytest.fixture
def file(tmp_path):
    weights.save(tmp_path / "weights.safetensors", variables(), RECORD)
    return tmp_path / "weights.safetensors"


@pytest.fixture
def any_tree(monkeypatch):
    """Lets `load` take the variables of this file, which no model has."""
    flat = traverse_util.flatten_dict(variables(), sep="/")
    monkeypatch.setattr(weights.weight_files, "variable_shapes", lambda model, facts: flat)


def refused(function, path, match):
    with pytest.raises(ZooError, match=match) as caught:
        function(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.usefixtures("any_tree")
def test_variables_and_record_come_back(file):
    model, found = weights.load(file)
    assert model == create_model("unet-tiny", widths=(4, 8), norm="batch")
    assert weights.read_record(file) == RECORD
    found, expected = (traverse_util.flatten_dict(tree) for tree in (found, variables()))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        np.testing.assert_array_equal(found[name], value, err_msg=str(name))


def test_others_can_read_the_file(file):
    """Arrays under slashed names in C order, as any reader of safetensors has them."""
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    kernel = header["params/conv/kernel"]
    start, end = (8 + int.from_bytes(data[:8], "little") + n for n in kernel["data_offsets"])
    found = np.frombuffer(data[start:end], "<f4").reshape(kernel["shape"])
    np.testing.assert_array_equal(found, variables()["params"]["conv"]["kernel"])


def test_the_file_appears_whole_and_for_everyone(file):
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    assert file.stat().st_mode & stat.S_IRGRP
    weights.save(file, variables(), RECORD | {"step": 8})
    assert weights.read_record(file)["step"] == 8
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_loading_is_what_the_package_offers(file):
    assert zoo.load is weights.load


@pytest.mark.parametrize("keep", [0, 4, 200, -3])
def test_a_truncated_file(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    for function in (weights.read_record, weights.load):
        refused(function, file, "no whole safetensors file .*copy it again")


def test_a_foreign_file(tmp_path):
    path = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    refused(weights.load, path, "holds no record of this zoo")
    path.write_text("not at all")
    refused(weights.load, path, "no whole safetensors file")


@pytest.mark.parametrize("suffix", [".tar", ".pth", ".pt", ".mat"])
def test_published_weights_are_described(tmp_path, suffix):
    path = tmp_path / f"gtcrn{suffix}"
    path.write_bytes(b"PK")
    refused(weights.load, path, r"load_torch\(name, file\)")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"model": "unet-tiny"}',
        '{"model": 5, "options": {}}',
        '{"model": "unet-tiny", "options": "x"}',
        '{"model": "unet-tiny", "options": {}, "scores": 3}',
        '{"model": "unet-tiny", "options": {}, "scores": {"validation_psnr": "x"}}',
        '{"model": "unet-tiny", "options": {}, "scores": {"test": {"25": 3}}}',
        '{"model": "unet-tiny", "options": {}, "scores": {"benchmark": {"a": {}}}}',
        '{"model": "unet-tiny", "options": {}, "noise": "x"}',
        '{"model": "unet-tiny", "options": {}, "seconds": "x"}',
        '{"model": "unet-tiny", "options": {}, "commit": 5}',
        '{"model": "unet-tiny", "options": {}, "ranges": [1]}',
        '{"model": "unet-tiny", "options": {}, "ranges": {"uint8": [0, 1e400]}}',
        '{"model": "unet-tiny", "options": {}, "adapted": {"range": [1, 0]}}',
        '{"model": "unet-tiny", "options": {}, "adapted": {"range": [0, 1], "base": []}}',
    ],
)
def test_a_record_that_is_none(tmp_path, text):
    path = tmp_path / "odd.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, metadata={"zoo": text})
    refused(weights.load, path, "holds no record of this zoo")


@pytest.mark.parametrize("options", [{"stem": 0}, {"widths": "x"}, {"blocks": {}}])
def test_a_record_of_a_model_that_cannot_be(tmp_path, options):
    path = tmp_path / "odd.safetensors"
    record = json.dumps({"model": "unet-tiny", "options": options})
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, metadata={"zoo": record})
    refused(weights.load, path, "names a model that cannot be built, unet-tiny with")


@pytest.mark.parametrize("options", [{"widths": None}, {"widths": 5}, {"name": "x"}])
def test_nor_is_such_a_model_described(tmp_path, options):
    path = tmp_path / "odd.safetensors"
    record = json.dumps({"model": "unet-tiny", "options": options})
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, metadata={"zoo": record})
    refused(weights.read_model, path, "cannot be built")


def test_a_missing_file_or_a_folder(tmp_path):
    refused(weights.load, tmp_path / "none", "there is no weight file")
    refused(weights.read_record, tmp_path, "there is no weight file")


def test_a_model_of_another_zoo(tmp_path):
    weights.save(tmp_path / "w", variables(), RECORD | {"model": "unet-tinny"})
    with pytest.raises(
        ZooError, match="'unet-tinny', which a plug-in registers; import its module first"
    ):
        weights.load(tmp_path / "w")


def test_tensors_that_are_not_the_models_are_named(file):
    refused(
        weights.load,
        file,
        r"does not hold the model it names, unet-tiny; .*batch_stats/.* and \d+ more$",
    )
    model = create_model("unet-tiny")
    x = np.zeros((1, 16, 16, 3), np.float32)
    own = jax.jit(model.init)(jax.random.key(0), x)
    own["params"]["tail"]["bias"] = np.zeros(7, np.float32)
    own["params"]["extra"] = own["params"].pop("head")
    weights.save(file, own, {"model": "unet-tiny", "options": {}})
    listed = "params/extra/bias, params/extra/kernel, params/head/bias, params/head/kernel, params/"
    refused(weights.load, file, listed + "tail/bias$")


def test_a_place_that_cannot_be_written(tmp_path):
    refused(
        lambda path: weights.save(path, variables(), RECORD),
        tmp_path / "none" / "w",
        "w: No such file",
    )
    (tmp_path / "taken").mkdir()
    refused(
        lambda path: weights.save(path, variables(), RECORD),
        tmp_path / "taken",
        "cannot write",
    )
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_the_record_knows_its_overrides():
    assert model_spec("unet-tiny", channels=1).channels == 1


def small():
    model = create_model("mlp_autoencoder-mnist", widths=(2,), size=(3, 3))
    shapes = traverse_util.flatten_dict(
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 3, 3, 1))), sep="/"
    )
    flat = {name: np.ones(one.shape, np.float32) for name, one in shapes.items()}
    record = {"model": "mlp_autoencoder-mnist", "options": {"widths": [2], "size": [3, 3]}}
    return traverse_util.unflatten_dict(flat, sep="/"), record


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save(path, *small())
    assert weights.load(path)
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    for at in np.random.default_rng(0).integers(begin, len(data), 40):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        path.write_bytes(flipped)
        refused(weights.load, path, "is damaged: .*checksum differs.*; copy it again")


def test_a_file_from_before_the_checksum_is_loaded(tmp_path):
    path = tmp_path / "w.safetensors"
    variables, record = small()
    flat = traverse_util.flatten_dict(variables, sep="/")
    safetensors.numpy.save_file(flat, path, metadata={"zoo": json.dumps(record)})
    assert weights.load(path)


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        (lambda x: x.astype(np.int32), "holds int32 for "),
        (lambda x: x * np.float32("nan"), "values that are not finite in "),
    ],
)
def test_values_that_are_no_weights(tmp_path, change, reported):
    path = tmp_path / "w.safetensors"
    variables, record = small()
    weights.save(path, jax.tree.map(change, variables), record)
    refused(weights.load, path, reported)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"model": ' + "[" * 100_000])
def test_a_record_nested_too_deeply(tmp_path, text):
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, metadata={"zoo": text})
    refused(weights.load, path, "holds no record")


def test_a_record_of_ten_million_layers(tmp_path):
    path = tmp_path / "w.safetensors"
    for options in (
        {"blocks": 10_000_000},
        {"widths": [4] * 100_000},
        {"widths": [10**9, 4]},
        {"widths": [65536] * 2, "blocks": 1},
    ):
        record = json.dumps({"model": "unet-tiny", "options": options})
        safetensors.numpy.save_file({"a": np.zeros(3)}, path, metadata={"zoo": record})
        refused(weights.load, path, "cannot be built")


@pytest.mark.parametrize("name", [None, 3, 2.5, b"unet-gray"])
def test_no_name(name):
    with pytest.raises(ZooError, match="weights are a name of"):
        weights.load(name)
