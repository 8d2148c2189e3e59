"""Augmentation: pure functions `(key, x) -> x` of one float picture (H, W, C), or of one recording
(T, C), on the device.

The training step vmaps them over examples, each with a key of its own.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError

Augment = Callable[[jax.Array, jax.Array], jax.Array]

# Samples in which a filter of `random_tone` dies away, that it may not come round.
_RING = 2048


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


def random_gain(key: jax.Array, x: jax.Array, *, decibels: float) -> jax.Array:
    """Makes a recording (T, C) louder or softer by a gain uniform in [-decibels, decibels].

    What is in its channels, such as target and input, keeps its balance. Nothing is clipped.
    """
    gain = jax.random.uniform(key, minval=-decibels, maxval=decibels)
    return x * jnp.power(10.0, gain / 20.0).astype(x.dtype)


def random_polarity(key: jax.Array, x: jax.Array) -> jax.Array:
    """Turns the sign of a recording (T, C), of all its channels, with probability one half."""
    return jnp.where(jax.random.bernoulli(key), -x, x)


def random_speed(key: jax.Array, x: jax.Array, *, share: float) -> jax.Array:
    """Plays a recording (T, C) faster or slower, pitch and all, by up to a share of its speed.

    The factor is uniform in [1 - share, 1 + share], the interpolation cubic (Catmull and Rom's).
    Where a faster one ends too soon it runs backwards.
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
    """Colours a recording (T, C) as another microphone would, alike in all channels.

    The gain in dB is a sum of four cosines of the frequency (on the mel scale as for 16 kHz), drawn
    so that it lies in [-decibels, decibels]; the filter has no delay.
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
    gain: float = 0.0,
    polarity: bool = False,
    speed: float = 0.0,
    tone: float = 0.0,
) -> Augment:
    """Builds the augmentation a config asks for.

    Args:
      flip: mirror at random.
      quarter_turn: turn by quarters at random.
      rotate: the largest rotation, in degrees; 0 for none.
      shift: the largest move, as a fraction of the side; 0 for none.
      gain: of recordings, the largest change of loudness in dB; 0 for none.
      polarity: of recordings, turn the sign at random.
      speed: of recordings, the largest change of speed and pitch, as a share; 0 for none.
      tone: of recordings, the most that any frequency gains or loses, in dB; 0 for none.

    Returns:
      `augment(key, x)`, which raises a `ZooError` for a picture where a step is for recordings, and
      the other way round.
    """
    pictures = {"flip": flip, "quarter_turn": quarter_turn, "rotate": rotate, "shift": shift}
    recordings = {"gain": gain, "polarity": polarity, "speed": speed, "tone": tone}
    steps: list[Augment] = []
    if rotate:
        steps.append(partial(random_rotation, degrees=rotate))
    if shift:
        steps.append(partial(random_shift, fraction=shift))
    if flip:
        steps.append(random_flip)
    if quarter_turn:
        steps.append(random_quarter_turn)
    if gain:
        steps.append(partial(random_gain, decibels=gain))
    if polarity:
        steps.append(random_polarity)
    if speed:
        steps.append(partial(random_speed, share=speed))
    if tone:
        steps.append(partial(random_tone, decibels=tone))

    def augment(key: jax.Array, x: jax.Array) -> jax.Array:
        data, other = ("recordings", pictures) if x.ndim == 2 else ("pictures", recordings)
        for name, value in other.items():
            if value:
                raise ZooError(
                    f"{name} does not augment {data}; set data.augment.{name}={type(value)()}"
                )
        for i, step in enumerate(steps):
            x = step(jax.random.fold_in(key, i), x)
        return x

    return augment


def _resample(x: jax.Array, where: Callable) -> jax.Array:
    """Reads x at `where(i, j)`, with i and j in pixels from the centre.

    Like `jax.scipy.ndimage.map_coordinates` for each channel, but it fetches all channels of a
    pixel at once, which is faster on CPU.
    """
    h, w, c = x.shape
    i = jnp.arange(h, dtype=x.dtype)[:, None] - (h - 1) / 2
    j = jnp.arange(w, dtype=x.dtype)[None, :] - (w - 1) / 2
    i, j = where(jnp.broadcast_to(i, (h, w)), jnp.broadcast_to(j, (h, w)))
    top, bottom, below = _neighbours(i + (h - 1) / 2, h)
    left, right, beyond = _neighbours(j + (w - 1) / 2, w)
    pixels = x.reshape(h * w, c)

    def row(start):
        near = jnp.take(pixels, start + left, axis=0, mode="clip")
        far = jnp.take(pixels, start + right, axis=0, mode="clip")
        return near + (far - near) * beyond

    upper, lower = row(top * w), row(bottom * w)
    return upper + (lower - upper) * below


def _neighbours(at: jax.Array, size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The two pixels on either side of a coordinate mirrored into [0, size - 1], and its share of
    the way between them, with an axis for the channels."""
    last = max(size - 1, 1)
    at = last - jnp.abs(last - jnp.abs(at) % (2 * last))
    low = jnp.floor(at)
    share = (at - low)[..., None]
    low = low.astype(jnp.int32)
    return low, jnp.minimum(low + 1, size - 1), share
