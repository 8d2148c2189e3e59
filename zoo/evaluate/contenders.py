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
      levels: at which it competes.
      file: from a printable level, such as "25", to the file of its weights.
      load: from a level to its denoiser.
    """

    label: str
    facts: Record
    levels: Sequence[str]
    file: Callable[[str], Path]
    load: Callable[[str], Apply]


def contenders(texts: Sequence[str], levels: Sequence[str]) -> list[Contender]:
    """Reads what a user wrote for some models; those of one name are told apart by their files.

    Args:
      texts: each `NAME=FILE`, a registered model and published weights; or `FILE`, weights of this
        zoo, which know their model. `{sigma}` in FILE stands for the level: one file a level.
      levels: at which they will compete.

    Raises:
      ZooError: no such model, a file that is missing at some level, or weights without a model.
    """
    found = [_contender(text, levels) for text in texts]
    labels = [one.label for one in found]
    return [
        dataclasses.replace(one, label=f"{one.label} {one.file(_SIGMA).stem}")
        if labels.count(one.label) > 1
        else one
        for one in found
    ]


def _contender(text: str, levels: Sequence[str]) -> Contender:
    name, equals, path = text.partition("=")
    # A folder may have a sign of equality in its name too.
    if not equals or Path(text).expanduser().is_file():
        name, path = "", text
    if name:
        # Before the file: a misspelt model is the likelier mistake.
        facts = record(name)
    elif not path.endswith(".safetensors"):
        raise ZooError(
            f"{text!r} names no weights of a model; write NAME=FILE, or a .safetensors file of "
            "this zoo"
        )
    file = functools.partial(_file, path)
    for level in levels:
        if not file(level).is_file():
            raise ZooError(f"there is no weight file {file(level)}; mend the path")
    if name:
        return Contender(name, facts, levels, file, lambda level: _published(name, file(level)))
    own = weights.read_record(file(levels[0]))
    facts = record(own["model"], **own["options"])
    return Contender(_short(path), facts, levels, file, lambda level: _own(file(level)))


def digest(path: Path) -> str:
    """The SHA-256 of a file: which weights these were."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(path: str, level: str) -> Path:
    return Path(path.replace(_SIGMA, level)).expanduser()


def _short(path: str) -> str:
    """A run's folder says more than the name of its weights."""
    path = Path(path).expanduser().absolute()
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
