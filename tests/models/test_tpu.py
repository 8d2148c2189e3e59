"""The programs of every model can be lowered for a TPU."""

import golden
import jax
import jax.numpy as jnp
import optax
import pytest
from lowering import custom_calls
from variants import FAMILIES, of_matrix

from zoo import losses, noise
from zoo.data.augment import make_augment
from zoo.data.batches import Batch
from zoo.modality import get
from zoo.models import create_model, list_models, model_spec, small_options
from zoo.train.step import State, make_prepare, make_step

WITHOUT_PARAMETERS = ("spectral_gate", "wiener")
TRAINED = [name for family, name in FAMILIES.items() if family not in WITHOUT_PARAMETERS]


def build(name):
    """The shallow model, its specification, and the shapes of its variables and inputs."""
    options = small_options(name)
    model, spec = create_model(name, **options), model_spec(name, **options)
    shape = golden.natural_shape(spec)
    x, level = (jax.ShapeDtypeStruct(s, jnp.float32) for s in (shape, shape[:1]))
    return model, spec, jax.eval_shape(model.init, jax.random.key(0), x, level), x, level


# Crop, augmentation, noise and optimizer too; the variants of a family share their layers.
@pytest.mark.parametrize("name", of_matrix(TRAINED))
def test_training_step(name):
    model, spec, variables, x, _ = build(name)
    audio, optimizer = spec.modality == "audio", optax.adam(1e-3)
    prepare = make_prepare(
        size=(*x.shape[1:-1], spec.channels),
        augment=make_augment(gain=6.0) if audio else make_augment(flip=True, quarter_turn=True),
        sampler=noise.make_sampler("add_at_snr", (0, 9), modality="audio")
        if audio
        else noise.make_sampler("gaussian", (10, 50), unit="1/255"),
        planes=spec.planes,
    )
    loss = "compressed_magnitude" if audio else "charbonnier"
    step = make_step(
        model=model,
        loss=losses.make_loss(loss, modality=spec.modality),
        optimizer=optimizer,
        prepare=prepare,
        ema_decay=0.9,
        modality=get(spec.modality),
    )
    crops = jax.ShapeDtypeStruct(x.shape, jnp.int16 if audio else jnp.uint8)
    batch = Batch(jnp.arange(2), crops=crops, noise_crops=crops if audio else None)
    params, state = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    with jax.numpy_dtype_promotion("standard"):  # optax counts in int32 and divides floats by it
        opt_state = jax.eval_shape(optimizer.init, params)
        state = State(jnp.zeros((), jnp.int32), params, state, opt_state, params)
        assert not custom_calls(step, state, batch, jax.random.key(0))


# The forward pass of the others is part of their training step.
@pytest.mark.parametrize("name", of_matrix(sorted({*list_models()} - {*TRAINED})))
def test_inference(name):
    model, _, variables, x, level = build(name)
    assert not custom_calls(model.apply, variables, x, level)
