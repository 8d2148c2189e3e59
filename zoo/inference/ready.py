"""A model, however it was named, with variables that fit it."""

import os
from collections.abc import Mapping
from pathlib import Path

import jax
from flax import linen as nn
from flax import traverse_util

from zoo import weights
from zoo.errors import ZooError, unknown
from zoo.models import (
    create_model,
    list_models,
    merge_batch_norm,
    model_spec,
    shape_mismatches,
    spec_of,
    variable_shapes,
)

# Names of wrong variables that an error lists.
_LISTED = 3


_KINDS = {"image": "pictures", "audio": "recordings"}


def ready(
    model: str | os.PathLike | nn.Module, variables: Mapping | None = None, *, modality: str
) -> tuple[nn.Module, dict]:
    """The module and its variables, on the device, batch norm merged where it can be.

    Args:
      model: one of `zoo.list_weights()`, the path of a weight file, a registered model, or a
        module. A name that is both is the weights, unless variables are given.
      variables: of a registered model or a module; None where it needs none, and with weights.
      modality: what it must denoise, `"image"` or `"audio"`.

    Returns:
      `(module, variables)`.

    Raises:
      ZooError: there is no such model, it denoises something else, or the variables are missing,
        of another model, or given beside a weight file.
    """
    label = os.fspath(model) if isinstance(model, str | os.PathLike) else type(model).__name__
    if isinstance(model, str | os.PathLike):
        model, variables = _named(label, variables, modality)
    if not isinstance(model, nn.Module):
        raise ZooError(f"a model is a name, a module or a weight file's path, not {label}")
    kind = getattr(model, "modality", "image")
    if kind != modality:
        choices = ", ".join(_choices(modality))
        raise ZooError(f"{label} denoises {_KINDS[kind]}; choose from {choices}")
    if not isinstance(variables, Mapping | None):
        raise ZooError(
            f"variables of {label} are a dictionary such as init returns, not "
            f"{type(variables).__name__}; give that, or None"
        )
    variables = {} if variables is None else dict(variables)
    _check(label, model, variables)
    if getattr(model, "norm", None) == "batch" and hasattr(model, "merge_batch_norm"):
        model, variables = merge_batch_norm(model, variables)
    return model, jax.device_put(variables)


def _named(
    label: str, variables: Mapping | None, modality: str
) -> tuple[nn.Module, Mapping | None]:
    shipped = label in weights.list_weights()
    if label in list_models() and not (shipped and variables is None):
        return create_model(label), variables
    if not (shipped or os.path.exists(label) or Path(label).suffix or os.path.dirname(label)):
        raise unknown("model", label, _choices(modality))
    if variables is not None:
        raise ZooError(f"{label} brings its own variables; leave out those given beside it")
    return weights.load(label)


def _choices(modality: str) -> list[str]:
    """The weights that come with the zoo, and then every other model."""
    shipped = weights.list_weights()
    own = [n for n in shipped if weights.read_record(n)["contract"]["modality"] == modality]
    others = set(list_models()) - set(own)
    return own + sorted(name for name in others if model_spec(name).modality == modality)


def _check(label: str, model: nn.Module, variables: Mapping) -> None:
    wanted = variable_shapes(model, spec_of(model))
    found = traverse_util.flatten_dict(variables, sep="/")
    if wanted and not found:
        raise ZooError(f"{label} has learned weights; give its variables, or a weight file's path")
    if wrong := shape_mismatches(wanted, found):
        more = ", ..." if len(wrong) > _LISTED else ""
        raise ZooError(
            f"the variables are not those of {label}; missing, extra or misshapen: "
            f"{', '.join(wrong[:_LISTED])}{more}"
        )
