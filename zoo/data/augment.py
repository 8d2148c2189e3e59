"""Augmentation: pure functions `(key, x) -> x` of one float picture (H, W, C), on the device.

The training step vmaps them over examples, each with a key of its own.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from zoo.errors import ZooError

Augment = Callable[[jax.Array, jax.Array], jax.Array]


def random_flip(key: jax.Array, x: jax.Array) -> jax.Array:
    """Mirrors left and right, and top and bottom, each with probability one half."""
    horizontal, vertical = jax.random.bernoulli(key, shape=(2,))
    x = jnp.where(horizontal, x[:, ::-1], x)
    return jnp.where(vertical, x[::-1], x)


def random_quarter_turn(key: jax.Array, x: jax.Array) -> jax.Array:
    """Turns a square picture by 0, 90, 180 or 270 degrees, each as likely.

    Raises:
      ZooError: the picture is not square.
    """
    if x.shape[0] != x.shape[1]:
        raise ZooError(
            f"quarter turns need a square crop, not {x.shape[0]}x{x.shape[1]}; "
            "set data.augment.quarter_turn=False or a square data.crop"
        )
    quarter, half = jax.random.bernoulli(key, shape=(2,))
    x = jnp.where(quarter, x.swapaxes(0, 1)[::-1], x)
    return jnp.where(half, x[::-1, ::-1], x)


def random_rotation(key: jax.Array, x: jax.Array, *, degrees: float) -> jax.Array:
    """Turns by an angle uniform in [-degrees, degrees] about the centre.

    Bilinear; what comes in from outside mirrors the inside.
    """
    angle = jnp.deg2rad(jax.random.uniform(key, minval=-degrees, maxval=degrees))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return _resample(x, lambda i, j: (cos * i - sin * j, sin * i + cos * j))


def random_shift(key: jax.Array, x: jax.Array, *, fraction: float) -> jax.Array:
    """Moves by up to `fraction` of the height and of the width.

    Bilinear; what comes in from outside mirrors the inside.
    """
    dy, dx = jax.random.uniform(key, (2,), minval=-fraction, maxval=fraction)
    return _resample(x, lambda i, j: (i + dy * x.shape[0], j + dx * x.shape[1]))


def make_augment(
    *,
    flip: bool = False,
    quarter_turn: bool = False,
    rotate: float = 0.0,
    shift: float = 0.0,
) -> Augment:
    """Builds the augmentation a config asks for.

    Args:
      flip: mirror at random.
      quarter_turn: turn by quarters at random.
      rotate: the largest rotation, in degrees; 0 for none.
      shift: the largest move, as a fraction of the side; 0 for none.
    """
    steps: list[Augment] = []
    if rotate:
        steps.append(partial(random_rotation, degrees=rotate))
    if shift:
        steps.append(partial(random_shift, fraction=shift))
    if flip:
        steps.append(random_flip)
    if quarter_turn:
        steps.append(random_quarter_turn)

    def augment(key: jax.Array, x: jax.Array) -> jax.Array:
        for i, step in enumerate(steps):
            x = step(jax.random.fold_in(key, i), x)
        return x

    return augment


def _resample(x: jax.Array, where: Callable) -> jax.Array:
    """Reads x at `where(i, j)`, with i and j in pixels from the centre."""
    h, w, _ = x.shape
    centre_i, centre_j = (h - 1) / 2, (w - 1) / 2
    i, j = jnp.meshgrid(
        jnp.arange(h, dtype=x.dtype) - centre_i,
        jnp.arange(w, dtype=x.dtype) - centre_j,
        indexing="ij",
    )
    i, j = where(i, j)
    coordinates = [i + centre_i, j + centre_j]
    read = partial(
        jax.scipy.ndimage.map_coordinates, coordinates=coordinates, order=1, mode="mirror"
    )
    return jax.vmap(read, in_axes=-1, out_axes=-1)(x)
