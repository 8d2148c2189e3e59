"""Noise added to audio at a signal-to-noise ratio: recorded noise, colored noise, mains hum.

The ratio is defined by `10 * log10(P_x / P_n) == snr`. P_n is the mean power of the noise over the
whole length. P_x is that of the signal, over its active parts (`active=True`) or over the whole
length too: pauses lower the mean power of speech, and so the noise that a given ratio allows, by as
much as they last. Active are the frames of 32 ms, side by side from the first sample, whose mean
power is no more than 40 dB below that of the loudest frame of the same example (the range of the
silence detector of Taal et al., "An algorithm for intelligibility prediction of time-frequency
weighted noisy speech", IEEE TASLP 2011). Power is the mean over samples and channels.

A silent signal has no ratio to anything: nothing is added, which is also where ever quieter
signals lead. Silent noise adds nothing.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from zoo.errors import ZooError
from zoo.noise.op_contract import ANY, FRACTION, POSITIVE, Range, audio_op

__all__ = ["add_at_snr", "blue", "brown", "colored", "hum", "pink", "remix", "violet", "white"]

FRAME_SECONDS = 0.032
ACTIVE_RANGE = 1e-4
"""The power of the quietest active frame over that of the loudest: -40 dB."""


def _add(
    x: jax.Array,
    noise: jax.Array,
    snr: jax.Array,
    *,
    op: str,
    active: bool = True,
    sample_rate: float = 16000,
) -> jax.Array:
    """Scales noise (..., T, C or 1) to a ratio in dB, of the rank of `x`, and adds it.

    Raises:
      ZooError: `sample_rate` is not above 0.
    """
    measure = _active_power(x, samples(FRAME_SECONDS, sample_rate, op)) if active else _power(x)
    level = _power(noise)
    silent = (measure == 0) | (level == 0)
    # Both quotients are replaced, not only the result: the slope of a root at 0 is infinite.
    ratio = jnp.where(silent, 1.0, measure) / jnp.where(silent, 1.0, level)
    scale = jnp.where(silent, 0.0, jnp.sqrt(ratio))[..., None, None]
    return x + noise * (scale * 10 ** (-snr / 20))


def along_time(values: np.ndarray, x: jax.Array, dtype: type = np.float32) -> jax.Array:
    """Values (T',) as an array of the rank of signals (..., T, C), along their time."""
    return jnp.asarray(values, dtype).reshape((1,) * (x.ndim - 2) + (-1, 1))


def _power(x: jax.Array) -> jax.Array:
    """The mean power (...) of signals (..., T, C)."""
    return jnp.mean(jnp.square(x), (-2, -1))


def _active_power(x: jax.Array, frame: int) -> jax.Array:
    """The mean power (...) over the active ones of frames of `frame` samples."""
    *lead, time, channels = x.shape
    frames = -(-time // frame)
    last = frames * frame - time
    padded = jnp.pad(x, [(0, 0)] * len(lead) + [(0, last), (0, 0)])
    energy = jnp.square(padded).reshape(*lead, frames, frame * channels).sum(-1)
    count = np.full(frames, frame * channels, np.float32)
    count[-1] -= last * channels
    count = jnp.broadcast_to(count, energy.shape)
    mean = energy / count
    loud = mean >= ACTIVE_RANGE * mean.max(-1, keepdims=True)
    return jnp.where(loud, energy, 0.0).sum(-1) / jnp.where(loud, count, 0.0).sum(-1)


def samples(seconds: float, sample_rate: float, op: str) -> int:
    """How many samples, one or more, a time takes.

    Raises:
      ZooError: the rate is not above 0 or the time is below.
    """
    if not 0 < sample_rate < math.inf:
        raise ZooError(f"{op}: sample_rate must be above 0 Hz, such as 16000, got {sample_rate}")
    if not 0 <= seconds < math.inf:
        raise ZooError(f"{op}: a time must be 0 s or more, got {seconds}")
    return max(1, round(seconds * sample_rate))


@audio_op(axes="TC", snr=ANY, examples={"snr": (10.0, -5.0)})
def add_at_snr(key, x, *, snr, noise, active=True, sample_rate=16000):
    """Adds recorded noise at a given signal-to-noise ratio: `x + g * noise`.

    The ratio is that of `zoo.noise.audio.snr_mixing`. From a noise longer than `x` an excerpt is
    cut at a random place; a shorter one is repeated and starts at a random place; one of the same
    length is taken as it is. Each example has its own place. Only the noise is scaled, so the sum
    may leave [-1, 1].

    Args:
      x: audio `(..., T, C)`.
      snr: level; signal-to-noise ratio in dB, any number. Less is noisier.
      noise: an audio signal `(T', C)` for all examples, or one for each, `(..., T', C)` with the
        leading axes of `x`; floats of any scale. One channel serves all channels of `x`.
      sample_rate: of `x` in Hz; `active` needs it.

    Returns:
      The noisy audio, shape and dtype of `x`. Where `x` or the excerpt is silent, `x`.

    Raises:
      ZooError: the noise is of integers, empty, or of a shape that does not fit.
    """
    noise = _excerpt(key, recording("add_at_snr", noise, x.shape), x.shape)
    return _add(x, noise, snr, op="add_at_snr", active=active, sample_rate=sample_rate)


@audio_op(axes="TC", snr=ANY, frequency=POSITIVE, examples={"snr": (10.0, -5.0)})
def hum(key, x, *, snr, frequency=50.0, harmonics=8, active=True, sample_rate=16000):
    """Adds mains hum: a tone and its harmonics.

    Harmonic k has the amplitude `1 / k` of the first and a random phase, the same in all channels.
    Those at half the sample rate and above are left out.

    Args:
      x: audio `(..., T, C)`.
      snr: level; signal-to-noise ratio in dB, as in `add_at_snr`.
      frequency: of the mains in Hz, 50 or 60; a level too.
      harmonics: how many tones, the first included.

    Returns:
      The noisy audio, shape and dtype of `x`. Where `x` is silent, `x`.
    """
    if not (isinstance(harmonics, int) and harmonics >= 1):
        raise ZooError(f"hum: harmonics must be a whole number of 1 or more, got {harmonics!r}")
    samples(0, sample_rate, "hum")
    *lead, time, _ = x.shape
    phases = jax.random.uniform(key, (harmonics, *lead, 1, 1), x.dtype)
    cycles = frequency * along_time(np.arange(time) / sample_rate, x)
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
    return _add(x, tone, snr, op="hum", active=active, sample_rate=sample_rate)


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


# Inaudible frequencies would hold nearly all the power of brown noise.
_LOWEST = 20.0
# A signal of a few samples still needs some frequencies above the lowest.
_SHORTEST = 8192


@audio_op(
    axes="TC", snr=ANY, exponent=Range(-4, 4), examples={"snr": (10.0, -5.0), "exponent": 1.5}
)
def colored(key, x, *, snr, exponent, active=True, sample_rate=16000):
    """Adds Gaussian noise whose power spectral density is proportional to `1 / f**exponent`.

    The density holds from 20 Hz to half the sample rate and is 0 below, where it is inaudible.
    Exponent 0 is white, 1 pink, 2 brown, -1 blue, -2 violet; the density falls by 3 dB an octave
    for each 1. Channels are independent.

    Args:
      x: audio `(..., T, C)`.
      snr: level; signal-to-noise ratio in dB, as in `add_at_snr`.
      exponent: how the density falls, from -4 to 4; a level too.

    Returns:
      The noisy audio, shape and dtype of `x`. Where `x` is silent, `x`.

    References:
      Timmer, Koenig, "On generating power law noise", Astronomy and Astrophysics 1995.
    """
    return _colored(key, x, snr, exponent, active, sample_rate)


def _colored(key, x, snr, exponent, active, sample_rate):
    samples(0, sample_rate, "colored")
    *lead, time, channels = x.shape
    size = next_fast_len(max(time, _SHORTEST), real=True)
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    # In kilohertz, so that no power of it comes near the ends of float32.
    octaves = along_time(np.log(np.maximum(frequency, _LOWEST) / 1000), x)
    audible = along_time(frequency >= _LOWEST, x, bool)
    shape = jnp.where(audible, jnp.exp(-exponent / 2 * octaves), 0.0)
    real, imaginary = jax.random.normal(key, (2, *lead, frequency.size, channels), x.dtype)
    noise = jnp.fft.irfft(jax.lax.complex(real * shape, imaginary * shape), size, axis=-2)
    noise = jax.lax.slice_in_dim(noise, 0, time, axis=-2)
    return _add(x, noise, snr, op="colored", active=active, sample_rate=sample_rate)


def _named(name: str, exponent: float, density: str):
    """An op for a color with a name of its own."""

    def color(key, x, *, snr, active=True, sample_rate=16000):
        return _colored(key, x, snr, jnp.full_like(snr, exponent), active, sample_rate)

    color.__name__ = color.__qualname__ = name
    color.__doc__ = f"""Adds {name} noise, whose power spectral density {density}.

    It is `colored` with exponent {exponent:g}.

    Args:
      x: audio `(..., T, C)`.
      snr: level; signal-to-noise ratio in dB, as in `add_at_snr`.

    Returns:
      The noisy audio, shape and dtype of `x`. Where `x` is silent, `x`.
    """
    return audio_op(axes="TC", snr=ANY, examples={"snr": (10.0, -5.0)})(color)


white = _named("white", 0.0, "is the same from 20 Hz up")
pink = _named("pink", 1.0, "falls by 3 dB an octave")
brown = _named("brown", 2.0, "falls by 6 dB an octave")
blue = _named("blue", -1.0, "rises by 3 dB an octave")
violet = _named("violet", -2.0, "rises by 6 dB an octave")


@audio_op(axes="TC", amount=FRACTION, examples={"amount": (1.0, 1.0)})
def remix(key, x, *, amount, noisy):
    """Exchanges the noise of audio signals within a batch: `x + noise[permutation]`.

    The noise of an example is `noisy - x`, x clean. Each example takes part with probability
    `amount`; the noises of those that do are permuted at random (one may get its own back), the
    others keep theirs. No noise is used twice. With less than two examples `noisy` comes back.

    Args:
      x: clean audio `(..., T, C)`; the leading axes are the batch.
      amount: level; the probability that an example takes part, from 0 to 1.
      noisy: the same signals with their noise, shape of `x`, floats.

    Returns:
      Noisy signals with the targets `x`, shape and dtype of `x`.

    Raises:
      ZooError: `noisy` is of integers or has another shape.

    References:
      Defossez, Synnaeve, Adi, "Real time speech enhancement in the waveform domain", Interspeech
      2020.
    """
    noisy = noisy if isinstance(noisy, jax.Array) else np.asarray(noisy)
    if noisy.shape != x.shape or not jnp.issubdtype(noisy.dtype, jnp.floating):
        raise ZooError(
            f"remix: noisy must be floats of the shape of x, {x.shape}, "
            f"got {noisy.dtype} of shape {noisy.shape}"
        )
    lead = x.shape[:-2]
    count = math.prod(lead)
    noise = (jnp.asarray(noisy, x.dtype) - x).reshape(count, *x.shape[-2:])
    chance = jnp.broadcast_to(amount, (*lead, 1, 1)).reshape(count)
    key_part, key_order = jax.random.split(key)
    part = jax.random.uniform(key_part, (count,), x.dtype) < chance
    # Those that take part come first, in random order; the same places again, in their own order.
    ranks = jax.random.uniform(key_order, (count,), x.dtype)
    shuffled = jnp.argsort(jnp.where(part, ranks, 2.0))
    places = jnp.argsort(jnp.where(part, 0, 1), stable=True)
    source = jnp.zeros(count, jnp.int32).at[places].set(shuffled.astype(jnp.int32))
    return x + jnp.take(noise, source, axis=0).reshape(x.shape)
