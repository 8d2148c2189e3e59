"""Model resolution: from what a user calls a model to its module, variables and specification.

Python, the commands, the page and the benchmarks accept the same forms, all resolved here:

* `"unet-gray"`: weights that come with the package, see `zoo.list_weights`;
* `"runs/unet/weights.safetensors"`: a weight file of this package, which names its model;
* `"dncnn-gray=dncnn_25.pth"`: a registered model and its weights, published or of this package;
* `"wiener"`: a registered model without parameters, or any with `variables` beside it;
* a Flax module, with `variables` beside it.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import linen as nn
from flax import traverse_util

from zoo import files, weights
from zoo.errors import ZooError, listed, unknown
from zoo.interop.torch import load_torch
from zoo.modality import get
from zoo.models import (
    ModelSpec,
    count_parameters,
    create_model,
    list_models,
    merge_batch_norm,
    model_spec,
    shape_mismatches,
    spec_of,
    variable_shapes,
)


class Resolved(NamedTuple):
    """A model ready to be applied.

    Attributes:
      module: the Flax module; batch norm is merged into the convolutions before it.
      variables: those of the module, on the device; empty for a model without parameters.
      specification: the signals that the module takes and gives.
      label: the name or path the user gave, or the class of a module.
      metadata: of a weight file of this package, see `zoo.weights.read_record`; else None.
    """

    module: nn.Module
    variables: Mapping
    specification: ModelSpec
    label: str
    metadata: Mapping[str, Any] | None = None

    @property
    def modality(self) -> str:
        """`"image"` or `"audio"`."""
        return self.specification.modality

    @property
    def trained_level(self) -> float | None:
        """Highest noise level of the training, as a share of white; None where unknown."""
        return weights.trained_level(self.metadata) if self.metadata else None


class Source(NamedTuple):
    """A model as text names it, with nothing read yet.

    Attributes:
      name: a registered model; empty where the weight file names it.
      file: path of a weight file; empty for a registered model alone.
      label: the text itself.
    """

    name: str
    file: str
    label: str


def resolve(
    model: str | os.PathLike | nn.Module | Resolved,
    variables: Mapping | None = None,
    *,
    modality: str | None = None,
) -> Resolved:
    """Loads a model in any of the forms above.

    Args:
      model: a name, a path, `NAME=FILE` or a module; a `Resolved` is returned as it is. A name of
        both weights and a registered model is the weights, unless variables are given.
      variables: of a registered model or a module; None where it needs none, and with weights.
      modality: that the model must have, `"image"` or `"audio"`; None takes either.

    Raises:
      ZooError: no such model or file, weights of another model, damaged or missing weights,
        variables that do not fit or stand beside a weight file, or another modality.
    """
    if isinstance(model, Resolved):
        found = model
    elif isinstance(model, str | os.PathLike):
        found = _from_text(os.fsdecode(model), variables, modality)
    elif isinstance(model, nn.Module):
        label = type(model).__name__
        found = _with_variables(model, variables, spec_of(model), label)
    else:
        raise ZooError(
            f"a model is a name, a module or a weight file's path, not {type(model).__name__}"
        )
    _require(modality, found.specification, found.label)
    if model is found:
        return found
    module, variables = found.module, found.variables
    if getattr(module, "norm", None) == "batch" and hasattr(module, "merge_batch_norm"):
        module, variables = merge_batch_norm(module, variables)
    return found._replace(module=module, variables=jax.device_put(variables))


def build(model: str | os.PathLike) -> tuple[nn.Module, ModelSpec]:
    """The module and its specification without any weights; weight files give its options.

    Args:
      model: a name, a path or `NAME=FILE`.

    Raises:
      ZooError: no such model or file, or one of another model.
    """
    source = parse(os.fsdecode(model))
    if source.file and not _is_published(source):
        return weights.read_model(existing(source.file))
    return create_model(source.name), model_spec(source.name)


def parse(text: str, modality: str | None = None) -> Source:
    """Splits what a user wrote into a registered model and a weight file.

    The file is not looked for, as it may be a pattern still.

    Args:
      text: a name, a path or `NAME=FILE`.
      modality: of the names that an error suggests; None suggests all.

    Raises:
      ZooError: no such model, or one that takes no weights beside a file.
    """
    name, equals, file = text.partition("=")
    # A folder may have an equals sign in its name too.
    if equals and not files.expanded(text).is_file():
        if name not in list_models():
            if name in weights.list_weights():
                raise ZooError(f"{name} comes with its weights; leave out {file}")
            raise unknown("model", name, list_models())
        if not file:
            raise ZooError(f"{text} names no file; write {name}=FILE")
        if _is_bare(name):
            raise ZooError(f"{name} has no parameters to load; leave out {file}")
        return Source(name, file, text)
    if text in weights.list_weights():
        return Source("", str(weights.find(text)), text)
    if text in list_models():
        return Source(text, "", text)
    if Path(text).suffix or os.path.dirname(text) or os.path.exists(text):
        return Source("", text, text)
    raise unknown("model", text, _choices(modality))


def _load(source: Source) -> Resolved:
    name, file, label = source
    if not file:
        if not _is_bare(name):
            modality = model_spec(name).modality
            choices = ", ".join(n for n in weights.list_weights() if _modality(n) == modality)
            raise ZooError(
                f"no weights of {name} come with the zoo; name a file, {name}=FILE, or choose "
                f"from {choices}"
            )
        return Resolved(create_model(name), {}, model_spec(name), label)
    if _is_published(source):
        variables = load_torch(name, existing(file))
        return Resolved(create_model(name), variables, model_spec(name), label)
    path = existing(file)
    metadata = weights.read_record(path)
    module, variables = weights.load(path)
    return Resolved(module, variables, spec_of(module, metadata["model"]), label, metadata)


def existing(file: str | os.PathLike) -> Path:
    """The path of a weight file, `~` expanded.

    Raises:
      ZooError: there is none.
    """
    path = files.expanded(file)
    if not path.is_file():
        raise ZooError(f"there is no weight file {path}; check the path")
    # A bare name may be that of weights of the package too.
    return path if path.suffix or len(path.parts) > 1 else path.absolute()


def _is_published(source: Source) -> bool:
    """Whether a file holds published weights, which name no model; refuses those of another."""
    name, file, _ = source
    path = existing(file)
    if weights.is_published(path):
        if not name:
            raise ZooError(
                f"{file} has no record of this zoo, which would name its model; write NAME={file}"
            )
        return True
    if name and (other := weights.read_record(path)["model"]) != name:
        raise ZooError(f"{file} holds a {other}, not a {name}; leave out the name {name}")
    return False


def _from_text(text: str, variables: Mapping | None, modality: str | None) -> Resolved:
    if variables is None:
        source = parse(text, modality)
        if source.name:
            _require(modality, model_spec(source.name), source.name)
        return _load(source)
    if text in list_models():
        return _with_variables(create_model(text), variables, model_spec(text), text)
    parse(text, modality)
    raise ZooError(f"{text} comes with its own variables; leave out those given beside it")


def _require(modality: str | None, specification: ModelSpec, label: str) -> None:
    if modality and specification.modality != modality:
        choices = ", ".join(_choices(modality))
        raise ZooError(
            f"{label} denoises {get(specification.modality).plural}; choose from {choices}"
        )


def _with_variables(
    module: nn.Module, variables: Mapping | None, specification: ModelSpec, label: str
) -> Resolved:
    """A module held against the variables that a caller gave for it."""
    if not isinstance(variables, Mapping | None):
        raise ZooError(
            f"variables of {label} are a dictionary such as init returns, not "
            f"{type(variables).__name__}; give that, or None"
        )
    variables = dict(variables or {})
    wanted = variable_shapes(module, specification)
    found = traverse_util.flatten_dict(variables, sep="/")
    if wanted and not found:
        raise ZooError(f"{label} has learned weights; give its variables, or a weight file's path")
    if wrong := shape_mismatches(wanted, found):
        raise ZooError(
            f"the variables are not those of {label}; missing, extra or misshapen: {listed(wrong)}"
        )
    return Resolved(module, variables, specification, label)


def _choices(modality: str | None) -> list[str]:
    """Weights that come with the package, then every registered model."""
    shipped = weights.list_weights()
    own = [name for name in shipped if modality in (None, _modality(name))]
    others = sorted(set(list_models()) - set(own))
    return own + [name for name in others if modality in (None, model_spec(name).modality)]


def _modality(name: str) -> str:
    return weights.read_record(name)["contract"]["modality"]


@functools.cache
def _is_bare(name: str) -> bool:
    """Whether a registered model has no parameters; the larger networks are traced for that."""
    return not count_parameters(name)
