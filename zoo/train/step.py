"""The training step: a pure function of (state, batch, key), the same under jit and pmap."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from zoo.data.augment import Augment
from zoo.data.batches import Batch, crop
from zoo.train.state import State

Sampler = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
Step = Callable[[State, Batch, jax.Array], tuple[State, dict[str, jax.Array]]]


class Example(NamedTuple):
    """What the loss sees, batched.

    Attributes:
      input: (B, H, W, C), noisy.
      target: (B, H, W, C), what the model should give.
      weight: broadcasts against the target; how much each value counts.
      level: (B,) noise level in signal units.
    """

    input: jax.Array
    target: jax.Array
    weight: jax.Array
    level: jax.Array


def make_prepare(
    *, size: tuple[int, int, int], augment: Augment, sampler: Sampler | None
) -> Callable[[Batch, jax.Array], Example]:
    """Builds the function that turns a batch into examples: crop, augment, corrupt.

    Args:
      size: (H, W, C) of an example.
      augment: from `zoo.data.augment`.
      sampler: noise, `(key, x) -> (noisy, level)`; None for paired data, which brings its own.

    Returns:
      `prepare(batch, key)`. Each example draws from `fold_in(key, slot)` alone, so what it sees
      depends neither on the other examples nor on the number of devices.
    """
    h, w, c = size
    stacked = (h, w, c if sampler else 2 * c)

    def one(key, slot, picture, pixels, bank):
        key_crop, key_augment, key_noise = jax.random.split(jax.random.fold_in(key, slot), 3)
        if pixels is None:
            pixels = crop(key_crop, bank, picture, stacked)
        x = augment(key_augment, pixels.astype(jnp.float32) / float(jnp.iinfo(pixels.dtype).max))
        if sampler is None:
            return Example(x[..., c:], x[..., :c], jnp.ones((1, 1, 1)), jnp.zeros(()))
        noisy, level = sampler(key_noise, x)
        return Example(noisy, x, jnp.ones((1, 1, 1)), level)

    def prepare(batch: Batch, key: jax.Array) -> Example:
        axes = (None, 0, 0, 0, None)
        return jax.vmap(one, axes)(key, batch.slot, batch.picture, batch.pixels, batch.bank)

    return prepare


def make_step(
    *,
    model: nn.Module,
    loss: Callable[..., jax.Array],
    optimizer: optax.GradientTransformation,
    prepare: Callable[[Batch, jax.Array], Example],
    ema_decay: float,
    axis_name: str | None = None,
) -> Step:
    """Builds the training step.

    Args:
      model: the denoiser.
      loss: `(prediction, target, weight, axis_name) -> scalar`, from `zoo.losses.make_loss`.
      optimizer: from `zoo.train.optimizer`.
      prepare: from `make_prepare`.
      ema_decay: how much of the parameter average stays each step, in [0, 1); it starts lower, as
        (1 + t) / (10 + t), so that the average forgets the initialisation.
      axis_name: the axis, of a mesh or of pmap, over which gradients are averaged; None where the
        batch is whole, as on one device.

    Returns:
      `step(state, batch, key) -> (state, metrics)`, pure. `key` is the run's root key; the step
      folds its own number in. Metrics are scalars: loss, psnr (of the clipped output, range 1, from
      the mean error of the batch) and grad_norm.
    """

    def step(state: State, batch: Batch, key: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        example = prepare(batch, jax.random.fold_in(key, state.step))

        def objective(params):
            prediction, model_state = model.apply(
                {"params": params, **state.model_state},
                example.input,
                example.level,
                train=True,
                mutable=list(state.model_state),
            )
            value = loss(prediction, example.target, example.weight, axis_name)
            error = jnp.mean(jnp.square(jnp.clip(prediction, 0.0, 1.0) - example.target))
            return value, (model_state, error)

        (value, (model_state, error)), gradients = jax.value_and_grad(objective, has_aux=True)(
            state.params
        )
        if axis_name:
            gradients, value, error = jax.lax.pmean((gradients, value, error), axis_name)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        count = state.step.astype(jnp.float32)
        decay = jnp.minimum(ema_decay, (1.0 + count) / (10.0 + count))
        state = State(
            step=state.step + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            ema=optax.incremental_update(params, state.ema, 1.0 - decay),
        )
        metrics = {
            "loss": value,
            "psnr": -10.0 * jnp.log10(error),
            "grad_norm": optax.tree.norm(gradients),
        }
        return state, metrics

    return step
