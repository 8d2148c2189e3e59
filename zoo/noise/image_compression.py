"""Quantization and compression of images. The ops are deterministic and ignore their keys."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from zoo.errors import ZooError
from zoo.noise.develop import RGB_TO_YCC, YCC_TO_RGB, einsum, mix_channels
from zoo.noise.op_contract import Range, op

__all__ = ["jpeg", "quantize"]

# Annex K of the standard, tables K.1 and K.2.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_CHROMA = np.full((8, 8), 99, np.float32)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# Row u holds the cosine of frequency u; orthonormal, which is the scaling of the standard.
_DCT = np.cos(np.pi / 8 * np.outer(np.arange(8), np.arange(8) + 0.5)).astype(np.float32) / 2
_DCT[0] /= np.sqrt(np.float32(2))


@op(bits=Range(1, 16, whole=True), examples={"bits": (5, 3)})
def quantize(key, x, *, bits):
    """Rounds to the `2**bits` equally spaced values that start at 0 and end at 1.

    The error is at most `1 / (2 * (2**bits - 1))`. Values outside [0, 1] are rounded to the same
    spacing; `clip=(0, 1)` saturates them as a converter does.

    Args:
      key: ignored.
      x: signal of any shape.
      bits: level; bits a value, a whole number from 1 to 16.
    """
    del key
    steps = jnp.round(jnp.exp2(bits)) - 1
    return jnp.round(x * steps) / steps


@op(axes="HWC", quality=Range(1, 100, whole=True), examples={"quality": (80, 20)})
def jpeg(key, x, *, quality, subsampling="4:2:0"):
    """Applies baseline JPEG compression and decompression, computed on the device.

    The tables of the standard are scaled to the quality as in libjpeg; the planes are rounded to 8
    bits as in a file, and color at half size is upsampled smoothly as in libjpeg. The entropy
    coding of the coefficients is lossless and left out. Sides that do not fill the blocks are
    padded by their edge values. Values outside [0, 1] are not clipped; `clip=(0, 1)` gives what a
    decoder shows.

    Args:
      key: ignored.
      x: images `(..., H, W, C)` of any H and W; C is 1 for gray or 3 for RGB.
      quality: level; a whole number from 1 to 100, 100 is best. One number per image.
      subsampling: `"4:2:0"` stores color at half size, `"4:4:4"` at full size.

    Raises:
      ZooError: the number of channels is neither 1 nor 3, or `subsampling` is something else.

    References:
      ITU-T T.81, Annex A and K. JFIF 1.02. The scaling: `jpeg_quality_scaling` in libjpeg's
      jcparam.c.
    """
    del key
    if x.shape[-1] not in (1, 3):
        raise ZooError(f"jpeg: x of shape {x.shape} must have 1 or 3 channels")
    if subsampling not in ("4:2:0", "4:4:4"):
        raise ZooError(f"jpeg: subsampling must be '4:2:0' or '4:4:4', got {subsampling!r}")

    return stored_as_jpeg(x, jnp.squeeze(quality, -1), halved=subsampling == "4:2:0")


def stored_as_jpeg(x: jax.Array, quality: jax.Array, *, halved: jax.Array | bool) -> jax.Array:
    """Encodes and decodes images as `jpeg` does.

    Args:
      x: images `(..., H, W, C)`, C 1 or 3.
      quality: broadcast against planes `(..., H, W)`.
      halved: whether chroma is stored at half size; an array, broadcast against `x`, selects per
        image at the cost of both.
    """
    height, width, channels = x.shape[-3:]
    x = _pad(jnp.round(x * 255), 16)
    if channels == 1:
        luma = _code(x[..., 0] - 128, quality, _LUMA) + 128
        return _crop(luma, height, width)[..., None] / 255

    luma, *chroma = jnp.moveaxis(jnp.round(mix_channels(x, RGB_TO_YCC)), -1, 0)
    luma = _code(luma - 128, quality, _LUMA) + 128
    both = not isinstance(halved, bool)
    found = []
    if both or not halved:
        found.append([_code(plane, quality, _CHROMA) for plane in chroma])
    if both or halved:
        half = (height + 1) // 2, (width + 1) // 2
        small = [_crop(_code(_halve(plane), quality, _CHROMA), *half) for plane in chroma]
        found.append([_double(_double(plane, -2), -1) for plane in small])
    restored = []
    for chroma in found:
        planes = [_crop(plane, height, width) for plane in (luma, *chroma)]
        restored.append(jnp.round(mix_channels(jnp.stack(planes, -1), YCC_TO_RGB)) / 255)
    return jnp.where(halved, restored[1], restored[0]) if both else restored[0]


def _code(plane: jax.Array, quality: jax.Array, table: npt.NDArray) -> jax.Array:
    """Rounds an (..., H, W) plane around 0 in the cosine domain, block by block."""
    *lead, height, width = plane.shape
    scale = jnp.where(quality < 50, jnp.floor(5000 / quality), 200 - 2 * quality)[..., None, None]
    steps = table.reshape(*[1] * len(lead), 1, 8, 1, 8)
    steps = jnp.clip(jnp.floor((steps * scale + 50) / 100), 1, 255)
    blocks = plane.reshape(*lead, height // 8, 8, width // 8, 8)
    waves = einsum("ui,...aibj,vj->...aubv", _DCT, blocks, _DCT)
    # Halves, which flat blocks make often, go away from 0 as in libjpeg, whatever the error of the
    # float32 sums: hence the little more than a half.
    waves = jnp.sign(waves) * jnp.floor(jnp.abs(waves) / steps + 0.5001) * steps
    blocks = einsum("ui,...aubv,vj->...aibj", _DCT, waves, _DCT)
    return jnp.round(blocks).reshape(plane.shape)


def _pad(x: jax.Array, multiple: int) -> jax.Array:
    """Repeats the last row and column of `(..., H, W, C)` until the sides are multiples."""
    missing = [(0, -side % multiple) for side in x.shape[-3:-1]]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [*missing, (0, 0)], mode="edge")


def _crop(plane: jax.Array, height: int, width: int) -> jax.Array:
    return plane[..., :height, :width]


def _halve(plane: jax.Array) -> jax.Array:
    """The rounded mean of every 2x2 square."""
    *lead, height, width = plane.shape
    squares = plane.reshape(*lead, height // 2, 2, width // 2, 2)
    return jnp.round(squares.mean((-3, -1)))


def _double(plane: jax.Array, axis: int) -> jax.Array:
    """Doubles an axis by linear interpolation, libjpeg's "fancy upsampling"."""
    plane = jnp.moveaxis(plane, axis, -1)
    before = jnp.concatenate([plane[..., :1], plane[..., :-1]], -1)
    after = jnp.concatenate([plane[..., 1:], plane[..., -1:]], -1)
    pairs = jnp.stack([(3 * plane + before) / 4, (3 * plane + after) / 4], -1)
    return jnp.moveaxis(pairs.reshape(*plane.shape[:-1], -1), -1, axis)
