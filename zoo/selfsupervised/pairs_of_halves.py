"""Two noisy images of one scene, given or taken out of one image: each is the other's target.

References:
  Lehtinen et al., "Noise2Noise", ICML 2018.
  Lequyer et al., "A fast blind zero-shot denoiser" (Noise2Fast), Nature Machine Intelligence 2022.
  Mansour, Heckel, "Zero-shot Noise2Noise" (ZS-N2N), CVPR 2023.
  Huang et al., "Neighbor2Neighbor", CVPR 2021.
"""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.losses import Example
from zoo.selfsupervised.methods import check_size, target

# The places of a square of 2x2, row by row: those beside each place.
_BESIDE = np.int32([[1, 2], [0, 3], [0, 3], [1, 2]])


@target(pairs=True)
def noise2noise(key: jax.Array, noisy: jax.Array, level: jax.Array, *, other: jax.Array) -> Example:
    """One of two noisy images predicts the other, at random.

    The noise of the two is independent of each other, and has mean 0 where the loss is the squared
    error.

    Args:
      key: a typed key.
      noisy: (H, W, C).
      level: scalar, passed on.
      other: (H, W, C), the second noisy image.
    """
    return _either(key, noisy, other, level)


@target(halves=True)
def noise2fast(key: jax.Array, noisy: jax.Array, level: jax.Array) -> Example:
    """The white squares of a checkerboard predict the black ones, or the other way round.

    The squares of each row move together, so that both are half as wide. A square image is
    turned at random before, so that half of the examples are joined along columns.

    Args:
      key: a typed key.
      noisy: (H, W, C); of an odd width the last column is left out.
      level: scalar, passed on.

    Returns:
      Two images (H, W // 2, C).
    """
    check_size(noisy, 2, "noise2fast")
    key_turn, key_swap = jax.random.split(key)
    if noisy.shape[0] == noisy.shape[1]:
        turned = jax.random.bernoulli(key_turn)
        noisy = jnp.where(turned, noisy.swapaxes(0, 1), noisy)
    return _either(key_swap, *checkerboard_halves(noisy), level)


@target(halves=True)
def diagonal_halves(key: jax.Array, noisy: jax.Array, level: jax.Array) -> Example:
    """The mean of one diagonal of each 2x2 pixels predicts the mean of the other (ZS-N2N).

    Args:
      key: a typed key.
      noisy: (H, W, C); a last row or column of odd sides is left out.
      level: scalar; that of the halves is lower by the root of 2.

    Returns:
      Two images (H // 2, W // 2, C).
    """
    check_size(noisy, 2, "diagonal_halves")
    return _either(key, *diagonal_means(noisy), level / np.sqrt(np.float32(2)))


def checkerboard_halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The white and the black squares of (H, W, C), (H, W // 2, C) each."""
    height, width = x.shape[0], x.shape[1] // 2
    pairs = x[:, : 2 * width].reshape(height, width, 2, x.shape[2])
    odd = (np.arange(height) % 2 == 1)[:, None, None]
    left, right = pairs[:, :, 0], pairs[:, :, 1]
    return jnp.where(odd, right, left), jnp.where(odd, left, right)


def diagonal_means(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The means of the two diagonals of each 2x2 pixels of (..., H, W, C), of half the sides."""
    squares = _squares(x)
    return (
        (squares[..., 0, :] + squares[..., 3, :]) / 2,
        (squares[..., 1, :] + squares[..., 2, :]) / 2,
    )


def neighbors(key: jax.Array, size: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """Two places side by side in each 2x2 pixels, at random (Neighbor2Neighbor).

    Args:
      key: a typed key.
      size: (H, W) of an image.

    Returns:
      Two arrays (H // 2, W // 2), 0 to 3 row by row, for `sub_image`.
    """
    shape = (size[0] // 2, size[1] // 2)
    key_first, key_second = jax.random.split(key)
    first = jax.random.randint(key_first, shape, 0, 4)
    second = jnp.asarray(_BESIDE)[first, jax.random.randint(key_second, shape, 0, 2)]
    return first, second


def sub_image(x: jax.Array, place: jax.Array) -> jax.Array:
    """One pixel of each 2x2 of (H, W, C), by `place` (H // 2, W // 2): (H // 2, W // 2, C)."""
    return jnp.take_along_axis(_squares(x), place[..., None, None], axis=-2)[..., 0, :]


def _squares(x: jax.Array) -> jax.Array:
    """(..., H, W, C) as (..., H // 2, W // 2, 4, C)."""
    *batch, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    x = x[..., : 2 * rows, : 2 * columns, :].reshape(*batch, rows, 2, columns, 2, channels)
    return x.swapaxes(-4, -3).reshape(*batch, rows, columns, 4, channels)


def _either(key: jax.Array, a: jax.Array, b: jax.Array, level: jax.Array) -> Example:
    swap = jax.random.bernoulli(key)
    weight = jnp.ones((1,) * a.ndim)
    return Example(jnp.where(swap, b, a), jnp.where(swap, a, b), weight, level)
