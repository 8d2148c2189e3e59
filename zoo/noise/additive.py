"""Noise that is added to the signal and does not depend on it."""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.noise import random_bits
from zoo.noise.op_contract import INTENSITY, op

__all__ = ["correlated_gaussian", "gaussian", "laplace", "stripes", "uniform"]


@op(sigma=INTENSITY, examples={"sigma": (0.1, 0.2)})
def gaussian(key, x, *, sigma):
    """Adds white Gaussian noise: `x + sigma * n`, n standard normal.

    Mean `x`, variance `sigma**2`. The noise of Keras' examples, `x + noise_factor * normal`
    clipped to [0, 1], is `gaussian(key, x, sigma=noise_factor, clip=(0, 1))`.

    Args:
      x: signal of any shape.
      sigma: level; standard deviation in units of the signal, 0 or more. The "sigma 25" of the
        papers is `25 / 255`.

    Raises:
      ZooError: `x` is of integers, or `sigma` is negative or of a shape that does not fit.
    """
    return x + sigma * random_bits.normal(key, x.shape)


@op(half_width=INTENSITY, examples={"half_width": (0.1, 0.2)})
def uniform(key, x, *, half_width):
    """Adds white uniform noise from `[-half_width, half_width)`.

    Mean `x`, variance `half_width**2 / 3`.

    Args:
      x: signal of any shape.
      half_width: level; the largest change, in units of the signal, 0 or more.
    """
    return x + half_width * random_bits.uniform(key, x.shape, low=-1)


@op(scale=INTENSITY, examples={"scale": (0.1, 0.2)})
def laplace(key, x, *, scale):
    """Adds white Laplace noise, whose density is `exp(-abs(n) / scale) / (2 * scale)`.

    Mean `x`, variance `2 * scale**2`.

    Args:
      x: signal of any shape.
      scale: level; the mean absolute change, in units of the signal, 0 or more.
    """
    return x + scale * random_bits.laplace(key, x.shape)


@op(axes="HWC", sigma=INTENSITY, examples={"sigma": (0.1, 0.2), "kernel": ((1, 2), (0, 1))})
def correlated_gaussian(key, x, *, sigma, kernel):
    """Adds spatially correlated Gaussian noise: white noise filtered by a kernel.

    The kernel is scaled to unit energy, `sum(kernel**2) == 1`, so every pixel, those on the border
    included, has mean `x` and variance `sigma**2`. The covariance of two pixels is `sigma**2`
    times the kernel's autocorrelation at their distance. Channels are independent.

    Args:
      x: images `(..., H, W, C)`.
      sigma: level; standard deviation of a pixel in units of the signal, 0 or more.
      kernel: the filter, `(kh, kw)`, array or nested tuple, of any scale.

    Raises:
      ZooError: the kernel is not a matrix, or holds only zeros.

    References:
      Makinen, Azzari, Foi, "Collaborative filtering of correlated noise", IEEE TIP 2020.
    """
    # Under jit a nested tuple holds traced numbers.
    traced = any(isinstance(one, jax.core.Tracer) for one in jax.tree.leaves(kernel))
    kernel = jnp.asarray(kernel, x.dtype) if traced else np.asarray(kernel, np.float32)
    if kernel.ndim != 2:
        raise ZooError(f"correlated_gaussian: kernel must have shape (kh, kw), got {kernel.shape}")
    if not traced and not np.any(kernel):
        raise ZooError("correlated_gaussian: kernel holds only zeros; give it some energy")
    kernel = jnp.asarray(kernel, x.dtype)
    # Scaled first: squares of large and of small numbers are no float32.
    kernel = kernel / jnp.max(jnp.abs(kernel))
    kernel = kernel / jnp.sqrt(jnp.sum(kernel**2))
    *lead, height, width, channels = x.shape
    white = random_bits.normal(
        key, (*lead, channels, height + kernel.shape[0] - 1, width + kernel.shape[1] - 1)
    )
    filtered = jax.lax.conv_general_dilated(
        white.reshape(-1, 1, *white.shape[-2:]),
        kernel[None, None],
        window_strides=(1, 1),
        padding="VALID",
        precision=jax.lax.Precision.HIGHEST,
    ).reshape(*lead, channels, height, width)
    return x + sigma * jnp.moveaxis(filtered, -3, -1)


@op(axes="HWC", sigma=INTENSITY, examples={"sigma": (0.1, 0.2)})
def stripes(key, x, *, sigma, axis="row", per_channel=False):
    """Adds a random Gaussian offset to every row or column, as line-by-line readout does.

    Mean `x`, variance `sigma**2`; pixels of one line change together, lines are independent.

    Args:
      x: images `(..., H, W, C)`.
      sigma: level; standard deviation of the offsets in units of the signal, 0 or more.
      axis: `"row"` for horizontal stripes (along W), `"column"` for vertical ones (along H).
      per_channel: whether each channel has offsets of its own (spectral bands); otherwise all
        channels share them (gray stripes).

    Raises:
      ZooError: `axis` is something else.
    """
    if axis not in ("row", "column"):
        raise ZooError(f"stripes: axis must be 'row' or 'column', got {axis!r}")
    *lead, height, width, channels = x.shape
    lines = (height, 1) if axis == "row" else (1, width)
    shape = (*lead, *lines, channels if per_channel else 1)
    return x + sigma * random_bits.normal(key, shape)
