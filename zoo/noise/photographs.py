"""Noise of photographs as stored in files: sensor, development and compression at random."""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.noise import develop, random_bits
from zoo.noise.image_compression import stored_as_jpeg
from zoo.noise.op_contract import NOT_NEGATIVE, op

__all__ = ["photograph"]

# Probabilities: developed by a camera; Gaussian noise; noise that grows with brightness; spatially
# correlated noise; compressed only; clean.
KINDS = {
    "camera": 0.5,
    "gaussian": 0.14,
    "poisson": 0.08,
    "correlated": 0.08,
    "jpeg": 0.1,
    "none": 0.1,
}
_EDGES = np.cumsum(list(KINDS.values()))[:-1].astype(np.float32)
_CAMERA, _GAUSSIAN, _POISSON, _CORRELATED, _JPEG, _NONE = range(len(KINDS))
# The share of developed images whose noise is reduced in the camera.
_REDUCED = 0.6

# For each sensor, in linear light with white at 1: the range of the shot-noise variance at white,
# from base to highest ISO, then intercept, slope and residual deviation of the line that predicts
# the logarithm of the read noise's standard deviation from that of the shot noise, and of the line
# for the row noise. The first is the phone model of Brooks et al., without row noise. The others
# are Canon 5D4, 700D, 70D, Nikon D850 and Sony A7S2 as calibrated by Wei et al. in units of
# 1/15583 of white (14 bits less the black level), converted below.
_WHITE = 15583.0
_PHONE = (1e-4, 1.2e-2, 0.60, 1.09, 0.13, -30.0, 0.0, 0.0)
_CALIBRATED = [
    # highest gain; read noise: slope, intercept, deviation; row noise: the same
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


@op(axes="HWC", strength=NOT_NEGATIVE, examples={"strength": (0.4, 1.0)})
def photograph(key, x, *, strength):
    """Adds noise as in stored photographs from many cameras, of random kind and strength.

    Half of the images are developed as by a camera: the tone curve, the sRGB curve, the color
    matrix and the white balance are inverted; shot, read and row noise are added to the mosaic; the
    noise passes through demosaicing (linear, or along edges), white balance, color matrix, curves,
    in most of them noise reduction, then sharpening and magnification by up to 2. The other images
    have Gaussian noise (standard deviation up to 55/255), noise whose variance grows with
    brightness, spatially correlated noise, compression only, or no change; `KINDS` holds the
    probabilities. Most are rounded to 8 bits and stored as JPEG once or twice, with 4:2:0 or 4:4:4.
    Demosaicing errors of the noise-free image are left out: the target is the camera's output for
    noise-free light.

    Args:
      x: images `(..., H, W, C)` encoded in sRGB, sides of 3 or more; C is 1 for gray or 3 for RGB.
      strength: level; a factor on all standard deviations of noise. 1 is realistic.

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
    which, scalars, white, sensor = jax.random.split(key, 4)
    kind = jnp.searchsorted(_EDGES, jax.random.uniform(which, x.shape[:-3]), side="right")
    kind = kind[..., None, None, None]
    camera = kind == _CAMERA
    # Uniform numbers, each of a shape that broadcasts against images.
    u = iter(jax.random.uniform(scalars, (16, *x.shape[:-3]))[..., None, None, None])

    normal = random_bits.normal(white, color.shape)
    sigma = jnp.where(kind == _CORRELATED, 0.12, 55 / 255) * next(u)
    # At mid-gray the variance is sigma^2, whichever share of it grows with brightness.
    grows = jnp.where(kind == _POISSON, next(u), 0.0)
    growth = jnp.sqrt(1 - grows + 2 * grows * jnp.clip(color, 0.0, 1.0))
    added = strength * sigma * growth * normal
    developed = _developed(sensor, color, normal[..., 0], strength)
    noise = jnp.where(camera, developed, jnp.where(kind < _JPEG, added, 0.0))

    # Most cameras remove most noise of chroma and part of that of luma; raw converters need not.
    filtered = (camera & (next(u) < _REDUCED)) | (kind == _CORRELATED)
    bright = 1 - 0.8 * next(u) ** 2
    colorful = 1 - 0.2 * next(u) ** 4, 1 - 0.8 * next(u) ** 2, next(u)
    noise = develop.smooth(
        noise,
        jnp.where(filtered, bright, 0.0),
        [jnp.where(filtered, weight, 0.0) for weight in colorful],
    )
    energy = jnp.square(1 - bright) + bright * (2 * (1 - bright) * _CENTER + bright * _ENERGY)
    noise = noise * jnp.where(kind == _CORRELATED, 1 / jnp.sqrt(energy), 1.0)
    noise = develop.sharpen(noise, jnp.where(camera, 0.6 * next(u) ** 2, 0.0))
    factor = jnp.where((camera | filtered) & (next(u) < 0.4), 1 + next(u), 1.0)
    noise = develop.enlarge(noise, factor[..., 0, 0, 0])
    if gray:
        noise = develop.luma(noise)
    noisy = jnp.where(kind == _NONE, x, jnp.round(jnp.clip(x + noise, 0.0, 1.0) * 255) / 255)

    # Cameras compress little, the web more.
    lowest = jnp.where(camera, 70.0, 20.0)
    quality = jnp.round(lowest + (98 - lowest) * next(u))[..., 0]
    often = jnp.where(camera, 0.7, jnp.where(kind == _JPEG, 1.0, 0.25))
    compressed = (next(u) < often) & (kind != _NONE)
    once = stored_as_jpeg(noisy, quality, halved=next(u) < 0.6)
    noisy = jnp.where(compressed, once, noisy)
    twice = stored_as_jpeg(noisy, jnp.round(50 + 45 * next(u))[..., 0], halved=next(u) < 0.6)
    return jnp.where(compressed & (next(u) < 0.2), twice, noisy)


# The 5x5 binomial filter's center weight and sum of squares.
_CENTER, _ENERGY = (6 / 16) ** 2, (70 / 256) ** 2


def _developed(key: jax.Array, x: jax.Array, normal: jax.Array, strength: jax.Array) -> jax.Array:
    """The noise of a sensor after development, before the camera filters it.

    Args:
      x: images `(..., H, W, 3)`.
      normal: standard normal numbers `(..., H, W)`, one per sensor pixel.
      strength: factor of the noise, broadcast against `x`.
    """
    lead = x.shape[:-3]
    which, scalars, bells, colors, lines = jax.random.split(key, 5)
    sensors = jnp.asarray(_SENSORS)[jax.random.randint(which, lead, 0, len(_SENSORS))]
    low, high, *line = (sensors[..., i, None, None] for i in range(_SENSORS.shape[1]))
    u = jax.random.uniform(scalars, (5, *lead))[..., None, None]
    bell = jax.random.normal(bells, (3, *lead))[..., None, None]
    log_shot = jnp.log(low) + jnp.sqrt(u[0]) * (jnp.log(high) - jnp.log(low))
    read = jnp.exp(line[0] + line[1] * log_shot + line[2] * bell[0])
    row = jnp.exp(line[3] + line[4] * log_shot + line[5] * bell[1])
    matrix, inverse = develop.color_matrices(
        jax.random.uniform(colors, (*lead, develop.CAMERAS), minval=1e-3)
    )
    exposure = 1 / jnp.maximum(0.8 + 0.1 * bell[2], 0.5)
    gains = [1.9 + 0.5 * u[1], jnp.ones_like(exposure), 1.5 + 0.4 * u[2]]
    gains = exposure[..., None] * jnp.stack(gains, -1)
    toned = (u[3] < 0.7)[..., None]

    encoded = jnp.where(toned, develop.untone(x), jnp.clip(x, 0.0, 1.0))
    light = develop.mix_channels(develop.srgb_to_linear(encoded), matrix)
    light = develop.unbalance(light, gains)
    raw = develop.mosaic(light)
    deviation = jnp.sqrt(jnp.exp(log_shot) * jnp.maximum(raw, 0.0) + jnp.square(read))
    noise = deviation * normal + row * random_bits.normal(lines, (*raw.shape[:-1], 1))
    # Sensors saturate at white; raw values below black are kept.
    noisy = jnp.minimum(raw + strength[..., 0] * noise, jnp.maximum(raw, 1.0))
    method = u[4, ..., 0, 0]
    linear = develop.demosaic(noisy - raw, jnp.where(method < 0.2, 0.0, 1.0))
    along_edges = develop.demosaic_along_edges(noisy) - develop.demosaic_along_edges(raw)
    noise = jnp.where((method < 0.5)[..., None, None, None], linear, along_edges)

    def finish(light: jax.Array) -> jax.Array:
        light = jnp.clip(develop.mix_channels(light * gains, inverse), 0.0, 1.0)
        encoded = develop.linear_to_srgb(light)
        return jnp.where(toned, develop.tone(encoded), encoded)

    return finish(light + noise) - finish(light)
