"""Every form in which a model can be given resolves to the same module and variables."""

import jax
import numpy as np
import pytest
import safetensors.flax
from variables import random_variables

from zoo import weights
from zoo.errors import ZooError
from zoo.models import create_model, model_spec
from zoo.resolve import build, resolve

NAME, OPTIONS = "dncnn-gray", {"depth": 3, "width": 4}
RECORD = {
    "model": NAME,
    "options": OPTIONS,
    "noise": {"name": "gaussian", "level": [0, 51], "unit": "1/255"},
}


@pytest.fixture(scope="module")
def model():
    module = create_model(NAME, **OPTIONS)
    return module, random_variables(module, np.zeros((1, 8, 8, 1), np.float32))


@pytest.fixture
def file(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights.save("own.safetensors", model[1], RECORD)
    return "own.safetensors"


def output(found):
    x = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    return found.module.apply(found.variables, x)


def test_a_path_a_name_with_a_file_and_a_module_are_one_model(file, model):
    forms = [resolve(file), resolve(f"{NAME}={file}"), resolve(*model)]
    x = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    expected = model[0].apply(model[1], x)
    for found in forms:
        np.testing.assert_allclose(output(found), expected, atol=1e-5)
        assert (found.modality, found.specification.channels) == ("image", 1)
    assert [found.label for found in forms] == [file, f"{NAME}={file}", "DnCNN"]
    assert [found.specification.name for found in forms] == [NAME, NAME, "DnCNN"]
    assert [found.trained_level for found in forms] == [0.2, 0.2, None]
    assert resolve(forms[0]) is forms[0]
    assert build(file)[0] == model[0]


def test_names_of_weights_and_of_models_without_parameters():
    shipped = resolve("stream-t", modality="audio")
    assert shipped.metadata["model"] == shipped.specification.name == "stream-t"
    assert jax.tree.leaves(shipped.variables)
    bare = resolve("wiener")
    assert (bare.variables, bare.metadata, bare.specification) == ({}, None, model_spec("wiener"))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("unet-grey", "unknown model 'unet-grey'; did you mean 'unet-gray'?"),
        ("dncn-gray=own.safetensors", "unknown model 'dncn-gray'; did you mean 'dncnn-gray'?"),
        ("drunet-gray", "no weights of drunet-gray come with the zoo; name a file, drunet-gray="),
        ("none.safetensors", "there is no weight file none.safetensors; check the path"),
        ("dncnn-gray=none.pth", "there is no weight file none.pth; check the path"),
        ("dncnn-gray=", "dncnn-gray= names no file; write dncnn-gray=FILE"),
        ("unet-gray=own.safetensors", "unet-gray comes with its weights; leave out own.safet"),
        ("wiener=own.safetensors", "wiener has no parameters to load; leave out own.safetensors"),
        ("ffdnet-gray=own.safetensors", "own.safetensors holds a dncnn-gray, not a ffdnet-gray"),
        ("published.safetensors", "published.safetensors has no record of this zoo, which would"),
        (3, "a model is a name, a module or a weight file's path, not int"),
    ],
)
def test_mistakes_are_named_with_their_remedy(file, form, message):
    safetensors.flax.save_file({"a": np.zeros(3, np.float32)}, "published.safetensors")
    with pytest.raises(ZooError) as caught:
        resolve(form)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_variables_are_held_against_their_model(file, model):
    for arguments, message in (
        ((model[0],), "DnCNN has learned weights; give its variables"),
        ((model[0], 3), "variables of DnCNN are a dictionary"),
        ((NAME, {"params": {}}), "dncnn-gray has learned weights"),
        ((model[0], {"params": {"a": np.zeros(1)}}), "the variables are not those of DnCNN"),
        ((file, model[1]), "own.safetensors comes with its own variables; leave out"),
    ):
        with pytest.raises(ZooError, match=message):
            resolve(*arguments)
    with pytest.raises(ZooError, match=r"own\.safetensors denoises images; choose from .*stream-b"):
        resolve(file, modality="audio")
