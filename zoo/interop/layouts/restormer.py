"""Restormer, as its authors' files and deepinv name its tensors."""

from collections.abc import Iterator

from zoo.models.restormer import Restormer
from zoo.models.torch_layout import CONV, POINTWISE, SAME, Tensor, shuffled


def layout(model: Restormer) -> Iterator[Tensor]:
    """Every tensor of a Restormer."""
    last = len(model.blocks) - 1
    yield Tensor("params/head/kernel", "patch_embed.proj.weight", CONV)
    for depth, count in enumerate(model.blocks):
        level = depth + 1
        if depth:
            yield Tensor(
                f"params/down{depth}/conv/kernel", f"down{depth}_{level}.body.0.weight", CONV
            )
        theirs = f"encoder_level{level}" if depth < last else "latent"
        yield from _stage(model, f"encoder{depth}", theirs, count)
    for depth, count in enumerate(model.blocks[:-1]):
        level = depth + 1
        up = f"up{level + 1}_{level}.body.0.weight"
        yield Tensor(f"params/up{depth}/conv/kernel", up, shuffled(CONV, -1))
        if depth:
            reduce = f"reduce_chan_level{level}.weight"
            yield Tensor(f"params/merge{depth}/kernel", reduce, POINTWISE)
        yield from _stage(model, f"decoder{depth}", f"decoder_level{level}", count)
    yield from _stage(model, "refinement", "refinement", model.refinement)
    yield Tensor("params/tail/kernel", "output.weight", CONV)


def _stage(model: Restormer, ours: str, theirs: str, count: int) -> Iterator[Tensor]:
    for i in range(count):
        yield from _block(model, f"params/{ours}_{i}", f"{theirs}.{i}")


def _block(model: Restormer, ours: str, theirs: str) -> Iterator[Tensor]:
    for i in (0, 1):
        norm = f"{theirs}.norm{i + 1}.body"
        yield Tensor(f"{ours}/norm{i}/scale", f"{norm}.weight", SAME)
        if model.norm_bias:
            yield Tensor(f"{ours}/norm{i}/bias", f"{norm}.bias", SAME)
    attention, feed_forward = f"{ours}/attention", f"{ours}/feed_forward"
    yield Tensor(f"{attention}/temperature", f"{theirs}.attn.temperature", SAME)
    yield Tensor(f"{attention}/qkv/kernel", f"{theirs}.attn.qkv.weight", POINTWISE)
    yield Tensor(f"{attention}/depthwise/kernel", f"{theirs}.attn.qkv_dwconv.weight", CONV)
    yield Tensor(f"{attention}/project/kernel", f"{theirs}.attn.project_out.weight", POINTWISE)
    yield Tensor(f"{feed_forward}/expand/kernel", f"{theirs}.ffn.project_in.weight", POINTWISE)
    yield Tensor(f"{feed_forward}/depthwise/kernel", f"{theirs}.ffn.dwconv.weight", CONV)
    yield Tensor(f"{feed_forward}/project/kernel", f"{theirs}.ffn.project_out.weight", POINTWISE)
