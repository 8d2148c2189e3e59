"""FFDNet as KAIR (github.com/cszn/KAIR) stores it: one Sequential of convolutions and ReLUs."""

from collections.abc import Iterator

from zoo.models.ffdnet import FFDNet
from zoo.models.torch_layout import CONV, SAME, Tensor, shuffled


def layout(model: FFDNet) -> Iterator[Tensor]:
    """Where each variable of an FFDNet stands."""
    bodies = [f"body{i}" for i in range(model.depth - 2)]
    # The level map is the last channel that goes in; what comes out is all picture.
    kernels = {"head": shuffled(CONV, axis=-2, extra=1), "tail": shuffled(CONV, axis=-1)}
    biases = {"tail": shuffled(SAME, axis=-1)}
    for i, name in enumerate(["head", *bodies, "tail"]):
        kernel, bias = kernels.get(name, CONV), biases.get(name, SAME)
        yield Tensor(f"params/{name}/kernel", f"model.{2 * i}.weight", kernel)
        yield Tensor(f"params/{name}/bias", f"model.{2 * i}.bias", bias)
