"""What a benchmark measures, by name: a registered model, or weights that come with the zoo."""

from typing import NamedTuple

from flax import linen as nn

from zoo import models, weights
from zoo.models import ModelSpec


class Named(NamedTuple):
    """A module, what it takes, and how many parameters it learns."""

    module: nn.Module
    record: ModelSpec
    parameters: int


def find(name: str) -> Named:
    """The model of a name; that of weights has their options.

    Weights change neither its time nor its cost, so none are loaded.

    Args:
      name: one of `zoo.models.list_models()` or `zoo.list_weights()`.

    Raises:
      ZooError: there is no such model.
    """
    model, options = name, {}
    if name not in models.list_models() and name in weights.list_weights():
        told = weights.read_record(name)
        model, options = told["model"], told["options"]
    return Named(
        models.create_model(model, **options),
        models.model_spec(model, **options),
        models.count_parameters(model, **options),
    )
