"""What the networks of every family do, by its smallest variant, narrow and shallow.

A new variant enters here by being registered.
"""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import marked
from flax import nnx
from variables import random_variables
from variants import FAMILIES, IMAGES, RECORDINGS, of_matrix

from zoo.errors import ZooError
from zoo.interop.nnx import to_nnx
from zoo.models import create_model, list_models, model_spec, small_options

# jit fuses and so rounds otherwise than op by op; outputs are of order 1.
JIT_TOLERANCE = 1e-5
# The same program, compiled twice.
NNX_TOLERANCE = 1e-6
# bfloat16 keeps 8 bits: relative steps of 2**-8, a few of them over a few layers.
BFLOAT16_TOLERANCE = 2.0**-4

matrix = functools.partial(pytest.param, marks=pytest.mark.matrix)
every_family = pytest.mark.parametrize("family", [marked(one, one) for one in sorted(FAMILIES)])
# For what takes longest to compile two stand for all: of convolutions alone, and of attention.
few_families = pytest.mark.parametrize(
    "family", [marked(one, one if one in ("unet", "swinir") else "") for one in sorted(FAMILIES)]
)


def spec_of_family(family, **overrides):
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
    spec = spec_of_family(family)
    shape = golden.natural_shape(spec, number)
    if side is not None:
        shape = (number, *side, shape[-1])
    rng = np.random.default_rng(0)
    x = rng.random(shape, np.float32)
    if spec.modality == "audio":
        x = x - np.float32(0.5)
    return x, np.linspace(0.1, 0.3, number, dtype=np.float32)


@functools.cache
def apply(family):
    model, _ = build(family)
    return jax.jit(model.apply)


@pytest.mark.parametrize("name", of_matrix(list_models()))
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_variant_keeps_shape_and_dtype(name, dtype):
    """Also for a bfloat16 signal under strict promotion, with parameters kept in float32.

    The whole network in float32, as golden traced it; a narrow one in bfloat16, for the rules of
    dtypes do not depend on sizes.
    """
    options = {} if dtype == jnp.float32 else small_options(name)
    y, variables = golden.traced(name, dtype, **options)
    spec = model_spec(name, **options)
    wanted = (*golden.natural_shape(spec)[:-1], spec.channels)
    assert (y.shape, y.dtype) == (wanted, dtype)
    assert {v.dtype for v in jax.tree.leaves(variables)} <= {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", of_matrix(IMAGES))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_variant_takes_other_channels_and_only_them(name, channels):
    options = {**small_options(name), "channels": channels}
    model = create_model(name, **options)
    spec = model_spec(name, **options)
    assert spec.channels == channels
    n, h, w, inputs = golden.natural_shape(spec)
    level = jax.ShapeDtypeStruct((n,), jnp.float32)

    def init(c):
        x = jax.ShapeDtypeStruct((n, h, w, c), jnp.float32)
        return jax.eval_shape(model.init_with_output, jax.random.key(0), x, level)[0]

    assert init(inputs).shape == (n, h, w, channels)
    with pytest.raises(ZooError, match=f"of {channels} channels, got {inputs + 1}; "):
        init(inputs + 1)


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


@pytest.mark.parametrize("name", [name for name in RECORDINGS if model_spec(name).hop])
def test_states_can_be_donated_and_belong_to_their_chunks(name):
    model = create_model(name, **small_options(name))
    state = model.init_state(2)
    # The same array twice cannot be.
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(set(places)) == len(places)
    # Checked before any variable is used.
    with pytest.raises(ZooError, match=r"chunk is 3, and of the state 2; begin with"):
        model.step({}, state, np.zeros((3, model.hop, 1), np.float32))


def init_shapes(model, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), x)


# Of the others in `test_starts`.
@pytest.mark.parametrize("family", ["unet", matrix("swinir")])
def test_gradient_reaches_every_parameter(family):
    model, variables = build(family)
    x, level = batch(family)
    state = {k: v for k, v in variables.items() if k != "params"}

    def loss(params):
        y, _ = model.apply({"params": params, **state}, x, level, train=True, mutable=list(state))
        return jnp.square(y - 0.3).mean()

    for path, g in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(variables["params"])):
        assert np.isfinite(g).all(), path
        assert np.any(g != 0), path


# Op by op each operation is a program, which finds what Python does while tracing; the layers are
# shared, so one of convolutions, one of attention and one of audio will do.
@pytest.mark.parametrize("family", ["unet", *map(matrix, ("swinir", "stream_unet"))])
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
def test_size_is_as_specified(family):
    spec = spec_of_family(family)
    if spec.modality == "audio":
        pytest.skip("recordings have a length, tested above")
    model, _ = build(family)

    def shape_of(h, w):
        x = jax.ShapeDtypeStruct((1, h, w, spec.inputs), jnp.float32)
        level = jax.ShapeDtypeStruct((1,), jnp.float32)
        return jax.eval_shape(model.init_with_output, jax.random.key(0), x, level)[0].shape

    if spec.size:
        h, w = spec.size
        with pytest.raises(ZooError, match=f"{h}x{w}, got {w + 9}x{h + 4}; "):
            shape_of(w + 9, h + 4)
    else:
        sides = (37, 51) if spec.multiple == 1 else (3 * spec.multiple, 5 * spec.multiple)
        assert shape_of(*sides) == (1, *sides, spec.channels)


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
def test_level_matters_where_specified(family):
    _, variables = build(family)
    x, level = batch(family)
    first = apply(family)(variables, x, level)
    if spec_of_family(family).takes_level:
        assert not np.array_equal(first, apply(family)(variables, x, 2 * level))
        with pytest.raises(ZooError, match="takes a noise level: call it with level="):
            apply(family)(variables, x)
    else:
        np.testing.assert_array_equal(first, apply(family)(variables, x, 2 * level))
        np.testing.assert_array_equal(first, apply(family)(variables, x))


@every_family
def test_locality_is_as_specified(family):
    """One end of a long strip changes; the other must not notice, or must.

    Of a recording it is the beginning, for some networks do not look ahead.
    """
    spec = spec_of_family(family)
    if spec.locality == "windowed":
        pytest.skip("how far windows reach is the family's own test")
    _, variables = build(family)
    audio = spec.modality == "audio"
    side = (4096,) if audio else spec.size or (max(16, spec.multiple), 512)
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
    assert (far.max() > 0) == (spec.locality == "global")
