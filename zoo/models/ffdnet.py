"""FFDNet: a chain of 3x3 convolutions at half resolution, given the noise level.

After Zhang et al., "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising",
IEEE Transactions on Image Processing (2018).
"""

from collections.abc import Iterator
from functools import partial

import jax
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register
from zoo.models.torch_layout import CONV, SAME, Layout, Tensor, shuffled


class FFDNet(Denoiser):
    """A chain of 3x3 convolutions with ReLU on the unshuffled image and a map of its noise level.

    The published weights were trained for levels of
    0 to 75/255.

    Attributes:
      depth: convolutions, at least 2.
      width: channels between them.
    """

    depth: int = 12
    width: int = 96

    takes_level = True
    stride = 2
    canvas = True

    def __post_init__(self):
        if self.depth < 2:
            raise ZooError(f"FFDNet: depth={self.depth!r} is too small; take at least 2")
        super().__post_init__()

    @property
    def reach(self) -> int:
        """Two pixels a convolution, and one of the patch a pixel lies in."""
        return 2 * self.depth + 1

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        conv = partial(
            Conv,
            kernel_size=(3, 3),
            kernel_init=nn.initializers.he_normal(),
            **self.dtypes(x),
        )
        y = layers.append_level(layers.space_to_depth(x, 2), level)
        y = nn.relu(conv(self.width, name="head")(y))
        for i in range(self.depth - 2):
            y = nn.relu(conv(self.width, name=f"body{i}")(y))
        y = conv(4 * self.channels, kernel_init=nn.initializers.lecun_normal(), name="tail")(y)
        return layers.depth_to_space(y, 2)

    def torch_layout(self) -> Layout:
        """As KAIR stores it: one Sequential of convolutions and ReLUs."""
        return Layout(tuple(_layout(self)))


def _layout(model: FFDNet) -> Iterator[Tensor]:
    bodies = [f"body{i}" for i in range(model.depth - 2)]
    # The level map is the last channel that goes in; what comes out is all image.
    kernels = {"head": shuffled(CONV, axis=-2, extra=1), "tail": shuffled(CONV, axis=-1)}
    biases = {"tail": shuffled(SAME, axis=-1)}
    for i, name in enumerate(["head", *bodies, "tail"]):
        kernel, bias = kernels.get(name, CONV), biases.get(name, SAME)
        yield Tensor(f"params/{name}/kernel", f"model.{2 * i}.weight", kernel)
        yield Tensor(f"params/{name}/bias", f"model.{2 * i}.bias", bias)


_ffdnet = partial(
    register, FFDNet, narrow={"width": 4}, shallow={"depth": 5}, source="cszn/KAIR", license="MIT"
)
_ffdnet("ffdnet-gray", "15 layers of 64 channels", 485_316, 121_000, channels=1, depth=15, width=64)
_ffdnet("ffdnet-color", "12 layers of 96 channels", 852_108, 213_000)
