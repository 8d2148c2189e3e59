"""Every family learns from its first variables, at the rate the config gives it by default."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from variables import random_variables

from zoo.data.windows import middle
from zoo.errors import ZooError
from zoo.losses import make_loss
from zoo.models import (
    count_parameters,
    create_model,
    init_variables,
    list_models,
    model_spec,
    small_options,
)
from zoo.train.config import default_config
from zoo.train.experiment import build

STEPS = 60


def one_of_each_family():
    found = {}
    for name in list_models():
        if count_parameters(name):
            found.setdefault(model_spec(name).family, name)
    return list(found.values())


def signals(facts):
    """Eight images, or recordings, with something in them."""
    rng = np.random.default_rng(0)
    if facts.modality == "audio":
        t = np.arange(2048) / 16000
        pitch = rng.uniform(100, 900, (8, 1, facts.channels))
        return 0.3 * np.sin(2 * np.pi * pitch * t[:, None]).astype(np.float32), 0.1
    height, width = facts.size or (16, 16)
    # The planes of a stack are alike.
    coarse = np.tile(rng.random((8, 5, 5, facts.channels)), facts.planes)
    weights = [np.abs(np.linspace(0, 4, n)[:, None] - np.arange(5)) for n in (height, width)]
    down, across = (np.clip(1 - w, 0, 1) for w in weights)
    return np.einsum("hi,wj,nijc->nhwc", down, across, coarse).astype(np.float32), 25 / 255


@pytest.mark.matrix
@pytest.mark.parametrize("name", one_of_each_family())
def test_gradients_reach_every_parameter_and_at_most_sixty_steps_lower_the_loss(name):
    """Both by one program, for it is a family's longest to compile."""
    options = small_options(name)
    model, facts = create_model(name, **options), model_spec(name, **options)
    clean, sigma = signals(facts)
    loss = make_loss("charbonnier", modality=facts.modality)
    level = np.full(len(clean), sigma, np.float32)

    @jax.jit
    def gradient(params, rest, noisy):
        def objective(params):
            found, changed = model.apply(
                {"params": params, **rest}, noisy, level, train=True, mutable=list(rest)
            )
            target = middle(clean, facts.channels)
            return loss(found, target, jnp.ones((1,) * clean.ndim)), changed

        return jax.value_and_grad(objective, has_aux=True)(params)

    rng = np.random.default_rng(1)

    def noisy():
        return clean + sigma * rng.standard_normal(clean.shape, np.float32)

    variables = random_variables(model, clean, level)
    for path, g in jax.tree.leaves_with_path(
        gradient(variables.pop("params"), variables, noisy())[1]
    ):
        assert np.isfinite(g).all(), path
        assert np.any(g != 0), path

    variables = dict(init_variables(model, jax.random.key(0), (1, *clean.shape[1:])))
    params, unravel = ravel_pytree(variables.pop("params"))
    unravel = jax.jit(unravel)
    optimizer = optax.adam(model.learning_rate or 3e-3)
    # The session is stricter than optax.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        state, update = optimizer.init(params), jax.jit(optimizer.update)
        losses = []
        while len(losses) < STEPS and not fell(losses):
            (value, variables), found = gradient(unravel(params), variables, noisy())
            updates, state = update(ravel_pytree(found)[0], state)
            params = params + updates
            losses.append(float(value))
    assert fell(losses), losses


def fell(losses):
    return len(losses) > 12 and np.mean(losses[-10:]) < 0.95 * np.mean(losses[:3])


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["drunet-color", "scunet-gray"])
def test_what_gives_the_image_itself_begins_as_the_noisy_one(name):
    """As those do that give a correction, whose last convolution begins near 0."""
    model = create_model(name, **small_options(name))
    clean, sigma = signals(model_spec(name))
    noisy = clean[:2] + sigma * np.random.default_rng(1).normal(size=clean[:2].shape)
    noisy = noisy.astype(np.float32)
    variables = init_variables(model, jax.random.key(0), (1, *noisy.shape[1:]))
    found = jax.jit(model.apply)(variables, noisy, sigma)
    assert np.sqrt(np.mean((found - noisy) ** 2)) < 0.2 * sigma


def test_the_rate_of_a_model_is_taken_unless_another_is_set():
    config = default_config()
    config.data.fractions = (0.5, 0.0, 0.5)
    config.model.options = small_options("unet-tiny")
    config.model.name = "unet-tiny"
    assert build(config).config.optimizer.learning_rate == 1e-3
    config.model.name, config.model.options = "drunet-color", small_options("drunet-color")
    assert build(config).config.optimizer.learning_rate == 3e-4
    assert config.optimizer.learning_rate is None
    config.optimizer.learning_rate = 2e-3
    assert build(config).config.optimizer.learning_rate == 2e-3


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("unet-tiny", np.zeros((1, 8, 8, 3), np.uint8)),
        ("stream-t", np.zeros((1, 512, 1), np.int16)),
    ],
)
def test_integers_are_refused_in_one_line(name, x):
    model = create_model(name)
    with pytest.raises(ZooError, match=f"got {x.dtype}; scale them to ") as caught:
        model.init(jax.random.key(0), x)
    assert "\n" not in str(caught.value)
