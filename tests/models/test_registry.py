"""What every registered variant declares, and what the registry says of mistakes."""

import re
import subprocess
import sys

import golden
import pytest
from variants import GOLDEN, every_variant, of_matrix

from zoo.errors import ZooError
from zoo.models import (
    UNet,
    count_parameters,
    create_model,
    list_models,
    model_card,
    model_spec,
    registry,
    small_options,
)


@pytest.mark.parametrize("name", of_matrix(list_models()))
def test_variant_is_as_golden(name):
    assert name in GOLDEN, f"run tests/models/golden.py to enter {name}"
    assert golden.describe(name) == GOLDEN[name], "see tests/models/golden.py"


def test_golden_has_no_variant_that_is_gone():
    assert set(GOLDEN) == set(list_models())


@every_variant
def test_the_registered_number_of_parameters_is_that_of_the_network(name):
    # Golden's are counted, in the test above.
    assert count_parameters(name) == GOLDEN[name]["parameters"]


@pytest.mark.parametrize("name", of_matrix(list_models()))
def test_small_options_make_small_models_that_see_as_far(name):
    narrow, spec = model_spec(name, **small_options(name, shallow=False)), model_spec(name)
    for field in ("channels", "takes_level", "locality", "reach", "hop", "latency"):
        assert getattr(narrow, field) == getattr(spec, field), field
    if spec.reach:
        assert (narrow.stride, narrow.margin) == (spec.stride, spec.margin)
    if GOLDEN[name]["parameters"] > 500_000 and not spec.size:
        smallest = count_parameters(name, **small_options(name))
        assert smallest < 40_000


@every_variant
def test_audio_has_a_rate_and_streams_by_hops(name):
    spec = model_spec(name)
    assert (spec.sample_rate > 0) == (spec.modality == "audio")
    assert spec.range == ((-1.0, 1.0) if spec.modality == "audio" else (0.0, 1.0))
    streams = spec.hop > 0
    assert (
        streams == hasattr(create_model(name), "step") == hasattr(create_model(name), "init_state")
    )
    # The hop that overlaps, and frames of look-ahead.
    assert spec.latency in (0, spec.hop, 3 * spec.hop)


@every_variant
def test_name_starts_with_its_family_and_has_a_summary(name):
    assert re.fullmatch(r"[a-z0-9_]+(-[a-z0-9_]+)*", name)
    spec = model_spec(name)
    assert type(create_model(name)).__module__.startswith("zoo.models.")
    assert spec.family.replace("_", "-").split("-")[0] == re.split("[-_]", name)[0]
    assert type(create_model(name)).__doc__
    assert model_card(name).summary


def test_unknown_names_give_the_nearest():
    with pytest.raises(ZooError, match=r"^unknown model 'unet-smal'; did you mean 'unet-small'\?$"):
        create_model("unet-smal")
    with pytest.raises(ZooError, match=r"did you mean 'mlp_autoencoder-mnist'\?"):
        model_spec("mlp-autoencoder-mnist")
    with pytest.raises(ZooError, match=r"^unknown model 'zzz'; choose from conv_autoencoder-mnist"):
        create_model("zzz")


def test_unknown_overrides_give_the_nearest():
    message = r"^unknown option of model unet-tiny 'width'; did you mean 'widths'\?$"
    with pytest.raises(ZooError, match=message):
        create_model("unet-tiny", width=(8, 8))
    with pytest.raises(ZooError, match="unknown option of model unet-tiny 'parent'"):
        create_model("unet-tiny", parent=None)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="two models are registered as 'unet-tiny'"):
        registry.register(UNet, "unet-tiny", "again")


def test_overrides_reach_the_module_and_its_specification():
    model = create_model("unet-tiny", widths=[8, 8], norm="group")
    assert (model.widths, model.stem) == ((8, 8), 2)
    assert model_spec("unet-tiny").locality == "local"
    assert model_spec("unet-tiny", norm="group").locality == "global"
    assert model_spec("mlp_autoencoder-mnist", size=[8, 9]).size == (8, 9)
    assert hash(model) == hash(create_model("unet-tiny", widths=(8, 8), norm="group"))


@pytest.mark.matrix
def test_import_is_light():
    """Models alone must be usable where nothing reads files, trains or plots."""
    heavy = ["tensorflow", "tensorflow_datasets", "grain", "matplotlib", "ml_collections"]
    heavy += ["PIL", "zoo.data.image_files", "zoo.data.sources", "zoo.train"]
    code = f"import sys, zoo.models; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "options",
    [
        {"widths": (-1,)},
        {"widths": None},
        {"widths": ()},
        {"widths": (4, 2.5)},
        {"blocks": 10_000_000},
        {"blocks": True},
        {"norm": "instance"},
        {"channels": 0},
        {"takes_level": 1},
    ],
)
def test_an_option_of_another_kind_or_size(options):
    message = "'unet-small' cannot be built: .* make it|^UNet: norm='instance' is unknown; choose"
    with pytest.raises(ZooError, match=message) as caught:
        create_model("unet-small", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, ["unet-small"]])
def test_no_name_of_a_model(name):
    with pytest.raises(ZooError, match="unknown model"):
        create_model(name)
