"""The noise of photographs as files hold it: sensor, development, compression, all drawn."""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.noise import develop, draw
from zoo.noise.compression import stored_as_jpeg
from zoo.noise.contract import NOT_NEGATIVE, op

# How often each kind of image comes: developed by a camera; with Gaussian noise, with noise that
# grows with brightness, with noise that neighbors share; compressed only; clean.
KINDS = {"camera": 0.5, "gaussian": 0.14, "poisson": 0.08, "shared": 0.08, "jpeg": 0.1, "none": 0.1}
_EDGES = np.cumsum(list(KINDS.values()))[:-1].astype(np.float32)
_CAMERA, _GAUSSIAN, _POISSON, _SHARED, _JPEG, _NONE = range(len(KINDS))

# Of each sensor, in light whose white is 1: the range of the shot noise's variance at white, from
# base to highest ISO, and intercept, slope and deviation of lines that give the logarithm of the
# standard deviation of the read noise, and of that of its rows, from the logarithm of the shot
# noise. First phones by Brooks et al., whose rows have none; then Canon 5D4, 700D, 70D, Nikon D850
# and Sony A7S2 as calibrated by Wei et al., whose unit, 1/15583 of white (14 bits less the black
# level), is converted below.
_WHITE = 15583.0
_PHONE = (1e-4, 1.2e-2, 0.60, 1.09, 0.13, -30.0, 0.0, 0.0)
_CALIBRATED = [
    # highest gain; read noise: slope, intercept, deviation; rows: slope, intercept, deviation
    (13.96, 0.6771, 1.5122, 0.2464, 0.4713, -0.8079, 0.2436),
    (28.65, 0.6525, 2.0799, 0.2578, 0.6221, -0.7756, 0.2485),
    (26.08, 0.5681, 1.9983, 0.2487, 0.7292, -0.9371, 0.2502),
    (26.56, 0.5635, 0.7994, 0.2141, 0.4483, -1.7977, 0.2322),
    (6.01, 0.5407, 1.2182, 0.2675, 0.5275, -0.5917, 0.2943),
]


def _in_units_of_white() -> np.ndarray:
    log_white = np.log(_WHITE)
    rows = [_PHONE]
    for gain, slope, intercept, spread, row_slope, row_intercept, row_spread in _CALIBRATED:
        # log(sd white) = slope log(shot white) + intercept.
        rows.append(
            (
                *(0.4 / _WHITE, gain / _WHITE),
                *(intercept + (slope - 1) * log_white, slope, spread),
                *(row_intercept + (row_slope - 1) * log_white, row_slope, row_spread),
            )
        )
    return np.float32(rows)


_SENSORS = _in_units_of_white()


@op(axes="HWC", strength=NOT_NEGATIVE)
def photograph(key, x, *, strength):
    """Adds the noise of photographs, of many cameras and by many ways, drawn for each image.

    Half of the images are developed: tone curve, sRGB curve, color matrix and white balance are
    undone, shot, read and row noise of a camera is added to the mosaic, and the noise goes through
    demosaicking, white balance, color matrix, curves, the camera's own noise reduction and
    sharpening, and enlargement by up to 2. The others have Gaussian noise (standard deviation up to
    55/255), noise whose variance grows with brightness, noise that neighbors share, none but that
    of compression, or none at all; see `KINDS`. Most are rounded to 8 bits and stored as JPEG once
    or twice, with 4:2:0 or 4:4:4. What demosaicking itself does to the image is left out: the clean
    image is the one that the camera would make of light without noise.

    Args:
      key: random key.
      x: images `(..., H, W, C)` encoded in sRGB, sides of 3 or more; C is 1 for gray or 3 for RGB.
      strength: level; a factor of all standard deviations that are drawn. 1 is as cameras are.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The noisy images, shape and dtype of `x`.

    Raises:
      ZooError: the number of channels is neither 1 nor 3.

    References:
      Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019.
      Wei et al., "A physics-based noise formation model for extreme low-light raw denoising", CVPR
      2020; figures of github.com/Vandermode/ELD (MIT).
    """
    if x.shape[-1] not in (1, 3):
        raise ZooError(f"photograph: x of shape {x.shape} must have 1 or 3 channels")
    gray = x.shape[-1] == 1
    color = jnp.broadcast_to(x, (*x.shape[:-1], 3)) if gray else x
    lead = x.shape[:-3]
    which, scalars, white, lines, sensor = jax.random.split(key, 5)

    def one_of_each(key: jax.Array, count: int) -> list[jax.Array]:
        """Numbers in [0, 1), each of a shape that broadcasts against images."""
        u = jax.random.uniform(key, (count, *lead))
        return list(u[..., None, None, None])

    kind = jnp.searchsorted(_EDGES, jax.random.uniform(which, lead), side="right")
    kind = kind[..., None, None, None]
    normal = draw.normal(white, color.shape)
    developed = _developed(sensor, lines, color, normal[..., 0], strength)
    level, ratio, halo, gate, quality, again, quality2, full, small = one_of_each(scalars, 9)

    sigma = jnp.where(kind == _SHARED, 0.12, 55 / 255) * level
    # The variance is sigma^2 in the middle, whichever part of it grows with brightness.
    grows = jnp.where(kind == _POISSON, ratio, 0.0)
    variance = jnp.square(sigma) * (1 - grows + 2 * grows * jnp.clip(color, 0.0, 1.0))
    shared = develop.smooth(normal, 1.0, 1.0)
    # The energy of the binomial filter of 5x5, and of the one of color's.
    blend = jnp.where(kind == _SHARED, 0.3 + 0.7 * halo, 0.0)
    added = strength * jnp.sqrt(variance) * (normal + blend * (_SHARED_GAIN * shared - normal))
    noise = jnp.where(kind == _CAMERA, developed, jnp.where(kind < _JPEG, added, 0.0))
    if gray:
        noise = develop.luma(noise)
    noisy = jnp.where(kind == _NONE, x, jnp.round(jnp.clip(x + noise, 0.0, 1.0) * 255) / 255)

    # Cameras store with few losses, the web with more.
    lowest = jnp.where(kind == _CAMERA, 70.0, 20.0)
    first = jnp.round(lowest + (98 - lowest) * quality)
    stored = stored_as_jpeg(noisy, first[..., 0], halved=full < 0.6)
    much = jnp.where(kind == _CAMERA, 0.7, jnp.where(kind == _JPEG, 1.0, 0.25))
    compressed = (gate < much) & (kind != _NONE)
    noisy = jnp.where(compressed, stored, noisy)
    second = jnp.round(50 + 45 * quality2)
    twice = stored_as_jpeg(noisy, second[..., 0], halved=small < 0.6)
    return jnp.where(compressed & (again < 0.2), twice, noisy)


# A binomial filter of 5x5 leaves (70/256)^2 of the variance of independent values.
_SHARED_GAIN = np.float32(256 / 70)


def _developed(
    key: jax.Array, lines: jax.Array, x: jax.Array, normal: jax.Array, strength: jax.Array
) -> jax.Array:
    """What a camera makes of its sensor's noise: the difference that it makes to `x`.

    Args:
      key: random key of the camera.
      lines: random key of the rows' noise.
      x: images `(..., H, W, 3)`.
      normal: normal numbers `(..., H, W)` for the pixels of the sensor.
      strength: factor of the noise, broadcast against `x`.
    """
    lead = x.shape[:-3]
    keys = jax.random.split(key, 4)
    sensors = jnp.asarray(_SENSORS)[jax.random.randint(keys[0], lead, 0, len(_SENSORS))]
    low, high, *line = (sensors[..., i, None, None] for i in range(_SENSORS.shape[1]))
    u = jax.random.uniform(keys[1], (11, *lead))[..., None, None]
    bell = jax.random.normal(keys[2], (3, *lead))[..., None, None]
    log_shot = jnp.log(low) + u[0] * (jnp.log(high) - jnp.log(low))
    read = jnp.exp(line[0] + line[1] * log_shot + line[2] * bell[0])
    row = jnp.exp(line[3] + line[4] * log_shot + line[5] * bell[1])

    matrix, inverse = develop.color_matrices(
        jax.random.uniform(keys[3], (*lead, develop.CAMERAS), minval=1e-3)
    )
    exposure = 1 / jnp.maximum(0.8 + 0.1 * bell[2], 0.5)
    ones = jnp.ones_like(exposure)
    gains = exposure[..., None] * jnp.stack([1.9 + 0.5 * u[1], ones, 1.5 + 0.4 * u[2]], -1)
    toned = (u[3] < 0.7)[..., None]

    light = develop.srgb_to_linear(jnp.clip(x, 0.0, 1.0))
    light = jnp.where(toned, develop.srgb_to_linear(develop.untone(x)), light)
    colors = develop.unbalance(develop.mix_channels(light, matrix), gains)

    raw = develop.mosaic(colors)
    strength = strength[..., 0]
    noise = jnp.sqrt(jnp.exp(log_shot) * jnp.maximum(raw, 0.0) + jnp.square(read)) * normal
    noise = noise + row * draw.normal(lines, (*raw.shape[:-1], 1))
    # Sensors saturate; below black they keep what they read.
    noise = jnp.minimum(raw + strength * noise, jnp.maximum(raw, 1.0)) - raw
    noisy = colors + develop.demosaic(noise, jnp.where(u[4, ..., 0, 0] < 0.3, 0.0, 1.0))

    def finish(colors: jax.Array) -> jax.Array:
        light = jnp.clip(develop.mix_channels(colors * gains, inverse), 0.0, 1.0)
        encoded = develop.linear_to_srgb(light)
        return jnp.where(toned, develop.tone(encoded), encoded)

    difference = finish(noisy) - finish(colors)
    # Squares favor little of each; some cameras do nothing.
    luma, chroma, amount = (u[5:8, ..., None] ** 2) * np.float32([0.8, 1.0, 1.0]).reshape(
        3, *[1] * x.ndim
    )
    difference = develop.smooth(difference, luma, jnp.sqrt(chroma))
    difference = develop.sharpen(difference, amount)
    factor = jnp.where(u[8] < 0.6, 1.0, 1.0 + u[9])[..., 0, 0]
    return develop.enlarge(difference, factor)
