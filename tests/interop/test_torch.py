"""`load_torch`: tensors that are not the model's, and real published files."""

from pathlib import Path

import handmade
import jax
import numpy as np
import pytest
from handmade import storage, tensor

from zoo.errors import ZooError
from zoo.interop.torch import from_state, load_torch
from zoo.interop.weight_readers import read_state

SMALL = {"depth": 3, "width": 4}
SHAPES = {
    "model.0.weight": (4, 1, 3, 3),
    "model.0.bias": (4,),
    "model.2.weight": (4, 4, 3, 3),
    "model.2.bias": (4,),
    "model.4.weight": (1, 4, 3, 3),
    "model.4.bias": (1,),
}


def state():
    rng = np.random.default_rng(0)
    return {key: rng.random(shape, np.float32) for key, shape in SHAPES.items()}


def refused(match, change=(), drop=(), **options):
    given = {k: v for k, v in state().items() if k not in drop} | dict(change)
    with pytest.raises(ZooError, match=match) as caught:
        from_state("dncnn-gray", given, **SMALL, **options)
    assert "\n" not in str(caught.value)


def write(path, state, **options):
    """A state dict by hand in PyTorch's zip format."""
    value = {
        key: tensor(storage(str(i), array.size), 0, array.shape, strides(array))
        for i, (key, array) in enumerate(state.items())
    }
    raw = {str(i): array.tobytes() for i, array in enumerate(state.values())}
    return handmade.write_zip(path, value, raw, **options)


def strides(array):
    return tuple(s // array.itemsize for s in array.strides)


def test_a_file_is_its_state(tmp_path):
    found = load_torch("dncnn-gray", write(tmp_path / "f", state()), **SMALL)
    expected = from_state("dncnn-gray", state(), **SMALL)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    kernel = found["params"]["head"]["kernel"]
    assert kernel[2, 0, 0, 3] == state()["model.0.weight"][3, 0, 2, 0]
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}


def test_variables_do_not_share_memory_with_the_state():
    given = state()
    found = from_state("dncnn-gray", given, **SMALL)
    for array in given.values():
        array[:] = np.nan
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_what_wrappers_put_in_front():
    found = from_state("dncnn-gray", {f"module.{k}": v for k, v in state().items()}, **SMALL)
    jax.tree.map(np.testing.assert_array_equal, found, from_state("dncnn-gray", state(), **SMALL))


def test_low_precision_becomes_float32():
    given = {k: v.astype(np.float16) for k, v in state().items()}
    found = from_state("dncnn-gray", given, **SMALL)
    assert found["params"]["tail"]["bias"].dtype == np.float32


def test_shape_mismatches_are_all_reported_at_once():
    refused(
        r"^the state dict does not hold dncnn-gray; missing: model.0.bias, model.4.weight; "
        r"extra: a, b; misshapen: model.2.bias \(5,\) for \(4,\)$",
        drop=("model.0.bias", "model.4.weight"),
        change={"a": np.zeros(1), "model.2.bias": np.zeros(5), "b": np.zeros(1)},
    )
    refused("a file does not hold", drop=["model.0.bias"], source="a file")


def test_values_that_are_not_finite():
    for value in (np.nan, np.inf):
        change = {"model.2.bias": np.full(4, value, np.float32)}
        refused("values that are not finite in model.2.bias$", change)


def test_an_error_names_the_file(tmp_path):
    path = write(tmp_path / "f", state())
    with pytest.raises(ZooError, match=f"^{path} does not hold dncnn-gray; missing: "):
        load_torch("dncnn-gray", path, depth=4, width=4)


@pytest.mark.matrix
def test_constants_may_be_absent_but_not_others(zoo_data):
    """GTCRN's filters are constants of ours; a file of another sample rate has others."""
    given = dict(read_state(zoo_data / "weights" / "gtcrn_dns3.tar"))
    expected = from_state("gtcrn", given)
    filters = given.pop("erb.erb_fc.weight")
    jax.tree.map(np.testing.assert_array_equal, from_state("gtcrn", given), expected)
    for other in (np.roll(filters, 1, 1), filters[:, :-1]):
        match = "^the state dict has other constants than gtcrn in erb.erb_fc.weight; it was"
        with pytest.raises(ZooError, match=match):
            from_state("gtcrn", given | {"erb.erb_fc.weight": other})


def test_models_that_cannot_be_loaded(tmp_path):
    path = write(tmp_path / "f", state())
    with pytest.raises(ZooError, match="did you mean 'dncnn-gray'"):
        load_torch("dncnn-grey", path)
    with pytest.raises(ZooError, match="no published weights are known for unet"):
        load_torch("unet-tiny", path)
    with pytest.raises(ZooError, match="unknown option of model dncnn-gray 'widht'"):
        load_torch("dncnn-gray", path, widht=4)
    with pytest.raises(ZooError, match="there is no weight file"):
        load_torch("dncnn-gray", Path("none.pth"))


def test_the_same_network_in_two_formats(zoo_data):
    files = ("kair_dncnn_25.pth", "dncnn_sigma25.mat")
    found = [load_torch("dncnn-gray", zoo_data / "weights" / file) for file in files]
    jax.tree.map(np.testing.assert_array_equal, *found)
