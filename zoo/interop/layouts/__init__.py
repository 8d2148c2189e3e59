"""Where the tensors of published files belong, one file a family."""

import importlib

from flax import linen as nn

from zoo.errors import ZooError
from zoo.models.torch_layout import Layout

FAMILIES = ("dncnn", "drunet", "ffdnet", "gtcrn", "nafnet", "restormer", "scunet", "swinir")
"""The families whose published files are known; each is a module of this package.

It has `layout(model)` and, for buffers that hold nothing learnt, `IGNORED`: regular expressions for
whole keys; and `FIXED`: by their keys the values of those that our module has as constants, which
a file need not hold, but must not hold others of.
"""


def layout(family: str, model: nn.Module) -> Layout:
    """The layout of a module's published files.

    Raises:
      ZooError: no published layout of this family is known.
    """
    if family not in FAMILIES:
        raise ZooError(
            f"no published weights are known for {family}, only for {', '.join(FAMILIES)}; "
            "weights of this zoo come back by zoo.load"
        )
    module = importlib.import_module(f"{__name__}.{family}")
    return Layout(
        tuple(module.layout(model)), getattr(module, "IGNORED", ()), getattr(module, "FIXED", {})
    )
