"""DRUNet as KAIR and DPIR (github.com/cszn) store it: one Sequential a level and direction."""

from collections.abc import Iterator

from zoo.models.drunet import DRUNet
from zoo.models.torch_layout import CONV, UP, Tensor


def layout(model: DRUNet) -> Iterator[Tensor]:
    """Where each variable of a DRUNet stands."""
    yield Tensor("params/head/kernel", "m_head.weight", CONV)
    for depth in range(len(model.widths) - 1):
        # Their levels count from 1, by the finer side of the step between two.
        below, above = f"m_down{depth + 1}", f"m_up{depth + 1}"
        down = f"{below}.{model.blocks}.weight"
        yield Tensor(f"params/down{depth + 1}/kernel", down, CONV)
        yield Tensor(f"params/up{depth}/kernel", f"{above}.0.weight", UP)
        for i in range(model.blocks):
            yield from _block(f"encoder{depth}_{i}", f"{below}.{i}")
            yield from _block(f"decoder{depth}_{i}", f"{above}.{i + 1}")
    for i in range(model.blocks):
        yield from _block(f"body{i}", f"m_body.{i}")
    yield Tensor("params/tail/kernel", "m_tail.weight", CONV)


def _block(ours: str, theirs: str) -> Iterator[Tensor]:
    yield Tensor(f"params/{ours}/conv0/kernel", f"{theirs}.res.0.weight", CONV)
    yield Tensor(f"params/{ours}/conv1/kernel", f"{theirs}.res.2.weight", CONV)
