"""DnCNN: a plain chain of 3x3 convolutions that predicts the noise and subtracts it.

After Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising",
IEEE Transactions on Image Processing (2017).
"""

from collections.abc import Iterator, Mapping
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
from zoo.models.torch_layout import CONV, Layout, Tensor, batch_norm, layer

_EPSILON = 1e-4


class DnCNN(Denoiser):
    """A chain of 3x3 convolutions with ReLU; any height and width, and no noise level.

    Attributes:
      depth: convolutions, at least 2; an output pixel sees `depth` pixels to each side.
      width: channels between them.
      norm: `"none"`, as the published weights are, whose batch norm is merged into the
        convolutions; or `"batch"`, to train from the start, see `merge_batch_norm`.
      axis_name: the device axis over which batch statistics are averaged.
    """

    depth: int = 17
    width: int = 64
    norm: Literal["none", "batch"] = "none"
    axis_name: str | None = None

    canvas = True
    output = "noise"

    def __post_init__(self):
        if self.depth < 2:
            raise ZooError(f"DnCNN: depth={self.depth!r} is too small; take at least 2")
        super().__post_init__()

    @property
    def reach(self) -> int:
        """A pixel a convolution."""
        return self.depth

    @nn.compact
    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        conv = partial(
            Conv,
            kernel_size=(3, 3),
            kernel_init=nn.initializers.he_normal(),
            **self.dtypes(x),
        )
        y = nn.relu(conv(self.width, name="head")(x))
        for i in range(self.depth - 2):
            y = conv(self.width, name=f"body{i}")(y)
            if self.norm == "batch":
                y = self.batch_norm(
                    y,
                    train=train,
                    axis_name=self.axis_name,
                    epsilon=_EPSILON,
                    name=f"norm{i}",
                )
            y = nn.relu(y)
        return conv(self.channels, kernel_init=layers.scaled_kernel(), name="tail")(y)

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
        return Layout(tuple(_layout(self)), (r"model\.\d+\.num_batches_tracked",))


def _layout(model: DnCNN) -> Iterator[Tensor]:
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


_dncnn = partial(
    register, DnCNN, narrow={"width": 4}, shallow={"depth": 5}, source="cszn/KAIR", license="MIT"
)
_dncnn("dncnn-gray", "DnCNN-S, for one noise level", 555_137, 554_000, channels=1)
_dncnn("dncnn-color", "for one noise level", 557_443, 556_000)
_dncnn("dncnn-gray-blind", "DnCNN-B, for a range of levels", 665_921, 665_000, channels=1, depth=20)
_dncnn("dncnn-color-blind", "CDnCNN-B, for a range of levels", 668_227, 667_000, depth=20)
