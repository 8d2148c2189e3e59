"""What competes in a benchmark: registered models, with the weights that a user names."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from zoo import files
from zoo.errors import ZooError
from zoo.evaluate.result import Apply
from zoo.modality import get
from zoo.models import ModelSpec, model_spec
from zoo.resolve import build, existing, parse, resolve

_SIGMA = "{sigma}"


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
    """Reads what a user wrote for some models; labels of one name are extended by their files.

    Args:
      texts: each as `zoo.resolve.parse` takes it; `{sigma}` in FILE stands for the level, for one
        file a level.
      levels: at which they will compete.

    Raises:
      ZooError: no such model, a file that is missing at some level, weights without a model or of
        another, or a model without parameters with weights.
    """
    found = [_contender(text, levels) for text in texts]
    labels = [one.label for one in found]
    paths = [parse(text).file for text in texts]
    return [
        dataclasses.replace(one, label=f"{one.label} {_short(path)}")
        if labels.count(one.label) > 1 and path
        else one
        for one, path in zip(found, paths, strict=True)
    ]


def modality(texts: Sequence[str]) -> str | None:
    """What some models denoise, `"image"` or `"audio"`; None for no models.

    Args:
      texts: as `contenders` takes them.

    Raises:
      ZooError: some denoise images and others audio, or as `contenders` raises.
    """
    kinds: dict[str, str] = {}
    for text in texts:
        name, path, _ = parse(text)
        if name:
            kind = model_spec(name).modality
        else:
            # One file a level is a matter of images, and none of its files is known yet.
            kind = "image" if _SIGMA in path else build(path)[1].modality
        kinds.setdefault(kind, text)
    if len(kinds) > 1:
        found = " and ".join(f"{text} denoises {get(kind).plural}" for kind, text in kinds.items())
        raise ZooError(f"{found}; score them one after the other")
    return next(iter(kinds), None)


def _contender(text: str, levels: Sequence[str]) -> Contender:
    name, path, _ = parse(text)

    def at(level: str) -> str:
        return text.replace(_SIGMA, level)

    def file(level: str) -> Path:
        return existing(path.replace(_SIGMA, level))

    # What is missing is said before hours of work.
    for level in levels:
        file(level) if path else _loaded(text)
    label, specification = name or _short(path), build(at(levels[0]))[1]
    load = lambda level: _loaded(at(level))  # noqa: E731
    return Contender(label, specification, levels, file if path else None, load)


def digest(path: Path) -> str:
    """The SHA-256 of a file: which weights these were."""
    with files.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(path: str | Path) -> str:
    """A run's folder says more than the name of its weights."""
    path = files.expanded(path).absolute()
    return (
        path.parent.name if path.name == "weights.safetensors" and path.parent.name else path.stem
    )


# Every set asks again, and every level where one file serves them all.
@functools.lru_cache(maxsize=16)
def _loaded(text: str) -> Apply:
    module, variables, *_ = resolve(text)
    apply = _jitted(module)
    return lambda x, level: apply(variables, x, level)


@functools.cache
def _jitted(module) -> Callable:
    """One program for every level, whatever the weights."""
    return jax.jit(module.apply)
