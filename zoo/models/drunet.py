"""DRUNet: a U-Net of residual blocks without biases or norms, given the noise level.

After Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", IEEE Transactions on
Pattern Analysis and Machine Intelligence (2021).
"""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
from flax import linen as nn

from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register
from zoo.models.torch_layout import CONV, UP, Layout, Tensor, kernel


class DRUNet(Denoiser):
    """A U-Net that takes the image with a map of its noise level and predicts the clean image.

    With no bias anywhere, image and level scaled by k scale the output by k. The published weights
    were trained for levels of 0 to 50/255.

    Attributes:
      widths: channels of each level, the finest first; their number is the depth.
      blocks: residual blocks a level, on the way down, at the bottom and on the way up.
    """

    widths: Sequence[int] = (64, 128, 256, 512)
    blocks: int = 4

    takes_level = True
    # At 1e-3 its loss jumps, at 3e-3 it runs away.
    learning_rate = 3e-4
    canvas = True

    @property
    def stride(self) -> int:
        """One pixel of the coarsest level."""
        return 2 ** (len(self.widths) - 1)

    @property
    def reach(self) -> int:
        """All convolutions of a path through the coarsest level, and the pixel it splits there."""
        # Two convolutions a block, in each level twice but at the bottom; head and tail.
        convs = 2 + 2 * self.blocks * (2 * (self.stride - 1) + self.stride)
        return convs + self.stride - 1

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        dtypes = self.dtypes(x)
        conv = partial(Conv, kernel_size=(3, 3), use_bias=False, **dtypes)
        block = partial(_Block, **dtypes)
        down = partial(layers.Down, use_bias=False, **dtypes)
        up = partial(layers.Up, use_bias=False, **dtypes)

        deepest = len(self.widths) - 1
        identity = layers.identity_kernel(self.channels)
        y = layers.append_level(x, level)
        y = conv(self.widths[0], kernel_init=identity, name="head")(y)

        skips = []
        for depth in range(deepest):
            skips.append(y)
            for i in range(self.blocks):
                y = block(name=f"encoder{depth}_{i}")(y)
            y = down(self.widths[depth + 1], name=f"down{depth + 1}")(y)
        skips.append(y)
        for i in range(self.blocks):
            y = block(name=f"body{i}")(y)
        for depth in reversed(range(deepest)):
            # Little of the deeper levels at first, so that the input passes unchanged.
            gain = 1.0 if depth else 1e-4
            y = up(self.widths[depth], gain=gain, name=f"up{depth}")(y + skips[depth + 1])
            for i in range(self.blocks):
                y = block(name=f"decoder{depth}_{i}")(y)

        return conv(self.channels, kernel_init=identity, name="tail")(y + skips[0])

    def torch_layout(self) -> Layout:
        """As KAIR and DPIR store it: one Sequential a level and direction."""
        return Layout(tuple(_layout(self)))


class _Block(layers.Layer):
    """conv, ReLU, conv, added to the input."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(Conv, x.shape[-1], (3, 3), use_bias=False, **self.dtypes(x))
        y = nn.relu(conv(name="conv0")(x))
        return x + conv(kernel_init=layers.scaled_kernel(0.1), name="conv1")(y)


def _layout(model: DRUNet) -> Iterator[Tensor]:
    yield kernel("head", "m_head", CONV)
    for depth in range(len(model.widths) - 1):
        # PyTorch's levels count from 1, by the finer side of the step between two.
        below, above = f"m_down{depth + 1}", f"m_up{depth + 1}"
        yield kernel(f"down{depth + 1}", f"{below}.{model.blocks}", CONV)
        yield kernel(f"up{depth}", f"{above}.0", UP)
        for i in range(model.blocks):
            yield from _block(f"encoder{depth}_{i}", f"{below}.{i}")
            yield from _block(f"decoder{depth}_{i}", f"{above}.{i + 1}")
    for i in range(model.blocks):
        yield from _block(f"body{i}", f"m_body.{i}")
    yield kernel("tail", "m_tail", CONV)


def _block(path: str, key: str) -> Iterator[Tensor]:
    yield kernel(f"{path}/conv0", f"{key}.res.0", CONV)
    yield kernel(f"{path}/conv1", f"{key}.res.2", CONV)


_drunet = partial(
    register,
    DRUNet,
    narrow={"widths": (4, 4, 4, 4)},
    shallow={"blocks": 1},
    source="cszn/DPIR",
    license="MIT",
)
_drunet("drunet-gray", "four levels of 64 to 512 channels", 32_638_656, 2_120_000, channels=1)
_drunet("drunet-color", "four levels of 64 to 512 channels", 32_640_960, 2_120_000)
