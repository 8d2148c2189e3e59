"""The stages by which a camera turns light into a photograph, and their inverses.

Pure functions without randomness, of images `(..., H, W, 3)`, or of any shape where the stage is
elementwise. `zoo.noise.photographs` composes them.

References:
  Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019, for the order of the
  stages, the tone curve and the ranges of gains.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

# Linear sRGB to CIE XYZ with white D65, IEC 61966-2-1.
_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
# CIE XYZ to the colors of four cameras, as their DNG files state them; Brooks et al., section 3.3.
_XYZ_TO_CAMERA = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)
CAMERAS = len(_XYZ_TO_CAMERA)

# ITU-R BT.601 as in JFIF 1.02, chroma without its offset of 128.
RGB_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]],
    np.float32,
)
YCC_TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]], np.float32)

# Weights in eighths of the 5x5 neighbors: green at red and blue pixels; red or blue from the row
# and from the diagonals; those from the column are transposed. Malvar, He, Cutler, figure 2.
_GRADIENT = np.array(
    [
        [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
        [
            [0, 0, 0.5, 0, 0],
            [0, -1, 0, -1, 0],
            [-1, 4, 5, 4, -1],
            [0, -1, 0, -1, 0],
            [0, 0, 0.5, 0, 0],
        ],
        [
            [0, 0, -1.5, 0, 0],
            [0, 2, 0, 2, 0],
            [-1.5, 0, 6, 0, -1.5],
            [0, 2, 0, 2, 0],
            [0, 0, -1.5, 0, 0],
        ],
    ],
    np.float32,
)
_GRADIENT = np.insert(_GRADIENT, 2, _GRADIENT[1].T, axis=0)
_BILINEAR = np.zeros_like(_GRADIENT)
_BILINEAR[0, [1, 2, 2, 3], [2, 1, 3, 2]] = 2
_BILINEAR[1, 2, [1, 3]] = 4
_BILINEAR[2, [1, 3], 2] = 4
_BILINEAR[3, [1, 1, 3, 3], [1, 3, 1, 3]] = 2


# The maxima below keep the branch that is not taken free of NaN, in its gradient too.


def srgb_to_linear(x: jax.Array) -> jax.Array:
    """Decodes sRGB to linear light (IEC 61966-2-1), by the same formula beyond [0, 1]."""
    curve = ((jnp.maximum(x, 0.04045) + 0.055) / 1.055) ** 2.4
    return jnp.where(x <= 0.04045, x / 12.92, curve)


def linear_to_srgb(x: jax.Array) -> jax.Array:
    """Encodes linear light as sRGB (IEC 61966-2-1), by the same formula beyond [0, 1]."""
    curve = 1.055 * jnp.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055
    return jnp.where(x <= 0.0031308, x * 12.92, curve)


def tone(x: jax.Array) -> jax.Array:
    """Raises contrast by the curve `3 x^2 - 2 x^3`; values are clipped to [0, 1]."""
    x = jnp.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def untone(x: jax.Array) -> jax.Array:
    """Inverts `tone`: `1/2 - sin(arcsin(1 - 2 x) / 3)` of values clipped to [0, 1]."""
    # The slope of arcsin is infinite at 1.
    limit = np.nextafter(np.float32(1), np.float32(0))
    return 0.5 - jnp.sin(jnp.arcsin(jnp.clip(1 - 2 * x, -limit, limit)) / 3)


def color_matrices(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Color matrices from linear sRGB to a blend of cameras, and their inverses.

    Args:
      weights: `(..., CAMERAS)`, the share of each known camera; 0 or more, not all 0.

    Returns:
      Two arrays `(..., 3, 3)`, inverse to each other. Every row sums to 1, so white is kept.
    """
    weights = weights / jnp.sum(weights, -1, keepdims=True)
    matrix = einsum("...k,kij->...ij", weights, (_XYZ_TO_CAMERA @ _RGB_TO_XYZ).astype(np.float32))
    matrix = matrix / jnp.sum(matrix, -1, keepdims=True)
    return matrix, jnp.linalg.inv(matrix)


def mix_channels(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """Multiplies every pixel `(..., H, W, C)` by a matrix `(D, C)`, or by one per image."""
    return einsum("...hwc,...dc->...hwd", x, matrix)


def luma(x: jax.Array) -> jax.Array:
    """Luma `(..., H, W, 1)` of RGB images by ITU-R BT.601."""
    return mix_channels(x, RGB_TO_YCC[:1])


def unbalance(x: jax.Array, gains: jax.Array) -> jax.Array:
    """Divides by white-balance gains, highlights by less because a sensor saturates at 1.

    Args:
      x: linear light `(..., H, W, 3)`.
      gains: red, green and blue, broadcast against `x`.
    """
    bright = jnp.mean(x, -1, keepdims=True)
    share = jnp.square(jnp.maximum(bright - 0.9, 0.0) / 0.1)
    return x * jnp.maximum(share + (1 - share) / gains, 1 / gains)


def mosaic(x: jax.Array) -> jax.Array:
    """Samples RGB images as a Bayer sensor: `(..., H, W)`, RGGB with red at the top left."""
    own_row, own_column = _parity(x.shape[-3], x.shape[-2])
    red_or_blue = jnp.where(own_row, x[..., 0], x[..., 2])
    return jnp.where(own_row == own_column, red_or_blue, x[..., 1])


def demosaic(raw: jax.Array, gradient: jax.Array | float = 1.0) -> jax.Array:
    """Interpolates the colors missing from a Bayer mosaic.

    Args:
      raw: `(..., H, W)`, sides of 3 or more, red at the top left.
      gradient: 0 for bilinear, 1 for corrections by the gradients of the other colors, a blend in
        between. A number, or an array that broadcasts against `raw` without its last two axes.

    Returns:
      Images `(..., H, W, 3)`; borders are reflected.

    References:
      Malvar, He, Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned
      color images", ICASSP 2004.
    """
    *lead, height, width = raw.shape
    padded = jnp.pad(raw, [(0, 0)] * len(lead) + [(2, 2)] * 2, mode="reflect")
    share = jnp.asarray(gradient, raw.dtype)[..., None, None]
    planes = []
    for corrected, plain in zip(_GRADIENT, _BILINEAR, strict=True):
        total = jnp.zeros_like(raw)
        for i, j in np.argwhere((corrected != 0) | (plain != 0)):
            weight = (plain[i, j] + share * (corrected[i, j] - plain[i, j])) / 8
            total = total + weight * padded[..., i : i + height, j : j + width]
        planes.append(total)
    green, row, column, diagonal = planes
    own_row, own_column = _parity(height, width)
    reddish, bluish = own_row & own_column, ~own_row & ~own_column
    # A green pixel in a red row has red at its sides, blue above and below.
    beside = jnp.where(own_row, row, column)
    above = jnp.where(own_row, column, row)
    red = jnp.where(reddish, raw, jnp.where(bluish, diagonal, beside))
    blue = jnp.where(bluish, raw, jnp.where(reddish, diagonal, above))
    return jnp.stack([red, jnp.where(reddish | bluish, green, raw), blue], -1)


def demosaic_along_edges(raw: jax.Array) -> jax.Array:
    """Interpolates green along edges, then red and blue by their difference from green.

    Nonlinear: noise chooses directions too, and is drawn out along rows and columns, as by the
    methods of most raw converters.

    Args:
      raw: `(..., H, W)`, sides of 3 or more, red at the top left.

    Returns:
      Images `(..., H, W, 3)`; borders are reflected.

    References:
      Hamilton, Adams, "Adaptive color plane interpolation in single sensor color electronic
      camera", US patent 5,629,734, 1997.
    """
    height, width = raw.shape[-2:]
    padded = jnp.pad(raw, [(0, 0)] * (raw.ndim - 2) + [(2, 2)] * 2, mode="reflect")

    def at(i: int, j: int) -> jax.Array:
        return padded[..., 2 + i : 2 + i + height, 2 + j : 2 + j + width]

    def along(i: int, j: int) -> tuple[jax.Array, jax.Array]:
        """Green from the neighbors along an axis, and how much the image changes along it."""
        before, after = at(-i, -j), at(i, j)
        curve = 2 * raw - at(-2 * i, -2 * j) - at(2 * i, 2 * j)
        return (before + after) / 2 + curve / 4, jnp.abs(before - after) + jnp.abs(curve)

    (rows, down), (columns, across) = along(1, 0), along(0, 1)
    edge = jnp.where(down < across, rows, columns)
    edge = jnp.where(down == across, (rows + columns) / 2, edge)
    own_row, own_column = _parity(height, width)
    green = jnp.where(own_row == own_column, edge, raw)
    difference = demosaic(raw - green, jnp.zeros(raw.shape[:-2]))
    return jnp.stack([green + difference[..., 0], green, green + difference[..., 2]], -1)


def smooth(x: jax.Array, luma: jax.Array | float, chroma: Sequence[jax.Array | float]) -> jax.Array:
    """Blends an image with smoothed copies, luma and chroma apart, as cameras reduce noise.

    Args:
      x: `(..., H, W, 3)`.
      luma: weight of luma smoothed by a 5x5 binomial filter, from 0 to 1; broadcast against `x`.
      chroma: weights of chroma smoothed by that filter at dilations 1, 2 and 4, one after the
        other.
    """
    ycc = mix_channels(x, RGB_TO_YCC)
    bright, color = ycc[..., :1], ycc[..., 1:]
    bright = bright + luma * (_binomial(bright, 1) - bright)
    for step, weight in zip((1, 2, 4), chroma, strict=True):
        color = color + weight * (_binomial(color, step) - color)
    return mix_channels(jnp.concatenate([bright, color], -1), YCC_TO_RGB)


def sharpen(x: jax.Array, amount: jax.Array | float) -> jax.Array:
    """Sharpens images `(..., H, W, C)` by an unsharp mask with a 5x5 binomial filter."""
    return x + amount * (x - _binomial(x, 1))


def enlarge(x: jax.Array, factor: jax.Array) -> jax.Array:
    """Magnifies the center of an image by bilinear interpolation and keeps its size.

    Args:
      x: `(..., H, W, C)`.
      factor: 1 or more, of the leading shape of `x`.
    """
    for axis in (-3, -2):
        length = x.shape[axis]
        middle = (length - 1) / 2
        place = np.arange(length, dtype=np.float32).reshape(*[1] * factor.ndim, 1, length)
        # Row i holds the weights of the two samples around position i.
        at = middle + (place.swapaxes(-1, -2) - middle) / factor[..., None, None]
        distance = jnp.abs(at - place)
        weights = jnp.maximum(1 - distance, 0.0)
        formula = "...ij,...jwc->...iwc" if axis == -3 else "...ij,...hjc->...hic"
        x = einsum(formula, weights, x)
    return x


def _parity(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return (np.arange(height) % 2 == 0)[:, None], (np.arange(width) % 2 == 0)[None, :]


def _binomial(x: jax.Array, step: int) -> jax.Array:
    """The filter [1, 4, 6, 4, 1] / 16 along both axes of `(..., H, W, C)`, dilated by `step`."""
    for axis in (x.ndim - 3, x.ndim - 2):
        length = x.shape[axis]
        widths = [(0, 0)] * x.ndim
        widths[axis] = (2 * step, 2 * step)
        padded = jnp.pad(x, widths, mode="symmetric")
        parts = [
            jax.lax.slice_in_dim(padded, k * step, k * step + length, axis=axis) for k in range(5)
        ]
        x = (parts[0] + parts[4] + 4 * (parts[1] + parts[3]) + 6 * parts[2]) / 16
    return x


def einsum(formula: str, *operands: jax.Array | np.ndarray) -> jax.Array:
    """`jax.numpy.einsum` in float32; TPUs would multiply in bfloat16, of 8 bits."""
    return jnp.einsum(formula, *operands, precision=jax.lax.Precision.HIGHEST)
