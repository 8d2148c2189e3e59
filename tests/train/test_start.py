"""A run that begins with trained weights, of its own model or of one that is told the level."""

import functools

import jax
import numpy as np
import optax
import pytest
from families import first

from zoo.errors import ZooError
from zoo.models import UNet, create_model, init_variables
from zoo.train.start import start_from
from zoo.train.state import create_state

SHAPE = (1, 12, 10, 3)


def model(**options):
    return UNet(widths=(4, 8), blocks=1, stem=2, **options)


@functools.cache
def trained(**options):
    return init_variables(model(**options), jax.random.key(0), SHAPE)


@functools.cache
def fresh(module):
    shape = (*SHAPE[:-1], module.channels)
    return create_state(module, optax.adam(1e-3), jax.random.key(1), shape)


def test_weights_that_took_a_level_begin_as_if_told_none():
    told, blind = model(takes_level=True), model()
    state = start_from(fresh(blind), blind, (told, trained(takes_level=True)), "told")
    x = jax.random.uniform(jax.random.key(2), SHAPE)
    apply = jax.jit(told.apply)
    found, expected = (
        jax.jit(blind.apply)(state.variables, x),
        apply(trained(takes_level=True), x, 0.0),
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(found, apply(trained(takes_level=True), x, 0.5), atol=1e-4)


@pytest.mark.parametrize(
    "options", first(1, [{"channels": 1}, {"norm": "group"}, {"takes_level": True}])
)
def test_other_models_are_refused(options):
    module = model(**options)
    with pytest.raises(ZooError, match=r"train\.start=mine holds another model"):
        start_from(fresh(module), module, (model(), trained()), "mine")


@pytest.mark.matrix
def test_models_whose_parameters_would_fit_are_told_apart_too():
    mean, peak = model(down="mean"), model(down="max")
    with pytest.raises(ZooError, match=r"its options say: down \('mean', now 'max'\)"):
        start_from(fresh(peak), peak, (mean, trained(down="mean")), "mine")
    other = create_model("dncnn-color")
    with pytest.raises(ZooError, match=r"another model, a UNet, than model\.name says, a DnCNN"):
        start_from(fresh(peak), other, (mean, trained(down="mean")), "mine")


def test_weights_that_are_not_finite_are_refused():
    module = model()
    broken = jax.tree.map(lambda leaf: leaf, trained())
    broken["params"]["tail"]["bias"] = broken["params"]["tail"]["bias"].at[0].set(np.nan)
    with pytest.raises(ZooError, match="mine is not finite in params/tail/bias"):
        start_from(fresh(module), module, (module, broken), "mine")
