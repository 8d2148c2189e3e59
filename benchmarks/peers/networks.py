"""What is compared: networks of ours that have a peer in `torch_models/`."""

from typing import NamedTuple

from flax import linen as nn

from zoo import models
from zoo.errors import unknown

MODELS = {
    # 2.3 million parameters at full resolution, for the table that began it all.
    "unet": ("unet-base", {"widths": (32, 64, 128, 256), "blocks": 1}),
    "unet-small": ("unet-small", {}),
    "unet-tiny": ("unet-tiny", {}),
    "dncnn": ("dncnn-color", {}),
    "dncnn-gray": ("dncnn-gray", {}),
    "nafnet": ("nafnet-small", {}),
    "nafnet-w32": ("nafnet-w32", {}),
    "unet-medium": ("unet-medium", {}),
    "unet-base": ("unet-base", {}),
    "ffdnet-color": ("ffdnet-color", {}),
    "drunet-color": ("drunet-color", {}),
    "swinir-color": ("swinir-color", {}),
    "scunet-color": ("scunet-color", {}),
    "restormer-color": ("restormer-color", {}),
}
AUDIO = {"gtcrn": ("gtcrn", {})}
"""The same for `benchmarks/realtime.py`."""
DEFAULT = ("unet", "unet-small", "dncnn", "nafnet")
TASKS = ("train", "infer")

# The fields of ours that the peer's constructor takes, by family.
_FIELDS = {
    "unet": ("channels", "widths", "blocks", "stem"),
    "dncnn": ("channels", "depth", "width"),
    "nafnet": ("channels", "width", "encoder", "middle", "decoder"),
    "ffdnet": ("channels", "depth", "width"),
    "drunet": ("channels", "widths", "blocks"),
    "swinir": ("channels", "width", "depths", "heads", "window", "expansion"),
    "scunet": ("channels", "width", "blocks", "head_width", "window"),
    "restormer": (
        "channels",
        "width",
        "blocks",
        "refinement",
        "heads",
        "expansion",
        "norm_bias",
    ),
    "gtcrn": ("padding",),
}


class Network(NamedTuple):
    """One network on both sides.

    Attributes:
      name: as the command calls it.
      model: our module, float32.
      record: what it takes.
      fields: what builds its peer.
      parameters: how many it has.
    """

    name: str
    model: nn.Module
    record: models.ModelSpec
    fields: dict
    parameters: int


def network(name: str, **overrides) -> Network:
    """The network of a name.

    Args:
      name: of `MODELS` or `AUDIO`.
      **overrides: fields of ours that differ from it on both sides, for a narrow one.

    Raises:
      ZooError: there is none.
    """
    known = MODELS | AUDIO
    if name not in known:
        raise unknown("model with a peer", name, known)
    registered, options = known[name]
    options = options | overrides
    model, record = (
        models.create_model(registered, **options),
        models.model_spec(registered, **options),
    )
    fields = {field: getattr(model, field) for field in _FIELDS[record.family]}
    return Network(name, model, record, fields, models.count_parameters(registered, **options))
