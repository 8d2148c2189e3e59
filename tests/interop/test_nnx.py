"""The bridge to NNX; that every family passes it is in tests/models/test_model_contract.py."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import core, errors, nnx
from variables import random_variables

from zoo.interop.nnx import to_nnx
from zoo.models import create_model

X = np.random.default_rng(0).random((2, 16, 16, 1), np.float32)
LEVEL = np.array([0.1, 0.3], np.float32)


@pytest.fixture(scope="module")
def linen():
    model = create_model("dncnn-gray", depth=3, width=4, norm="batch")
    return model, random_variables(model, X, LEVEL)


def test_it_computes_what_linen_computes(linen):
    model, variables = linen
    expected = model.apply(variables, X, LEVEL)
    for given in (variables, core.freeze(variables)):
        np.testing.assert_array_equal(to_nnx(model, given)(X, LEVEL), expected)


def test_variables_are_of_nnxs_kinds(linen):
    module = to_nnx(*linen)
    for kind, collection in ((nnx.Param, "params"), (nnx.BatchStat, "batch_stats")):
        found = jax.tree.leaves(nnx.state(module, kind))
        assert len(found) == len(jax.tree.leaves(linen[1][collection]))


def test_training_steps_are_linens(linen):
    """Output, gradient and batch statistics of a step under jit; the statistics in place."""
    model, variables = linen

    def expected_loss(params):
        y, new = model.apply(
            variables | {"params": params}, X, LEVEL, train=True, mutable=["batch_stats"]
        )
        return jnp.square(y).mean(), new["batch_stats"]

    @nnx.jit
    def step(module):
        def loss(module):
            return jnp.square(module(X, LEVEL, train=True, mutable=["batch_stats"])).mean()

        return nnx.value_and_grad(loss)(module)

    gradient = jax.jit(jax.value_and_grad(expected_loss, has_aux=True))
    (expected, stats), expected_slopes = gradient(variables["params"])
    module = to_nnx(model, variables)
    found, slopes = step(module)
    for ours, theirs in (
        (found, expected),
        (nnx.to_pure_dict(slopes), expected_slopes),
        (nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)), stats),
    ):
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.matrix
def test_an_optimizer_of_nnx_trains_it(linen):
    module = to_nnx(*linen)
    optimizer = nnx.Optimizer(module, optax.sgd(0.01), wrt=nnx.Param)
    slopes = nnx.grad(lambda m: jnp.square(m(X, LEVEL)).mean())(module)
    before = jnp.square(module(X, LEVEL)).mean()
    optimizer.update(module, slopes)
    assert jnp.square(module(X, LEVEL)).mean() < before


def test_nothing_is_initialised(linen, monkeypatch):
    """Not even by shapes: at full size it takes half a minute."""
    model, variables = linen

    def fail(*args, **kwargs):
        raise AssertionError

    for name in ("init", "init_with_output", "lazy_init"):
        monkeypatch.setattr(type(model), name, fail)
    monkeypatch.setattr(jax.random, "normal", fail)
    assert to_nnx(model, variables)(X, LEVEL).shape == X.shape


def test_variables_that_are_missing(linen):
    model, variables = linen
    module = to_nnx(
        model, {"params": {k: v for k, v in variables["params"].items() if k != "tail"}}
    )
    with pytest.raises((errors.ScopeParamNotFoundError, errors.ScopeCollectionNotFound)):
        module(X, LEVEL)
