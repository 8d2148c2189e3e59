"""FFDNet: a chain of 3x3 convolutions at half resolution, told the noise level.

After Zhang et al., "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising",
IEEE Transactions on Image Processing (2018).
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.conv import Conv
from zoo.models.registry import register


class FFDNet(nn.Module):
    """A chain of 3x3 convolutions with ReLU on the unshuffled picture and a map of its noise level.

    It pads odd heights and widths by itself. The published weights were trained for levels of
    0 to 75/255.

    Attributes:
      channels: C of the signal.
      depth: convolutions, at least 2.
      width: channels between them.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    channels: int = 3
    depth: int = 12
    width: int = 96
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

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
    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C), any float dtype, made for [0, 1].
          level: standard deviation of the noise in signal units, a number or (N,).
          train: ignored.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` has another number of channels, or there is no level.
        """
        layers.check_input(x, self.channels, "FFDNet")
        conv = partial(
            Conv,
            kernel_size=(3, 3),
            kernel_init=nn.initializers.he_normal(),
            **layers.dtypes(self, x),
        )
        y = layers.space_to_depth(layers.pad_to_multiple(x, self.stride), 2)
        y = jnp.concatenate([y, layers.level_map(level, y, "FFDNet")], axis=-1)
        y = nn.relu(conv(self.width, name="head")(y))
        for i in range(self.depth - 2):
            y = nn.relu(conv(self.width, name=f"body{i}")(y))
        y = conv(4 * self.channels, kernel_init=nn.initializers.lecun_normal(), name="tail")(y)
        y = layers.depth_to_space(y, 2)[:, : x.shape[1], : x.shape[2]]
        return y.astype(x.dtype)


_NARROW = {"width": 4}
_SHALLOW = {"depth": 5}


@register("ffdnet-gray", parameters=485_316, narrow=_NARROW, shallow=_SHALLOW)
def ffdnet_gray(**overrides) -> FFDNet:
    """15 layers of 64 channels, grey."""
    return FFDNet(**{"channels": 1, "depth": 15, "width": 64} | overrides)


@register("ffdnet-color", parameters=852_108, narrow=_NARROW, shallow=_SHALLOW)
def ffdnet_color(**overrides) -> FFDNet:
    """12 layers of 96 channels, colour."""
    return FFDNet(**{"channels": 3, "depth": 12, "width": 96} | overrides)
