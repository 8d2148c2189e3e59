"""Optimizers and learning-rate schedules by name, from optax."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, muon

from zoo.errors import ZooError, in_one_line, unknown


def _muon(schedule: optax.Schedule, **options) -> optax.GradientTransformation:
    """optax's Muon, with the kernel of a convolution as the matrix of its patches.

    Updates have the root mean square that AdamW's have, so that its learning rates hold
    (Liu et al., "Muon is Scalable for LLM Training", 2025, section 2.2).
    """
    return muon(
        schedule, **{"muon_weight_dimension_numbers": _matrices, "consistent_rms": 0.2} | options
    )


def _matrices(params):
    """Which axes of each parameter are summed over and which are not; None for one axis, Adam's."""

    def matrix(x: jax.Array) -> MuonDimensionNumbers | None:
        return MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1) if x.ndim > 1 else None

    return jax.tree.map(matrix, params)


_OPTIMIZERS = {"adam": optax.adam, "adamw": optax.adamw, "muon": _muon, "sgd": optax.sgd}


def make_schedule(
    name: str,
    *,
    peak: float,
    steps: int,
    warmup: float = 0.0,
    end: float = 0.0,
    boundaries: tuple[float, ...] = (0.5, 0.75),
    factor: float = 0.1,
) -> optax.Schedule:
    """Builds a learning-rate schedule.

    Args:
      name: `"constant"`, `"cosine"` (to `end` at the last step) or `"step"` (times `factor` at
        each boundary). Each rises linearly from 0 first.
      peak: the highest rate.
      steps: updates in the whole run.
      warmup: the share of the run that the linear rise takes, in [0, 1).
      end: the last rate of `"cosine"`.
      boundaries: fractions of the run, for `"step"`.
      factor: for `"step"`.

    Raises:
      ZooError: no such schedule, or a warm-up that leaves nothing of the run.
    """
    if not 0 <= warmup < 1:
        raise ZooError(f"optimizer.warmup={warmup} is a share of the run; make it 0 to below 1")
    warmup_steps = int(warmup * steps)
    rest = steps - warmup_steps
    if name == "constant":
        after = optax.constant_schedule(peak)
    elif name == "cosine":
        after = optax.cosine_decay_schedule(peak, max(rest, 1), alpha=end / peak)
    elif name == "step":
        after = optax.piecewise_constant_schedule(
            peak, {int(b * steps) - warmup_steps: factor for b in boundaries}
        )
    else:
        raise unknown("schedule", name, ("constant", "cosine", "step"))
    if not warmup_steps:
        return after
    rise = optax.linear_schedule(0.0, peak, warmup_steps)
    return optax.join_schedules([rise, after], [warmup_steps])


def make_optimizer(
    name: str,
    schedule: optax.Schedule,
    *,
    clip_norm: float = 0.0,
    accumulate: int = 1,
    **options,
) -> optax.GradientTransformation:
    """Builds an optimizer.

    Args:
      name: `"adam"`, `"adamw"`, `"muon"` (Jordan et al., 2024: orthogonal updates of all
        that has two axes or more, Nesterov Adam's of the rest) or `"sgd"`.
      schedule: learning rate by update.
      clip_norm: gradients are scaled down to this global norm; 0 for never.
      accumulate: gradients of so many steps are averaged into one update.
      **options: what optax's function of that name takes, such as `weight_decay`.

    Raises:
      ZooError: no such optimizer, or it has no such option, or none of that value.
    """
    if name not in _OPTIMIZERS:
        raise unknown("optimizer", name, _OPTIMIZERS)
    with in_one_line(f"optimizer {name!r} cannot be built"):
        optimizer = _OPTIMIZERS[name](schedule, **options)
        # What some options cannot be shows in their first update.
        params = {"kernel": jnp.zeros((3, 3, 2, 2)), "bias": jnp.zeros(2)}
        # A session may be stricter than optax is.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            jax.eval_shape(lambda p: optimizer.update(p, optimizer.init(p), p), params)
    if clip_norm:
        optimizer = optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
    if accumulate > 1:
        optimizer = optax.MultiSteps(optimizer, accumulate).gradient_transformation()
    return optimizer


class LevelState(NamedTuple):
    """The state of `with_level`.

    Attributes:
      inner: of the optimizer of the parameters.
      level: () the noise level found so far, in signal units.
    """

    inner: Any
    level: jax.Array


def with_level(
    optimizer: optax.GradientTransformation, *, start: float, rate: float = 0.02
) -> optax.GradientTransformationExtraArgs:
    """An optimizer that also finds the noise level, which is no parameter of the model.

    It climbs where the parameters descend, as a multiplier does (`zoo.selfsupervised.unsure`).
    Its steps are relative, `level *= exp(rate * slope / (4 * level))`, so that they do not depend
    on the unit; with a risk of slope `4 * level * d` that is `exp(rate * d)`.

    Args:
      optimizer: of the parameters.
      start: the first level, above 0, in signal units.
      rate: of its steps.

    Returns:
      A transformation whose update takes `level_slope`, the () derivative of the risk.
    """

    def init(params: optax.Params) -> LevelState:
        return LevelState(optimizer.init(params), jnp.float32(start))

    def update(updates, state, params=None, *, level_slope):
        updates, inner = optimizer.update(updates, state.inner, params)
        relative = jnp.clip(level_slope / (4 * state.level), -1, 1)
        return updates, LevelState(inner, state.level * jnp.exp(rate * relative))

    return optax.GradientTransformationExtraArgs(init, update)


def level_of(state: LevelState) -> jax.Array:
    """The level of a state of `with_level`."""
    return state.level
