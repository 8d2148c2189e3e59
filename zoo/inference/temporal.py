"""Noise averaged over the neighbors of a frame, along the motion: pure functions.

Motion is the dense flow of Lucas and Kanade, from coarse to fine, between frames that are denoised
already, so that it follows the scene and not the noise. A neighbor counts where, moved along the
flow, its denoised frame differs from that of the frame by no more than noise explains; so nothing
is left behind moving objects, nor carried over a cut.

References:
  Lucas, Kanade, "An iterative image registration technique with an application to stereo vision",
  IJCAI 1981.
  Bouguet, "Pyramidal implementation of the affine Lucas Kanade feature tracker", Intel 2001.
  Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# ITU-R BT.601.
_LUMA = np.float32([0.299, 0.587, 0.114])
# Shorter side of the coarsest images of a flow, and how many there are at most.
_COARSE, _LEVELS = 24, 6
_STEPS = 3
# Pixels: of the windows in which motion is one, of those in which differences are averaged, of the
# smoothing of a flow; and the longest step.
_WINDOW, _MEAN, _SMOOTH, _LONGEST = 2.5, 1.0, 1.0, 1.5
# Squared gradients, at which a place is as good as flat.
_FLAT = 2e-5
# What the denoised frames may differ by, in standard deviations of the noise.
_ALLOWED = 0.5
# The mean of squares in such a window over their lower quartile, about.
_OF_MEAN = 1.4
# Weights below it are those of other things.
_LEAST = 0.02
# Mean weight of a neighbor below which the two are of different scenes.
_CUT = 0.1


class Mean(NamedTuple):
    """A frame averaged with neighbors.

    Attributes:
      total: (H, W, C), sum of the frames by weight.
      weight: (H, W, 1), sum of the weights.
      square: (H, W, 1), sum of their squares.
    """

    total: jax.Array
    weight: jax.Array
    square: jax.Array

    @classmethod
    def of(cls, x: jax.Array) -> "Mean":
        """Of one frame (H, W, C)."""
        one = jnp.ones_like(x[..., :1])
        return cls(x, one, one)

    def image(self) -> jax.Array:
        """(H, W, C)."""
        return self.total / self.weight

    def noise(self) -> jax.Array:
        """What is left of the noise, as a share of its standard deviation, (H, W, 1)."""
        return jnp.sqrt(self.square) / self.weight


@jax.jit
def with_neighbor(
    mean: Mean, guide: jax.Array, other: jax.Array, x: jax.Array, allowed: jax.Array
) -> Mean:
    """Adds a neighbor where it shows the same.

    Args:
      mean: of the frame.
      guide: the frame denoised, (H, W, C) float32, black 0 and white 1.
      other: the neighbor denoised, likewise.
      x: the neighbor, noisy.
      allowed: squared difference of the two that noise explains, () float32.
    """
    at = _grid(guide.shape) + flow(_gray(guide), _gray(other))
    w = jnp.exp(-jnp.maximum(_difference(guide, other, at) / allowed - 1, 0))
    w = jnp.where((w < _LEAST) | (w.mean() < _CUT), 0.0, w)
    return Mean(mean.total + w * _cubic(x, at), mean.weight + w, mean.square + w * w)


@jax.jit
def remaining(guide: jax.Array, other: jax.Array) -> jax.Array:
    """Squared difference of two denoised frames that noise explains, as far as they show.

    The lower quartile over all pixels, along the motion: most of an image may show other things.

    Args:
      guide: (H, W, C) float32.
      other: its neighbor.

    Returns:
      () float32.
    """
    at = _grid(guide.shape) + flow(_gray(guide), _gray(other))
    found = _difference(guide, other, at)
    quartile = jnp.nanquantile(jnp.where(jnp.isfinite(found), found, jnp.nan), 0.25)
    return _OF_MEAN * quartile


def allowed(sigma: float, left: float) -> np.ndarray:
    """What denoised frames may differ by, squared, () float32.

    Args:
      sigma: standard deviation of the noise that is removed.
      left: what `remaining` says of the noise that is not.
    """
    return np.float32((_ALLOWED * sigma) ** 2 + left + 1e-12)


def _difference(guide: jax.Array, other: jax.Array, at: jax.Array) -> jax.Array:
    """Squared difference around each pixel, (H, W, 1); infinite outside of the neighbor."""
    square = jnp.square(guide - _linear(other, at)).mean(-1, keepdims=True)
    height, width = guide.shape[:2]
    down, right = at[..., :1], at[..., 1:]
    inside = (down >= 0) & (down <= height - 1) & (right >= 0) & (right <= width - 1)
    return jnp.where(inside, _blurred(square, _MEAN), jnp.inf)


def flow(a: jax.Array, b: jax.Array) -> jax.Array:
    """The motion from one image to another.

    Args:
      a: (H, W).
      b: (H, W).

    Returns:
      v, (H, W, 2), in pixels down and right: b at p + v(p) shows what a shows at p.
    """
    if min(a.shape) == 1:  # no gradient
        return jnp.zeros((*a.shape, 2), jnp.float32)
    pairs = [(a, b)]
    while len(pairs) < _LEVELS and min(pairs[-1][0].shape) >= 2 * _COARSE:
        pairs.append(tuple(map(_halved, pairs[-1])))
    v = jnp.zeros((*pairs[-1][0].shape, 2), jnp.float32)
    for pair in reversed(pairs):
        shape = pair[0].shape
        if v.shape[:2] != shape:
            v = 2 * jax.image.resize(v, (*shape, 2), "linear")
        # A loop, as one step is long to compile.
        v = jax.lax.fori_loop(0, _STEPS, partial(_closer, *pair), v)
    return v


def _closer(a: jax.Array, b: jax.Array, _: int, v: jax.Array) -> jax.Array:
    """One step: the least squares of the differences, linearized, in a window at each pixel."""
    moved = _linear(b[..., None], _grid(a.shape) + v)[..., 0]
    down, right = (
        (jnp.gradient(moved, axis=axis) + jnp.gradient(a, axis=axis)) / 2 for axis in (0, 1)
    )
    rest = a - moved
    products = [down * down, right * right, down * right, down * rest, right * rest]
    yy, xx, yx, y, x = jnp.moveaxis(_blurred(jnp.stack(products, -1), _WINDOW), -1, 0)
    yy, xx = yy + _FLAT, xx + _FLAT
    step = jnp.stack([xx * y - yx * x, yy * x - yx * y], -1) / (yy * xx - yx * yx)[..., None]
    return _blurred(v + jnp.clip(step, -_LONGEST, _LONGEST), _SMOOTH)


def _gray(x: jax.Array) -> jax.Array:
    return x[..., 0] if x.shape[-1] == 1 else x @ _LUMA


def _grid(shape: tuple[int, ...]) -> jax.Array:
    """The place of each pixel, (H, W, 2)."""
    return jnp.stack(jnp.mgrid[: shape[0], : shape[1]], -1).astype(jnp.float32)


def _halved(x: jax.Array) -> jax.Array:
    height, width = (side // 2 * 2 for side in x.shape)
    x = x[:height, :width]
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def _blurred(x: jax.Array, sigma: float) -> jax.Array:
    """(H, W, C) by a Gaussian window, cut off at three sigma; edges are repeated."""
    radius = round(3 * sigma)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps = np.float32(taps / taps.sum())
    for axis in (0, 1):
        margins = [(radius, radius) if one == axis else (0, 0) for one in range(3)]
        wide = jnp.pad(x, margins, mode="edge")
        size = x.shape[axis]
        x = sum(
            tap * jax.lax.slice_in_dim(wide, i, i + size, axis=axis) for i, tap in enumerate(taps)
        )
    return x


def _linear(x: jax.Array, at: jax.Array) -> jax.Array:
    """(H, W, C) at places between its pixels."""
    return _interpolated(x, at, 0, lambda f: (1 - f, f))


def _cubic(x: jax.Array, at: jax.Array) -> jax.Array:
    """The same by Keys' cubic, which keeps details."""

    def weights(f: jax.Array) -> tuple[jax.Array, ...]:
        outer = [((-0.5 * f + 1) * f - 0.5) * f, (0.5 * f - 0.5) * f * f]
        return outer[0], (1.5 * f - 2.5) * f * f + 1, ((-1.5 * f + 2) * f + 0.5) * f, outer[1]

    return _interpolated(x, at, 1, weights)


def _interpolated(x: jax.Array, at: jax.Array, before: int, weights) -> jax.Array:
    height, width = x.shape[:2]
    first = jnp.floor(at)
    down, right = (weights((at - first)[..., axis : axis + 1]) for axis in (0, 1))
    first = first.astype(jnp.int32) - before
    rows = [jnp.clip(first[..., 0] + i, 0, height - 1) for i in range(len(down))]
    columns = [jnp.clip(first[..., 1] + i, 0, width - 1) for i in range(len(right))]
    return sum(
        x[row, column] * (a * b)
        for row, a in zip(rows, down, strict=True)
        for column, b in zip(columns, right, strict=True)
    )
