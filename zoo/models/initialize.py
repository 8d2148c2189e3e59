"""First variables of a model, without minutes of compiling."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def init_variables(model: nn.Module, key: jax.Array, shape: Sequence[int]) -> dict[str, Any]:
    """`model.init` in one compiled program; the values do not depend on the size of the picture.

    Args:
      model: the module.
      key: a typed key.
      shape: (N, H, W, C) of a batch.
    """
    # It runs once, and on CPU LLVM would take far longer to make the many draws fast.
    cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": 0} if cpu else None
    init = jax.jit(model.init, compiler_options=options)
    return init(key, jnp.zeros(shape), jnp.zeros(shape[:1]))
