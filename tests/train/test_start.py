"""A run that begins with trained weights, of its own model or of one that is told the level."""

import jax
import numpy as np
import optax
import pytest

from zoo.errors import ZooError
from zoo.models import UNet, create_model, init_variables
from zoo.train.start import start_from
from zoo.train.state import create_state

SHAPE = (1, 12, 10, 3)


def model(**options):
    return UNet(widths=(4, 8), blocks=1, stem=2, **options)


def fresh(module):
    return create_state(module, optax.adam(1e-3), jax.random.key(1), SHAPE)


def test_weights_that_took_a_level_begin_as_if_told_none():
    told, blind = model(takes_level=True), model()
    trained = init_variables(told, jax.random.key(0), SHAPE)
    state = start_from(fresh(blind), blind, (told, trained), "told")
    x = jax.random.uniform(jax.random.key(2), SHAPE)
    found, expected = blind.apply(state.variables, x), told.apply(trained, x, 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(found, told.apply(trained, x, 0.5), atol=1e-4)


@pytest.mark.parametrize("options", [{"channels": 1}, {"norm": "group"}, {"takes_level": True}])
def test_other_models_are_refused(options):
    trained = init_variables(model(), jax.random.key(0), SHAPE)
    module = model(**options)
    shape = (*SHAPE[:-1], module.channels)
    state = create_state(module, optax.adam(1e-3), jax.random.key(1), shape)
    with pytest.raises(ZooError, match=r"train\.start=mine holds another model"):
        start_from(state, module, (model(), trained), "mine")


def test_models_whose_parameters_would_fit_are_told_apart_too():
    mean, peak = model(down="mean"), model(down="max")
    trained = init_variables(mean, jax.random.key(0), SHAPE)
    with pytest.raises(ZooError, match=r"its options say: down \('mean', now 'max'\)"):
        start_from(fresh(peak), peak, (mean, trained), "mine")
    other = create_model("dncnn-color")
    with pytest.raises(ZooError, match=r"another model, a UNet, than model\.name says, a DnCNN"):
        start_from(fresh(peak), other, (mean, trained), "mine")


def test_weights_that_are_not_finite_are_refused():
    module = model()
    trained = init_variables(module, jax.random.key(0), SHAPE)
    trained["params"]["tail"]["bias"] = trained["params"]["tail"]["bias"].at[0].set(np.nan)
    with pytest.raises(ZooError, match="mine is not finite in params/tail/bias"):
        start_from(fresh(module), module, (module, trained), "mine")
