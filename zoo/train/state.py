"""The training state: all that a checkpoint holds and a step changes."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct, traverse_util

from zoo.errors import ZooError
from zoo.models import init_variables, misfits

Tree = Any


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
      shape: (N, H, W, C) of a batch; the values do not matter.
    """
    variables = init_variables(model, key, shape)
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


def start_from(state: State, variables: Tree, name: str) -> State:
    """A state before its first step with trained variables instead of random ones.

    Args:
      state: of `create_state`.
      variables: of the same model, or of one that differs in taking a level where this takes none:
        it begins as if the level were 0.
      name: what to call them in an error.

    Raises:
      ZooError: they are not of this model.
    """
    own = {"params": state.params, **state.model_state}
    wanted, found = (traverse_util.flatten_dict(tree, sep="/") for tree in (own, variables))
    found = _without_level(wanted, found)
    if wrong := misfits(wanted, found):
        raise ZooError(
            f"train.start={name} holds another model than model.name and its options say; first "
            f"of {len(wrong)} differences: {wrong[0]}"
        )
    variables = traverse_util.unflatten_dict(
        {path: found[path].astype(x.dtype) for path, x in wanted.items()}, sep="/"
    )
    params = variables.pop("params")
    return state.replace(params=params, model_state=variables, ema=jax.tree.map(jnp.copy, params))


def _without_level(wanted: Tree, found: Tree) -> Tree:
    """`found` without the kernel taps of a level map, the last channel of a first convolution."""
    odd = [path for path, x in found.items() if path in wanted and x.shape != wanted[path].shape]
    if len(odd) != 1 or found[odd[0]].ndim < 3:
        return found
    taps = found[odd[0]][..., :-1, :]
    return found | {odd[0]: taps} if taps.shape == wanted[odd[0]].shape else found
