"""The training state: all that a checkpoint holds and a step changes."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from zoo.models import init_variables

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
