"""Weight files: those that come with the package, by name, and any, by path."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from zoo import files, plugins
from zoo.errors import ZooError, in_one_line, listed, unknown
from zoo.models import (
    ModelSpec,
    create_model,
    list_models,
    model_card,
    model_spec,
    shape_mismatches,
    variable_shapes,
)

SHIPPED = Path(__file__).parent / "shipped"
"""The folder of their files, each called by its name."""

FREE = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT"})
"""The licenses, by their SPDX names, that set no bounds to what weights are used for."""

_KEY, _SUM = "zoo", "zoo-sha256"
_HUGE = 1e300
# Of the tables among a record's scores: level, method, metric, and before them the set.
_DEPTHS = {"test": 3, "benchmark": 4}
# Files of published weights, which have no record.
_PUBLISHED = frozenset({".pth", ".pt", ".tar", ".mat", ".bin", ".onnx"})


def list_weights() -> list[str]:
    """The names that `load` takes beside paths, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find(name: str | os.PathLike) -> Path:
    """The file of some weights.

    Args:
      name: one of `list_weights()`, or a path: what has a folder or a suffix, or exists.

    Raises:
      ZooError: no such weights.
    """
    if not isinstance(name, str | os.PathLike):
        raise ZooError(f"weights are a name of zoo.list_weights() or a path, not {name!r:.100}")
    name = os.fsdecode(name)
    if name in list_weights():
        return SHIPPED / f"{name}.safetensors"
    if Path(name).suffix or os.path.dirname(name) or os.path.exists(name):
        return files.expanded(name)
    if name in list_models():
        raise ZooError(
            f"no weights of {name} come with the zoo, which has {', '.join(list_weights())}; "
            "train some, or load those of its authors by zoo.interop.torch.load_torch"
        )
    raise unknown("weights", name, list_weights())


def save(path: str | os.PathLike, variables: dict, record: dict[str, Any]) -> None:
    """Writes a model's variables and their record, whole or not at all.

    Beside the record stands the SHA-256 of both, by which `load` knows a damaged file.

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
    if record.get("model") in list_models():
        plugin = plugins.origin(model_card(record["model"]).architecture)
        record = record | ({"plugin": plugin} if plugin else {})
    text = json.dumps(record, sort_keys=True)
    metadata = {_KEY: text, _SUM: _checksum(text, flat)}
    data = safetensors.flax.save(flat, metadata=metadata)
    files.write(path, data, durable=True)


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """The record of some weights; see `save`.

    Args:
      path: a weight file, or the name of weights that come with the zoo.

    Raises:
      ZooError: there is no such file, or it is not one of this zoo's.
    """
    path = find(path)
    return _record(_header(path).metadata, path)


class _Header(NamedTuple):
    """The head of a file: its metadata, and its tensors without their values."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, jax.ShapeDtypeStruct]


def _header(path: Path) -> _Header:
    import safetensors  # noqa: PLC0415, only weight files need it

    if not os.path.isfile(path):
        raise ZooError(f"there is no weight file {path}; check the path")
    if path.suffix.lower() in _PUBLISHED:
        raise ZooError(
            f"{path} has no record of this zoo; load published weights by "
            "zoo.interop.torch.load_torch(name, file)"
        )
    try:
        with safetensors.safe_open(files.regular(path), framework="flax") as file:
            tensors = {
                name: jax.ShapeDtypeStruct(file.get_slice(name).get_shape(), jnp.float32)
                for name in file.keys()  # noqa: SIM118, no dict
            }
            return _Header(file.metadata() or {}, tensors)
    # OverflowError: of a header that claims more than there can be.
    except (safetensors.SafetensorError, OSError, OverflowError) as error:
        raise ZooError(f"{path} is no whole safetensors file ({error}); copy it again") from None


def _record(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        record = json.loads(metadata.get(_KEY, ""))
    except (ValueError, RecursionError):
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
    if not path.is_file():
        return False
    return path.suffix.lower() in _PUBLISHED or _KEY not in _header(path).metadata


def read_model(path: str | os.PathLike) -> tuple[nn.Module, ModelSpec]:
    """The model that some weights are of, without them, and what it takes.

    Args:
      path: as for `read_record`.

    Raises:
      ZooError: as `read_record`, or the model is unknown here or cannot be built.
    """
    found = read_record(path)
    name, options = found["model"], found["options"]
    if name not in list_models():
        plugin = found.get("plugin")
        remedy = plugins.remedy(plugin) if isinstance(plugin, str) else "import its module first"
        raise ZooError(f"{path} is of the model {name!r}, which a plug-in registers; {remedy}")
    with _naming(path, name):
        return create_model(name, **options), model_spec(name, **options)


def trained_level(record: Mapping[str, Any]) -> float | None:
    """The highest level of noise that weights were trained on, as a share of white.

    Args:
      record: as `read_record` gives it.

    Returns:
      The standard deviation; None where they learned from pairs or from other noise.
    """
    noise = record.get("noise") or {}
    level, unit = noise.get("level"), {"1/255": 255, "1": 1}.get(noise.get("unit"))
    levels = level if isinstance(level, list) and level else [level]
    if noise.get("name") != "gaussian" or unit is None:
        return None
    if not all(isinstance(one, int | float) for one in levels):
        return None
    return max(levels) / unit if max(levels) > 0 else None


def trained_range(record: Mapping[str, Any], dtype: np.dtype) -> tuple[float, float] | None:
    """The values that a model saw as 0 and as 1 when it learned from noisy images of a dtype.

    Args:
      record: as `read_record` gives it.
      dtype: of an image; floats of all widths count as one.

    Returns:
      The two; None where it learned from others, whose range is chosen by the image.
    """
    name = "float32" if jnp.issubdtype(dtype, jnp.floating) else dtype.name
    found = (record.get("ranges") or {}).get(name)
    return found and (found[0], found[1])


def is_free(record: Mapping[str, Any]) -> bool:
    """Whether weights may be used for anything, in products for sale too.

    Args:
      record: as `read_record` gives it.

    Returns:
      True under one of the licenses `FREE`; False under other terms, and where none are stated.
    """
    return record.get("license") in FREE


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
    path = find(path)
    model, facts = read_model(path)
    if adapted := read_record(path).get("adapted"):
        raise ZooError(
            f"{path} adapts {adapted.get('base') or facts.name} to an instrument; "
            "give it to zoo.inference.load_adapted, or to zoo denoise as --adapted"
        )
    with _naming(path, facts.name):
        shapes = variable_shapes(model, facts)
    return model, traverse_util.unflatten_dict(read_variables(path, shapes), sep="/")


def read_variables(
    path: str | os.PathLike, shapes: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, jax.Array]:
    """The variables of a weight file, held against what they must be.

    Args:
      path: as for `load`.
      shapes: shape and dtype by path, as `zoo.models.variable_shapes` gives them.

    Returns:
      The values by path, of the dtypes of `shapes`.

    Raises:
      ZooError: the file is damaged, or holds others.
    """
    import safetensors.flax  # noqa: PLC0415, only weight files need it

    path = find(path)
    head = _header(path)
    # Before the tensors are read, for there may be any number of them.
    if wrong := shape_mismatches(shapes, head.tensors):
        raise ZooError(
            f"{path} does not hold the model it names, {_record(head.metadata, path)['model']}; "
            f"missing, extra or misshapen: {listed(wrong, most=8)}"
        )
    flat = safetensors.flax.load_file(path)
    # Files from before there was a checksum have none.
    expected = head.metadata.get(_SUM)
    if expected is not None and expected != _checksum(head.metadata[_KEY], flat):
        raise ZooError(
            f"{path} is damaged: it does not hold what was saved (its checksum differs); copy it "
            "again from where it was made"
        )
    _check_values(path, shapes, flat)
    return {name: value.astype(shapes[name].dtype) for name, value in flat.items()}


@contextmanager
def _naming(path: Path, name: str) -> Iterator[None]:
    problem = f"{path} names a model that cannot be built, {name} with such options"
    try:
        with in_one_line(problem):
            yield
    except ZooError as error:
        raise error if str(path) in str(error) else ZooError(f"{problem}: {error}") from None


def _checksum(record: str, flat: Mapping[str, Any]) -> str:
    """The SHA-256 of a record and of tensors with their names, shapes and dtypes."""
    found = hashlib.sha256(record.encode())
    for name in sorted(flat):
        value = np.ascontiguousarray(flat[name])
        found.update(f"\n{name} {value.dtype} {np.shape(flat[name])}\n".encode())
        found.update(value.tobytes())
    return found.hexdigest()


def _check_values(path: Path, shapes: Mapping[str, Any], flat: Mapping[str, Any]) -> None:
    """Refuses tensors that no training leaves: integers for weights, NaN and infinity."""
    for name, value in sorted(flat.items()):
        floats = [jnp.issubdtype(one.dtype, jnp.floating) for one in (shapes[name], value)]
        if floats[0] != floats[1]:
            raise ZooError(
                f"{path} holds {value.dtype} for {name}, which is {shapes[name].dtype}; save the "
                "weights again"
            )
        if floats[1] and not np.isfinite(np.asarray(value, np.float32)).all():
            raise ZooError(
                f"{path} holds values that are not finite in {name}; take weights from before the "
                "training diverged"
            )


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
        and _is_figure(record.get("seconds") or 0)
        and all(isinstance(record.get(key) or "", str) for key in ("commit", "device"))
        and _is_adaptation(record.get("adapted"))
        and all(map(_is_range, _values(record.get("ranges"))))
        and (not figures or _is_table(figures, 1))
        and all(_is_table(scores[key], depth) for key, depth in _DEPTHS.items() if scores.get(key))
    )


def _is_adaptation(value: Any) -> bool:
    """Whether it is what `zoo.inference.adaptation` writes, or nothing."""
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and _is_range(value.get("range"))
        and isinstance(value.get("base"), str | None)
        and isinstance(value.get("method", ""), str)
    )


def _is_range(value: Any) -> bool:
    """Whether it is two numbers that a float holds, the lower first."""
    pair = isinstance(value, list) and len(value) == 2 and all(map(_is_figure, value))
    return pair and -_HUGE < value[0] < value[1] < _HUGE


def _values(table: Any) -> list[Any]:
    """The values of a dictionary, of None none, and of another thing itself."""
    return list(table.values()) if isinstance(table, dict) else [table] * (table is not None)


def _is_table(value: Any, depth: int) -> bool:
    """Whether it is dictionaries in one another so deep, with numbers or None in the last."""
    if depth:
        filled = isinstance(value, dict) and value
        return bool(filled) and all(_is_table(one, depth - 1) for one in value.values())
    return value is None or _is_figure(value)


def _is_figure(value: Any) -> bool:
    """Whether it is a number that a float holds; JSON knows larger ones."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < _HUGE)
