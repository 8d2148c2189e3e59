"""SCUNet as its authors' files, KAIR's and deepinv name its tensors."""

from collections.abc import Iterator

from zoo.models.scunet import SCUNet
from zoo.models.torch_layout import CONV, LINEAR, POINTWISE, UP, Form, Tensor, layer, norm

_TABLE = Form(lambda a: a.transpose(1, 2, 0), lambda shape: (shape[2], *shape[:2]))


def layout(model: SCUNet) -> Iterator[Tensor]:
    """Where each variable of a SCUNet stands."""
    yield Tensor("params/head/kernel", "m_head.0.weight", CONV)
    deepest = len(model.blocks) // 2
    for depth, count in enumerate(model.blocks[:deepest]):
        # Their levels count from 1, by the finer side of the step between two.
        below, above = f"m_down{depth + 1}", f"m_up{depth + 1}"
        for i in range(count):
            yield from _block(f"encoder{depth}_{i}", f"{below}.{i}")
        yield Tensor(f"params/down{depth + 1}/kernel", f"{below}.{count}.weight", CONV)
        yield Tensor(f"params/up{depth}/kernel", f"{above}.0.weight", UP)
        for i in range(model.blocks[-1 - depth]):
            yield from _block(f"decoder{depth}_{i}", f"{above}.{i + 1}")
    for i in range(model.blocks[deepest]):
        yield from _block(f"body{i}", f"m_body.{i}")
    yield Tensor("params/tail/kernel", "m_tail.0.weight", CONV)


def _block(ours: str, theirs: str) -> Iterator[Tensor]:
    yield from layer(f"{ours}/split", f"{theirs}.conv1_1", POINTWISE)
    yield Tensor(f"params/{ours}/conv0/kernel", f"{theirs}.conv_block.0.weight", CONV)
    yield Tensor(f"params/{ours}/conv1/kernel", f"{theirs}.conv_block.2.weight", CONV)
    yield from layer(f"{ours}/join", f"{theirs}.conv1_2", POINTWISE)
    ours, theirs = f"{ours}/swin", f"{theirs}.trans_block"
    yield from norm(f"{ours}/norm0", f"{theirs}.ln1")
    table = f"{theirs}.msa.relative_position_params"
    yield Tensor(f"params/{ours}/attention/position_bias", table, _TABLE)
    yield from layer(f"{ours}/attention/qkv", f"{theirs}.msa.embedding_layer", LINEAR)
    yield from layer(f"{ours}/attention/project", f"{theirs}.msa.linear", LINEAR)
    yield from norm(f"{ours}/norm1", f"{theirs}.ln2")
    yield from layer(f"{ours}/expand", f"{theirs}.mlp.0", LINEAR)
    yield from layer(f"{ours}/project", f"{theirs}.mlp.2", LINEAR)
