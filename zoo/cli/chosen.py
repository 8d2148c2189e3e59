"""The model a user chose, by name, by a weight file or by both."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from flax import linen as nn

from zoo import files, weights
from zoo.errors import ZooError, unknown
from zoo.interop.torch import load_torch
from zoo.models import count_parameters, create_model, list_models, spec_of

_PUBLISHED = frozenset({".pth", ".pt", ".tar", ".mat"})
WORDS = {"image": "pictures", "audio": "recordings"}
"""What a modality's signals are called."""


class Chosen(NamedTuple):
    """A model.

    Attributes:
      label: what the user called it.
      model: the module.
      variables: its own; empty for a model without parameters.
      modality: `"image"` or `"audio"`.
      trained: the highest level of noise its weights were trained on, as a share of white, or None.
    """

    label: str
    model: nn.Module
    variables: Mapping
    modality: str
    trained: float | None = None


def choose(name: str | None, file: str | None) -> Chosen | None:
    """Finds the model; None where the user leaves the choice to the zoo.

    Args:
      name: one of `zoo.list_weights()` or `zoo.list_models()`, or None.
      file: a weight file of this zoo, or, with a name, published weights; or None.

    Raises:
      ZooError: there is no such model or file, the file is of another model, or weights are
        missing.
    """
    if name is None and file is None:
        return None
    if file is not None:
        module, variables = _from_file(name, file)
    elif name in list_models() and name not in weights.list_weights():
        module, variables = create_model(name), {}
        # `ready` would know too, but it cannot name an option of ours.
        if count_parameters(name):
            shipped = ", ".join(weights.list_weights())
            other = f", or choose from {shipped}" if shipped else ""
            raise ZooError(f"no weights of {name} come with the zoo; add --weights FILE{other}")
    elif name in weights.list_weights():
        module, variables = weights.load(name)
    elif os.path.isfile(name):
        raise ZooError(f"{name} is a file; give it by --weights")
    else:
        raise unknown("model", name, {*weights.list_weights(), *list_models()})
    known = _record(Path(file).expanduser().absolute() if file else name)
    trained = weights.trained_level(known) if known else None
    return Chosen(name or file, module, variables, spec_of(module).modality, trained)


def _from_file(name: str | None, file: str) -> tuple[nn.Module, Mapping]:
    path = files.expanded(file)
    if not path.is_file():
        if file in weights.list_weights():
            raise ZooError(f"{file} comes with the zoo and needs no file; write --model {file}")
        raise ZooError(f"there is no weight file {file}; mend the path")
    if name is None and path.suffix.lower() in _PUBLISHED:
        raise ZooError(f"{file} does not say whose weights it holds; name the model by --model")
    if name is None:
        return weights.load(str(path.absolute()))
    if name not in list_models():
        if name in weights.list_weights():
            raise ZooError(f"{name} brings its own weights; leave out --weights or --model")
        raise unknown("model", name, list_models())
    record = _record(path.absolute())
    if record is None:
        return create_model(name), load_torch(name, path)
    if record["model"] != name:
        raise ZooError(f"{file} holds a {record['model']}, not a {name}; leave out --model")
    return weights.load(str(path.absolute()))


def _record(source: Path | str) -> dict | None:
    """The record of a file of this zoo, or of a name; published ones may be safetensors as well."""
    try:
        return weights.read_record(source)
    except ZooError:
        return None
