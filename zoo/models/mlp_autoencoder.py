"""The fully connected denoising autoencoder.

After Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders" (ICML
2008): one hidden layer, trained to give the clean picture from a corrupted one, and in the deeper
variant the stack of them (Vincent et al., JMLR 11, 2010). Weights are untied.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import layers
from zoo.models.registry import register


class MLPAutoencoder(nn.Module):
    """Dense layers down to a code and back, for pictures of one size.

    Attributes:
      size: (H, W) of the pictures, in pixels.
      channels: C of the signal.
      widths: units of each encoder layer, the code last; the decoder mirrors them.
      head: `"sigmoid"`, whose outputs stay in (0, 1), or `"linear"`.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
    """

    size: tuple[int, int] = (28, 28)
    channels: int = 1
    widths: Sequence[int] = (128,)
    head: Literal["sigmoid", "linear"] = "sigmoid"
    dtype: layers.Dtype = None
    param_dtype: layers.Dtype = jnp.float32

    def __post_init__(self):
        layers.check_choices(self, head=("sigmoid", "linear"))
        super().__post_init__()

    @property
    def locality(self) -> str:
        """`"global"`: every output pixel sees the whole picture."""
        return "global"

    @nn.compact
    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C) of the model's size, any float dtype, made for [0, 1].
          level: ignored.
          train: ignored.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` has another size or number of channels.
        """
        layers.check_input(x, self.channels, "MLPAutoencoder")
        h, w = self.size
        if x.shape[1:3] != (h, w):
            raise ZooError(
                f"MLPAutoencoder takes pictures of {h}x{w}, got {x.shape[1]}x{x.shape[2]}; "
                f"crop or resize them to {h}x{w}, or build it with that size and train it anew"
            )
        dtypes = layers.dtypes(self, x)
        dense = partial(nn.Dense, kernel_init=nn.initializers.he_normal(), **dtypes)
        y = x.reshape(x.shape[0], -1)
        pixels = y.shape[-1]
        for i, width in enumerate(self.widths):
            y = nn.relu(dense(width, name=f"encoder{i}")(y))
        for i in reversed(range(1, len(self.widths))):
            y = nn.relu(dense(self.widths[i - 1], name=f"decoder{i}")(y))
        y = nn.Dense(pixels, **dtypes, name="decoder0")(y)
        return layers.head(y.reshape(x.shape), self.head, x.dtype)


@register("mlp_autoencoder-mnist", parameters=201_616)
def mlp_autoencoder_mnist(**overrides) -> MLPAutoencoder:
    """784-128-784, for 28x28 grey digits: the smallest model, trained in seconds."""
    return MLPAutoencoder(**overrides)


@register("mlp_autoencoder-mnist-deep", parameters=935_824)
def mlp_autoencoder_mnist_deep(**overrides) -> MLPAutoencoder:
    """784-512-128-512-784, for 28x28 grey digits."""
    return MLPAutoencoder(**{"widths": (512, 128)} | overrides)
