"""Pictures on larger canvases: layers act as if the canvas ended where the picture does.

A picture lies in the top left corner of its canvas. So one compiled program serves pictures of many
sizes, each with the result that it has by itself, up to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class _Canvas(NamedTuple):
    picture: jax.Array
    size: tuple[int, int]


_CANVAS: ContextVar[_Canvas | None] = ContextVar("canvas", default=None)


@contextmanager
def on_canvas(picture: jax.Array, size: tuple[int, int]) -> Iterator[None]:
    """Within it a model is traced for pictures in the corner of a canvas.

    Args:
      picture: (2,), integers: height and width of all pictures of the batch, multiples of the
        model's stride. What the model would pad is part of the picture.
      size: (H, W) of the canvas, multiples of the stride too.
    """
    token = _CANVAS.set(_Canvas(picture, size))
    try:
        yield
    finally:
        _CANVAS.reset(token)


def extent(x: jax.Array) -> tuple[jax.Array | int, jax.Array | int]:
    """Rows and columns of a layer's signal (N, H, W, C) that are the picture's."""
    canvas = _CANVAS.get()
    if canvas is None:
        return x.shape[1:3]
    return tuple(canvas.picture[i] * x.shape[1 + i] // canvas.size[i] for i in (0, 1))


def inside(x: jax.Array) -> jax.Array | None:
    """Which of a signal's pixels are the picture's, (1, H, W, 1); None where all are."""
    if _CANVAS.get() is None:
        return None
    rows, columns = extent(x)
    _, h, w, _ = x.shape
    return (jnp.arange(h) < rows)[None, :, None, None] & (jnp.arange(w) < columns)[
        None, None, :, None
    ]


def cleared(x: jax.Array) -> jax.Array:
    """The signal (N, H, W, C), zero beyond the picture; what pads with zeros sees its end so."""
    mask = inside(x)
    return x if mask is None else jnp.where(mask, x, np.zeros((), x.dtype))


def mean(x: jax.Array) -> jax.Array:
    """The mean of each channel over the picture, (N, 1, 1, C)."""
    if _CANVAS.get() is None:
        return x.mean((1, 2), keepdims=True)
    rows, columns = extent(x)
    return cleared(x).sum((1, 2), keepdims=True) / (rows * columns).astype(x.dtype)
