"""SwinIR as its authors' files and deepinv name its tensors."""

from collections.abc import Iterator

from zoo.models.swinir import SwinIR
from zoo.models.torch_layout import CONV, LINEAR, Form, Tensor, layer, norm

IGNORED = (
    # Made for pictures of one size, and from the window's size alone.
    r"layers\.\d+\.residual_group\.blocks\.\d+\.attn_mask",
    r"layers\.\d+\.residual_group\.blocks\.\d+\.attn\.relative_position_index",
)

_TABLE = Form(
    lambda a: a.reshape(2 * (round(len(a) ** 0.5),) + a.shape[1:]),
    lambda shape: (shape[0] * shape[1], shape[2]),
)


def layout(model: SwinIR) -> Iterator[Tensor]:
    """Where each variable of a SwinIR stands."""
    yield from layer("head", "conv_first", CONV)
    yield from norm("embed_norm", "patch_embed.norm")
    for i, depth in enumerate(model.depths):
        for j in range(depth):
            yield from _block(f"stage{i}/block{j}", f"layers.{i}.residual_group.blocks.{j}")
        yield from layer(f"stage{i}/conv", f"layers.{i}.conv", CONV)
    yield from norm("norm", "norm")
    yield from layer("body", "conv_after_body", CONV)
    yield from layer("tail", "conv_last", CONV)


def _block(ours: str, theirs: str) -> Iterator[Tensor]:
    yield from norm(f"{ours}/norm0", f"{theirs}.norm1")
    table = f"{theirs}.attn.relative_position_bias_table"
    yield Tensor(f"params/{ours}/attention/position_bias", table, _TABLE)
    yield from layer(f"{ours}/attention/qkv", f"{theirs}.attn.qkv", LINEAR)
    yield from layer(f"{ours}/attention/project", f"{theirs}.attn.proj", LINEAR)
    yield from norm(f"{ours}/norm1", f"{theirs}.norm2")
    yield from layer(f"{ours}/expand", f"{theirs}.mlp.fc1", LINEAR)
    yield from layer(f"{ours}/project", f"{theirs}.mlp.fc2", LINEAR)
