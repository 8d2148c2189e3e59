"""Published PyTorch weights as Flax variables, without PyTorch."""

import os
import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from zoo.errors import ZooError
from zoo.interop.weight_readers import read_state
from zoo.models import create_model, list_models, model_spec, spec_of, variable_shapes
from zoo.models.torch_layout import Layout


def load_torch(model_name: str, path: str | os.PathLike, **options) -> dict:
    """Reads published weights for one of our models.

    Takes what PyTorch saves (`.pth`, `.pt`, `.tar`: zip files and the older format),
    `.safetensors`, the MATLAB v7.3 `.mat` files of DnCNN and FFDNet, and the `.bin` files of
    FastEnhancer (that of 16 kHz for "stream-t" with `maps="learned"`) and one of the three `.onnx`
    files of DeepFilterNet3, which needs the package onnx. The content shows which.
    Of a pickle only tensors, plain containers, numbers and strings are read.

    Args:
      model_name: one of `zoo.list_models()` with a published counterpart.
      path: the file.
      **options: fields of the module that differ from the registered variant's.

    Returns:
      The variables, float32: `create_model(model_name, **options).apply(variables, x, level)`.

    Raises:
      ZooError: no such model, or no published layout of it; the file is missing, damaged, of
        another kind or holds code; or its tensors are not the model's, all of which are listed.
    """
    # The model first: a misspelled name is reported at once, whatever the file.
    layout_of(create_model(model_name, **options))
    return from_state(model_name, read_state(path), source=str(path), **options)


def from_state(
    model_name: str, state: Mapping[str, np.ndarray], *, source: str = "the state dict", **options
) -> dict:
    """Turns a PyTorch state dict into Flax variables.

    Args:
      model_name: as for `load_torch`.
      state: key to array, as PyTorch stores them.
      source: what to call it in errors.
      **options: as for `load_torch`.

    Returns:
      As `load_torch`.

    Raises:
      ZooError: its tensors are not the model's.
    """
    model = create_model(model_name, **options)
    tensors, ignored, fixed = layout_of(model)
    wanted = variable_shapes(model, spec_of(model, model_name))
    if sorted(wanted) != sorted(t.path for t in tensors):
        raise AssertionError(f"the layout of {model_name} does not name its variables")

    # What wrappers for several devices put in front of every key.
    state = {key.removeprefix("module."): value for key, value in state.items()}
    shapes = {t.key: t.form.shape(wanted[t.path].shape) for t in tensors}
    missing = [key for key in shapes if key not in state]
    extra = [
        key
        for key in state
        if key not in shapes.keys() | fixed.keys()
        and not any(re.fullmatch(pattern, key) for pattern in ignored)
    ]
    misshapen = [
        f"{key} {state[key].shape} for {shape}"
        for key, shape in shapes.items()
        if key in state and state[key].shape != shape
    ]
    if missing or extra or misshapen:
        found = (("missing", missing), ("extra", extra), ("misshapen", misshapen))
        listed = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in found if keys)
        raise ZooError(f"{source} does not hold {model_name}; {listed}")
    # As far as another machine computes the same constants.
    strange = [
        key
        for key, constant in fixed.items()
        if key in state
        and not (state[key].shape == constant.shape and np.allclose(state[key], constant, 0, 1e-5))
    ]
    if strange:
        raise ZooError(
            f"{source} has other constants than {model_name} in {', '.join(strange)}; "
            "it was trained as another network"
        )
    whole = [t.key for t in tensors if state[t.key].dtype.kind in "biu"]
    if whole:
        raise ZooError(f"{source} holds integers, which are no weights, in {', '.join(whole)}")
    flat = {t.path: t.form.convert(np.asarray(state[t.key], np.float32)) for t in tensors}
    bad = [t.key for t in tensors if not np.isfinite(flat[t.path]).all()]
    if bad:
        raise ZooError(f"{source} holds values that are not finite in {', '.join(bad)}")
    # jax's own arrays lie in memory as they are indexed, which transposed ones of NumPy do not.
    return traverse_util.unflatten_dict({k: jnp.asarray(v) for k, v in flat.items()}, sep="/")


def layout_of(model: nn.Module) -> Layout:
    """The layout of a model's published weights.

    Raises:
      ZooError: there are none.
    """
    if layout := _layout(model):
        return layout
    known = {model_spec(name).family for name in list_models() if _layout(create_model(name))}
    raise ZooError(
        f"no published weights are known for {spec_of(model).family}, only for "
        f"{', '.join(sorted(known))}; weights of this zoo come back by zoo.load"
    )


def _layout(model: nn.Module) -> Layout | None:
    # A plug-in's model need not have one of our base classes.
    return model.torch_layout() if hasattr(model, "torch_layout") else None
