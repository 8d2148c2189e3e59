"""Our variables as a PyTorch state dict: the layouts of `zoo.models` read backwards."""

import zlib
from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np
import unet_layout
from flax import linen as nn
from flax import traverse_util

from zoo.interop.torch import layout_of
from zoo.models import ModelSpec, variable_shapes
from zoo.models.torch_layout import Form, Tensor


def tensors(family: str, model: nn.Module) -> Iterable[Tensor]:
    """Where each variable of a module stands in its peer.

    Raises:
      ZooError: the module has no peer.
    """
    if family == "unet":
        return unet_layout.layout(model)
    return layout_of(model).tensors


def to_theirs(form: Form, array: np.ndarray) -> np.ndarray:
    """The inverse of `form.convert`, which only moves values about: so it tells where from."""
    shape = form.shape(array.shape)
    places = form.convert(np.arange(array.size).reshape(shape))
    stored = np.empty(array.size, array.dtype)
    stored[places.reshape(-1)] = array.reshape(-1)
    return stored.reshape(shape)


def export(family: str, model: nn.Module, variables: Mapping) -> dict[str, np.ndarray]:
    """The state dict of a module's peer, float32.

    Args:
      family: `"unet"` or one with a `torch_layout`.
      model: the module.
      variables: its variables.

    Raises:
      ZooError: as `tensors`.
    """
    flat = traverse_util.flatten_dict(variables, sep="/")
    found = list(tensors(family, model))
    if sorted(flat) != sorted(tensor.path for tensor in found):
        raise AssertionError(f"the layout of {family} does not name its variables")
    return {t.key: to_theirs(t.form, np.asarray(flat[t.path], np.float32)) for t in found}


def draw(variables: Mapping) -> dict:
    """Seeded values for variables of given shapes, none of which leaves a layer without effect.

    A fresh network nearly returns its input, whatever stands between: two of them would agree too
    easily.
    """
    flat = traverse_util.flatten_dict(variables, sep="/")

    def one(path, leaf):
        value = np.random.default_rng(zlib.crc32(path.encode())).standard_normal(leaf.shape)
        if len(leaf.shape) > 1:
            # `Up` keeps its input channels first, the others their last but one.
            fan_in = leaf.shape[0] if "/up" in path else np.prod(leaf.shape[:-1])
            value = value / np.sqrt(fan_in)
        else:
            value = 0.1 * value + path.endswith("scale")
            # A variance is above 0.
            value = np.exp(value) if path.endswith("/var") else value
        return jnp.asarray(value.astype(np.float32))

    return traverse_util.unflatten_dict({k: one(k, v) for k, v in flat.items()}, sep="/")


def shapes(model: nn.Module, record: ModelSpec) -> dict:
    """The shapes of a module's variables; nothing is computed."""
    return traverse_util.unflatten_dict(variable_shapes(model, record), sep="/")
