"""The random numbers of `zoo.noise.random_bits` against those of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first

from zoo.noise import random_bits

PAIRS = [
    (random_bits.bits, jax.random.bits),
    (random_bits.uniform, jax.random.uniform),
    (random_bits.normal, jax.random.normal),
    (random_bits.laplace, jax.random.laplace),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("shape", first(3, [((),), ((0, 4),), ((33, 17, 3),), ((1,),), ((5, 3),)]))
def test_the_numbers_are_those_of_jax(ours, theirs, shape):
    key = jax.random.key(7)
    # Op by op each step would compile by itself.
    expected, result = (jax.jit(f, static_argnums=1)(key, shape) for f in (theirs, ours))
    assert result.dtype == expected.dtype
    # Fused, a product and a sum round once instead of twice.
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_under_jit_and_vmap_too(ours, theirs):
    keys = jax.random.split(jax.random.key(1), 4)
    result = jax.jit(jax.vmap(lambda key: ours(key, (8, 5))))(keys)
    expected = jax.jit(jax.vmap(lambda key: theirs(key, (8, 5))))(keys)
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=2e-7)


def test_limits_are_those_of_jax():
    key = jax.random.key(3)
    expected = jax.random.uniform(key, (1000,), minval=-2, maxval=0.5)
    np.testing.assert_allclose(
        random_bits.uniform(key, (1000,), low=-2, high=0.5), expected, atol=2e-7
    )


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_keys_of_another_kind_are_left_to_jax(kind):
    key = jax.random.key(5, impl=kind)
    np.testing.assert_array_equal(random_bits.normal(key, (9,)), jax.random.normal(key, (9,)))


def test_the_gradient_passes_by():
    def noisy(x):
        return jnp.sum(x * random_bits.normal(jax.random.key(0), (3,)))

    slope = jax.jit(jax.grad(noisy))(jnp.ones(3))
    np.testing.assert_array_equal(slope, jax.random.normal(jax.random.key(0), (3,)))
