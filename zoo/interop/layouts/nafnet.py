"""NAFNet as its authors (github.com/megvii-research/NAFNet) store it."""

from collections.abc import Iterator

from zoo.models.nafnet import NAFNet
from zoo.models.torch_layout import CHANNEL, CONV, POINTWISE, Form, Tensor, layer, norm

SHUFFLED_UP = Form(
    lambda a: a[:, :, 0, 0].reshape(-1, 2, 2, a.shape[1]).transpose(3, 1, 2, 0),
    lambda shape: (4 * shape[3], shape[0], 1, 1),
)
"""The kernel of `layers.Up`, stored as the 1x1 convolution before a pixel shuffle by 2.

The outputs of that are ordered channel, row, column: (4 out, in, 1, 1) to (in, 2, 2, out).
"""

# Ours, theirs and the form of the kernel, of a block's layers with weight and bias.
LAYERS = (
    ("expand0", "conv1", POINTWISE),
    ("depthwise", "conv2", CONV),
    ("attention", "sca.1", POINTWISE),
    ("project0", "conv3", POINTWISE),
    ("expand1", "conv4", POINTWISE),
    ("project1", "conv5", POINTWISE),
)


def layout(model: NAFNet) -> Iterator[Tensor]:
    """Where each variable of a NAFNet stands."""
    yield from layer("head", "intro", CONV)
    for depth, count in enumerate(model.encoder):
        for i in range(count):
            yield from _block(f"encoder{depth}_{i}", f"encoders.{depth}.{i}")
        yield from layer(f"down{depth + 1}", f"downs.{depth}", CONV)
    for i in range(model.middle):
        yield from _block(f"middle{i}", f"middle_blks.{i}")
    for step, count in enumerate(model.decoder):
        # Theirs count the steps up, ours the levels.
        depth = len(model.decoder) - 1 - step
        yield Tensor(f"params/up{depth}/kernel", f"ups.{step}.0.weight", SHUFFLED_UP)
        for i in range(count):
            yield from _block(f"decoder{depth}_{i}", f"decoders.{step}.{i}")
    yield from layer("tail", "ending", CONV)


def _block(ours: str, theirs: str) -> Iterator[Tensor]:
    for name, key, form in LAYERS:
        yield from layer(f"{ours}/{name}", f"{theirs}.{key}", form)
    for name, key in (("norm0", "norm1"), ("norm1", "norm2")):
        yield from norm(f"{ours}/{name}", f"{theirs}.{key}")
    for name in ("beta", "gamma"):
        yield Tensor(f"params/{ours}/{name}", f"{theirs}.{name}", CHANNEL)
