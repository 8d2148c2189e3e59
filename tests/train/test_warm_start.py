"""A run that begins with trained weights, of its own model or of one that is given the level."""

import functools
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import optax
import pytest
import safetensors.numpy
from families import first
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import UNet, create_model, init_variables
from zoo.train.config import default_config
from zoo.train.distributed import Listener
from zoo.train.loop import train
from zoo.train.step import create_state
from zoo.train.warm_start import load_start, start_from

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


@pytest.mark.matrix
def test_weights_that_took_a_level_begin_as_without_one():
    reported, blind = model(takes_level=True), model()
    state = start_from(fresh(blind), blind, (reported, trained(takes_level=True)), "told")
    x = jax.random.uniform(jax.random.key(2), SHAPE)
    apply = jax.jit(reported.apply)
    found, expected = (
        jax.jit(blind.apply)(state.variables, x),
        apply(trained(takes_level=True), x, 0.0),
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(found, apply(trained(takes_level=True), x, 0.5), atol=1e-4)


def test_weights_without_a_level_begin_the_same_at_every_level():
    blind, leveled = model(), model(takes_level=True)
    state = start_from(fresh(leveled), leveled, (blind, trained()), "blind")
    x = jax.random.uniform(jax.random.key(2), SHAPE)
    expected = jax.jit(blind.apply)(trained(), x)
    for level in (0.0, 0.3):
        found = jax.jit(leveled.apply)(state.variables, x, level)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.matrix
def test_each_plane_of_a_3d_convolution_gains_and_loses_the_level():
    blind, leveled = (
        model(volumetric=True, planes=3, takes_level=takes) for takes in (False, True)
    )
    x = np.random.default_rng(0).random((1, 12, 10, 9), np.float32)
    variables = random_variables(blind, x)
    begun = start_from(fresh(leveled), leveled, (blind, variables), "blind").variables
    expected = jax.jit(blind.apply)(variables, x)
    np.testing.assert_allclose(jax.jit(leveled.apply)(begun, x, 0.3), expected, atol=1e-6)
    kernel = begun["params"]["head"]["kernel"]
    begun["params"]["head"]["kernel"] = kernel.at[:, :, 12::13].set(1)
    back = start_from(fresh(blind), blind, (leveled, begun), "leveled").variables
    jax.tree.map(np.testing.assert_array_equal, back, variables)


@pytest.mark.parametrize(
    "options", first(1, [{"channels": 1}, {"norm": "group"}, {"up": "nearest"}])
)
def test_other_models_are_refused(options):
    module = model(**options)
    with pytest.raises(ZooError, match=r"train\.start=mine holds another model"):
        start_from(fresh(module), module, (model(), trained()), "train.start=mine")


@pytest.mark.matrix
def test_models_whose_parameters_would_fit_are_distinguished_too():
    mean, peak = model(down="mean"), model(down="max")
    with pytest.raises(ZooError, match=r"its options say: down \('mean', now 'max'\)"):
        start_from(fresh(peak), peak, (mean, trained(down="mean")), "train.start=mine")
    other = create_model("dncnn-color")
    with pytest.raises(ZooError, match=r"another model, a UNet, than model\.name says, a DnCNN"):
        start_from(fresh(peak), other, (mean, trained(down="mean")), "train.start=mine")


@pytest.mark.matrix
def test_weights_that_are_not_finite_are_refused():
    module = model()
    broken = jax.tree.map(lambda leaf: leaf, trained())
    broken["params"]["tail"]["bias"] = broken["params"]["tail"]["bias"].at[0].set(np.nan)
    with pytest.raises(ZooError, match="mine is not finite in params/tail/bias"):
        start_from(fresh(module), module, (module, broken), "train.start=mine")


def test_published_weights_are_a_start(tmp_path):
    """As PyTorch stores them: outputs, inputs, rows, columns."""
    rng = np.random.default_rng(0)
    shapes = [(4, 3, 3, 3), (4, 4, 3, 3), (3, 4, 3, 3)]
    kernels = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    state = {}
    for n, kernel in enumerate(kernels):
        state |= {f"model.{2 * n}.weight": kernel, f"model.{2 * n}.bias": kernel[:, 0, 0, 0]}
    file = tmp_path / "dncnn.safetensors"
    safetensors.numpy.save_file(state, file)
    config = default_config()
    config.model.name, config.train.start = "dncnn-color", str(file)
    options = {"depth": 3, "width": 4}
    module, found = load_start(config, options)
    assert module == create_model("dncnn-color", **options)
    begun = start_from(fresh(module), module, (module, found), str(file)).params
    for name, kernel in zip(("head", "body0", "tail"), kernels, strict=True):
        np.testing.assert_array_equal(begun[name]["kernel"], kernel.transpose(2, 3, 1, 0))
    with pytest.raises(ZooError, match="does not hold dncnn-color"):
        load_start(config, options | {"width": 8})
    config.train.start = str(tmp_path / "none.pth")
    with pytest.raises(ZooError, match=r"there is no weight file .*none\.pth"):
        load_start(config, options)


@pytest.mark.matrix
def test_a_run_in_a_thread(tmp_path):
    """Where Python takes no signals."""
    config = default_config()
    config.model.name, config.model.options = "dncnn-color", {"depth": 2, "width": 2}
    config.data.crop = (8, 8)
    config.data.fractions = (0.5, 0.0, 0.5)
    config.train.batch_size, config.train.steps = 2, 2

    def run():
        # Optax mixes dtypes; what the session is set to otherwise holds for its main thread too.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            train(config, tmp_path / "run")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
    assert (tmp_path / "run" / "weights.safetensors").exists()


def test_nobody_listens_to_signals_outside_the_main_thread():
    def listen():
        with Listener() as listener:
            return listener.signum

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(listen).result() is None
