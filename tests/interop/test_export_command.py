"""`zoo export`, as its users meet it."""

import jax.numpy as jnp
import pytest
from variables import random_variables

from zoo import cli, models, weights
from zoo.interop.export import reload

pytest.importorskip("flatbuffers")

OPTIONS = {"channels": 1, "depth": 3, "width": 4}
RECORD = {"model": "dncnn-gray-blind", "options": OPTIONS, "contract": {"modality": "image"}}


@pytest.fixture
def zoo(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = models.create_model("dncnn-gray-blind", **OPTIONS)
    variables = random_variables(model, jnp.zeros((1, 8, 8, 1)), None)
    weights.save(tmp_path / "mine.safetensors", variables, RECORD)

    def run(*arguments):
        return cli.main(arguments), *capsys.readouterr()

    return run


def test_a_weight_file(zoo, tmp_path):
    code, output, errors = zoo("export", "mine.safetensors", "--format=stablehlo")
    assert (code, errors) == (0, "")
    path = tmp_path / "mine.stablehlo.zip"
    assert output.startswith("mine.stablehlo.zip: 0.0 MB, takes (b, h, w, 1), within ")
    assert reload.load(path).record["weights"] == RECORD
    before = path.read_bytes()
    code, output, errors = zoo("export", "mine.safetensors", "--format=stablehlo")
    assert (code, output) == (2, "")
    assert errors.startswith("error: mine.stablehlo.zip is there already; ")
    assert path.read_bytes() == before
    arguments = ("export", "mine.safetensors", "--format=stablehlo", "--overwrite", "--size=8x9")
    assert zoo(*arguments)[0] == 0
    assert reload.load(path).record["inputs"][0]["shape"] == ["b", 8, 9, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wienr"], "did you mean 'wiener'?"),
        (["unet-small"], "no weights of unet-small come with the zoo"),
        (["none.safetensors"], "there is no weight file none.safetensors"),
        (["wiener", "-o", "none/it.zip"], "there is no folder none"),
        (["mine.safetensors", "--size=32000"], "give HxW"),
        (["spectral-gate"], "give their length in samples"),
    ],
)
def test_mistakes_are_one_line(zoo, arguments, message):
    code, output, errors = zoo("export", *arguments, "--format=stablehlo")
    assert (code, output) == (2, "")
    assert message in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_a_size_that_is_none(zoo, capsys):
    with pytest.raises(SystemExit):
        zoo("export", "mine.safetensors", "--format=stablehlo", "--size=big")
    assert "'big' is no size such as 256x256" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        zoo("export", "mine.safetensors", "--format=stablehlo", "--size=999999x999999")
    assert "'999999x999999' is more than" in capsys.readouterr().err
