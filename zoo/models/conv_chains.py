"""Chains of 3x3 convolutions: DnCNN and FFDNet.

After Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising"
(2017), and "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising" (2018), both
in IEEE Transactions on Image Processing.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.denoiser import Denoiser
from zoo.models.registry import register
from zoo.models.torch_layout import CONV, SAME, Layout, Tensor, batch_norm, layer, shuffled

_EPSILON = 1e-4


class _Chain(Denoiser):
    """Convolutions `head`, `body0` and so on, and `tail`, with ReLU between them.

    Attributes:
      depth: convolutions, at least 2.
      width: channels between them.
      planes: how many of a stack it sees at once, an odd number; see `ModelSpec`.
    """

    depth: int = 17
    width: int = 64
    planes: int = 1

    canvas = True

    def __post_init__(self):
        if self.depth < 2:
            name = type(self).__name__
            raise ZooError(f"{name}: depth={self.depth!r} is too small; take at least 2")
        super().__post_init__()

    def _chain(
        self,
        x: jax.Array,
        features: int,
        last: nn.initializers.Initializer,
        norm: Callable[[jax.Array, int], jax.Array] = lambda y, i: y,
    ) -> jax.Array:
        """The chain; `last` makes the last kernel, and `norm` follows each of the bodies."""
        first = nn.initializers.he_normal()
        conv = partial(Conv, kernel_size=(3, 3), kernel_init=first, **self.dtypes(x))
        y = nn.relu(conv(self.width, name="head")(x))
        for i in range(self.depth - 2):
            y = nn.relu(norm(conv(self.width, name=f"body{i}")(y), i))
        return conv(features, kernel_init=last, name="tail")(y)


class DnCNN(_Chain):
    """A chain that predicts the noise and subtracts it; any height and width, and no noise level.

    Attributes:
      depth: convolutions, at least 2; an output pixel sees `depth` pixels to each side.
      width: channels between them.
      norm: `"none"`, as the published weights are, whose batch norm is merged into the
        convolutions; or `"batch"`, to train from the start, see `merge_batch_norm`.
      axis_name: the device axis over which batch statistics are averaged.
    """

    norm: Literal["none", "batch"] = "none"
    axis_name: str | None = None

    family = "dncnn"
    output = "noise"
    reach = property(lambda self: self.depth)

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        def norm(y: jax.Array, i: int) -> jax.Array:
            if self.norm == "none":
                return y
            settings = {"axis_name": self.axis_name, "epsilon": _EPSILON, "name": f"norm{i}"}
            return self.batch_norm(y, train=train, **settings)

        return self._chain(x, self.channels, layers.scaled_kernel(), norm)

    def merge_batch_norm(self, variables: Mapping) -> tuple["DnCNN", dict]:
        """See `zoo.models.merge_batch_norm`."""
        params = dict(variables["params"])
        for i in range(self.depth - 2):
            conv, norm = params[f"body{i}"], params.pop(f"norm{i}")
            running = variables["batch_stats"][f"norm{i}"]
            gain = norm["scale"] / jnp.sqrt(running["var"] + _EPSILON)
            params[f"body{i}"] = {
                "kernel": conv["kernel"] * gain[None, None, None],
                "bias": (conv["bias"] - running["mean"]) * gain + norm["bias"],
            }
        return self.clone(norm="none"), {"params": params}

    def torch_layout(self) -> Layout:
        """As KAIR stores it: one Sequential of its layers in order.

        Published files hold convolutions alone, the batch norm merged into them; an unmerged
        network's norms follow their convolutions.
        """
        return Layout(tuple(_dncnn_layout(self)), (r"model\.\d+\.num_batches_tracked",))


class FFDNet(_Chain):
    """A chain on the image at half resolution, given a map of the noise level.

    The published weights were trained for levels of 0 to 75/255.

    Attributes:
      depth: convolutions, at least 2.
      width: channels between them.
    """

    depth: int = 12
    width: int = 96

    family = "ffdnet"
    takes_level = True
    stride = 2
    # Two pixels a convolution, and one of the patch a pixel lies in.
    reach = property(lambda self: 2 * self.depth + 1)

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        y = layers.append_level(layers.space_to_depth(x, 2), level)
        y = self._chain(y, 4 * self.channels, nn.initializers.lecun_normal())
        return layers.depth_to_space(y, 2)

    def torch_layout(self) -> Layout:
        """As KAIR stores it: one Sequential of convolutions and ReLUs."""
        return Layout(tuple(_ffdnet_layout(self)))


def _dncnn_layout(model: DnCNN) -> Iterator[Tensor]:
    bodies = range(model.depth - 2)
    # Layers between one convolution and the next, ReLU and perhaps batch norm.
    stride = 3 if model.norm == "batch" else 2
    places = {"head": 0} | {f"body{i}": 2 + stride * i for i in bodies}
    places["tail"] = 2 + stride * len(bodies)
    for name, place in places.items():
        yield from layer(name, f"model.{place}", CONV)
    if model.norm == "batch":
        for i in bodies:
            yield from batch_norm(f"norm{i}", f"model.{places[f'body{i}'] + 1}")


def _ffdnet_layout(model: FFDNet) -> Iterator[Tensor]:
    bodies = [f"body{i}" for i in range(model.depth - 2)]
    # The level map is the last channel that goes in; what comes out is all image.
    kernels = {"head": shuffled(CONV, axis=-2, extra=1), "tail": shuffled(CONV, axis=-1)}
    biases = {"tail": shuffled(SAME, axis=-1)}
    for i, name in enumerate(["head", *bodies, "tail"]):
        kernel, bias = kernels.get(name, CONV), biases.get(name, SAME)
        yield Tensor(f"params/{name}/kernel", f"model.{2 * i}.weight", kernel)
        yield Tensor(f"params/{name}/bias", f"model.{2 * i}.bias", bias)


_chain = partial(
    register, narrow={"width": 4}, shallow={"depth": 5}, source="cszn/KAIR", license="MIT"
)
_dncnn, _ffdnet = partial(_chain, DnCNN), partial(_chain, FFDNet)
_dncnn("dncnn-gray", "DnCNN-S, for one noise level", 555_137, 554_000, channels=1)
_dncnn("dncnn-color", "for one noise level", 557_443, 556_000)
_dncnn("dncnn-gray-blind", "DnCNN-B, for a range of levels", 665_921, 665_000, channels=1, depth=20)
_dncnn("dncnn-color-blind", "CDnCNN-B, for a range of levels", 668_227, 667_000, depth=20)
_ffdnet("ffdnet-gray", "15 layers of 64 channels", 485_316, 121_000, channels=1, depth=15, width=64)
_ffdnet("ffdnet-color", "12 layers of 96 channels", 852_108, 213_000)
