"""Where the tensors of published files belong, one file a family."""

import importlib
from collections.abc import Iterable, Sequence

from flax import linen as nn

from zoo.errors import ZooError
from zoo.interop.layouts.contract import Tensor

FAMILIES = ("dncnn", "drunet", "ffdnet", "nafnet", "restormer", "scunet", "swinir")
"""The families whose published files are known; each is a module of this package.

It has `layout(model)` and, for buffers that hold nothing learnt, `IGNORED`: regular expressions for
whole keys.
"""


def layout(family: str, model: nn.Module) -> tuple[Iterable[Tensor], Sequence[str]]:
    """The layout of a module's published files and the keys in them that do not count.

    Raises:
      ZooError: no published layout of this family is known.
    """
    if family not in FAMILIES:
        raise ZooError(
            f"no published weights are known for {family}, only for {', '.join(FAMILIES)}; "
            "weights of this zoo come back by zoo.load"
        )
    module = importlib.import_module(f"{__name__}.{family}")
    return module.layout(model), getattr(module, "IGNORED", ())
