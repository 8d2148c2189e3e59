"""What is added to a recording: other recordings and the mains."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.noise.audio import snr as ratio
from zoo.noise.audio.law import op
from zoo.noise.contract import ANY, POSITIVE


@op(axes="TC", snr=ANY)
def add_at_snr(key, x, *, snr, noise, active=True, sample_rate=16000):
    """Adds a recording of noise at a signal-to-noise ratio: `x + g * noise`.

    The ratio is that of `zoo.noise.audio.snr`. From a noise longer than `x` an excerpt is cut at a
    random place; a shorter one goes round and starts at a random place; one of the same length is
    taken as it is. Each example has its own place. Only the noise is scaled, so the sum may leave
    [-1, 1].

    Args:
      key: random key.
      x: recordings `(..., T, C)`.
      snr: level; signal-to-noise ratio in dB, any number. Less is noisier.
      noise: a recording `(T', C)` for all examples, or one for each, `(..., T', C)` with the
        leading axes of `x`; floats of any scale. One channel serves all channels of `x`.
      active: whether the signal's power is measured where there is speech rather than over pauses
        too.
      sample_rate: of `x` in Hz; `active` needs it.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The noisy recordings, shape and dtype of `x`. Where `x` or the excerpt is silent, `x`.

    Raises:
      ZooError: the noise is of integers, empty, or of a shape that does not fit.
    """
    noise = _excerpt(key, recording("add_at_snr", noise, x.shape), x.shape)
    return ratio.add(x, noise, snr, op="add_at_snr", active=active, sample_rate=sample_rate)


@op(axes="TC", snr=ANY, frequency=POSITIVE)
def hum(key, x, *, snr, frequency=50.0, harmonics=8, active=True, sample_rate=16000):
    """Adds the hum of the mains: a tone and its harmonics.

    Harmonic k has the amplitude `1 / k` of the first and a random phase, the same in all channels.
    Those at half the sample rate and above are left out.

    Args:
      key: random key.
      x: recordings `(..., T, C)`.
      snr: level; signal-to-noise ratio in dB, as in `add_at_snr`.
      frequency: of the mains in Hz, 50 or 60; a level too.
      harmonics: how many tones, the first included.
      active: whether the signal's power is measured where there is speech rather than over pauses
        too.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The noisy recordings, shape and dtype of `x`. Where `x` is silent, `x`.
    """
    if not (isinstance(harmonics, int) and harmonics >= 1):
        raise ZooError(f"hum: harmonics must be a whole number of 1 or more, got {harmonics!r}")
    ratio.samples(0, sample_rate, "hum")
    *lead, time, _ = x.shape
    phases = jax.random.uniform(key, (harmonics, *lead, 1, 1), x.dtype)
    seconds = np.arange(time, dtype=np.float64)[:, None] / sample_rate
    cycles = frequency * jnp.asarray(seconds, x.dtype).reshape((1,) * len(lead) + (time, 1))
    # Without its whole turns an angle loses nothing more when it is multiplied by 2 pi.
    cycles = cycles - jnp.floor(cycles)
    tone = jnp.zeros_like(cycles)
    # The harmonics are powers of the first turn: two products each instead of a cosine.
    first_cos, first_sin = jnp.cos(2 * math.pi * cycles), jnp.sin(2 * math.pi * cycles)
    turn_cos, turn_sin = jnp.ones_like(cycles), jnp.zeros_like(cycles)
    for k in range(1, harmonics + 1):
        turn_cos, turn_sin = (
            turn_cos * first_cos - turn_sin * first_sin,
            turn_sin * first_cos + turn_cos * first_sin,
        )
        phase = 2 * math.pi * phases[k - 1]
        wave = (turn_cos * jnp.cos(phase) - turn_sin * jnp.sin(phase)) / k
        tone = tone + jnp.where(frequency * k < sample_rate / 2, wave, 0.0)
    return ratio.add(x, tone, snr, op="hum", active=active, sample_rate=sample_rate)


def recording(op: str, noise: object, shape: tuple[int, ...]) -> jax.Array:
    """The noise as float32, checked against the shape of the signal it is for."""
    noise = noise if isinstance(noise, jax.Array) else np.asarray(noise)
    if not jnp.issubdtype(noise.dtype, jnp.floating):
        raise ZooError(
            f"{op}: noise is {noise.dtype}; convert it to float in [-1, 1] first, such as x / 32768"
        )
    *lead, _, channels = shape
    fits = noise.ndim >= 2 and noise.shape[:-2] in ((), tuple(lead))
    if not fits or noise.shape[-1] not in (1, channels) or not noise.shape[-2]:
        raise ZooError(
            f"{op}: noise of shape {noise.shape} does not fit x of shape {shape}; "
            f"give one or more samples as (T, {channels}) or {(*lead, 'T', channels)}"
        )
    return jnp.asarray(noise, jnp.float32)


def _excerpt(key: jax.Array, noise: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """As long as the signal of that shape, from a random place of its own for each example."""
    *lead, time, _ = shape
    length = noise.shape[-2]
    if length == time:
        return jnp.broadcast_to(noise, (*lead, *noise.shape[-2:]))
    if length < time:
        rounds = -(-(length - 1 + time) // length)
        noise = jnp.tile(noise, (1,) * (noise.ndim - 2) + (rounds, 1))
        places = length
    else:
        places = length - time + 1
    start = jax.random.randint(key, tuple(lead), 0, places)
    own = noise.ndim > 2

    def cut(noise, start):
        return jax.lax.dynamic_slice_in_dim(noise, start, time)

    for _ in lead:
        cut = jax.vmap(cut, (0 if own else None, 0))
    return cut(noise, start)
