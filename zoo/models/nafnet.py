"""NAFNet: a U-Net whose blocks gate by products of channels and need no activation function.

After Chen et al., "Simple Baselines for Image Restoration", ECCV 2022.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import canvas, layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register
from zoo.models.torch_layout import (
    CHANNEL,
    CONV,
    POINTWISE,
    Form,
    Layout,
    Tensor,
    kernel,
    layer,
    norm,
)


class NAFNet(Denoiser):
    """A U-Net of NAFNet's blocks that predicts a correction of the image; blind to the level.

    It pads with zeros, as the published weights expect.

    Attributes:
      width: channels of the finest level; each coarser one has twice as many.
      encoder: blocks of each level on the way down, in the order they run, the finest first.
      middle: blocks at the bottom, one level below the encoder's last.
      decoder: blocks of each level on the way up, in the order they run, the coarsest first.
    """

    width: int = 32
    encoder: Sequence[int] = (2, 2, 4, 8)
    middle: int = 12
    decoder: Sequence[int] = (2, 2, 2, 2)

    # Channel attention weighs the channels by their means over the image.
    locality = "global"
    margin = "constant"
    canvas = True
    output = "residual"

    def __post_init__(self):
        if len(self.encoder) != len(self.decoder):
            raise ZooError(
                f"NAFNet: encoder={self.encoder!r} and decoder={self.decoder!r} differ in length; "
                "give both one number of blocks a level"
            )
        super().__post_init__()

    @property
    def stride(self) -> int:
        """One pixel of the bottom."""
        return 2 ** len(self.encoder)

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        dtypes = self.dtypes(x)
        conv = partial(Conv, kernel_size=(3, 3), **dtypes)
        block = partial(_Block, **dtypes)

        levels = len(self.encoder)
        y = conv(self.width, name="head")(x)

        skips = []
        for depth, count in enumerate(self.encoder):
            for i in range(count):
                y = block(name=f"encoder{depth}_{i}")(y)
            skips.append(y)
            y = layers.Down(2 * y.shape[-1], **dtypes, name=f"down{depth + 1}")(y)
        for i in range(self.middle):
            y = block(name=f"middle{i}")(y)
        for depth, count in zip(reversed(range(levels)), self.decoder, strict=True):
            # The paper's 1x1 convolution and pixel shuffle are one such layer.
            y = layers.Up(y.shape[-1] // 2, use_bias=False, **dtypes, name=f"up{depth}")(y)
            y = y + skips[depth]
            for i in range(count):
                y = block(name=f"decoder{depth}_{i}")(y)

        return conv(self.channels, kernel_init=layers.scaled_kernel(), name="tail")(y)

    def torch_layout(self) -> Layout:
        """As its authors store it."""
        return Layout(tuple(_layout(self)))


class _Block(layers.Layer):
    """Gated depthwise convolution with channel attention, then a gated pointwise layer.

    Each half is added to its input, scaled a channel at a time by `beta` and `gamma`, which start
    at 0: the block starts as the identity.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = x.shape[-1]
        dtypes = self.dtypes(x)
        dense = partial(nn.Dense, **dtypes)
        norm = partial(self.normalize, nn.LayerNorm, epsilon=1e-6, use_fast_variance=False)

        y = dense(2 * c, name="expand0")(norm(x, name="norm0"))
        y = _gate(layers.DepthwiseConv(**dtypes, name="depthwise")(y))
        # The statistics are taken in the parameters' precision, however low the computation's.
        means = canvas.mean(y.astype(self.param_dtype))
        y = y * dense(c, name="attention")(means)
        x = x + self._scale(dense(c, name="project0")(y), "beta")

        y = _gate(dense(2 * c, name="expand1")(norm(x, name="norm1")))
        return x + self._scale(dense(c, name="project1")(y), "gamma")

    def _scale(self, y: jax.Array, name: str) -> jax.Array:
        scale = self.param(name, nn.initializers.zeros, (y.shape[-1],), self.param_dtype)
        return y * scale.astype(y.dtype)[None, None, None]


def _gate(x: jax.Array) -> jax.Array:
    """The product of the two halves of the channels."""
    a, b = jnp.split(x, 2, axis=-1)
    return a * b


_SHUFFLED_UP = Form(
    lambda a: a[:, :, 0, 0].reshape(-1, 2, 2, a.shape[1]).transpose(3, 1, 2, 0),
    lambda shape: (4 * shape[3], shape[0], 1, 1),
)
"""The kernel of `layers.Up`, stored as the 1x1 convolution before a pixel shuffle by 2.

The outputs of that are ordered channel, row, column: (4 out, in, 1, 1) to (in, 2, 2, out).
"""

# Ours, key and the form of the kernel, of a block's layers with weight and bias.
_LAYERS = (
    ("expand0", "conv1", POINTWISE),
    ("depthwise", "conv2", CONV),
    ("attention", "sca.1", POINTWISE),
    ("project0", "conv3", POINTWISE),
    ("expand1", "conv4", POINTWISE),
    ("project1", "conv5", POINTWISE),
)


def _layout(model: NAFNet) -> Iterator[Tensor]:
    yield from layer("head", "intro", CONV)
    for depth, count in enumerate(model.encoder):
        for i in range(count):
            yield from _block(f"encoder{depth}_{i}", f"encoders.{depth}.{i}")
        yield from layer(f"down{depth + 1}", f"downs.{depth}", CONV)
    for i in range(model.middle):
        yield from _block(f"middle{i}", f"middle_blks.{i}")
    for step, count in enumerate(model.decoder):
        # PyTorch's keys count the steps up, our paths the levels.
        depth = len(model.decoder) - 1 - step
        yield kernel(f"up{depth}", f"ups.{step}.0", _SHUFFLED_UP)
        for i in range(count):
            yield from _block(f"decoder{depth}_{i}", f"decoders.{step}.{i}")
    yield from layer("tail", "ending", CONV)


def _block(path: str, key: str) -> Iterator[Tensor]:
    for name, part, form in _LAYERS:
        yield from layer(f"{path}/{name}", f"{key}.{part}", form)
    for name, part in (("norm0", "norm1"), ("norm1", "norm2")):
        yield from norm(f"{path}/{name}", f"{key}.{part}")
    for name in ("beta", "gamma"):
        yield Tensor(f"params/{path}/{name}", f"{key}.{name}", CHANNEL)


_nafnet = partial(
    register,
    NAFNet,
    narrow={"width": 4},
    shallow={"encoder": (1, 1), "middle": 1, "decoder": (1, 1)},
)
_published = partial(_nafnet, source="megvii-research/NAFNet", license="MIT")
_nafnet(
    "nafnet-small",
    "three levels, for the CPU of a laptop",
    438_387,
    17_800,
    width=16,
    encoder=(1, 1, 2),
    middle=2,
    decoder=(1, 1, 1),
)
_published("nafnet-w32", "for the noise of cameras (SIDD)", 29_159_715, 239_000)
_published("nafnet-w64", "for the noise of cameras (SIDD)", 115_982_915, 954_000, width=64)
