"""The registry: every variant's public name and card, and what can be asked of models by name."""

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from zoo import plugins
from zoo.errors import ZooError, unknown
from zoo.modality import get
from zoo.models.conv import disable_winograd
from zoo.models.denoiser import ModelSpec, spec_of


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """The facts of a registered variant that its specification does not hold.

    Attributes:
      name: the public name, family and variant, such as `"unet-small"`.
      summary: a phrase that distinguishes it.
      architecture: the class of its modules, or a function that makes one of its fields.
      options: the fields in which the variant differs from the defaults of the class.
      parameters: the number of trainable values, so that `zoo models` need not trace the network;
        None: they are counted.
      macs: multiply-accumulates per pixel of an image, or per second of audio; None: unknown.
      narrow: overrides that leave few channels and every layer, so the reach is the same.
      shallow: overrides that leave few layers, of every kind.
      source: the GitHub repository of its published weights; empty where there are none.
      license: that of the published weights.
    """

    name: str
    summary: str
    architecture: Callable[..., nn.Module]
    options: Mapping[str, Any]
    parameters: int | None
    macs: float | None
    narrow: Mapping[str, Any]
    shallow: Mapping[str, Any]
    source: str
    license: str


_ONEDNN = {
    "xla_cpu_experimental_onednn_custom_call": True,
    # Another library's fusions, which would take the convolutions first.
    "xla_cpu_experimental_ynn_fusion_type": "",
}
# Bounds of options, far beyond any useful network: what a file asks for is built without a check
# of the memory and the minutes that it takes.
_MOST_LAYERS = 64
_MOST = 2**16
_LONGEST = 12
_MOST_PARAMETERS = 2**31
# Options that count layers; of a list all together.
_LAYERS = frozenset(
    {"blocks", "convs", "decoder", "depth", "depths", "encoder", "middle", "refinement"}
)

_CARDS: dict[str, ModelCard] = {}


def register(
    architecture: Callable[..., nn.Module],
    name: str,
    summary: str,
    parameters: int | None = None,
    macs: float | None = None,
    *,
    narrow: Mapping[str, Any] | None = None,
    shallow: Mapping[str, Any] | None = None,
    source: str = "",
    license: str = "",
    **options: Any,
) -> None:
    """Registers a variant of an architecture; for the arguments see `ModelCard`.

    Any Linen module with the `__call__` of `Denoiser` or `AudioDenoiser` will do; those classes do
    most of its work.

    Raises:
      ValueError: the name is taken.
    """
    if name in _CARDS and not plugins.replaces(architecture, _CARDS[name].architecture):
        raise ValueError(f"two models are registered as {name!r}")
    small = (narrow or {}, shallow or {})
    _CARDS[name] = ModelCard(
        name, summary, architecture, options, parameters, macs, *small, source, license
    )


def model_card(name: str) -> ModelCard:
    """The card of a variant.

    Raises:
      ZooError: no such name.
    """
    if name not in list_models():
        raise unknown("model", name, _CARDS)
    return _CARDS[name]


def small_options(name: str, *, narrow: bool = True, shallow: bool = True) -> dict[str, Any]:
    """Overrides that make a variant quick to compile, for tests and trials.

    Args:
      name: one of `list_models()`.
      narrow: with few channels.
      shallow: with few layers; the reach of a local model is then smaller.

    Raises:
      ZooError: no such name.
    """
    card = model_card(name)
    return {**(card.narrow if narrow else {}), **(card.shallow if shallow else {})}


def list_models() -> list[str]:
    """The public names, sorted, with those of plug-ins."""
    plugins.load()
    return sorted(_CARDS)


def create_model(name: str, **overrides) -> nn.Module:
    """Builds the module registered under a name.

    Args:
      name: one of `list_models()`.
      **overrides: fields of the module to override, such as `channels=1`.

    Raises:
      ZooError: no such name, or the module has no such field, or one of another kind, or the
        network would be far too large.
    """
    card = model_card(name)
    default = card.architecture(**card.options)
    fields = {field.name for field in dataclasses.fields(default)} - {"parent", "name"}
    for key in overrides:
        if key not in fields:
            raise unknown(f"option of model {name}", key, fields)
    # Lists come from config files; a module has to be hashable.
    overrides = {k: tuple(v) if isinstance(v, list) else v for k, v in overrides.items()}
    for key, value in overrides.items():
        if wanted := _requirement(default, key, value):
            raise ZooError(f"model {name!r} cannot be built: {key} is {value!r:.100}; {wanted}")
    try:
        return card.architecture(**card.options | overrides)
    except TypeError as error:
        raise ZooError(f"model {name!r} cannot be built: {error}") from None


def _requirement(model: nn.Module, key: str, value: Any) -> str:
    """What a field of a model must be, for a value it must not have; else nothing."""
    usual, good, wanted = getattr(model, key), True, ""
    least, most = (0, _MOST_LAYERS) if key in _LAYERS else (1, _MOST)
    if isinstance(usual, bool):
        good, wanted = isinstance(value, bool), "True or False"
    elif isinstance(usual, int):
        good = _is_whole(value) and least <= value <= most
        wanted = f"a whole number from {least} to {most}"
    elif isinstance(usual, float):
        good = isinstance(value, numbers.Real) and math.isfinite(value) and abs(value) <= _MOST
        wanted = f"a number up to {_MOST}"
    elif isinstance(usual, tuple):
        good = isinstance(value, tuple) and 0 < len(value) <= _LONGEST
        good = good and all(_is_whole(one) and least <= one for one in value)
        good = good and (sum if key in _LAYERS else max)(value) <= most
        together = " in all" if key in _LAYERS else ""
        wanted = f"1 to {_LONGEST} whole numbers from {least} to {most}{together}"
    return "" if good else f"make it {wanted}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def model_spec(name: str, **overrides) -> ModelSpec:
    """The specification of a variant, with the overrides applied.

    Raises:
      ZooError: as `create_model`.
    """
    return spec_of(create_model(name, **overrides), name)


def count_parameters(name: str, **overrides) -> int:
    """The trainable values of a variant: as registered, or counted without computing any.

    Raises:
      ZooError: as `create_model`.
    """
    registered = model_card(name).parameters
    if registered is not None and not overrides:
        return registered
    model = create_model(name, **overrides)
    shapes = variable_shapes(model, spec_of(model, name))
    return sum(leaf.size for path, leaf in shapes.items() if path.startswith("params/"))


def variable_shapes(model: nn.Module, spec: ModelSpec) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of a module's variables by their paths, joined by "/".

    Nothing is computed: to run `init` takes the larger networks half a minute.

    Args:
      model: the module.
      spec: its specification.

    Raises:
      ZooError: it has too many.
    """
    size = spec.size or get(spec.modality).typical
    trace = _traced_shapes
    try:
        hash(model)
    except TypeError:  # an option of a module of the user's own
        trace = trace.__wrapped__
    shapes = dict(trace(model, (1, *size, spec.inputs)))
    count = sum(math.prod(shape.shape) for shape in shapes.values())
    if count > _MOST_PARAMETERS:
        raise ZooError(
            f"{spec.name} with such options would have {count:,} parameters, more than "
            f"{_MOST_PARAMETERS:,}; make it smaller"
        )
    return shapes


# The same few modules are asked for again and again, and to trace one takes up to a second.
@functools.lru_cache(maxsize=64)
def _traced_shapes(model: nn.Module, shape: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
    signal = jax.ShapeDtypeStruct(shape, jnp.float32)
    level = jax.ShapeDtypeStruct(shape[:1], jnp.float32)
    # Traced as XLA has them, convolutions are an operation each.
    with disable_winograd():
        variables = jax.eval_shape(model.init, jax.random.key(0), signal, level)
    return traverse_util.flatten_dict(variables, sep="/")


def shape_mismatches(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The paths, sorted, at which variables are missing, extra or of another shape.

    Args:
      wanted: arrays or their shapes by path, such as `variable_shapes` gives.
      found: the same of the variables at hand.
    """
    return sorted(
        path
        for path in wanted.keys() | found.keys()
        if path not in wanted
        or path not in found
        or np.shape(wanted[path]) != np.shape(found[path])
    )


def init_variables(model: nn.Module, key: jax.Array, shape: Sequence[int]) -> dict[str, Any]:
    """`model.init` in one compiled program; the values do not depend on the size of the signal.

    Args:
      model: the module.
      key: a typed key.
      shape: (N, H, W, C) or (B, T, C) of a batch.
    """
    # It runs once, and on a CPU LLVM takes far longer to optimize the many random numbers.
    cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": 0} if cpu else None
    init = jax.jit(model.init, compiler_options=options)
    # What the network computes is left out of the program; to trace it takes time all the same.
    with disable_winograd():
        return init(key, jnp.zeros(shape), jnp.zeros(shape[:1]))


def inference_options(model: nn.Module) -> dict[str, bool | str] | None:
    """The compiler's options for the fastest programs of a model without gradients.

        apply = jax.jit(model.apply, compiler_options=inference_options(model))

    On a CPU with instructions for it oneDNN runs convolutions in bfloat16 about twice as fast as
    XLA does. Its ReLU turns NaN into 0, so outputs do not show that variables are NaN.

    Args:
      model: the module.

    Returns:
      The options for a model of `dtype` bfloat16 on a CPU; None, which are JAX's own, for others
      and where JAX does not know the options.
    """
    if getattr(model, "dtype", None) != jnp.bfloat16 or jax.default_backend() != "cpu":
        return None
    return _ONEDNN if _has_onednn() else None


@functools.cache
def _has_onednn() -> bool:
    try:
        jax.jit(lambda x: x + 1, compiler_options=_ONEDNN).lower(0).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def merge_batch_norm(model: nn.Module, variables: Mapping) -> tuple[nn.Module, dict]:
    """Folds the running statistics of batch norm into the convolutions before it.

    An architecture that can has a method `merge_batch_norm(variables)`.

    Args:
      model: a DnCNN or StreamUNet with `norm="batch"`.
      variables: its variables, with `params` and `batch_stats`.

    Returns:
      The module without batch norm and its variables; its outputs equal those of
      `model.apply(variables, x)` up to rounding, and cost less.

    Raises:
      ZooError: there is no batch norm to merge.
    """
    able = hasattr(model, "merge_batch_norm") and getattr(model, "norm", None) == "batch"
    if not able or "batch_stats" not in variables:
        raise ZooError(
            "there is no batch norm to merge; take a DnCNN or StreamUNet of norm='batch' and its "
            "variables, 'params' and 'batch_stats'"
        )
    return model.merge_batch_norm(variables)
