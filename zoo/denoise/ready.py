"""A model, however it was named, with variables that fit it."""

import os
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from zoo import weights
from zoo.errors import ZooError, unknown
from zoo.models import create_model, list_models, merge_batch_norm, record

# Names of wrong variables that an error lists.
_LISTED = 3


def ready(
    model: str | os.PathLike | nn.Module, variables: Mapping | None = None
) -> tuple[nn.Module, dict]:
    """The module and its variables, on the device, batch norm merged where it can be.

    Args:
      model: a registered name, a module, or the path of a weight file.
      variables: of a name or a module; None where it needs none, and with a weight file.

    Returns:
      `(module, variables)`.

    Raises:
      ZooError: there is no such model, it is not one of recordings, or the variables are missing,
        of another model, or given beside a weight file.
    """
    label = os.fspath(model) if isinstance(model, str | os.PathLike) else type(model).__name__
    if isinstance(model, str | os.PathLike):
        model, variables = _named(label, variables)
    if not isinstance(model, nn.Module):
        raise ZooError(f"a model is a name, a module or a weight file's path, not {label}")
    if getattr(model, "modality", "image") != "audio":
        raise ZooError(f"{label} denoises pictures; choose from {', '.join(_audio())}")
    variables = {} if variables is None else dict(variables)
    _check(label, model, variables)
    if getattr(model, "norm", None) == "batch" and hasattr(model, "merge_batch_norm"):
        model, variables = merge_batch_norm(model, variables)
    return model, jax.device_put(variables)


def _named(label: str, variables: Mapping | None) -> tuple[nn.Module, Mapping | None]:
    if label in list_models():
        return create_model(label), variables
    if not (os.path.exists(label) or Path(label).suffix or os.path.dirname(label)):
        raise unknown("model", label, _audio())
    if variables is not None:
        raise ZooError(f"{label} brings its own variables; leave out those given beside it")
    return weights.load(label)


def _audio() -> list[str]:
    return [name for name in list_models() if record(name).modality == "audio"]


def _check(label: str, model: nn.Module, variables: Mapping) -> None:
    signal = jax.ShapeDtypeStruct((1, 4096, 1), jnp.float32)
    wanted = jax.eval_shape(model.init, jax.random.key(0), signal)
    wanted, found = (_shapes(tree) for tree in (wanted, variables))
    if wanted and not found:
        raise ZooError(f"{label} has learned weights; give its variables, or a weight file's path")
    wrong = sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )
    if wrong:
        more = ", ..." if len(wrong) > _LISTED else ""
        raise ZooError(
            f"the variables are not those of {label}; missing, extra or misshapen: "
            f"{', '.join(wrong[:_LISTED])}{more}"
        )


def _shapes(tree: Mapping) -> dict[str, tuple[int, ...]]:
    flat = traverse_util.flatten_dict(tree, sep="/")
    return {name: tuple(jnp.shape(leaf)) for name, leaf in flat.items()}
