"""FastEnhancer's files: what is read of them, what is refused, and what comes with the zoo."""

import functools
import re
import struct
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
from cases import fastenhancer
from families import first
from seeded import seeded_input

import zoo
from zoo.errors import ZooError
from zoo.interop.torch import load_torch
from zoo.interop.weight_readers import read_state
from zoo.models import create_model
from zoo.resolve import resolve

HERE = Path(__file__).parent
# What a file of the Tiny of 48 kHz holds.
COUNT = 28_354
SHIPPED = {
    "stream-t-48k": "fastenhancer-t-48k",
    "stream-t-published": "fastenhancer-t",
    "stream-b-48k": "fastenhancer-b-48k",
    "stream-s-48k": "fastenhancer-s-48k",
}


def numbers(count=COUNT):
    """Numbers in a row, those that stand for the biases of attention zero."""
    values = np.random.default_rng(0).normal(0, 0.1, count).astype("<f4")
    at = 24 * 16 + 2 * 24 + 2 * (24 * 24 * 3 + 2 * 24) + 24 * 128 + 20 * 24 + 2 * 20
    for place in (24 * 20, 0):
        # Behind the recurrence and its projection, and in the first block the places.
        at += 6 * 400 + 4 * 20 + 400 + 20 + place
        for _ in range(3):
            values[at + 400 : at + 420] = 0
            at += 420
        at += 420
    return values


def write(path, values, magic=b"FEW1", version=1, model=0, count=None, checksum=None):
    body = values.tobytes()
    count = len(values) if count is None else count
    checksum = zlib.crc32(body) if checksum is None else checksum
    path.write_bytes(struct.pack("<4sIIII", magic, version, model, count, checksum) + body)
    return path


@pytest.mark.parametrize(("name", "label"), first(1, SHIPPED.items()))
def test_what_comes_with_the_zoo_is_as_published(name, label):
    """Against outputs of the reading in NumPy, for which the files themselves are not needed."""
    case = fastenhancer.CASES[label]
    model, variables = zoo.load(name)
    assert model.norm == "merged"
    x = seeded_input(case.shape)
    found = jax.jit(model.clone(padding="reflect").apply)(variables, x)
    expected = np.load(HERE / "golden" / f"{label}.npz")["output"]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.matrix
@pytest.mark.parametrize(("name", "label"), SHIPPED.items())
def test_it_is_what_the_published_files_hold(zoo_data, name, label):
    case = fastenhancer.CASES[label]
    options = {key: value for key, value in case.options.items() if key != "padding"}
    path = zoo_data / "weights" / case.weights
    found = load_torch(case.model, path, **options)
    # NumPy's roots and exponentials round by the processor.
    same = functools.partial(np.testing.assert_allclose, rtol=2e-7)
    jax.tree.map(same, found, zoo.load(name)[1])


def test_a_file_is_its_tensors_in_a_row(tmp_path):
    values = numbers()
    state = read_state(write(tmp_path / "a.bin", values))
    kernel, gain = values[: 24 * 16].reshape(24, 2, 8), values[24 * 16 : 24 * 17]
    np.testing.assert_allclose(state["stem.weight"], kernel * gain[:, None, None])
    np.testing.assert_array_equal(state["stem.bias"], values[24 * 17 : 24 * 18])
    np.testing.assert_array_equal(state["mask.bias"], values[-2:])
    np.testing.assert_allclose(state["mask.scale"], [np.linalg.norm(values[-386:-2])], rtol=1e-6)


@pytest.mark.matrix
def test_its_batch_norm_changes_nothing_where_a_model_has_one(tmp_path):
    path = write(tmp_path / "a.bin", numbers())
    x = seeded_input((1, 1024, 1))
    merged = create_model("stream-t-48k", norm="merged")
    apply = jax.jit(merged.apply)
    expected = apply(load_torch("stream-t-48k", path, norm="merged"), x)
    model, variables, *_ = resolve(f"stream-t-48k={path}")
    assert model == merged
    np.testing.assert_allclose(apply(variables, x), expected, atol=1e-6)


def test_a_file_of_another_model_is_refused(tmp_path):
    path = write(tmp_path / "a.bin", numbers())
    with pytest.raises(ZooError, match=rf"^{path} does not hold stream-b-48k; missing: blocks.2"):
        load_torch("stream-b-48k", path)
    with pytest.raises(ZooError, match=r"does not hold stream-t; misshapen: .*place \(24, 20\)"):
        load_torch("stream-t", path)


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"version": 2}, "is of version 2 of its kind"),
        ({"model": 3}, "holds model 3 of FastEnhancer; give Tiny, Base or Small"),
        ({"count": COUNT - 1}, "is damaged: it does not hold what its head says"),
        ({"checksum": 1}, "is damaged: it does not hold what its head says"),
        ({"model": 1}, "is damaged"),
        ({"values": numbers(COUNT + 1)}, "does not hold as many numbers as its model has"),
        ({"values": np.full(COUNT, np.nan, "<f4")}, "its numbers are no weights"),
        ({"values": np.ones(COUNT, "<f4")}, "has biases in its attention"),
    ],
)
def test_a_damaged_file(tmp_path, change, reported):
    path = write(tmp_path / "a.bin", **{"values": numbers()} | change)
    with pytest.raises(
        ZooError, match=f"^{re.escape(str(path))} .*{re.escape(reported)}"
    ) as caught:
        read_state(path)
    assert "\n" not in str(caught.value)


def test_a_head_alone_and_a_file_without_one(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"FEW1" + bytes(8))
    with pytest.raises(ZooError, match="is cut short"):
        read_state(path)
    # As long as the file of 16 kHz, which has no head.
    path.write_bytes(np.random.default_rng(0).bytes(95_288))
    with pytest.raises(ZooError, match="its numbers are no weights"):
        read_state(path)
    path.write_bytes(np.zeros(23_821, "<f4").tobytes())
    with pytest.raises(ZooError, match=r"is not a weight file; give .*FastEnhancer's \.bin"):
        read_state(path)
    path.write_bytes(np.random.default_rng(0).normal(0, 0.1, 23_822).astype("<f4").tobytes())
    assert read_state(path)["narrow.weight"].shape == (16, 64)
    with pytest.raises(ZooError, match=r"other constants than stream-t in narrow\.weight, "):
        load_torch("stream-t", path)
    assert load_torch("stream-t", path, maps="learned")
