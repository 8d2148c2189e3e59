"""Batch norm folded into the layers before it, for models that know how."""

from collections.abc import Mapping

from flax import linen as nn

from zoo.errors import ZooError


def merge_batch_norm(model: nn.Module, variables: Mapping) -> tuple[nn.Module, dict]:
    """Folds the running statistics of batch norm into the convolutions before it.

    A model that can has a method `merge_batch_norm(variables)` that does the same.

    Args:
      model: a DnCNN or StreamUNet with `norm="batch"`.
      variables: its variables, with `params` and `batch_stats`.

    Returns:
      The module without batch norm and its variables; its outputs equal those of
      `model.apply(variables, x)` up to rounding, and cost less.

    Raises:
      ZooError: there is no batch norm to merge.
    """
    able = hasattr(model, "merge_batch_norm") and model.norm == "batch"
    if not able or "batch_stats" not in variables:
        raise ZooError(
            "there is no batch norm to merge; take a DnCNN or StreamUNet of norm='batch' and its "
            "variables, 'params' and 'batch_stats'"
        )
    return model.merge_batch_norm(variables)
