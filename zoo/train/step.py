"""The training step: a pure function of (state, batch, key), the same under jit and pmap."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from zoo.data.augment import Augment
from zoo.data.batches import Bank, Batch, crop, excerpt
from zoo.data.windows import middle, with_middle
from zoo.errors import ZooError
from zoo.losses import Example, weighted_mean
from zoo.metrics import main_metric
from zoo.modality import IMAGE, Modality, to_float
from zoo.models import init_variables, spec_of
from zoo.selfsupervised import Method
from zoo.train.optimizer import level_of

# Folded into the key of an example, beyond the number of those split off it.
_OF_RISK = 2**16

Tree = Any
Sampler = Callable[..., tuple[jax.Array, jax.Array]]


@struct.dataclass
class State:
    """Everything one training step reads and writes.

    Attributes:
      step: () int32, updates done.
      params: the trained parameters.
      model_state: the other collections, such as batch statistics.
      opt_state: the optimizer's.
      ema: an exponential moving average of `params`, the weights to use.
    """

    step: jax.Array
    params: Tree
    model_state: Tree
    opt_state: Tree
    ema: Tree

    @property
    def variables(self) -> Tree:
        """The averaged model, ready for `apply`."""
        return {"params": self.ema, **self.model_state}


def create_state(
    model: nn.Module, optimizer: optax.GradientTransformation, key: jax.Array, shape: tuple
) -> State:
    """Initialises a model and its optimizer.

    Args:
      model: the module.
      optimizer: its optimizer.
      key: a typed key.
      shape: (N, H, W, C) of a batch of targets; the values do not matter.

    Raises:
      ZooError: the model has no parameters.
    """
    *axes, channels = shape
    variables = init_variables(model, key, (*axes, spec_of(model).planes * channels))
    if "params" not in variables:
        raise ZooError(
            f"{type(model).__name__} has no parameters to train; choose another model, or denoise "
            "with it as it is"
        )
    model_state = {k: v for k, v in variables.items() if k != "params"}
    params = variables["params"]
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=optimizer.init(params),
        # A copy: donating the state must not donate one buffer twice.
        ema=jax.tree.map(jnp.copy, params),
    )


Step = Callable[[State, Batch, jax.Array], tuple[State, dict[str, jax.Array]]]


def make_prepare(
    *,
    size: tuple[int, ...],
    augment: Augment,
    sampler: Sampler | None,
    coding: Sampler | None = None,
    line: Sampler | None = None,
    method: Method | None = None,
    level: float = 0.0,
    planes: int = 1,
) -> Callable[[Batch, jax.Array], Example]:
    """Builds the function that turns a batch into examples: crop, augment, corrupt.

    Args:
      size: (H, W, C) of an example, (T, C) of an audio signal.
      augment: from `zoo.data.augment`.
      sampler: noise, `(key, x, noise=None) -> (noisy, level)`; None for paired data, which brings
        its own. It is given an excerpt of the batch's noise signals where there are some.
      coding: what the noisy signal is coded by then; None for nothing.
      line: what it comes through last and the target as well, by the same key; None for nothing.
      method: what makes examples of noisy images alone; None where there are clean ones. Without a
        sampler the data are the noisy images; of pairs, both are.
      level: of the noise of such data, in the unit of the noise op.
      planes: K of a window, which the model takes (H, W, K C) for a target (H, W, C), and the
        sampler all planes of; see `zoo.data.windows`. A method makes its example of the center,
        the neighbors are seen as they are.

    Returns:
      `prepare(batch, key)`. Each example draws from `fold_in(key, slot)` alone, so what it sees
      depends neither on the other examples nor on the number of devices.
    """
    *spatial, c = size
    paired = sampler is None and (method is None or method.pairs)
    stacked = (*spatial, planes * c + (c if paired else 0))
    whole = jnp.ones((1,) * len(size))

    def one(key: jax.Array, bank: Bank | None, noises: Bank | None, own: Batch) -> Example:
        key_own = jax.random.fold_in(key, own.slot)
        keys = jax.random.split(key_own, 5)
        key_crop, key_augment, key_noise, key_coding, key_line = keys
        values, noise = own.crops, own.noise_crops
        if values is None:
            values = crop(key_crop, bank, own.example, stacked)
        x = augment(key_augment, to_float(values))
        if method is not None:
            return without_clean(jax.random.fold_in(key_own, len(keys)), key_noise, x)
        if sampler is None:
            x, noisy, level = x[..., :c], x[..., c:], jnp.zeros(())
            return Example(*after(key_coding, key_line, noisy, x), whole, level)
        if noises is not None:
            key_excerpt, key_noise = jax.random.split(key_noise)
            noise = excerpt(key_excerpt, noises, size)
        if noise is None:
            noisy, level = sampler(key_noise, x)
        else:
            # Few noises become many, as the clean signals do.
            key_other, key_noise = jax.random.split(key_noise)
            noisy, level = sampler(key_noise, x, augment(key_other, to_float(noise)))
        return Example(*after(key_coding, key_line, noisy, middle(x, c)), whole, level)

    def without_clean(key, key_noise, x):
        known, others = jnp.float32(level), {}
        if paired:
            x, others = x[..., c:], {"other": x[..., :c]}
        elif sampler is not None:
            if method.pairs:
                key_noise, key_other = jax.random.split(key_noise)
                others = {"other": middle(sampler(key_other, x)[0], c)}
            x, known = sampler(key_noise, x)
        center = middle(x, c)
        if method.is_risk:
            return Example(x, center, whole, known)
        example = method.function(key, center, known, **others)
        return example._replace(input=with_middle(x, example.input))

    def after(key_coding, key_line, noisy, x):
        if coding is not None:
            noisy, _ = coding(key_coding, noisy)
        if line is not None:
            noisy, x = line(key_line, noisy)[0], line(key_line, x)[0]
        return noisy, x

    def prepare(batch: Batch, key: jax.Array) -> Example:
        own = batch._replace(bank=None, noise=None)
        return jax.vmap(one, (None, None, None, 0))(key, batch.bank, batch.noise, own)

    return prepare


def risk_of(
    method: Method,
    apply: Callable[..., jax.Array],
    keys: jax.Array,
    variables: Tree,
    example: Example,
    level: jax.Array,
) -> jax.Array:
    """The map of a risk on noisy examples; of windows that of the center, its neighbors given.

    Args:
      method: the risk.
      apply: the model, `(variables, x, level) -> y`.
      keys: (B,), see `risk_keys`.
      variables: of the model.
      example: of `make_prepare`, whose target is the center.
      level: (B,).
    """

    def of_center(variables, x, level):
        return apply(variables, with_middle(example.input, x), level)

    return method.function(keys, of_center, variables, example.target, level)


def risk_keys(key: jax.Array, slots: jax.Array) -> jax.Array:
    """The keys of a risk, (B,): each of its slot alone, and none that `make_prepare` draws from.

    Args:
      key: of the step.
      slots: (B,).
    """
    keys = jax.vmap(partial(jax.random.fold_in, key))(slots)
    return jax.vmap(partial(jax.random.fold_in, data=_OF_RISK))(keys)


def make_step(
    axis_name: str | None = None,
    *,
    model: nn.Module,
    loss: Callable[..., jax.Array],
    optimizer: optax.GradientTransformation,
    prepare: Callable[[Batch, jax.Array], Example],
    ema_decay: float,
    modality: Modality = IMAGE,
    method: Method | None = None,
) -> Step:
    """Builds the training step.

    Args:
      axis_name: the axis, of a mesh or of pmap, over which gradients, and the statistics of a model
        with a field `axis_name`, are averaged; None where the batch is whole, as on one device.
      model: the denoiser.
      loss: `(prediction, target, weight, axis_name) -> scalar`, from `zoo.losses.make_loss`.
      optimizer: from `zoo.train.optimizer`.
      prepare: from `make_prepare`.
      ema_decay: how much of the parameter average is kept each step, in [0, 1); it starts lower, as
        (1 + t) / (10 + t), so that the average forgets the initial parameters.
      modality: of the model; its figure of merit is among the metrics.
      method: of `prepare`; a risk is in place of the loss. Without clean images there is no figure
        of merit. Where it learns the level, the optimizer is one of
        `zoo.train.optimizer.with_level`.

    Returns:
      `step(state, batch, key) -> (state, metrics)`, pure. `key` is the run's root key; the step
      folds its own number in. Metrics are scalars: loss, the modality's figure of merit and
      grad_norm, and the level where it is learned.
    """
    metric = main_metric(modality)
    learns_level = method is not None and method.learns_level
    if axis_name and hasattr(model, "axis_name"):
        model = model.clone(axis_name=axis_name)

    def step(state: State, batch: Batch, key: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(key, state.step)
        example = prepare(batch, key)

        def supervised(params):
            prediction, model_state = model.apply(
                {"params": params, **state.model_state},
                example.input,
                example.level,
                train=True,
                mutable=list(state.model_state),
            )
            value = loss(prediction, example.target, example.weight, axis_name)
            merit = metric.of_batch(jax.lax.stop_gradient(prediction), example.target)
            return value, (model_state, merit)

        def self_supervised(params, level=None):
            if level is None:
                level = example.level
            values = risk_of(
                method,
                lambda params, x, level: model.apply({"params": params}, x, level, train=True),
                risk_keys(key, batch.slot),
                params,
                example,
                jnp.broadcast_to(level, example.level.shape),
            )
            value = weighted_mean(values, example.weight, axis_name)
            return value, (state.model_state, {})

        objective = self_supervised if method and method.is_risk else supervised
        given = (level_of(state.opt_state),) if learns_level else ()
        argnums = tuple(range(1 + len(given)))
        (value, (model_state, merit)), (gradients, *slope) = jax.value_and_grad(
            objective, argnums, has_aux=True
        )(state.params, *given)
        if axis_name:
            gradients, slope, value, merit = jax.lax.pmean(
                (gradients, slope, value, merit), axis_name
            )
        more = {"level_slope": slope[0]} if learns_level else {}
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, **more)
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
        metrics = {"loss": value, "grad_norm": optax.tree.norm(gradients)}
        if method is None:
            metrics[modality.merit] = metric.finished(merit)
        if learns_level:
            metrics["level"] = level_of(opt_state)
        return state, metrics

    return step
