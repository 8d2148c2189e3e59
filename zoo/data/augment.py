"""Augmentation on the device: pure functions `(key, x) -> x` of one float image (H, W, C), or of
audio (T, C).

The training step vmaps them over examples, each with a key of its own.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from zoo.errors import ZooError

Augment = Callable[[jax.Array, jax.Array], jax.Array]

# Samples in which a filter of `random_tone` decays, so that it does not wrap around.
_RING = 2048


def random_flip(key: jax.Array, x: jax.Array) -> jax.Array:
    """Flip left to right, and top to bottom, each with probability one half."""
    horizontal, vertical = jax.random.bernoulli(key, shape=(2,))
    x = jnp.where(horizontal, x[:, ::-1], x)
    return jnp.where(vertical, x[::-1], x)


def random_quarter_turn(key: jax.Array, x: jax.Array) -> jax.Array:
    """Rotate a square image by 0, 90, 180 or 270 degrees, with equal probability.

    Raises:
      ZooError: the image is not square.
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
    """Rotate by an angle uniform in [-degrees, degrees] around the center.

    Bilinear; the outside is a reflection of the inside.
    """
    angle = jnp.deg2rad(jax.random.uniform(key, minval=-degrees, maxval=degrees))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return _resample(x, lambda i, j: (cos * i - sin * j, sin * i + cos * j))


def random_shift(key: jax.Array, x: jax.Array, *, fraction: float) -> jax.Array:
    """Shift by up to `fraction` of the height and of the width.

    Bilinear; the outside is a reflection of the inside.
    """
    dy, dx = jax.random.uniform(key, (2,), minval=-fraction, maxval=fraction)
    return _resample(x, lambda i, j: (i + dy * x.shape[0], j + dx * x.shape[1]))


def random_zoom(key: jax.Array, x: jax.Array, *, share: float) -> jax.Array:
    """Enlarge every other image around the center, by a factor log-uniform in [1, 1 + share].

    Interpolation is cubic (Keys, 1981, a = -1/2). What cameras store at full resolution is softer
    than photographs that were scaled down, which this makes up for; half of the images stay sharp,
    or a model would smooth such. Noise is enlarged as well.
    """
    choice, amount = jax.random.split(key)
    factor = jnp.exp(jax.random.uniform(amount, maxval=np.log1p(share)))
    factor = jnp.where(jax.random.bernoulli(choice), factor, 1.0)
    middle = jnp.array(x.shape[:2], x.dtype) / 2
    scale = jnp.full(2, factor, x.dtype)
    return jax.image.scale_and_translate(
        x, x.shape, (0, 1), scale, middle * (1 - scale), "cubic", antialias=False
    )


def random_gain(key: jax.Array, x: jax.Array, *, decibels: float) -> jax.Array:
    """Amplify audio (T, C) by a gain uniform in [-decibels, decibels].

    All channels, such as target and input, have the same gain. Nothing is clipped.
    """
    gain = jax.random.uniform(key, minval=-decibels, maxval=decibels)
    return x * jnp.power(10.0, gain / 20.0).astype(x.dtype)


def random_polarity(key: jax.Array, x: jax.Array) -> jax.Array:
    """Invert audio (T, C), in all channels, with probability one half."""
    return jnp.where(jax.random.bernoulli(key), -x, x)


def random_speed(key: jax.Array, x: jax.Array, *, share: float) -> jax.Array:
    """Change the speed and the pitch of audio (T, C), by up to a share.

    The factor is uniform in [1 - share, 1 + share], the interpolation cubic (Catmull and Rom's).
    Faster audio is extended by reflection.
    """
    length = x.shape[0]
    factor = jax.random.uniform(key, minval=1.0 - share, maxval=1.0 + share)
    at = factor * jnp.arange(length, dtype=jnp.float32)
    low = jnp.floor(at)
    t = (at - low)[:, None].astype(x.dtype)
    last = max(length - 1, 1)

    def read(step):
        place = jnp.abs(low.astype(jnp.int32) + step)
        return jnp.take(x, last - jnp.abs(last - place % (2 * last)), axis=0, mode="clip")

    a, b, c, d = (read(step) for step in (-1, 0, 1, 2))
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def random_tone(key: jax.Array, x: jax.Array, *, decibels: float) -> jax.Array:
    """Filter audio (T, C) as another microphone would, equally in all channels.

    The gain in dB is a sum of four cosines of the frequency (on the mel scale for 16 kHz), random
    within [-decibels, decibels]; the filter has no delay.
    """
    length, terms = x.shape[0], 4
    size = length + _RING
    mel = np.log1p(8000 / 700 * np.linspace(0, 1, size // 2 + 1)) / np.log1p(8000 / 700)
    waves = np.cos(np.pi * np.arange(1, terms + 1) * mel[:, None]).astype(np.float32)
    drawn = jax.random.uniform(key, (terms,), minval=-decibels / terms, maxval=decibels / terms)
    gain = jnp.power(10.0, (waves @ drawn)[:, None] / 20.0)
    spectrum = jnp.fft.rfft(x.astype(jnp.float32), size, axis=0)
    y = jnp.fft.irfft(gain.astype(jnp.complex64) * spectrum, size, axis=0)
    return y[:length].astype(x.dtype)


def make_augment(
    *,
    flip: bool = False,
    quarter_turn: bool = False,
    rotate: float = 0.0,
    shift: float = 0.0,
    zoom: float = 0.0,
    gain: float = 0.0,
    polarity: bool = False,
    speed: float = 0.0,
    tone: float = 0.0,
) -> Augment:
    """Compose augmentations.

    Args:
      flip: flip images at random.
      quarter_turn: rotate images by quarter turns at random.
      rotate: the largest rotation of images, in degrees; 0 for none.
      shift: the largest shift of images, as a fraction of the side; 0 for none.
      zoom: the largest enlargement of half of the images, as a share, 0.5 for one and a half times;
        0 for none.
      gain: the largest change of the loudness of audio, in dB; 0 for none.
      polarity: invert audio at random.
      speed: the largest change of the speed and pitch of audio, as a share; 0 for none.
      tone: the largest gain or loss of audio at any frequency, in dB; 0 for none.

    Returns:
      `augment(key, x)`, which raises a `ZooError` for an image where a step is for audio, and
      the other way round.
    """
    values = {"rotate": rotate, "shift": shift, "flip": flip, "quarter_turn": quarter_turn}
    values |= {"zoom": zoom, "gain": gain, "polarity": polarity, "speed": speed, "tone": tone}
    image_steps = {
        "zoom": partial(random_zoom, share=zoom),
        "rotate": partial(random_rotation, degrees=rotate),
        "shift": partial(random_shift, fraction=shift),
        "flip": random_flip,
        "quarter_turn": random_quarter_turn,
    }
    audio_steps = {
        "gain": partial(random_gain, decibels=gain),
        "polarity": random_polarity,
        "speed": partial(random_speed, share=speed),
        "tone": partial(random_tone, decibels=tone),
    }
    steps = [step for name, step in (image_steps | audio_steps).items() if values[name]]

    def augment(key: jax.Array, x: jax.Array) -> jax.Array:
        data, other = ("audio", image_steps) if x.ndim == 2 else ("images", audio_steps)
        for name in other:
            if value := values[name]:
                raise ZooError(
                    f"{name} does not augment {data}; set data.augment.{name}={type(value)()}"
                )
        for i, step in enumerate(steps):
            x = step(jax.random.fold_in(key, i), x)
        return x

    return augment


def _resample(x: jax.Array, where: Callable) -> jax.Array:
    """Sample x at `where(i, j)`, with i and j in pixels from the center."""
    middle = [(side - 1) / 2 for side in x.shape[:2]]
    from_center = [
        np.arange(side, dtype=np.float32) - half
        for side, half in zip(x.shape[:2], middle, strict=True)
    ]
    i, j = where(*jnp.meshgrid(*from_center, indexing="ij"))
    at = [i + middle[0], j + middle[1]]
    read = partial(map_coordinates, coordinates=at, order=1, mode="mirror")
    return jax.vmap(read, -1, -1)(x)
