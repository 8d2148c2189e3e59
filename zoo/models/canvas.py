"""Images on larger canvases: layers act as if the canvas ended where the image does.

An image is in the top left corner of its canvas. So one compiled program serves images of many
sizes, each with the output that it has by itself, up to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class _Canvas(NamedTuple):
    image: jax.Array
    size: tuple[int, int]


_CANVAS: ContextVar[_Canvas | None] = ContextVar("canvas", default=None)


@contextmanager
def on_canvas(image: jax.Array, size: tuple[int, int]) -> Iterator[None]:
    """Has a model traced within it for images in the corner of a canvas.

    Args:
      image: (2,), integers: height and width of all images of the batch, multiples of the
        model's stride. What the model would pad is part of the image.
      size: (H, W) of the canvas, multiples of the stride too.
    """
    token = _CANVAS.set(_Canvas(image, size))
    try:
        yield
    finally:
        _CANVAS.reset(token)


def extent(x: jax.Array) -> tuple[jax.Array | int, jax.Array | int]:
    """Rows and columns of a layer's signal (N, H, W, C) that belong to the image."""
    canvas = _CANVAS.get()
    if canvas is None:
        return x.shape[1:3]
    return tuple(canvas.image[i] * x.shape[1 + i] // canvas.size[i] for i in (0, 1))


def inside(x: jax.Array) -> jax.Array | None:
    """A mask of the signal's pixels that belong to the image, (1, H, W, 1); None where all do."""
    if _CANVAS.get() is None:
        return None
    rows, columns = extent(x)
    _, h, w, _ = x.shape
    return (jnp.arange(h) < rows)[None, :, None, None] & (jnp.arange(w) < columns)[
        None, None, :, None
    ]


def cleared(x: jax.Array) -> jax.Array:
    """The signal (N, H, W, C), zero beyond the image, as layers that pad with zeros expect it."""
    mask = inside(x)
    return x if mask is None else jnp.where(mask, x, np.zeros((), x.dtype))


def mean(x: jax.Array) -> jax.Array:
    """The mean of each channel over the image, (N, 1, 1, C)."""
    if _CANVAS.get() is None:
        return x.mean((1, 2), keepdims=True)
    rows, columns = extent(x)
    return cleared(x).sum((1, 2), keepdims=True) / (rows * columns).astype(x.dtype)
