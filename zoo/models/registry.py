"""The registry: public names to functions that build a module, and what each module expects."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from zoo.errors import ZooError, unknown
from zoo.modality import get


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """What a variant takes and gives; the contract that its tests and its users rely on.

    Attributes:
      name: the public name, family and variant, such as `"unet-small"`.
      family: the architecture, by the name of its file.
      modality: `"image"` for signals `(N, H, W, C)`, `"audio"` for `(B, T, C)`.
      channels: C; a model of recordings takes any, and treats each channel alike.
      range: lowest and highest value of the signals it is made for.
      size: the only (H, W) it takes, or None.
      multiple: H and W must be multiples of this; 1 where the model pads by itself.
      takes_level: whether `level` (in signal units) changes the output.
      locality: `"local"` (an output pixel depends on a bounded neighbourhood), `"windowed"` or
        `"global"`.
      reach: how many pixels away, along H or W, the farthest pixel may lie that an output pixel of
        a local model depends on; 0 for other models, and where nobody has said.
      stride: it pads H and W by itself to multiples of this, below and to the right; a picture
        moved by as many pixels comes out moved, away from its edges.
      margin: what it pads with, a mode of `jax.numpy.pad`.
      canvas: whether a picture on a larger canvas has the same result; see `zoo.models.canvas`.
      sample_rate: of the recordings it is made for, in Hz; 0 for pictures.
      hop: samples a streaming step takes, or a multiple of it; 0 where it does not stream.
      latency: samples the streamed output lags behind the input, beyond the hop itself.
    """

    name: str
    family: str
    modality: str = "image"
    channels: int = 3
    range: tuple[float, float] = (0.0, 1.0)
    size: tuple[int, int] | None = None
    multiple: int = 1
    takes_level: bool = False
    locality: Literal["local", "windowed", "global"] = "local"
    reach: int = 0
    stride: int = 1
    margin: Literal["edge", "reflect", "constant"] = "edge"
    canvas: bool = False
    sample_rate: int = 0
    hop: int = 0
    latency: int = 0


class Variant(NamedTuple):
    """A registered variant.

    Attributes:
      build: `(**overrides) -> module`.
      parameters: the trainable values, or None where they have to be counted.
      narrow: overrides that leave few channels and every layer, so the reach is the same.
      shallow: overrides that leave few layers, of every kind.
    """

    build: Callable[..., nn.Module]
    parameters: int | None
    narrow: Mapping[str, Any]
    shallow: Mapping[str, Any]


# Bounds of options, far beyond any network of worth: what a file asks for is built without a look
# at the memory and the minutes that it takes.
_MOST_LAYERS = 64
_MOST = 2**16
_LONGEST = 12
_MOST_PARAMETERS = 2**31
# Options that count layers; of a list all together.
_LAYERS = frozenset(
    {"blocks", "convs", "decoder", "depth", "depths", "encoder", "middle", "refinement"}
)

_VARIANTS: dict[str, Variant] = {}


def register(
    name: str,
    *,
    parameters: int | None = None,
    narrow: Mapping[str, Any] | None = None,
    shallow: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Registers a function `(**overrides) -> module` under its public name.

    Args:
      name: the public name.
      parameters: the trainable values, so that `zoo models` need not trace the network.
      narrow: as in `Variant`; the sizes at which tests run the architecture.
      shallow: as in `Variant`.

    Raises:
      ValueError: the name is taken.
    """

    def keep(builder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        if name in _VARIANTS:
            raise ValueError(f"two models are registered as {name!r}")
        _VARIANTS[name] = Variant(builder, parameters, narrow or {}, shallow or {})
        return builder

    return keep


def small_options(name: str, *, narrow: bool = True, shallow: bool = True) -> dict[str, Any]:
    """Overrides that make a variant quick to compile, for tests and trials.

    Args:
      name: one of `list_models()`.
      narrow: with few channels.
      shallow: with few layers; a local model then sees less far than its record says.

    Raises:
      ZooError: no such name.
    """
    variant = _variant(name)
    return {**(variant.narrow if narrow else {}), **(variant.shallow if shallow else {})}


def _variant(name: str) -> Variant:
    if not isinstance(name, str) or name not in _VARIANTS:
        raise unknown("model", name, _VARIANTS)
    return _VARIANTS[name]


def list_models() -> list[str]:
    """The public names, sorted."""
    return sorted(_VARIANTS)


def create_model(name: str, **overrides) -> nn.Module:
    """Builds the module registered under a name.

    Args:
      name: one of `list_models()`.
      **overrides: fields of the module to set otherwise, such as `channels=1`.

    Raises:
      ZooError: no such name, or the module has no such field, or one of another kind, or the
        network would be far larger than any.
    """
    build = _variant(name).build
    usual = build()
    fields = {field.name for field in dataclasses.fields(usual)} - {"parent", "name"}
    for key in overrides:
        if key not in fields:
            raise unknown(f"option of model {name}", key, fields)
    # Lists come from config files; a module has to be hashable.
    overrides = {k: tuple(v) if isinstance(v, list) else v for k, v in overrides.items()}
    for key, value in overrides.items():
        if wanted := _refusal(usual, key, value):
            raise ZooError(f"model {name!r} cannot be built: {key} is {value!r:.100}; {wanted}")
    try:
        return build(**overrides)
    except TypeError as error:
        raise ZooError(f"model {name!r} cannot be built: {error}") from None


def _refusal(model: nn.Module, key: str, value: Any) -> str:
    """What a field would have to be, for a value that it cannot; else nothing.

    Args:
      model: of the variant, whose own value tells the kind.
      key: the field.
      value: what it is to be.
    """
    usual, hint = getattr(model, key), get_type_hints(type(model))[key]
    least, most = (0, _MOST_LAYERS) if key in _LAYERS else (1, _MOST)
    wanted = ""
    if get_origin(hint) is Literal:
        good, wanted = value in get_args(hint), f"one of {', '.join(map(repr, get_args(hint)))}"
    elif isinstance(usual, bool):
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
    else:
        good = True
    return "" if good else f"make it {wanted}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def model_spec(name: str, **overrides) -> ModelSpec:
    """The record of a variant, as the overrides leave it.

    Raises:
      ZooError: as `create_model`.
    """
    return spec_of(create_model(name, **overrides), name)


def spec_of(model: nn.Module, name: str = "") -> ModelSpec:
    """The record of a module, which states its side of it in fields or properties of those names.

    Args:
      model: the module.
      name: what to call it; that of its class by default.
    """
    own = {f.name for f in dataclasses.fields(ModelSpec)} - {"name", "family"}
    return ModelSpec(
        name=name or type(model).__name__,
        family=type(model).__module__.rpartition(".")[2],
        **{key: getattr(model, key) for key in own if hasattr(model, key)},
    )


def count_parameters(name: str, **overrides) -> int:
    """The trainable values of a variant: as registered, or counted without computing any.

    Raises:
      ZooError: as `create_model`.
    """
    registered = _variant(name).parameters
    if registered is not None and not overrides:
        return registered
    shapes = variable_shapes(create_model(name, **overrides), model_spec(name, **overrides))
    return sum(leaf.size for path, leaf in shapes.items() if path.startswith("params/"))


def variable_shapes(model: nn.Module, facts: ModelSpec) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of a module's variables by their paths, joined by "/".

    Nothing is computed: to run `init` takes the larger networks half a minute.

    Args:
      model: the module.
      facts: its record.

    Raises:
      ZooError: it has too many.
    """
    size = facts.size or get(facts.modality).typical
    signal = jax.ShapeDtypeStruct((1, *size, facts.channels), jnp.float32)
    level = jax.ShapeDtypeStruct((1,), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), signal, level)
    shapes = traverse_util.flatten_dict(variables, sep="/")
    count = sum(math.prod(shape.shape) for shape in shapes.values())
    if count > _MOST_PARAMETERS:
        raise ZooError(
            f"{facts.name} with such options would have {count:,} parameters, more than "
            f"{_MOST_PARAMETERS:,}; make it smaller"
        )
    return shapes


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
    """`model.init` in one compiled program; the values do not depend on the size of the picture.

    Args:
      model: the module.
      key: a typed key.
      shape: (N, H, W, C) of a batch.
    """
    # It runs once, and on CPU LLVM would take far longer to make the many draws fast.
    cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": 0} if cpu else None
    init = jax.jit(model.init, compiler_options=options)
    return init(key, jnp.zeros(shape), jnp.zeros(shape[:1]))


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
