"""Each architecture against a closed form or a plain twin written from its description."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from jax import lax
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import ConvAutoencoder, MLPAutoencoder, UNet, UpsampleCNN, create_model

# Float32 sums of hundreds of products, in another order, through a few layers.
TOLERANCE = 2e-5
MORE_OPTIONS = [
    {"down": "max", "up": "nearest"},
    {"down": "mean", "skip": "concat"},
    {"stem": 1, "takes_level": True},
    {"stem": 4, "takes_level": True, "dtype": jnp.bfloat16},
    {"volumetric": True, "planes": 5, "takes_level": True, "norm": "batch", "skip": "concat"},
]
KEY = jax.random.key(0)


def images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def conv(x, params, strides=1):
    y = lax.conv_general_dilated(
        x,
        params["kernel"],
        (strides, strides),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + params.get("bias", jnp.zeros(y.shape[-1]))[None, None, None]


def repeat(x):
    return jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)


def test_mlp_is_784_128_784():
    model = create_model("mlp_autoencoder-mnist")
    x = images(3, 28, 28, 1)
    params = random_variables(model, x)["params"]
    assert sum(v.size for v in jax.tree.leaves(params)) == 784 * 128 + 128 + 128 * 784 + 784
    first, second = (
        {k: np.asarray(v) for k, v in params[name].items()} for name in ("encoder0", "decoder0")
    )
    hidden = np.maximum(x.reshape(3, 784) @ first["kernel"] + first["bias"][None], 0)
    expected = 1 / (1 + np.exp(-(hidden @ second["kernel"] + second["bias"][None])))
    y = jax.jit(model.apply)({"params": params}, x)
    np.testing.assert_allclose(y, expected.reshape(x.shape), atol=TOLERANCE)


def test_mlp_mirrors_its_widths_for_any_size():
    model = MLPAutoencoder(size=(4, 6), channels=2, widths=(10, 7, 3), head="linear")
    params = random_variables(model, images(1, 4, 6, 2))["params"]
    shapes = {name: layer["kernel"].shape for name, layer in params.items()}
    assert shapes == {
        "encoder0": (48, 10),
        "encoder1": (10, 7),
        "encoder2": (7, 3),
        "decoder2": (3, 7),
        "decoder1": (7, 10),
        "decoder0": (10, 48),
    }


def test_mlp_refuses_another_size_in_one_line():
    with pytest.raises(ZooError) as caught:
        MLPAutoencoder().init(KEY, images(1, 32, 30, 1))
    assert str(caught.value) == (
        "MLPAutoencoder takes images of 28x28, got 32x30; crop or resize them to 28x28, or build "
        "it with that size and train it"
    )


def with_blocks(y, params, name, activate):
    """One residual block."""
    inner = activate(conv(y, params[f"{name}_block0_conv0"]))
    return y + conv(inner, params[f"{name}_block0_conv1"])


@pytest.mark.parametrize("skip", [False, True])
def test_upsample_cnn_is_as_described(skip):
    # Skips come with blocks and the other head, for none of the three depends on the others.
    head = "residual" if skip else "sigmoid"
    model = UpsampleCNN(skip=skip, slope=0.2, blocks=int(skip), head=head)
    x = images(2, 12, 16, 3)
    params = random_variables(model, x)["params"]

    def activated(y, name):
        y = leaky(y)
        return with_blocks(y, params, name, leaky) if skip else y

    def leaky(y):
        return jnp.where(y > 0, y, 0.2 * y)

    def joined(up, skip_name, beside):
        """One convolution of the concatenation, which the model writes as a sum."""
        y, p = repeat(up[0]), params[up[1]]
        if skip:
            y = jnp.concatenate([y, beside], -1)
            p = p | {"kernel": jnp.concatenate([p["kernel"], params[skip_name]["kernel"]], 2)}
        return conv(y, p)

    def described(x):
        fine = activated(conv(x, params["down1"], 2), "down1")
        y = activated(conv(fine, params["down2"], 2), "down2")
        assert y.shape == (2, 3, 4, 32)
        y = activated(joined((y, "up2"), "skip2", fine), "up2")
        assert y.shape == (2, 6, 8, 64)
        y = joined((y, "up1"), "skip1", x)
        return x + y if skip else jax.nn.sigmoid(y)

    found = jax.jit(model.apply)({"params": params}, x)
    np.testing.assert_allclose(found, jax.jit(described)(x), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "side", "code"),
    [("conv_autoencoder-photo", 128, (8, 8, 128)), ("conv_autoencoder-mnist", 28, (7, 7, 32))],
)
def test_conv_autoencoder_has_four_learned_stages_each_way(name, side, code):
    model = create_model(name)
    x = jax.ShapeDtypeStruct((1, side, side, model.channels), jnp.float32)

    def run(key, x):
        return model.init_with_output(key, x, capture_intermediates=True)

    y, variables = jax.eval_shape(run, KEY, x)
    assert y.shape == x.shape
    names = {f"{way}{i}" for way in ("encoder", "decoder") for i in range(4)}
    assert set(variables["params"]) == names
    assert variables["intermediates"]["encoder3"]["__call__"][0].shape == (1, *code)


@pytest.mark.parametrize("skip", [False, True])
def test_conv_autoencoder_is_as_described(skip):
    head = "residual" if skip else "linear"
    model = ConvAutoencoder(
        channels=1, widths=(4, 5), strides=(2, 1), head=head, skip=skip, blocks=int(skip)
    )
    x = images(2, 8, 12, 1)
    params = random_variables(model, x)["params"]

    def after(y, name):
        return with_blocks(y, params, name, jax.nn.relu) if skip else y

    @jax.jit
    def described(x):
        y = fine = after(jax.nn.relu(conv(x, params["encoder0"], 2)), "encoder0")
        parts = [y[:, i::2, j::2] for i in range(2) for j in range(2)]
        y = jax.nn.relu(conv(functools.reduce(jnp.maximum, parts), params["encoder1"]))
        y = after(y, "encoder1")
        assert y.shape == (2, 2, 3, 5)
        y = repeat(jax.nn.relu(conv(y, params["decoder1"])))
        y = after(y + fine if skip else y, "decoder1")
        flipped = params["decoder0"]["kernel"].transpose(1, 2, 0, 3)[::-1, ::-1]
        y = lax.conv_transpose(
            y, flipped, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = y + params["decoder0"]["bias"][None, None, None]
        return x + y if skip else y

    found = jax.jit(model.apply)({"params": params}, x)
    np.testing.assert_allclose(found, described(x), atol=TOLERANCE)


@pytest.mark.parametrize("model", [ConvAutoencoder, MLPAutoencoder, UpsampleCNN])
def test_sigmoid_heads_stay_in_range_and_linear_ones_do_not(model):
    x = 50 * images(1, 28, 28, 1) - 25
    variables = random_variables(model(channels=1), x)
    for head in ("sigmoid", "linear"):
        y = jax.jit(model(channels=1, head=head).apply)(variables, x)
        assert (y.min() >= 0 and y.max() <= 1) == (head == "sigmoid")


@pytest.mark.parametrize(
    "build",
    [
        lambda: UNet(norm="instance"),
        lambda: UpsampleCNN(head="tanh"),
        lambda: UpsampleCNN(widths=(8, 8)),
        lambda: ConvAutoencoder(strides=(2, 2)),
        lambda: ConvAutoencoder(strides=(2, 2, 2, 3)),
    ],
)
def test_wrong_fields_raise_one_line(build):
    with pytest.raises(ZooError, match=r"^\w+: (norm|head|widths|strides)=[^\n]+$"):
        build()


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "batch"},
        pytest.param({"norm": "group", "dtype": jnp.bfloat16}, marks=pytest.mark.matrix),
        pytest.param({"norm": "layer", "dtype": jnp.bfloat16}, marks=pytest.mark.matrix),
        *(pytest.param(options, marks=pytest.mark.matrix) for options in MORE_OPTIONS),
    ],
    ids=str,
)
def test_unet_options_run_and_gradients_reach_all_parameters(options):
    model = UNet(**{"channels": 1, "widths": (4, 8), "blocks": 1, "stem": 2} | options)
    x, level = images(2, 9, 14, model.planes), np.array([0.1, 0.2], np.float32)
    variables = random_variables(model, x, level)
    state = {k: v for k, v in variables.items() if k != "params"}

    def loss(params):
        y, new = model.apply({"params": params, **state}, x, level, train=True, mutable=list(state))
        return jnp.square(y - 0.3).mean(), (y, new)

    gradients, (y, new) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert (y.shape, y.dtype) == ((2, 9, 14, 1), x.dtype)
    for path, g in traverse_util.flatten_dict(gradients).items():
        assert np.any(g != 0), path
        assert np.isfinite(g).all(), path
    assert (new != {}) == (model.norm == "batch")


def test_unet_batch_norm_keeps_running_statistics():
    model = UNet(channels=1, widths=(4,), blocks=1, norm="batch")
    x = images(2, 8, 8, 1)
    variables = random_variables(model, x)

    @jax.jit
    def run(variables):
        _, new = model.apply(variables, x, train=True, mutable=["batch_stats"])
        params = variables["params"]
        return new, conv(conv(x, params["head"]), params["encoder0_0_conv0"])

    new, features = run(variables)
    # Flax's momentum counts the old: 0.9 of the running mean and 0.1 of the batch's.
    before, after = (v["batch_stats"]["encoder0_0_norm0"]["mean"] for v in (variables, new))
    expected = 0.9 * before + 0.1 * features.mean((0, 1, 2))
    np.testing.assert_allclose(after, expected, atol=TOLERANCE)


@pytest.mark.matrix
def test_unet_starts_near_its_input():
    x = images(2, 16, 16, 3)
    quick = {"xla_backend_optimization_level": 0}
    init = jax.jit(create_model("unet-tiny").init_with_output, compiler_options=quick)
    y, _ = init(KEY, x)
    assert 0 < np.abs(y - x).mean() < 0.1


def test_unet_needs_its_level():
    with pytest.raises(ZooError, match=r"^UNet takes a noise level"):
        UNet(takes_level=True).init(KEY, images(1, 8, 8, 3))
