"""DnCNN: a plain chain of 3x3 convolutions that predicts the noise and subtracts it.

After Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising",
IEEE Transactions on Image Processing (2017).
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.registry import register

_EPSILON = 1e-4


class DnCNN(nn.Module):
    """A chain of 3x3 convolutions with ReLU; any height and width, and no noise level.

    Attributes:
      channels: C of the signal.
      depth: convolutions, at least 2; an output pixel sees `depth` pixels to each side.
      width: channels between them.
      norm: `"none"`, as the published weights are, whose batch norm is merged into the
        convolutions; or `"batch"`, to train from the start, see `merge_batch_norm`.
      axis_name: the device axis over which batch statistics are averaged.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    depth: int = 17
    width: int = 64
    norm: Literal["none", "batch"] = "none"
    axis_name: str | None = None
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    canvas = True

    def __post_init__(self):
        layers.check_choices(self, norm=("none", "batch"))
        if self.depth < 2:
            raise ZooError(f"DnCNN: depth={self.depth!r} is too small; take at least 2")
        super().__post_init__()

    @property
    def reach(self) -> int:
        """A pixel a convolution."""
        return self.depth

    @nn.compact
    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C), any float dtype, made for [0, 1].
          level: ignored.
          train: whether batch norm uses and updates the statistics of this batch.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` has another number of channels.
        """
        layers.check_input(x, self.channels, "DnCNN")
        conv = partial(
            Conv,
            kernel_size=(3, 3),
            kernel_init=nn.initializers.he_normal(),
            **layers.dtypes(self, x),
        )
        y = nn.relu(conv(self.width, name="head")(x))
        for i in range(self.depth - 2):
            y = conv(self.width, name=f"body{i}")(y)
            if self.norm == "batch":
                y = self._norm(y, f"norm{i}", train)
            y = nn.relu(y)
        # A small start keeps the first outputs near the noisy input, the best guess then known.
        small = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
        y = conv(self.channels, kernel_init=small, name="tail")(y)
        return x - y.astype(x.dtype)

    def _norm(self, x: jax.Array, name: str, train: bool) -> jax.Array:
        # Statistics are taken in the parameters' precision, however low that of the computation.
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            epsilon=_EPSILON,
            axis_name=self.axis_name if train else None,
            dtype=self.param_dtype,
            param_dtype=self.param_dtype,
            name=name,
        )
        return norm(x.astype(self.param_dtype)).astype(x.dtype)

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


_NARROW = {"width": 4}
_SHALLOW = {"depth": 5}


@register("dncnn-gray", parameters=555_137, narrow=_NARROW, shallow=_SHALLOW)
def dncnn_gray(**overrides) -> DnCNN:
    """DnCNN-S: 17 layers, grey, for one noise level."""
    return DnCNN(**{"channels": 1} | overrides)


@register("dncnn-color", parameters=557_443, narrow=_NARROW, shallow=_SHALLOW)
def dncnn_color(**overrides) -> DnCNN:
    """17 layers, colour, for one noise level."""
    return DnCNN(**{"channels": 3} | overrides)


@register("dncnn-gray-blind", parameters=665_921, narrow=_NARROW, shallow=_SHALLOW)
def dncnn_gray_blind(**overrides) -> DnCNN:
    """DnCNN-B: 20 layers, grey, for a range of noise levels it is not told."""
    return DnCNN(**{"channels": 1, "depth": 20} | overrides)


@register("dncnn-color-blind", parameters=668_227, narrow=_NARROW, shallow=_SHALLOW)
def dncnn_color_blind(**overrides) -> DnCNN:
    """CDnCNN-B: 20 layers, colour, for a range of noise levels it is not told."""
    return DnCNN(**{"channels": 3, "depth": 20} | overrides)
