"""What only DnCNN does: batch norm that can be merged away, and a small start."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import DnCNN, count_parameters, merge_batch_norm

# Float32 sums of hundreds of products, in another order, through a few layers.
TOLERANCE = 1e-5
SMALL = {"channels": 1, "depth": 5, "width": 8}


def images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


@functools.cache
def jitted(model):
    return jax.jit(model.apply)


def conv(y, layer):
    """A 3x3 convolution as nine shifted matmuls, zeros beyond the border."""
    h, w = y.shape[1:3]
    y = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [y[:, i : i + h, j : j + w] @ layer["kernel"][i, j] for i in range(3) for j in range(3)]
    return sum(taps) + layer["bias"][None, None, None]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("dncnn-gray", {}, 555_137),
        ("dncnn-gray", {"norm": "batch"}, 557_057),
        ("dncnn-color-blind", {}, 668_227),
    ],
)
def test_sizes_are_the_published_ones(name, options, expected):
    assert count_parameters(name, **options) == expected


def test_it_is_the_chain_that_the_paper_draws():
    model = DnCNN(channels=2, depth=3, width=4)
    x = images(1, 5, 7, 2)
    params = random_variables(model, x)["params"]

    y = np.maximum(conv(x, params["head"]), 0)
    y = np.maximum(conv(y, params["body0"]), 0)
    expected = x - conv(y, params["tail"])
    np.testing.assert_allclose(jitted(model)({"params": params}, x), expected, atol=TOLERANCE)


def test_an_output_pixel_sees_depth_pixels_to_each_side():
    model = DnCNN(**SMALL)
    x = images(1, 3, 40, 1)
    variables = random_variables(model, x)
    changed = x.copy()
    changed[:, :, 0] += 1
    apply = jitted(model)
    change = np.abs(apply(variables, x) - apply(variables, changed)).max((0, 1, 3))
    assert change[model.depth] > 0
    np.testing.assert_array_equal(change[model.depth + 1 :], 0)


@pytest.mark.parametrize("depth", [2, 5])
def test_merged_network_gives_equal_outputs(depth):
    model = DnCNN(**SMALL | {"depth": depth, "norm": "batch"})
    x = images(2, 12, 15, 1)
    variables = {"batch_stats": {}} | random_variables(model, x)
    merged, merged_variables = merge_batch_norm(model, variables)
    assert merged == DnCNN(**SMALL | {"depth": depth})
    shapes = jax.eval_shape(merged.init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, merged_variables) == jax.tree.map(jnp.shape, shapes)
    expected = jitted(model)(variables, x)
    np.testing.assert_allclose(jitted(merged)(merged_variables, x), expected, atol=TOLERANCE)


def test_merging_leaves_the_trained_variables_alone():
    model = DnCNN(**SMALL, norm="batch")
    variables = random_variables(model, images(1, 8, 8, 1))
    before = jax.tree.map(np.copy, variables)
    merge_batch_norm(model, variables)
    jax.tree.map(np.testing.assert_array_equal, variables, before)


def test_merging_without_batch_norm_raises():
    x = images(1, 8, 8, 1)
    plain, normed = DnCNN(**SMALL), DnCNN(**SMALL, norm="batch")
    params = random_variables(normed, x)["params"]
    for model, variables in [(plain, random_variables(plain, x)), (normed, {"params": params})]:
        with pytest.raises(ZooError, match=r"^there is no batch norm to merge; [^\n]+$"):
            merge_batch_norm(model, variables)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_batch_norm_takes_the_statistics_of_the_batch(dtype):
    """One body and no more: the output is by hand, and so are the running statistics."""
    model = DnCNN(**SMALL | {"depth": 3}, norm="batch", dtype=dtype)
    x = images(2, 12, 15, 1)
    variables = random_variables(model, x)
    params, before = variables["params"], variables["batch_stats"]["norm0"]
    y, state = jax.jit(lambda v: model.apply(v, x, train=True, mutable=["batch_stats"]))(variables)

    features = conv(np.maximum(conv(x, params["head"]), 0), params["body0"])
    mean, var = features.mean((0, 1, 2)), features.var((0, 1, 2))
    normal = (features - mean[None, None, None]) / np.sqrt(var + 1e-4)[None, None, None]
    normal = normal * params["norm0"]["scale"] + params["norm0"]["bias"]
    tolerance = TOLERANCE if dtype == jnp.float32 else 5e-2
    np.testing.assert_allclose(y, x - conv(np.maximum(normal, 0), params["tail"]), atol=tolerance)
    after = state["batch_stats"]["norm0"]
    # Flax's momentum counts the old: 0.9 of the running value and 0.1 of the batch's.
    np.testing.assert_allclose(after["mean"], 0.9 * before["mean"] + 0.1 * mean, atol=tolerance)
    np.testing.assert_allclose(after["var"], 0.9 * before["var"] + 0.1 * var, atol=tolerance)
    assert {v.dtype for v in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_batch_norm_trains(dtype):
    model = DnCNN(**SMALL | {"depth": 3}, norm="batch", dtype=dtype)
    x = images(2, 12, 15, 1)
    variables = random_variables(model, x)

    def loss(params):
        y, _ = model.apply(variables | {"params": params}, x, train=True, mutable=["batch_stats"])
        return jnp.square(y - 0.3).mean()

    for path, g in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(variables["params"])):
        assert np.isfinite(g).all(), path
        # A bias before the norm moves nothing but the mean that is taken off again.
        assert np.any(np.abs(g) > 1e-6) or "body0" in str(path), path


def test_batch_norm_sees_the_whole_batch_under_pmap():
    """Over two devices with an axis name, as over one."""
    model = DnCNN(**SMALL, norm="batch", axis_name="device")
    x = images(4, 8, 9, 1)
    variables = random_variables(DnCNN(**SMALL, norm="batch"), x)
    whole = DnCNN(**SMALL, norm="batch")
    train = functools.partial(whole.apply, train=True, mutable=["batch_stats"])
    expected, _ = jax.jit(train)(variables, x)

    def step(x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])[0]

    y = jax.pmap(step, axis_name="device")(x.reshape(2, 2, 8, 9, 1))
    np.testing.assert_allclose(y.reshape(x.shape), expected, atol=TOLERANCE)


@pytest.mark.matrix
def test_it_starts_near_its_input():
    x = images(2, 16, 16, 1)
    quick = {"xla_backend_optimization_level": 0}
    init = jax.jit(DnCNN(**SMALL).init_with_output, compiler_options=quick)
    y, _ = init(jax.random.key(0), x)
    assert 0 < np.abs(y - x).mean() < 0.1


@pytest.mark.parametrize("fields", [{"norm": "group"}, {"depth": 1}])
def test_wrong_fields_raise_one_line(fields):
    with pytest.raises(ZooError, match=r"^DnCNN: (norm|depth)=[^\n]+$"):
        DnCNN(**fields)
