"""The model a benchmark measures, by the name or path that `zoo.resolve` takes."""

import functools
import math
from typing import NamedTuple

from flax import linen as nn

from zoo.models import ModelSpec, variable_shapes
from zoo.resolve import build


class Named(NamedTuple):
    """A module, its specification, and how many parameters it learns."""

    module: nn.Module
    record: ModelSpec
    parameters: int


@functools.cache
def find(name: str) -> Named:
    """Builds a model with the options of its weights.

    Weights change neither its time nor its cost, so none are loaded.

    Args:
      name: of a registered model or of weights, or a weight file's path.

    Raises:
      ZooError: there is no such model.
    """
    module, record = build(name)
    shapes = variable_shapes(module, record)
    learned = (shape for path, shape in shapes.items() if path.startswith("params/"))
    return Named(module, record, sum(math.prod(shape.shape) for shape in learned))
