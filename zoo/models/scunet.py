"""SCUNet: a U-Net whose blocks run a residual convolution parallel to a Swin Transformer block.

Zhang et al., "Practical Blind Image Denoising via Swin-Conv-UNet and Data Synthesis" (Machine
Intelligence Research 2023), of which this is the network.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register
from zoo.models.swinir import SwinBlock
from zoo.models.torch_layout import (
    CONV,
    LINEAR,
    POINTWISE,
    UP,
    Form,
    Layout,
    Tensor,
    kernel,
    layer,
    norm,
)


class SCUNet(Denoiser):
    """A U-Net of Swin-Conv blocks with added skips; the width doubles at each coarser level.

    Attributes:
      width: channels of the finest level.
      blocks: of each stage, from the finest level down to the coarsest and back: an odd number of
        stages. Every other block has shifted windows.
      head_width: channels of each attention head; half of `width` must be a multiple of it.
      window: its side in pixels, at every level.
    """

    width: int = 64
    blocks: Sequence[int] = (4,) * 7
    head_width: int = 32
    window: int = 8

    # What a pixel depends on varies with its place in its windows.
    locality = "windowed"
    canvas = True
    # Its authors take 1e-4; at many times that the loss of a network this deep diverges.
    learning_rate = 5e-4

    def __post_init__(self):
        if len(self.blocks) % 2 == 0:
            raise ZooError(f"SCUNet: blocks={self.blocks} must be an odd number of stages")
        if self.width % (2 * self.head_width):
            raise ZooError(
                f"SCUNet: width={self.width} must be a multiple of twice "
                f"head_width={self.head_width}"
            )
        super().__post_init__()

    @property
    def stride(self) -> int:
        """A window of the coarsest level."""
        return self.window * 2 ** (len(self.blocks) // 2)

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        dtypes = self.dtypes(x)
        conv = partial(Conv, kernel_size=(3, 3), use_bias=False, **dtypes)
        deepest = len(self.blocks) // 2
        identity = layers.identity_kernel(self.channels)
        y = conv(self.width, kernel_init=identity, name="head")(x)

        skips = []
        for depth in range(deepest):
            skips.append(y)
            y = self._stage(y, self.blocks[depth], f"encoder{depth}_")
            y = layers.Down(2 * y.shape[-1], use_bias=False, **dtypes, name=f"down{depth + 1}")(y)
        skips.append(y)
        y = self._stage(y, self.blocks[deepest], "body")
        for depth in reversed(range(deepest)):
            # Little of the deeper levels at first, so that the input passes unchanged.
            up = layers.Up(
                y.shape[-1] // 2,
                gain=1.0 if depth else 1e-4,
                use_bias=False,
                **dtypes,
                name=f"up{depth}",
            )
            y = up(y + skips.pop())
            y = self._stage(y, self.blocks[-1 - depth], f"decoder{depth}_")
        return conv(self.channels, kernel_init=identity, name="tail")(y + skips.pop())

    def torch_layout(self) -> Layout:
        """As its authors' files, KAIR and deepinv store it."""
        return Layout(tuple(_layout(self)))

    def _stage(self, x: jax.Array, blocks: int, name: str) -> jax.Array:
        dtypes = self.dtypes(x)
        for i in range(blocks):
            shift = self.window // 2 if i % 2 else 0
            x = _Block(self.head_width, self.window, shift, **dtypes, name=f"{name}{i}")(x)
        return x


class _Block(layers.Layer):
    """A 1x1 convolution, a residual one and a Swin block on half the channels each, a 1x1."""

    head_width: int
    window: int
    shift: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtypes = self.dtypes(x)
        half = x.shape[-1] // 2
        conv = partial(Conv, half, (3, 3), use_bias=False, **dtypes)
        y = nn.Dense(2 * half, **dtypes, name="split")(x)
        local, distant = y[..., :half], y[..., half:]
        local = local + conv(name="conv1")(nn.relu(conv(name="conv0")(local)))
        swin = SwinBlock(half // self.head_width, self.window, self.shift, 4, **dtypes, name="swin")
        y = jnp.concatenate([local, swin(distant)], axis=-1)
        join = nn.Dense(2 * half, kernel_init=layers.scaled_kernel(0.01), **dtypes, name="join")
        return x + join(y)


_TABLE = Form(lambda a: a.transpose(1, 2, 0), lambda shape: (shape[2], *shape[:2]))


def _layout(model: SCUNet) -> Iterator[Tensor]:
    yield kernel("head", "m_head.0", CONV)
    deepest = len(model.blocks) // 2
    for depth, count in enumerate(model.blocks[:deepest]):
        # PyTorch's levels count from 1, by the finer side of the step between two.
        below, above = f"m_down{depth + 1}", f"m_up{depth + 1}"
        for i in range(count):
            yield from _block(f"encoder{depth}_{i}", f"{below}.{i}")
        yield kernel(f"down{depth + 1}", f"{below}.{count}", CONV)
        yield kernel(f"up{depth}", f"{above}.0", UP)
        for i in range(model.blocks[-1 - depth]):
            yield from _block(f"decoder{depth}_{i}", f"{above}.{i + 1}")
    for i in range(model.blocks[deepest]):
        yield from _block(f"body{i}", f"m_body.{i}")
    yield kernel("tail", "m_tail.0", CONV)


def _block(path: str, key: str) -> Iterator[Tensor]:
    yield from layer(f"{path}/split", f"{key}.conv1_1", POINTWISE)
    yield kernel(f"{path}/conv0", f"{key}.conv_block.0", CONV)
    yield kernel(f"{path}/conv1", f"{key}.conv_block.2", CONV)
    yield from layer(f"{path}/join", f"{key}.conv1_2", POINTWISE)
    path, key = f"{path}/swin", f"{key}.trans_block"
    yield from norm(f"{path}/norm0", f"{key}.ln1")
    table = f"{key}.msa.relative_position_params"
    yield Tensor(f"params/{path}/attention/position_bias", table, _TABLE)
    yield from layer(f"{path}/attention/qkv", f"{key}.msa.embedding_layer", LINEAR)
    yield from layer(f"{path}/attention/project", f"{key}.msa.linear", LINEAR)
    yield from norm(f"{path}/norm1", f"{key}.ln2")
    yield from layer(f"{path}/expand", f"{key}.mlp.0", LINEAR)
    yield from layer(f"{path}/project", f"{key}.mlp.2", LINEAR)


_scunet = partial(
    register,
    SCUNet,
    narrow={"width": 8, "head_width": 4, "window": 4},
    shallow={"blocks": (1, 2, 1)},
)
_published = partial(_scunet, source="cszn/SCUNet", license="Apache-2.0")
_published("scunet-gray", "for one noise level", 17_943_768, 1_200_000, channels=1)
_published("scunet-color", "for one noise level, or real noise", 17_946_072, 1_200_000)
_scunet(
    "scunet-small",
    "three levels of half the width, for CPUs",
    914_716,
    141_000,
    width=32,
    blocks=(2, 2, 4, 2, 2),
    head_width=16,
)
