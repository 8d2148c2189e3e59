"""Restormer against its published size and against what its formulas imply."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import Restormer, count_parameters, layers, small_options
from zoo.models.restormer import _Attention

NARROW = small_options("restormer-small")
# Float32 sums of a few dozen products, in another order.
TOLERANCE = 1e-5


def image(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def test_color_has_the_published_number_of_parameters():
    assert count_parameters("restormer-color") == 26_111_668


def test_gray_lacks_two_channels_of_the_first_and_last_convolution():
    fewer = 2 * 9 * 48 + 2 * 9 * 96
    assert count_parameters("restormer-gray") == 26_111_668 - fewer


@pytest.mark.parametrize("use_bias", [False, True])
def test_norm_divides_by_the_deviation_and_keeps_the_mean_without_a_bias(use_bias):
    norm, x = layers.ChannelNorm(use_bias), image(2, 3, 4, 8) + 2
    params = random_variables(norm, x)["params"]
    wide = x.astype(np.float64)
    expected = (wide - use_bias * wide.mean(-1, keepdims=True)) * params["scale"]
    expected = expected / np.sqrt(wide.var(-1, keepdims=True) + 1e-5) + params.get("bias", 0)
    np.testing.assert_allclose(norm.apply({"params": params}, x), expected, atol=TOLERANCE)


def test_attention_is_the_softmax_of_channel_cosines():
    x = image(2, 3, 5, 8)
    attention = _Attention(2)
    params = random_variables(attention, x)["params"]
    depthwise = layers.DepthwiseConv(use_bias=False)
    qkv = jax.jit(depthwise.apply)({"params": params["depthwise"]}, x @ params["qkv"]["kernel"])
    mixed = np.zeros((2, 15, 8))
    for n in range(2):
        q, k, v = np.split(np.asarray(qkv[n], np.float64).reshape(15, 24), 3, axis=1)
        for head in range(2):
            own = slice(4 * head, 4 * head + 4)
            a, b = (m[:, own] / np.linalg.norm(m[:, own], axis=0) for m in (q, k))
            weights = np.exp(a.T @ b * params["temperature"][head, 0, 0])
            weights /= weights.sum(1, keepdims=True)
            mixed[n][:, own] = v[:, own] @ weights.T
    expected = mixed @ params["project"]["kernel"]
    y = jax.jit(attention.apply)({"params": params}, x)
    np.testing.assert_allclose(y.reshape(2, 15, 8), expected, atol=TOLERANCE)


@pytest.mark.matrix
def test_black_images_have_finite_gradients():
    """Their channels have no length to divide by."""
    model, x = Restormer(**NARROW), jnp.zeros((1, 5, 8, 3))
    variables = random_variables(model, x)
    loss = jax.jit(jax.grad(lambda v, x: model.apply(v, x).sum(), (0, 1)))
    for path, g in jax.tree.leaves_with_path(loss(variables, x)):
        assert np.isfinite(g).all(), path


@pytest.mark.parametrize("sides", [(1, 1), (2, 9)])
def test_images_smaller_than_the_padding(sides):
    model = Restormer(**{**NARROW, "blocks": (1,) * 4, "heads": (1,) * 4})
    x = jax.ShapeDtypeStruct((1, *sides, 3), jnp.float32)
    y, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
    assert y.shape == x.shape


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_depthwise_is_a_grouped_convolution(dtype):
    x, kernel = jnp.asarray(image(2, 6, 5, 7), dtype), jnp.asarray(image(3, 3, 1, 7), dtype)

    def expected(x, kernel):
        x, kernel = x.astype(jnp.float32), kernel.astype(jnp.float32)
        return lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=7,
        )

    def ours(x, kernel):
        layer = layers.DepthwiseConv(use_bias=False)
        return layer.apply({"params": {"kernel": kernel}}, x)

    @jax.jit
    def both(x, kernel):
        (y, backward), (z, truth) = jax.vjp(ours, x, kernel), jax.vjp(expected, x, kernel)
        g = jnp.cos(z).astype(dtype)
        return (y, *backward(g)), (z, *truth(g.astype(jnp.float32)))

    found, true = both(x, kernel)
    assert found[0].dtype == dtype
    for got, wanted in zip(found, true, strict=True):
        atol = TOLERANCE if dtype == jnp.float32 else 2**-7 * float(jnp.abs(wanted).max())
        np.testing.assert_allclose(got.astype(jnp.float32), wanted, atol=atol)


def test_fields_that_do_not_fit_are_reported():
    with pytest.raises(ZooError, match="differ in length"):
        Restormer(blocks=(1, 1))
    with pytest.raises(ZooError, match=r"the 20 channels of level 1 do not divide among 3 heads"):
        Restormer(width=10, blocks=(1, 1), heads=(1, 3))
