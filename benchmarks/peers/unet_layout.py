"""Where each variable of the zoo's U-Net stands in `torch_models/unet.py`."""

from collections.abc import Iterator

from zoo.errors import ZooError
from zoo.models import UNet
from zoo.models.torch_layout import CONV, SAME, UP, Tensor, layer, shuffled

PLAIN = {"norm": "none", "down": "conv", "up": "conv", "skip": "add", "takes_level": False}


def layout(model: UNet) -> Iterator[Tensor]:
    """Names every variable, as the layouts of `zoo.models` do.

    Raises:
      ZooError: the network has options that its peer lacks.
    """
    odd = [name for name, value in PLAIN.items() if getattr(model, name) != value]
    if odd:
        raise ZooError(f"the U-Net's peer has no {', '.join(odd)}; leave the defaults")
    stemmed = model.stem > 1
    head = shuffled(CONV, -2, model.stem) if stemmed else CONV
    tail, bias = (shuffled(form, -1, model.stem) if stemmed else form for form in (CONV, SAME))
    yield from layer("head", "head", head)
    for depth in range(len(model.widths)):
        yield from _stage(model, f"encoder{depth}", f"encoders.{depth}")
    for depth in range(len(model.widths) - 1):
        yield from layer(f"down{depth + 1}", f"downs.{depth}", CONV)
        yield from layer(f"up{depth}", f"ups.{depth}", UP)
        yield from _stage(model, f"decoder{depth}", f"decoders.{depth}")
    yield Tensor("params/tail/kernel", "tail.weight", tail)
    yield Tensor("params/tail/bias", "tail.bias", bias)


def _stage(model: UNet, ours: str, theirs: str) -> Iterator[Tensor]:
    for i in range(model.blocks):
        for name in ("conv0", "conv1"):
            yield from layer(f"{ours}_{i}_{name}", f"{theirs}.{i}.{name}", CONV)
