"""What holds for every registered model; a new variant enters here by being registered.

Whatever costs a compilation runs on the family's smallest variant.
"""

import functools
import json
import re
import subprocess
import sys

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import marked
from flax import nnx
from variables import random_variables

from zoo.errors import ZooError
from zoo.interop.nnx import to_nnx
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

GOLDEN = json.loads(golden.PATH.read_text())

# jit fuses and so rounds otherwise than op by op; outputs are of order 1.
JIT_TOLERANCE = 1e-5
# The same program, compiled twice.
NNX_TOLERANCE = 1e-6
# bfloat16 keeps 8 bits: relative steps of 2**-8, a few of them over a few layers.
BFLOAT16_TOLERANCE = 2.0**-4

FAMILIES: dict[str, str] = {}
for _name in sorted(list_models(), key=lambda n: GOLDEN.get(n, {}).get("parameters", 0)):
    FAMILIES.setdefault(model_spec(_name).family, _name)

PICTURES = [name for name in list_models() if model_spec(name).modality == "image"]
RECORDINGS = [name for name in list_models() if model_spec(name).modality == "audio"]
every_variant = pytest.mark.parametrize("name", list_models())
every_family = pytest.mark.parametrize("family", [marked(one, one) for one in sorted(FAMILIES)])
# For what takes longest to compile two stand for all: of convolutions alone, and of attention.
few_families = pytest.mark.parametrize(
    "family", [marked(one, one if one in ("unet", "swinir") else "") for one in sorted(FAMILIES)]
)


def of_matrix(names):
    """Variants, of which only the smallest of a representative family is no matrix test."""
    families = {name: model_spec(name).family for name in names}
    return [marked(n, families[n] if FAMILIES[families[n]] == n else "") for n in names]


def facts_of(family, **overrides):
    name = FAMILIES[family]
    return model_spec(name, **small_options(name), **overrides)


@functools.cache
def build(family, **overrides):
    """The family's shallow model and random variables."""
    name = FAMILIES[family]
    model = create_model(name, **small_options(name), **overrides)
    return model, random_variables(model, *batch(family))


def batch(family, number=2, side=None):
    """A batch of random signals and their levels, of size `side` where the family allows."""
    facts = facts_of(family)
    shape = golden.natural_shape(facts, number)
    if side is not None:
        shape = (number, *side, shape[-1])
    rng = np.random.default_rng(0)
    x = rng.random(shape, np.float32)
    if facts.modality == "audio":
        x = x - np.float32(0.5)
    return x, np.linspace(0.1, 0.3, number, dtype=np.float32)


@functools.cache
def apply(family):
    model, _ = build(family)
    return jax.jit(model.apply)


@pytest.mark.parametrize("name", of_matrix(list_models()))
def test_variant_is_as_golden(name):
    assert name in GOLDEN, f"run tests/models/golden.py to enter {name}"
    assert golden.describe(name) == GOLDEN[name], "see tests/models/golden.py"


def test_golden_has_no_variant_that_is_gone():
    assert set(GOLDEN) == set(list_models())


@every_variant
def test_the_registered_number_of_parameters_is_that_of_the_network(name):
    # Golden's are counted; to count them anew is the test above.
    assert count_parameters(name) == GOLDEN[name]["parameters"]


@pytest.mark.parametrize("name", of_matrix(list_models()))
def test_small_options_make_small_models_that_see_as_far(name):
    narrow, facts = model_spec(name, **small_options(name, shallow=False)), model_spec(name)
    for field in ("channels", "takes_level", "locality", "reach", "hop", "latency"):
        assert getattr(narrow, field) == getattr(facts, field), field
    if facts.reach:
        assert (narrow.stride, narrow.margin) == (facts.stride, facts.margin)
    if GOLDEN[name]["parameters"] > 500_000 and not facts.size:
        smallest = count_parameters(name, **small_options(name))
        assert smallest < 40_000


@pytest.mark.parametrize("name", of_matrix(list_models()))
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_variant_keeps_shape_and_dtype(name, dtype):
    """Also for a bfloat16 signal under strict promotion, with parameters kept in float32.

    The whole network in float32, as golden traced it; a narrow one in bfloat16, for the rules of
    dtypes do not depend on sizes.
    """
    options = {} if dtype == jnp.float32 else small_options(name)
    y, variables = golden.traced(name, dtype, **options)
    assert (y.shape, y.dtype) == (golden.natural_shape(model_spec(name, **options)), dtype)
    assert {v.dtype for v in jax.tree.leaves(variables)} <= {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", of_matrix(PICTURES))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_variant_takes_other_channels_and_only_them(name, channels):
    options = {**small_options(name), "channels": channels}
    model = create_model(name, **options)
    assert model_spec(name, channels=channels).channels == channels
    n, h, w, _ = golden.natural_shape(model_spec(name, **options))
    level = jax.ShapeDtypeStruct((n,), jnp.float32)

    def init(c):
        x = jax.ShapeDtypeStruct((n, h, w, c), jnp.float32)
        return jax.eval_shape(model.init_with_output, jax.random.key(0), x, level)[0]

    assert init(channels).shape == (n, h, w, channels)
    with pytest.raises(ZooError, match=f"of {channels} channels, got {channels + 1}; "):
        init(channels + 1)


@pytest.mark.parametrize("name", of_matrix(RECORDINGS))
def test_recordings_of_any_channels_are_taken_but_not_samples_for_channels(name):
    model = create_model(name, **small_options(name))
    assert model_spec(name).channels == 1
    variables = init_shapes(model, (1, 2048, 1))

    def apply_to(*shape):
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        return jax.eval_shape(model.apply, variables, x).shape

    for channels in (1, 2, 6):
        assert apply_to(1, 2048, channels) == (1, 2048, channels)
    with pytest.raises(ZooError, match=r"64 channels, got 2048; put the samples before the chan"):
        apply_to(1, 2, 2048)
    with pytest.raises(ZooError, match=r"takes \(B, T, C\), got shape \(2048, 1\); add the axes"):
        apply_to(2048, 1)
    with pytest.raises(ZooError, match="takes at least one sample"):
        apply_to(1, 0, 1)


@pytest.mark.parametrize("name", of_matrix(RECORDINGS))
def test_recordings_of_any_length_are_taken(name):
    model = create_model(name, **small_options(name))
    variables = init_shapes(model, (1, 2048, 1))
    for samples in (1, 255, 257, 1999):
        x = jax.ShapeDtypeStruct((1, samples, 1), jnp.float32)
        assert jax.eval_shape(model.apply, variables, x).shape == (1, samples, 1)


@every_variant
def test_record_says_what_a_recording_needs(name):
    facts = model_spec(name)
    assert (facts.sample_rate > 0) == (facts.modality == "audio")
    assert facts.range == ((-1.0, 1.0) if facts.modality == "audio" else (0.0, 1.0))
    streams = facts.hop > 0
    assert (
        streams == hasattr(create_model(name), "step") == hasattr(create_model(name), "init_state")
    )
    assert facts.latency <= facts.hop


@pytest.mark.parametrize("name", [name for name in RECORDINGS if model_spec(name).hop])
def test_states_can_be_donated_and_belong_to_their_chunks(name):
    model = create_model(name, **small_options(name))
    state = model.init_state(2)
    # The same array twice cannot be.
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(set(places)) == len(places)
    # Told before any variable is asked for.
    with pytest.raises(ZooError, match=r"the chunk has 3 signals.* state is of 2"):
        model.step({}, state, np.zeros((3, model.hop, 1), np.float32))


def init_shapes(model, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), x)


@every_variant
def test_name_starts_with_its_family_and_has_a_summary(name):
    assert re.fullmatch(r"[a-z0-9_]+(-[a-z0-9_]+)*", name)
    facts = model_spec(name)
    assert type(create_model(name)).__module__.startswith("zoo.models.")
    assert facts.family.replace("_", "-").split("-")[0] == re.split("[-_]", name)[0]
    assert type(create_model(name)).__doc__
    assert model_card(name).summary


@few_families
def test_gradient_reaches_every_parameter(family):
    model, variables = build(family)
    x, level = batch(family)
    if "params" not in variables:
        pytest.skip("it has none")
    state = {k: v for k, v in variables.items() if k != "params"}

    def loss(params):
        y, _ = model.apply({"params": params, **state}, x, level, train=True, mutable=list(state))
        return jnp.square(y - 0.3).mean()

    for path, g in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(variables["params"])):
        assert np.isfinite(g).all(), path
        assert np.any(g != 0), path


# Op by op each operation is a program, which finds what Python does while tracing.
@pytest.mark.parametrize(
    "family", [marked(one, one if one == "unet" else "") for one in sorted(FAMILIES)]
)
def test_jit_agrees_with_no_jit(family):
    model, variables = build(family)
    x, level = batch(family)
    np.testing.assert_allclose(
        apply(family)(variables, x, level), model.apply(variables, x, level), atol=JIT_TOLERANCE
    )


@few_families
def test_nnx_module_agrees_with_linen(family):
    x, level = batch(family)
    found = nnx.jit(lambda module, x, level: module(x, level))(to_nnx(*build(family)), x, level)
    expected = apply(family)(build(family)[1], x, level)
    np.testing.assert_allclose(found, expected, rtol=0, atol=NNX_TOLERANCE)


@every_family
def test_examples_do_not_see_each_other(family):
    _, variables = build(family)
    x, level = batch(family)
    others, levels = x.copy(), level.copy()
    others[0], levels[0] = -x[0], 3 * level[0]
    one = apply(family)(variables, x, level)[1:]
    np.testing.assert_allclose(
        apply(family)(variables, others, levels)[1:], one, atol=JIT_TOLERANCE
    )


@every_family
def test_size_is_as_the_record_says(family):
    facts = facts_of(family)
    if facts.modality == "audio":
        pytest.skip("recordings have a length, tested above")
    model, _ = build(family)

    def shape_of(h, w):
        x = jax.ShapeDtypeStruct((1, h, w, facts.channels), jnp.float32)
        level = jax.ShapeDtypeStruct((1,), jnp.float32)
        return jax.eval_shape(model.init_with_output, jax.random.key(0), x, level)[0].shape

    if facts.size:
        h, w = facts.size
        with pytest.raises(ZooError, match=f"{h}x{w}, got {w + 9}x{h + 4}; "):
            shape_of(w + 9, h + 4)
    else:
        sides = (37, 51) if facts.multiple == 1 else (3 * facts.multiple, 5 * facts.multiple)
        assert shape_of(*sides) == (1, *sides, facts.channels)


@few_families
def test_bfloat16_computation_is_close(family):
    _, variables = build(family)
    if "params" not in variables:
        pytest.skip("without parameters it computes in float32")
    low, _ = build(family, dtype=jnp.bfloat16)
    x, level = batch(family)
    y = jax.jit(low.apply)(variables, x, level)
    assert y.dtype == x.dtype
    expected = apply(family)(variables, x, level)
    assert not np.array_equal(y, expected), "it was not computed in bfloat16"
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(y, expected, atol=BFLOAT16_TOLERANCE * scale)


@every_family
def test_level_matters_where_the_record_says(family):
    _, variables = build(family)
    x, level = batch(family)
    first = apply(family)(variables, x, level)
    if facts_of(family).takes_level:
        assert not np.array_equal(first, apply(family)(variables, x, 2 * level))
        with pytest.raises(ZooError, match="takes a noise level: call it with level="):
            apply(family)(variables, x)
    else:
        np.testing.assert_array_equal(first, apply(family)(variables, x, 2 * level))
        np.testing.assert_array_equal(first, apply(family)(variables, x))


@every_family
def test_locality_is_as_the_record_says(family):
    """One end of a long strip changes; the other must not notice, or must.

    Of a recording it is the beginning, for some networks do not look ahead.
    """
    facts = facts_of(family)
    if facts.locality == "windowed":
        pytest.skip("how far windows reach is the family's own test")
    _, variables = build(family)
    audio = facts.modality == "audio"
    side = (4096,) if audio else facts.size or (max(16, facts.multiple), 512)
    x, level = batch(family, 1, side)
    changed = x.copy()
    if audio:
        changed[:, :256] = -changed[:, 256:512]
    else:
        changed[:, :, -1] = 1 - changed[:, :, -1]
    difference = np.abs(
        apply(family)(variables, x, level) - apply(family)(variables, changed, level)
    )
    if audio:
        near, far = difference[:, :256], difference[:, -256:]
    else:
        near, far = difference[:, :, -1], difference[:, :, 0]
    assert near.max() > 0
    assert (far.max() > 0) == (facts.locality == "global")


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


def test_overrides_reach_the_module_and_the_record():
    model = create_model("unet-tiny", widths=[8, 8], norm="group")
    assert (model.widths, model.stem) == ((8, 8), 2)
    assert model_spec("unet-tiny").locality == "local"
    assert model_spec("unet-tiny", norm="group").locality == "global"
    assert model_spec("mlp_autoencoder-mnist", size=[8, 9]).size == (8, 9)
    assert hash(model) == hash(create_model("unet-tiny", widths=(8, 8), norm="group"))


@pytest.mark.matrix
def test_import_is_light():
    """Models alone must be usable where nothing reads files, trains or draws."""
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
