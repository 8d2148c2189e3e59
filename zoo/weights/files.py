"""Weight files in and out."""

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from zoo import files
from zoo.errors import ZooError, in_one_line
from zoo.models import Record, create_model, list_models, misfits, record, variable_shapes
from zoo.weights.names import find

_KEY = "zoo"
# Of the tables among a record's scores: level, method, metric, and before them the set.
_DEPTHS = {"test": 3, "benchmark": 4}
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
    path = find(path)
    if not path.is_file():
        raise ZooError(f"there is no weight file {path}; a training writes weights.safetensors")
    if path.suffix.lower() in _PUBLISHED:
        raise ZooError(
            f"{path} has no record of this zoo; load published weights by "
            "zoo.interop.torch.load_torch(name, file)"
        )
    metadata = _metadata(path)
    try:
        record = json.loads(metadata.get(_KEY, ""))
    except ValueError:
        record = None
    if not _is_record(record):
        raise ZooError(f"{path} holds no record of this zoo; save it with zoo.weights.save")
    return record


def is_published(path: str | os.PathLike) -> bool:
    """Whether a file holds weights as their authors published them, without a record of this zoo.

    Raises:
      ZooError: it is no whole safetensors file, where its name says so.
    """
    path = find(path)
    return path.is_file() and (path.suffix.lower() in _PUBLISHED or _KEY not in _metadata(path))


def _metadata(path: Path) -> dict[str, str]:
    import safetensors  # noqa: PLC0415, only weight files need it

    try:
        with safetensors.safe_open(path, framework="flax") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise ZooError(f"{path} is no whole safetensors file ({error}); copy it again") from None


def read_model(path: str | os.PathLike) -> tuple[nn.Module, Record]:
    """The model that some weights are of, without them, and what it takes.

    Args:
      path: as for `read_record`.

    Raises:
      ZooError: as `read_record`, or the model is unknown here or cannot be built.
    """
    found = read_record(path)
    name, options = found["model"], found["options"]
    if name not in list_models():
        raise ZooError(
            f"{path} is of the model {name!r}, which does not come with the zoo; in Python import "
            "the file that registers it, then zoo.load and zoo.denoise take these weights"
        )
    with _naming(path, name):
        return create_model(name, **options), record(name, **options)


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
    model, facts = read_model(path)
    flat = safetensors.flax.load_file(path)
    with _naming(path, facts.name):
        shapes = variable_shapes(model, facts)
    if wrong := misfits(shapes, flat):
        raise ZooError(
            f"{path} does not hold the model it names, {facts.name}; missing, extra or "
            f"misshapen: {', '.join(wrong)}"
        )
    flat = {name: value.astype(shapes[name].dtype) for name, value in flat.items()}
    return model, traverse_util.unflatten_dict(flat, sep="/")


def _naming(path: Path, name: str) -> AbstractContextManager:
    return in_one_line(f"{path} names a model that cannot be built, {name} with such options")


def _is_record(record: Any) -> bool:
    """Whether a record has what this zoo reads of it, each of its kind."""
    if not isinstance(record, dict):
        return False
    scores, noise = record.get("scores") or {}, record.get("noise") or {}
    if not (isinstance(scores, dict) and isinstance(noise, dict)):
        return False
    figures = {name: value for name, value in scores.items() if name not in _DEPTHS}
    return (
        isinstance(record.get("model"), str)
        and isinstance(record.get("options"), dict)
        and isinstance(record.get("seconds") or 0, int | float)
        and all(isinstance(record.get(key) or "", str) for key in ("commit", "device"))
        and (not figures or _is_table(figures, 1))
        and all(_is_table(scores[key], depth) for key, depth in _DEPTHS.items() if scores.get(key))
    )


def _is_table(value: Any, depth: int) -> bool:
    """Whether it is dictionaries in one another so deep, with numbers or None in the last."""
    if depth:
        filled = isinstance(value, dict) and value
        return bool(filled) and all(_is_table(one, depth - 1) for one in value.values())
    return value is None or isinstance(value, int | float)
