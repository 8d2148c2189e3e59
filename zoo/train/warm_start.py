"""A run that begins with trained weights instead of random ones."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from zoo.errors import ZooError
from zoo.models import create_model, shape_mismatches
from zoo.train.step import State

Start = tuple[nn.Module, Mapping[str, Any]]

_REMEDY = "set model.name and model.options as `zoo weights FILE` shows them, or begin with others"
# Fields of a module that change nothing of what its weights mean.
_FREE = frozenset({"parent", "name", "dtype", "param_dtype", "axis_name", "takes_level"})


def load_start(config: Any, options: Mapping[str, Any]) -> Start | None:
    """The weights that a run begins with: a module and its variables; None without train.start.

    Args:
      config: of the run, a ConfigDict. `train.start` is a name of `zoo.list_weights()`, a weight
        file, or a file of weights that the authors of `model.name` published.
      options: the fields of the module that the config sets.

    Raises:
      ZooError: there are no such weights, or they are published ones of another model.
    """
    from zoo import weights  # noqa: PLC0415 - `fit` needs neither
    from zoo.interop.torch import load_torch  # noqa: PLC0415

    name, start = config.model.name, config.train.start
    if not start:
        return None
    if not weights.is_published(start):
        return weights.load(start)
    return create_model(name, **options), load_torch(name, weights.find(start), **options)


def start_from(state: State, model: nn.Module, start: Start, name: str) -> State:
    """A state before its first step with trained variables instead of random ones.

    Args:
      state: of `create_state`.
      model: what is going to be trained.
      start: a model and its variables, as `load_start` gives them: the same as `model`, or
        one that differs in taking a level. Where `model` takes none it begins as the other is at
        level 0; where it takes one it begins as the other is, at every level.
      name: of the weights, for errors.

    Raises:
      ZooError: they are not of this model, or not finite.
    """
    origin, variables = start
    _check_same(model, origin, name)
    own = {"params": state.params, **state.model_state}
    wanted, found = (traverse_util.flatten_dict(tree, sep="/") for tree in (own, variables))
    takes, took = (getattr(module, "takes_level", False) for module in (model, origin))
    if takes != took:
        found = _change_level(wanted, found, takes)
    if wrong := shape_mismatches(wanted, found):
        raise ZooError(
            f"{name} holds another model than model.name and its options say; first "
            f"of {len(wrong)} differences: {wrong[0]}; {_REMEDY}"
        )
    if odd := [path for path, x in found.items() if not jnp.isfinite(x).all()]:
        raise ZooError(f"{name} is not finite in {odd[0]}; begin with other weights")
    variables = traverse_util.unflatten_dict(
        {path: found[path].astype(x.dtype) for path, x in wanted.items()}, sep="/"
    )
    params = variables.pop("params")
    return state.replace(params=params, model_state=variables, ema=jax.tree.map(jnp.copy, params))


def _check_same(model: nn.Module, origin: nn.Module, name: str) -> None:
    """Refuses another module, even one whose parameters would fit."""
    if type(model) is not type(origin):
        raise ZooError(
            f"{name} holds another model, a {type(origin).__name__}, than model.name "
            f"says, a {type(model).__name__}; {_REMEDY}"
        )
    for field in dataclasses.fields(model):
        now, then = getattr(model, field.name), getattr(origin, field.name)
        if field.name not in _FREE and now != then:
            raise ZooError(
                f"{name} holds another model than model.name and its options say: "
                f"{field.name} ({then!r}, now {now!r}); {_REMEDY}"
            )


def _change_level(wanted: Mapping, found: Mapping, takes: bool) -> Mapping:
    """`found` with or without the kernel taps of the level map; new ones are 0.

    They belong to the last input channel of the first convolution; of a 3-D one to the last of each
    plane.
    """
    odd = [path for path, x in found.items() if path in wanted and x.shape != wanted[path].shape]
    if len(odd) != 1 or found[odd[0]].ndim < 3:
        return found
    kernel, shape = found[odd[0]], wanted[odd[0]].shape
    *size, inputs, features = kernel.shape
    planes = abs(shape[-2] - inputs)
    if not planes or inputs % planes:
        return found
    kernel = kernel.reshape(*size, planes, inputs // planes, features)
    added = jnp.zeros_like(kernel[..., :1, :])
    kernel = jnp.concatenate([kernel, added], axis=-2) if takes else kernel[..., :-1, :]
    kernel = kernel.reshape(*size, -1, features)
    return {**found, odd[0]: kernel} if kernel.shape == shape else found
