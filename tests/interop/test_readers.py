"""Published files: PyTorch's own, those written by hand, and everything that is none."""

import io
import os
import pickle
import random
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import handmade
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.flax
import safetensors.numpy
from handmade import call, name, storage, tensor
from matlab_files import dncnn, write_matlab
from refusal import refused, written

from zoo.errors import ZooError
from zoo.interop.weight_readers import read_state

FILES = Path(__file__).parent / "files"
VALUES = np.arange(6, dtype=np.float32) + 0.5
RAW = VALUES.tobytes()
DTYPES = {"float64", "float32", "float16", "bfloat16", "int64", "int16", "uint8", "bool"}
REFUSAL = "only tensors are read from a pickle"


def small_files(folder):
    """One good file of each kind."""
    state = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.arange(4, dtype=jnp.bfloat16)}
    yield written(folder / "a.safetensors", safetensors.flax.save(state))
    yield handmade.write_zip(folder / "zip.pth", {"a": tensor()}, {"0": RAW})
    yield handmade.write_legacy(folder / "legacy.pth", {"a": tensor()}, {"0": (6, RAW)})
    yield write_matlab(folder / "net.mat", dncnn())


@pytest.mark.parametrize("file", ["zip", "zip4", "legacy"])
def test_tensors_are_as_pytorch_has_them(file):
    expected = dict(np.load(FILES / "tensors.npz"))
    found = read_state(FILES / f"{file}.pth")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key in DTYPES:
            assert found[key].dtype.name == key
        assert found[key].shape == value.shape
        np.testing.assert_array_equal(found[key].astype(value.dtype), value, err_msg=key)
    for key in ("view", "slanted"):
        assert np.shares_memory(found[key], found["shared"])


@pytest.mark.parametrize("file", ["checkpoint", "checkpoint_legacy"])
def test_the_state_dict_of_a_checkpoint(file):
    expected = dict(np.load(FILES / "module.npz"))
    found = read_state(FILES / f"{file}.pth")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def test_the_moving_average_goes_first():
    assert read_state(FILES / "nested.pth")["a"] == 2


@pytest.mark.parametrize("nest", ["params", "state_dict", "model_state_dict", "model"])
def test_where_the_state_dict_may_stand(tmp_path, nest):
    value = {"epoch": 3, "optimizer": {"a": tensor(offset=3, size=(1,), stride=(1,))}}
    path = handmade.write_zip(tmp_path / "f", value | {nest: {"a": tensor()}}, {"0": RAW})
    np.testing.assert_array_equal(read_state(path)["a"], VALUES.reshape(2, 3))


@pytest.mark.parametrize("root", ["archive", "dncnn_25", "a/b"])
def test_by_hand_zip(tmp_path, root):
    path = handmade.write_zip(tmp_path / "f", {"a": tensor()}, {"0": RAW}, root=root)
    np.testing.assert_array_equal(read_state(path)["a"], VALUES.reshape(2, 3))


@pytest.mark.parametrize(
    ("kind", "dtype"), [("Float", ">f4"), ("BFloat16", ">u2"), ("Long", ">i8")]
)
def test_by_hand_big_endian(tmp_path, kind, dtype):
    values = VALUES.astype(ml_dtypes.bfloat16).view(np.uint16) if kind == "BFloat16" else VALUES
    raw = values.astype(dtype).tobytes()
    value = {"a": tensor(storage(kind=kind))}
    path = handmade.write_zip(tmp_path / "f", value, {"0": raw}, byteorder="big")
    expected = VALUES.astype(np.int64) if kind == "Long" else VALUES
    np.testing.assert_array_equal(read_state(path)["a"].astype(np.float64).ravel(), expected)


def test_by_hand_legacy_with_views_of_cuda_storages(tmp_path):
    """Before 0.4 a storage could be a part of another."""
    value = {
        "a": tensor(storage("0", 6, "cuda.Float", None)),
        "b": tensor(storage("0", 6, "cuda.Float", ("1", 2, 3)), size=(2,), stride=(1,), offset=1),
        "c": tensor(storage("7", 6, "Char", None)),
    }
    value["c"] = call("torch._utils._rebuild_parameter", value["c"], True, None)
    storages = {"7": (6, bytes(range(6))), "0": (6, RAW)}
    found = read_state(handmade.write_legacy(tmp_path / "f", value, storages))
    np.testing.assert_array_equal(found["a"], VALUES.reshape(2, 3))
    np.testing.assert_array_equal(found["b"], VALUES[3:5])
    np.testing.assert_array_equal(found["c"], np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("file", ["evil", "evil_legacy"])
def test_code_is_not_run(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(FILES / f"{file}.pth", f"asks to run posix.mkdir, and {REFUSAL}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["whole_module", "script"])
def test_what_holds_a_program_is_refused_with_the_remedy(file):
    refused(FILES / f"{file}.pth", r"save\(model.state_dict\(\), ")


def deep(count):
    return handmade.Code(b")" + b"\x85" * count)


RAN = "torch._utils._rebuild_tensor_v2"
ATTACKS = {
    "a global": (call("os.system", "true"), "asks to run os.system"),
    "a builtin": (call("builtins.eval", "1"), "asks to run builtins.eval"),
    "a function of torch": (name("torch.load"), "asks to run torch.load"),
    "a name with a new line": (
        handmade.Code(handmade.code("a\nb") + handmade.code("c") + b"\x93"),
        r"asks to run a\\nb.c",
    ),
    "attributes of a function": (
        handmade.Code(name(RAN) + handmade.code((None, {"__defaults__": (1,)})) + b"b"),
        "holds more than tensors",
    ),
    "a new object": (handmade.Code(name(RAN) + b")\x81"), "opcode NEWOBJ"),
    "a call of a value": (handmade.Code(handmade.code({}) + b")R"), "not callable"),
    "a call of a dtype": (handmade.Code(name("torch.FloatStorage") + b")R"), "not callable"),
    "a key that is deep": (handmade.Code(b"}" + deep(10**5) + b"Ns"), "holds more than tensors"),
    "a deep size": (tensor(size=deep(10**5)), "damaged"),
    "a deep name": (
        handmade.Code(handmade.code(("storage", name("torch.FloatStorage"))) + deep(9) + b"Q"),
        "damaged",
    ),
    "no end": (handmade.Code(b")" * 2_100_000), "far more than a state dict"),
    "a memo of 16 GB": (handmade.Code(b"Nr\x00\x00\x00\x3f"), "holds more than tensors"),
    "a string of 4 GB": (handmade.Code(b"X\xff\xff\xff\xff"), "damaged"),
    "an int of many digits": (handmade.Code(b"I" + b"9" * 9999 + b"\n"), "damaged"),
    "itself": (handmade.Code(b"}q\x00X\x01\x00\x00\x00ah\x00s"), "holds more than tensors"),
    "no storage": (tensor(handmade.Code(handmade.code(("module", 1, 2, 3, 4)) + b"Q")), "damaged"),
    "no tensor": (tensor(handmade.Code(handmade.code("storage"))), "damaged"),
    "a storage longer than it is": (tensor(storage("1", 7)), "not as long as it claims"),
    "a storage shorter than it is": (tensor(storage("1", 5), size=(1, 1)), "not as long as"),
    "a storage of less than nothing": (tensor(storage(numel=-6)), "damaged"),
    "a storage that is not there": (tensor(storage("2")), "damaged"),
    "a storage outside": (tensor(storage("../data.pkl")), "damaged"),
    "a view beyond its storage": (tensor(storage("0", 6, "Float", ("1", 3, 4))), "damaged"),
    "an offset beyond": (tensor(offset=1), "larger than its storage"),
    "an offset before": (tensor(offset=-1), "damaged"),
    "a size beyond": (tensor(size=(3, 3)), "larger than its storage"),
    "a stride beyond": (tensor(stride=(4, 1)), "larger than its storage"),
    "a stride back": (tensor(offset=5, stride=(-3, -1)), "damaged"),
    "a stride that wraps": (tensor(stride=(2**63 - 4, 1)), "larger than its storage"),
    "a size that wraps": (tensor(size=(2**32, 2**32), stride=(0, 0)), "larger than its storage"),
    "a size without end": (tensor(size=(2**40,), stride=(0,)), "larger than its storage"),
    "an axis short": (tensor(stride=(1,)), "damaged"),
    "a thousand axes": (tensor(size=(1,) * 1000, stride=(1,) * 1000), "damaged"),
    "a huge nothing": (tensor(size=(0, 2**62, 2**62), stride=(1, 1, 1)), "damaged"),
    "a size of text": (tensor(size=("2", "3")), "damaged"),
    "a size of truth": (tensor(size=(True, True)), "damaged"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_attacks(tmp_path, attack, form):
    value, match = ATTACKS[attack]
    value = {"good": tensor(size=(1,), stride=(1,)), "bad": value}
    if form == "zip":
        path = handmade.write_zip(tmp_path / "f", value, {"0": RAW, "1": RAW})
    else:
        storages = {"0": (6, RAW)}
        if "a storage" in attack:
            storages, match = storages | {"1": (6, RAW)}, "damaged"
        path = handmade.write_legacy(tmp_path / "f", value, storages)
    refused(path, match)


def test_one_storage_in_two_dtypes(tmp_path):
    value = {"a": tensor(), "b": tensor(storage(kind="Int"))}
    refused(handmade.write_zip(tmp_path / "f", value, {"0": RAW}), "a storage has two records")


@pytest.mark.parametrize("key", ["a\nb", "\x1b[2J", "", "a\u2028b"])
def test_keys_are_printable(tmp_path, key):
    path = handmade.write_zip(tmp_path / "f", {key: tensor()}, {"0": RAW})
    if key.isprintable():
        assert list(read_state(path)) == [key]
    else:
        refused(path, "names a tensor .*; keys are printable")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({}, "holds no state dict"),
        ([tensor()], "holds no state dict"),
        ({"epoch": 3}, "holds no state dict"),
        ({"a": tensor(), "epoch": 3, "b": "x"}, "holds more than tensors: 'epoch', 'b'"),
        ({"net": {"a": tensor()}}, "holds no state dict"),
        ({"params": {"a": tensor(), "epoch": 3}}, "holds more than tensors: 'epoch'"),
    ],
)
def test_what_is_no_state_dict(tmp_path, value, match):
    refused(handmade.write_zip(tmp_path / "f", value, {"0": RAW}), match)


def test_what_a_legacy_file_may_claim(tmp_path):
    path, value = tmp_path / "f", {"a": tensor()}
    write = handmade.write_legacy
    refused(write(path, value, {"0": (6, RAW)}, magic=1), "a pickle, but not of PyTorch")
    refused(write(path, value, {"0": (6, RAW)}, protocol=1000), "not of PyTorch's protocol 1001")
    refused(write(path, value, {"1": (6, RAW)}), "damaged")
    refused(write(path, value, {0: (6, RAW)}), "a storage has no name")
    refused(write(path, value, {deep(10**5): (6, RAW)}), "a storage has no name")
    refused(write(path, value, {"0": (-6, RAW)}), "a storage is cut short")
    refused(write(path, value, {"0": (2**60, RAW)}), "a storage is cut short")
    refused(write(path, value, {}), "damaged")


def test_what_a_zip_file_may_claim(tmp_path):
    path, value = tmp_path / "f", {"a": tensor()}
    write = handmade.write_zip
    compression = zipfile.ZIP_DEFLATED
    refused(write(path, value, {"0": RAW}, compression=compression), "is a compressed zip file")
    data = write(path, value, {"0": RAW}).read_bytes()
    flipped = bytearray(data)
    flipped[data.index(RAW) + 5] ^= 1
    refused(written(path, flipped), "Bad CRC-32")
    # The directory claims a member of 2 GB.
    place = data.rindex(b"PK\x01\x02")
    longer = bytearray(data)
    longer[place + 20 : place + 28] = b"\xff\xff\xff\x7f" * 2
    refused(written(path, longer), "larger than the file")
    np.savez(tmp_path / "f.npz", a=VALUES)
    refused(tmp_path / "f.npz", "a zip file, but not of PyTorch")


def test_safetensors(tmp_path):
    path = tmp_path / "weights.pth"  # The content tells, not the suffix.
    state = {"a": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3), "b": jnp.float16(3)}
    path.write_bytes(safetensors.flax.save(state))
    found = read_state(path)
    assert {k: v.dtype for k, v in found.items()} == {k: v.dtype for k, v in state.items()}
    for key, value in state.items():
        np.testing.assert_array_equal(found[key], np.asarray(value))
    safetensors.numpy.save_file({"n": np.array(2**40), "d": VALUES.astype(np.float64)}, path)
    found = read_state(path)
    assert (found["n"], found["n"].dtype, found["d"].dtype) == (2**40, np.int64, np.float64)


def test_what_is_no_weight_file(tmp_path):
    refused(tmp_path / "none.pth", "there is no weight file .*none.pth")
    refused(tmp_path, "Is a directory")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as file:
        file.addfile(tarfile.TarInfo("storages"))
    for content, match in (
        (b"", "is empty"),
        (b"\n <!DOCTYPE html>\n<html>", "is a web page"),
        (b"\xef\xbb\xbf<HTML lang=en>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-lfs pointer"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file before v7.3"),
        (b"hello", "is not a weight file; give what torch.save writes"),
        (b"        {}", "damaged"),
        (pickle.dumps({"a": 1}, 2), "a pickle, but not of PyTorch"),
        (pickle.dumps(np.zeros(3), 2), "asks to run numpy"),
        (tar.getvalue(), "is a tar archive"),
    ):
        refused(written(tmp_path / "f", content), match)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = written(tmp_path / "f", RAW)

    def denied(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(ZooError, match=r"cannot read .*Permission denied; check"):
        read_state(path)


def test_a_file_cut_short(tmp_path):
    for path in small_files(tmp_path):
        data = path.read_bytes()
        assert read_state(path)
        for keep in {*range(0, len(data), max(1, len(data) // 150)), len(data) - 1}:
            cut = written(tmp_path / "cut", data[:keep])
            refused(cut, "damaged|is empty|is not a weight|not a MatC")


def test_garbled_bytes(tmp_path):
    """Nothing but ZooError, whatever a byte becomes; some harm nothing that can be noticed."""
    rng = random.Random(0)
    for path in [*small_files(tmp_path), FILES / "checkpoint.pth", FILES / "legacy.pth"]:
        data = path.read_bytes()
        for _ in range(150):
            garbled = bytearray(data)
            for _ in range(rng.choice((1, 2, 16))):
                garbled[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
            with suppress(ZooError):
                read_state(written(tmp_path / "garbled", garbled))
