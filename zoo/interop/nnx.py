"""The models as Flax NNX modules."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flax import core
from flax import linen as nn

if TYPE_CHECKING:
    from flax import nnx


def to_nnx(model: nn.Module, variables: Mapping) -> "nnx.bridge.ToNNX":
    """Wraps a model and its variables in an NNX module that computes the same.

    `nnx.jit`, `nnx.grad`, `nnx.state` and the optimizers of NNX take it as any other; parameters
    are `nnx.Param`, batch statistics `nnx.BatchStat`.

    Args:
      model: a Linen module, such as `create_model` gives.
      variables: what `init`, `zoo.load` or `load_torch` gives for it; the arrays are not copied.

    Returns:
      The module, called as the model is: `module(x, level)`, with x (N, H, W, C) in [0, 1] and
      level in signal units. `module(x, level, train=True, mutable=["batch_stats"])` updates the
      batch statistics in place.

    Raises:
      ValueError: two collections have a variable of the same path.
      flax.errors.ScopeParamNotFoundError: when called, where variables of the model are missing.
    """
    # Every process that imports `zoo` would wait for what few of them use.
    from flax import nnx  # noqa: PLC0415
    from flax.nnx.bridge.variables import linen_vars_to_nnx_attrs  # noqa: PLC0415

    module = nnx.bridge.ToNNX(model)
    # Its own way, `lazy_init`, would first make random parameters by running the whole network.
    for name, value in linen_vars_to_nnx_attrs(core.unfreeze(variables)).items():
        setattr(module, name, nnx.data(value))
    return module
