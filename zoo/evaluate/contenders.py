"""What competes in a benchmark: registered models with the weights a user names."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from zoo import weights
from zoo.errors import ZooError
from zoo.evaluate.measure import Apply
from zoo.interop.torch import load_torch
from zoo.models import Record, create_model, record

_SIGMA = "{sigma}"


@dataclasses.dataclass(frozen=True)
class Contender:
    """One row of a table.

    Attributes:
      label: what the row is called.
      facts: the record of its model.
      file: from a printable level, such as "25", to the file of its weights.
      load: from a level to its denoiser.
    """

    label: str
    facts: Record
    file: Callable[[str], Path]
    load: Callable[[str], Apply]


def contenders(texts: Sequence[str]) -> list[Contender]:
    """What a user wrote for several models; those of one name are told apart by their files.

    Raises:
      ZooError: as `contender`.
    """
    found = [contender(text) for text in texts]
    labels = [one.label for one in found]
    return [
        dataclasses.replace(one, label=f"{one.label} {one.file(_SIGMA).stem}")
        if labels.count(one.label) > 1
        else one
        for one in found
    ]


def contender(text: str) -> Contender:
    """Reads what a user wrote for a model.

    Args:
      text: `NAME=FILE`, a registered model and published weights; or `FILE`, weights of this zoo,
        which know their model. `{sigma}` in FILE stands for the level: one file a level.

    Raises:
      ZooError: no such model or file. Files of a pattern are looked for when they are loaded.
    """
    name, equals, path = text.partition("=")
    if not equals:
        name, path = "", text
    if not path or (not name and not path.endswith(".safetensors")):
        raise ZooError(
            f"model {text!r} names no weights; write {name or text}=FILE, "
            "or a .safetensors file of this zoo"
        )
    file = functools.partial(_file, path)
    if name:
        return Contender(name, record(name), file, lambda level: _published(name, file(level)))
    found = weights.read_record(file("25") if _SIGMA in path else Path(path))
    facts = record(found["model"], **found["options"])
    return Contender(_short(path), facts, file, lambda level: _own(file(level)))


def digest(path: Path) -> str:
    """The SHA-256 of a file: which weights these were."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(path: str, level: str) -> Path:
    return Path(path.replace(_SIGMA, level)).expanduser()


def _short(path: str) -> str:
    """A run's folder says more than the name of its weights."""
    path = Path(path)
    return (
        path.parent.name if path.name == "weights.safetensors" and path.parent.name else path.stem
    )


def _published(name: str, path: Path) -> Apply:
    return _apply(create_model(name), load_torch(name, path))


def _own(path: Path) -> Apply:
    return _apply(*weights.load(path))


def _apply(model, variables) -> Apply:
    apply, variables = _jitted(model), jax.device_put(variables)
    return lambda x, level: apply(variables, x, level)


@functools.cache
def _jitted(model) -> Callable:
    """One program for every level, whatever the weights."""
    return jax.jit(model.apply)
