"""Layers of DeepFilterNet3, (N, T, F, C): convolutions of a spectrum, and grouped linear layers."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.models import layers
from zoo.models.audio_layers import BatchNorm, bin_windows, ungrouped

ORDER = 5
"""Frames that the filter of a bin spans."""

# Of the convolution to the filter.
_GROUPS = 2


class _Normed(layers.Layer):
    """Batch norm and activation, which the layers below end with; merged, a bias in its place."""

    norm: str = "batch"
    train: bool = False
    axis_name: str | None = None

    def _kernel(self, name: str, *shape: int, fan_in: int) -> jax.Array:
        init = nn.initializers.normal(fan_in**-0.5)
        return self.param(name, init, shape, self.param_dtype)

    def _finish(self, y: jax.Array) -> jax.Array:
        if self.norm == "merged":
            return layers.add_bias(y, self.bias_param(y.shape[-1]))
        norm = BatchNorm(
            "none", self.train, self.axis_name, param_dtype=self.param_dtype, name="norm"
        )
        return norm(y.reshape(-1, *y.shape[-2:])).reshape(y.shape)


class SpectralConv(_Normed):
    """A convolution of (N, T, F, C), batch norm and ReLU.

    Attributes:
      features: channels it gives.
      kind: `"frames"`, of 3 bins and 3 frames, the first two of which come before those it gives;
        `"bins"`, of 3 bins of each channel, then of all channels of each bin; `"up"`, the same
        transposed, for twice the bins; `"full"`, of 3 bins and all channels; `"scale"`, each
        channel by a number.
      stride: of `"bins"`.
      activation: a function of `flax.linen`.
    """

    features: int = 1
    kind: str = "bins"
    stride: int = 1
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Keeps N; of T, F and C see `kind`."""
        y = self._finish(getattr(self, f"_{self.kind}")(x))
        return getattr(nn, self.activation)(y)

    def _frames(self, x: jax.Array) -> jax.Array:
        c, wide = x.shape[-1], self.features
        if c == 1:
            kernel = self._kernel("kernel", 3, 3, wide, fan_in=9).reshape(9, wide)
        else:
            # Both of its steps as one: the second alone has far more channels to sum over.
            first = self._kernel("depthwise", 3, 3, wide, fan_in=9).reshape(9, 1, wide)
            second = self._kernel("kernel", wide, wide, fan_in=wide)
            kernel = (ungrouped(first, c) @ second).reshape(9 * c, wide)
        frames = x.shape[1] - 2
        x = jnp.concatenate([x[:, i : i + frames] for i in range(3)], -1)
        # Of each bin the frames lie side by side; the kernel has frame, bin and channel in order.
        kernel = kernel.reshape(3, 3, c, wide).swapaxes(0, 1).reshape(9 * c, wide)
        return bin_windows(x, 3) @ kernel.astype(x.dtype)

    def _bins(self, x: jax.Array) -> jax.Array:
        kernel, f = self._depthwise(x), x.shape[2]
        x = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
        y = sum(x[:, :, i : i + f : self.stride] * kernel[i] for i in range(3))
        return self._mixed(y)

    def _up(self, x: jax.Array) -> jax.Array:
        kernel = self._depthwise(x)
        after = jnp.pad(x[:, :, 1:], ((0, 0), (0, 0), (0, 1), (0, 0)))
        y = jnp.stack([x * kernel[1], x * kernel[2] + after * kernel[0]], 3)
        return self._mixed(y.reshape(*x.shape[:2], -1, x.shape[-1]))

    def _full(self, x: jax.Array) -> jax.Array:
        kernel = self._kernel("kernel", 3, x.shape[-1], self.features, fan_in=3 * x.shape[-1])
        return bin_windows(x, 3) @ kernel.reshape(-1, self.features).astype(x.dtype)

    def _scale(self, x: jax.Array) -> jax.Array:
        kernel = self._kernel("kernel", self.features, fan_in=1)
        return x * kernel.astype(x.dtype)[None, None, None]

    def _depthwise(self, x: jax.Array) -> jax.Array:
        kernel = self._kernel("depthwise", 3, x.shape[-1], fan_in=3)
        return kernel.astype(x.dtype)[:, None, None, None]

    def _mixed(self, y: jax.Array) -> jax.Array:
        kernel = self._kernel("kernel", y.shape[-1], self.features, fan_in=y.shape[-1])
        return y @ kernel.astype(y.dtype)


class Pathway(_Normed):
    """A causal convolution over the filter's frames, (N, T, F, C) to (N, T, F, 10)."""

    @nn.compact
    def __call__(self, x: jax.Array, owed: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Gives also what these frames add to those to come."""
        c, out = x.shape[-1], 2 * ORDER
        shape = (ORDER, c // _GROUPS, out)
        first = ungrouped(self._kernel("depthwise", *shape, fan_in=ORDER * c // _GROUPS), _GROUPS)
        kernel = first @ self._kernel("kernel", out, out, fan_in=out)
        parts = x @ kernel.swapaxes(0, 1).reshape(c, -1).astype(x.dtype)
        parts = parts.reshape(*x.shape[:3], ORDER, out)
        total = sum(
            jnp.pad(parts[..., i, :], ((0, 0), (ORDER - 1 - i, i), (0, 0), (0, 0)))
            for i in range(ORDER)
        )
        past = owed.shape[1]
        begun = total[:, :past] + owed.astype(x.dtype)
        total = jnp.concatenate([begun, total[:, past:]], 1)
        y, owed = total[:, : x.shape[1]], total[:, x.shape[1] :].astype(owed.dtype)
        return nn.relu(self._finish(y)), owed


class GroupedLinear(layers.Layer):
    """A linear layer without bias, whose groups share nothing, and an activation: (N, T, F) to
    (N, T, features)."""

    features: int
    groups: int
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Keeps N and T."""
        n, t, f = x.shape
        shape = (self.groups, f // self.groups, self.features // self.groups)
        init = nn.initializers.lecun_normal(batch_axis=0)
        kernel = self.param("kernel", init, shape, self.param_dtype).astype(x.dtype)
        y = jnp.einsum("ntgi,gio->ntgo", x.reshape(n, t, self.groups, -1), kernel)
        y = y.reshape(n, t, self.features)
        return y if self.activation == "none" else getattr(nn, self.activation)(y)
