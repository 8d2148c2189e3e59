"""What competes in a benchmark: registered models, with the weights that a user names."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from zoo import files, weights
from zoo.errors import ZooError
from zoo.evaluate.measure import Apply
from zoo.interop.torch import load_torch
from zoo.models import ModelSpec, count_parameters, create_model, list_models, model_spec

_SIGMA = "{sigma}"
_WORDS = {"image": "pictures", "audio": "recordings"}


@dataclasses.dataclass(frozen=True)
class Contender:
    """One row of a table.

    Attributes:
      label: what the row is called.
      facts: the record of its model.
      levels: at which it competes.
      file: from a printable level, such as "25", to the file of its weights; None without any.
      load: from a level to its denoiser.
    """

    label: str
    facts: ModelSpec
    levels: Sequence[str]
    file: Callable[[str], Path] | None
    load: Callable[[str], Apply]

    def __str__(self) -> str:
        """Its model and its files with their sums, for the head of a table."""
        paths = sorted({self.file(level) for level in self.levels}) if self.file else []
        sums = [f"{path} (SHA-256 {digest(path)})" for path in paths]
        return ", ".join([self.facts.name, *(sums or ["no weights"])])


def contenders(texts: Sequence[str], levels: Sequence[str]) -> list[Contender]:
    """Reads what a user wrote for some models; those of one name are told apart by their files.

    Args:
      texts: each `NAME=FILE`, a registered model and its weights, published or of this zoo; `FILE`,
        weights of this zoo, which know their model; or `NAME`, weights that come with the zoo or a
        model without parameters.
        `{sigma}` in FILE stands for the level: one file a level.
      levels: at which they will compete.

    Raises:
      ZooError: no such model, a file that is missing at some level, weights without a model or of
        another, or a model without parameters with weights.
    """
    found = [_contender(text, levels) for text in texts]
    labels = [one.label for one in found]
    return [
        dataclasses.replace(one, label=f"{one.label} {_short(one.file(_SIGMA))}")
        if labels.count(one.label) > 1 and one.file
        else one
        for one in found
    ]


def modality(texts: Sequence[str]) -> str | None:
    """What some models denoise, as `ModelSpec.modality` has it; None for no models.

    Args:
      texts: as `contenders` takes them.

    Raises:
      ZooError: some denoise pictures and others recordings, or as `contenders` raises.
    """
    kinds: dict[str, str] = {}
    for text in texts:
        name, path = _parsed(text)
        # One file a level is a matter of pictures, and none of its files is known yet.
        if name or _SIGMA in path:
            kind = model_spec(name).modality if name else "image"
        else:
            kind = weights.read_model(_existing(_file(path, "")))[1].modality
        kinds.setdefault(kind, text)
    if len(kinds) > 1:
        told = " and ".join(f"{text} denoises {_WORDS[kind]}" for kind, text in kinds.items())
        raise ZooError(f"{told}; score them one after the other")
    return next(iter(kinds), None)


def _parsed(text: str) -> tuple[str, str]:
    """The model's name and the path, one of them empty where it is not told."""
    name, equals, path = text.partition("=")
    # A folder may have a sign of equality in its name too.
    if not equals or files.expanded(text).is_file():
        name, path = "", text
    if name:
        if name in weights.list_weights() and name not in list_models():
            raise ZooError(f"{name} brings its own weights; write {name} alone")
        # Before the file: a misspelt model is the likelier mistake.
        if _is_bare(name):
            raise ZooError(f"{name} has no parameters to load from {path}; write {name} alone")
        return name, path
    if text in weights.list_weights():
        return "", str(weights.find(text))
    if text in list_models() and _is_bare(text):
        return text, ""
    if not path.endswith(".safetensors"):
        raise ZooError(
            f"{text!r} names no weights of a model; write NAME=FILE, a .safetensors file of this "
            f"zoo, or one of {', '.join(weights.list_weights())}"
        )
    return "", path


# To count them, the larger networks are traced.
@functools.cache
def _is_bare(name: str) -> bool:
    """Whether a model has no parameters.

    Raises:
      ZooError: there is no such model.
    """
    return not count_parameters(name)


def _contender(text: str, levels: Sequence[str]) -> Contender:
    name, path = _parsed(text)
    if not path:
        model = create_model(name)
        return Contender(name, model_spec(name), levels, None, lambda level: _apply(model, {}))
    file = functools.partial(_file, path)
    for level in levels:
        _existing(file(level))
    if not name:
        facts = weights.read_model(file(levels[0]))[1]
        return Contender(_short(path), facts, levels, file, lambda level: _own(file(level)))
    if not _is_own(file(levels[0])):
        load = functools.partial(_published, name)
        return Contender(name, model_spec(name), levels, file, lambda level: load(file(level)))
    facts = weights.read_model(file(levels[0]))[1]
    if facts.name != name:
        raise ZooError(f"{file(levels[0])} holds a {facts.name}, not a {name}; leave out the name")
    return Contender(name, facts, levels, file, lambda level: _own(file(level)))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ZooError(f"there is no weight file {path}; mend the path")
    return path


def _is_own(path: Path) -> bool:
    """Whether a file is of this zoo; published ones may be safetensors as well."""
    try:
        weights.read_record(path)
    except ZooError:
        return False
    return True


def digest(path: Path) -> str:
    """The SHA-256 of a file: which weights these were."""
    with files.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(path: str, level: str) -> Path:
    return files.expanded(path.replace(_SIGMA, level))


def _short(path: str | Path) -> str:
    """A run's folder says more than the name of its weights."""
    path = files.expanded(path).absolute()
    return (
        path.parent.name if path.name == "weights.safetensors" and path.parent.name else path.stem
    )


# Every set asks again, and every level where one file serves them all.
@functools.lru_cache(maxsize=16)
def _published(name: str, path: Path) -> Apply:
    return _apply(create_model(name), load_torch(name, path))


@functools.lru_cache(maxsize=16)
def _own(path: Path) -> Apply:
    return _apply(*weights.load(path))


def _apply(model, variables) -> Apply:
    apply, variables = _jitted(model), jax.device_put(variables)
    return lambda x, level: apply(variables, x, level)


@functools.cache
def _jitted(model) -> Callable:
    """One program for every level, whatever the weights."""
    return jax.jit(model.apply)
