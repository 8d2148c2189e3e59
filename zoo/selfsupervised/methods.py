"""The contract of methods that learn from noisy images alone, and all of them by name."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax

from zoo.errors import ZooError, unknown

METHODS: dict[str, "Method"] = {}
"""Every method by its name; `target` and `risk` add one."""

Apply = Callable[[Any, jax.Array, jax.Array], jax.Array]
"""The model: `(params, x, level) -> y`, batched."""


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to learn from noisy images.

    Attributes:
      function: a target maker, `(key, noisy, level) -> Example` of one example (H, W, C) and a
        scalar level; or a risk, `(keys, apply, params, noisy, level) -> map` of a batch, whose
        mean is to be made small. Options are keyword-only. Either draws from the example's own key
        alone, so that it depends neither on the batch nor on the number of devices.
      is_risk: which of the two.
      level: the name of the noise level that it has to be given: `sigma`, `peak` or `looks`, as
        in `zoo.noise`; empty where it takes none.
      pairs: whether it takes two noisy images of one scene, the second as an argument `other`.
      learns_level: whether `level` is not known but found in training, by gradient ascent on
        the risk.
      halves: whether the model is given smaller images made of the noisy one, and so no neighboring
        planes of a stack.
      options: those that `with_options` has set.
    """

    function: Callable[..., Any]
    is_risk: bool
    level: str = ""
    pairs: bool = False
    learns_level: bool = False
    halves: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in `METHODS`."""
        return self.function.__name__

    def with_options(self, options: Mapping[str, Any]) -> "Method":
        """The method with some options set.

        Raises:
          ZooError: it has no such option.
        """
        known = inspect.signature(self.function).parameters.values()
        names = [one.name for one in known if one.kind is inspect.Parameter.KEYWORD_ONLY]
        for name in options:
            if name not in names:
                raise unknown(f"option of target {self.name!r}", name, names)
        bound = functools.wraps(self.function)(functools.partial(self.function, **options))
        return dataclasses.replace(self, function=bound, options={**self.options, **options})


def target(level: str = "", **more: bool) -> Callable[[Callable], Callable]:
    """A decorator that registers a target maker; for `pairs` and `halves` see `Method`."""
    return functools.partial(_register, is_risk=False, level=level, **more)


def risk(level: str = "", **more: bool) -> Callable[[Callable], Callable]:
    """A decorator that registers a risk; for `learns_level` and `halves` see `Method`."""
    return functools.partial(_register, is_risk=True, level=level, **more)


def make_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """A method by its name, with options.

    Args:
      name: of `METHODS`.
      options: keyword arguments of the function.

    Raises:
      ZooError: there is no such method or option.
    """
    if name not in METHODS:
        raise unknown("target", name, METHODS)
    return METHODS[name].with_options(options or {})


def _register(function: Callable, **fields: Any) -> Callable:
    METHODS[function.__name__] = Method(function, **fields)
    return function


def check_size(noisy: jax.Array, least: int, name: str) -> None:
    """Refuses images that are too small for a method.

    Raises:
      ZooError: a side is shorter than `least`.
    """
    height, width = noisy.shape[-3:-1]
    if min(height, width) < least:
        raise ZooError(
            f"target {name!r} needs images of at least {least}x{least}, got {height}x{width}; "
            "make data.crop larger"
        )
