"""Weight files in and out."""

import json
import os
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from zoo import files
from zoo.errors import ZooError
from zoo.models import create_model, misfits, record, variable_shapes
from zoo.weights.names import find

_KEY = "zoo"
# What a record may have besides `options` that holds more than one fact.
_GROUPS = ("config", "contract", "data", "noise", "scores", "versions")
# Files of published weights, which have no record.
_PUBLISHED = frozenset({".pth", ".pt", ".tar", ".mat"})


def save(path: str | os.PathLike, variables: dict, record: dict[str, Any]) -> None:
    """Writes a model's variables and their record, whole or not at all.

    Args:
      path: the `.safetensors` file.
      variables: what `init` returns: params and, where there are any, batch statistics.
      record: JSON-like facts; `model` (a registered name) and `options` (its overrides) are what
        `load` builds the module from.

    Raises:
      ZooError: the file cannot be written.
    """
    import safetensors.flax  # noqa: PLC0415, only weight files need it

    flat = traverse_util.flatten_dict(variables, sep="/")
    # safetensors takes the memory of a transposed numpy array as it lies, and so scrambles it; an
    # array of jax lies in order.
    flat = {name: jnp.asarray(value) for name, value in flat.items()}
    data = safetensors.flax.save(flat, metadata={_KEY: json.dumps(record, sort_keys=True)})
    files.write(path, data, durable=True)


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """The record of some weights; see `save`.

    Args:
      path: a weight file, or the name of weights that come with the zoo.

    Raises:
      ZooError: there is no such file, or it is not one of this zoo's.
    """
    import safetensors  # noqa: PLC0415, only weight files need it

    path = find(path)
    if not path.is_file():
        raise ZooError(f"there is no weight file {path}; a training writes weights.safetensors")
    if path.suffix.lower() in _PUBLISHED:
        raise ZooError(
            f"{path} has no record of this zoo; load published weights by "
            "zoo.interop.torch.load_torch(name, file)"
        )
    try:
        with safetensors.safe_open(path, framework="flax") as file:
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise ZooError(f"{path} is no whole safetensors file ({error}); copy it again") from None
    try:
        record = json.loads(metadata.get(_KEY, ""))
        well = isinstance(record["model"], str) and isinstance(record["options"], dict)
        well = well and all(isinstance(record.get(key) or {}, dict) for key in _GROUPS)
    except (ValueError, KeyError, TypeError, AttributeError):
        well = False
    if not well:
        raise ZooError(f"{path} holds no record of this zoo; save it with zoo.weights.save")
    return record


def load(path: str | os.PathLike) -> tuple[nn.Module, dict]:
    """A model with its weights.

    Args:
      path: one of `zoo.list_weights()`, or a `.safetensors` file that a training or `save` wrote.

    Returns:
      `(model, variables)`, ready for `model.apply(variables, x)`; variables have the dtypes that
      `init` gives, though half precision may be what is stored.

    Raises:
      ZooError: there are no such weights, or the file is damaged or foreign, or its model is
        unknown here.
    """
    import safetensors.flax  # noqa: PLC0415, only weight files need it

    path = find(path)
    found = read_record(path)
    flat = safetensors.flax.load_file(path)
    try:
        model = create_model(found["model"], **found["options"])
        shapes = variable_shapes(model, record(found["model"], **found["options"]))
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        if isinstance(error, ZooError):
            raise
        raise ZooError(
            f"{path} names a model that cannot be built, {found['model']} with "
            f"{found['options']}: {str(error).strip().splitlines()[0]}"
        ) from None
    if wrong := misfits(shapes, flat):
        raise ZooError(
            f"{path} does not hold the model it names, {found['model']}; missing, extra or "
            f"misshapen: {', '.join(wrong)}"
        )
    flat = {name: value.astype(shapes[name].dtype) for name, value in flat.items()}
    return model, traverse_util.unflatten_dict(flat, sep="/")
