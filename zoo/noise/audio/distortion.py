"""Distortion of audio: gain, clipping, clicks, dropouts, quantization, resampling and codecs."""

import io

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from zoo.data.pcm import lengthen
from zoo.data.pcm import resample as resample_exactly
from zoo.errors import ZooError, unknown
from zoo.noise.audio.snr_mixing import along_time, samples
from zoo.noise.op_contract import ANY, FRACTION, NOT_NEGATIVE, Range, audio_op

__all__ = [
    "clicks",
    "clipping",
    "codec",
    "dc_offset",
    "dropouts",
    "gain",
    "mu_law",
    "quantize",
    "resample",
]


@audio_op(db=ANY, examples={"db": (-1.0, -6.0)})
def gain(key, x, *, db):
    """Multiplies by a gain: `x * 10**(db / 20)`.

    Args:
      key: ignored.
      x: audio of any shape.
      db: level; the gain in dB, any number. -6 is about half the amplitude.
    """
    del key
    return x * 10 ** (db / 20)


@audio_op(offset=ANY, examples={"offset": (0.05, 0.2)})
def dc_offset(key, x, *, offset):
    """Adds a constant: `x + offset`.

    Args:
      key: ignored.
      x: audio of any shape.
      offset: level; the constant, of either sign, in units of the signal.
    """
    del key
    return x + offset


@audio_op(axes="TC", threshold=Range(0, 1, above=True), examples={"threshold": (0.6, 0.2)})
def clipping(key, x, *, threshold, mode="hard"):
    """Clips the signal at a fraction of its peak, as an overdriven input does.

    With `t = threshold * max(abs(x))` of each example, channels together: `"hard"` cuts at -t and
    t, `"soft"` is `t * tanh(x / t)`, which bends before it.

    Args:
      key: ignored.
      x: audio `(..., T, C)`.
      threshold: level; where it saturates, as a part of the peak, above 0 and up to 1. Less is
        worse.
      mode: `"hard"` or `"soft"`.

    Returns:
      The saturated signal, shape and dtype of `x`; silence stays silence.

    Raises:
      ZooError: the mode is something else.
    """
    del key
    if mode not in ("hard", "soft"):
        raise ZooError(f"clipping: mode must be 'hard' or 'soft', got {mode!r}")
    limit = threshold * jnp.max(jnp.abs(x), (-2, -1), keepdims=True)
    if mode == "hard":
        return jnp.clip(x, -limit, limit)
    silent = limit == 0
    safe = jnp.where(silent, 1.0, limit)
    return jnp.where(silent, x, safe * jnp.tanh(x / safe))


@audio_op(axes="TC", rate=NOT_NEGATIVE, height=NOT_NEGATIVE, examples={"rate": (5.0, 50.0)})
def clicks(key, x, *, rate, height=0.5, width=0.0005, sample_rate=16000):
    """Adds short clicks at random times, as from dust on a record or from switches.

    A click starts at every sample with probability `rate / sample_rate`, on average `rate` a
    second. It jumps to a height uniform in `[-height, height)` and dies away as
    `exp(-t / width)`. All channels have the same clicks.

    Args:
      x: audio `(..., T, C)`.
      rate: level; clicks a second, 0 or more.
      height: the most that a click jumps by, in units of the signal, 0 or more; a level too.
      width: the time in seconds in which a click falls to 1/e; 0 makes it one sample.

    Raises:
      ZooError: `width` is negative.
    """
    # After seven times the width a thousandth is left.
    taps = samples(7 * width, sample_rate, "clicks") if width else 1
    *lead, time, _ = x.shape
    key_place, key_height = jax.random.split(key)
    shape = (*lead, time + taps - 1, 1)
    start = jax.random.uniform(key_place, shape, x.dtype) < rate / sample_rate
    jump = height * jax.random.uniform(key_height, shape, x.dtype, minval=-1, maxval=1)
    impulses = jnp.where(start, jump, 0.0)
    if taps > 1:
        decay = np.exp(-np.arange(taps) / (width * sample_rate)).astype(np.float32)
        impulses = jax.lax.conv_general_dilated(
            impulses.reshape(-1, 1, shape[-2]),
            jnp.asarray(decay[::-1].copy())[None, None],
            window_strides=(1,),
            padding="VALID",
            precision=jax.lax.Precision.HIGHEST,
        ).reshape(*lead, time, 1)
    return x + impulses


@audio_op(axes="TC", amount=FRACTION, examples={"amount": (0.1, 0.4)})
def dropouts(key, x, *, amount, length=0.02, sample_rate=16000):
    """Sets random segments to 0, like lost packets.

    Stretches of one length start at random and may run into each other; a sample is lost with
    probability `amount`. All channels are lost together.

    Args:
      x: audio `(..., T, C)`.
      amount: level; the fraction of the signal that is lost, on average, from 0 to 1.
      length: of a stretch in seconds.

    Raises:
      ZooError: `length` is negative.
    """
    size = samples(length, sample_rate, "dropouts")
    *lead, time, _ = x.shape
    # A sample survives where none of the last `size` starts a stretch: (1 - p)**size = 1 - amount.
    chance = -jnp.expm1(jnp.log1p(-amount) / size)
    starts = jax.random.uniform(key, (*lead, time + size - 1, 1), x.dtype) < chance
    # Starts up to here, less those that have ended before.
    count = jnp.cumsum(starts.astype(jnp.int32), axis=-2)
    ended = jnp.pad(count, [(0, 0)] * len(lead) + [(size, 0), (0, 0)])
    recent = count[..., size - 1 :, :] - ended[..., size - 1 : size - 1 + time, :]
    return jnp.where(recent > 0, 0.0, x)


@audio_op(bits=Range(1, 24, whole=True), examples={"bits": (8, 4)})
def quantize(key, x, *, bits):
    """Rounds to the nearest multiple of `q = 2**(1 - bits)`, as a converter of `bits` bits does.

    The error is at most `q / 2`, and for a busy signal uniform, with variance `q**2 / 12`. Zero
    stays zero. Values outside [-1, 1) are rounded to the same multiples; `clip=(-1, 1 - q)`
    saturates them as a converter does.

    Args:
      key: ignored.
      x: audio of any shape.
      bits: level; bits a sample, a whole number from 1 to 24.
    """
    del key
    # Rounded, for exp2 of a whole number is not always a power of two.
    steps = jnp.round(jnp.exp2(bits - 1))
    return jnp.round(x * steps) / steps


@audio_op(bits=Range(1, 16, whole=True), examples={"bits": (8, 4)})
def mu_law(key, x, *, bits, mu=255.0):
    """Quantizes after mu-law companding, as telephones do: finer steps for soft sounds.

    With `c = sign(x) log(1 + mu |x|) / log(1 + mu)` rounded as by `quantize`, the result is
    `sign(c) ((1 + mu)**|c| - 1) / mu`. 8 bits and 255 are the law of ITU-T G.711, whose tables
    approximate it by straight lines.

    Args:
      key: ignored.
      x: audio of any shape.
      bits: level; bits a sample, a whole number from 1 to 16.
      mu: how strongly loud samples are compressed, above 0.

    Raises:
      ZooError: `mu` is not above 0.
    """
    del key
    if not mu > 0:
        raise ZooError(f"mu_law: mu must be above 0, got {mu!r}")
    steps = jnp.round(jnp.exp2(bits - 1))
    code = jnp.round(jnp.sign(x) * jnp.log1p(mu * jnp.abs(x)) / np.log1p(mu) * steps) / steps
    return jnp.sign(code) * jnp.expm1(jnp.abs(code) * np.float32(np.log1p(mu))) / mu


@audio_op(axes="TC", factor=Range(0, 1, above=True), examples={"factor": (0.6, 0.1)})
def resample(key, x, *, factor, method="linear"):
    """Resamples to `factor` times the sample rate and back, with the losses of both steps.

    Args:
      key: ignored.
      x: audio `(..., T, C)`.
      factor: level; the intermediate rate as a fraction of the rate of `x`, above 0 and up to 1; it
        need not be one over a whole number. Lower is worse; 1 changes nothing.
      method: `"ideal"` cuts off what lies above the half of the rate in between, and that is all;
        `"linear"` draws straight lines between the samples both ways without a filter, so that
        high tones come back as lower ones (aliases), and low ones also as higher ones (images);
        `"hold"` repeats the last sample instead, which leaves more of both.

    Returns:
      The signal, shape and dtype of `x`, not delayed except by `"hold"`, by half a sample of the
      rate in between.

    Raises:
      ZooError: the method is something else.
    """
    del key
    if method == "ideal":
        return _band_limit(x, factor)
    if method not in ("linear", "hold"):
        raise ZooError(f"resample: method must be 'ideal', 'linear' or 'hold', got {method!r}")
    time = x.shape[-2]
    # The place of every sample, counted in samples of the rate in between.
    place = along_time(np.arange(time), x) * factor
    # Rounding must not put a sample that falls on the grid of both rates just before it.
    before = jnp.floor(place + 1e-4)
    first = _at(x, before / factor, method)
    if method == "hold":
        return first
    second = _at(x, (before + 1) / factor, method)
    return first + (second - first) * jnp.clip(place - before, 0.0, 1.0)


def _at(x: jax.Array, place: jax.Array, method: str) -> jax.Array:
    """Values of x (..., T, C) at places (..., T, 1) between its samples; past the end, the last."""
    last = x.shape[-2] - 1
    place = jnp.broadcast_to(jnp.clip(place, 0.0, float(last)), (*x.shape[:-1], 1))
    before = jnp.floor(place + 1e-3)
    first = jnp.take_along_axis(x, before.astype(jnp.int32), axis=-2)
    if method == "hold":
        return first
    after = jnp.minimum(before + 1, last)
    second = jnp.take_along_axis(x, after.astype(jnp.int32), axis=-2)
    return first + (second - first) * jnp.clip(place - before, 0.0, 1.0)


def _band_limit(x: jax.Array, factor: jax.Array) -> jax.Array:
    time = x.shape[-2]
    size = next_fast_len(time, real=True)
    # Forwards and then backwards, the signal has no step at its ends, which would ring.
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, size - time), (0, 0)], mode="edge")
    spectrum = jnp.fft.rfft(jnp.concatenate([padded, jnp.flip(padded, -2)], -2), axis=-2)
    bins = along_time(np.linspace(0, 1, size + 1, dtype=np.float32), x)
    limited = jnp.fft.irfft(jnp.where(bins <= factor, spectrum, 0), 2 * size, axis=-2)
    return jax.lax.slice_in_dim(limited, 0, time, axis=-2)


# For libsndfile: the container, the coding, and the rates in Hz.
_CODECS = {
    "gsm": ("WAV", "GSM610", (8000,)),
    "opus": ("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    "mp3": (
        "MP3",
        "MPEG_LAYER_III",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ),
}
# What libsndfile calls the compression, 0 to 1, of the lowest bit rates that are in use: of Opus
# 11 to 56 kb/s, of mp3 at 16 kHz 8 to 38.
_COMPRESSION = (0.8, 0.98)


@audio_op(axes="TC", amount=FRACTION, examples={"amount": (1.0, 1.0)})
def codec(key, x, *, amount, names=("gsm", "opus", "mp3"), sample_rate=16000):
    """Encodes at a low bit rate and decodes, as telephones and messengers do.

    Each example takes part with probability `amount`, and goes through a random codec at a random
    bit rate; the others stay. The codec adds its error, which ends where its band does: of GSM at
    4 kHz, and above the signal stays, so that `low_pass` may take it from signal and target alike.

    The libraries run on the host, so an accelerator waits for them: 10 to 40 ms for each second
    that is coded. The gradient is that of the identity.

    Args:
      x: audio `(..., T, C)`; each channel is coded by itself and saturates at full scale.
      amount: level; the probability that an example is coded, from 0 to 1.
      names: the codecs to choose from, of `"gsm"` (06.10), `"opus"` and `"mp3"`.
      sample_rate: of `x` in Hz, a whole number.

    Returns:
      The signal, shape and dtype of `x`, not delayed.

    Raises:
      ZooError: there is no such codec, or the sample rate is none.
    """
    for name in names:
        if name not in _CODECS:
            raise unknown("codec", name, _CODECS)
    if not names or sample_rate < 1 or sample_rate != int(sample_rate):
        raise ZooError(
            f"codec: names and a whole sample_rate are needed, got {names!r} and {sample_rate!r}"
        )
    lead = x.shape[:-2]
    key_part, key_name, key_rate = jax.random.split(key, 3)
    part = jax.random.uniform(key_part, lead) < jnp.broadcast_to(amount, (*lead, 1, 1))[..., 0, 0]
    which = jnp.where(part, jax.random.randint(key_name, lead, 0, len(names)), -1)
    low, high = _COMPRESSION
    level = jax.random.uniform(key_rate, lead, minval=low, maxval=high)

    def on_host(x, which, level):
        x, which, level = (np.asarray(one) for one in (x, which, level))
        y = np.array(x, np.float32)
        for place in np.ndindex(which.shape):
            if which[place] >= 0:
                name = names[int(which[place])]
                y[place] = _coded(x[place], name, float(level[place]), int(sample_rate))
        return y

    shape = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    still = jax.lax.stop_gradient(x)
    coded = jax.pure_callback(on_host, shape, still, which, level, vmap_method="broadcast_all")
    return x + (coded - still)


def _coded(x: np.ndarray, name: str, level: float, sample_rate: int) -> np.ndarray:
    """An audio signal (T, C) coded and decoded."""
    import soundfile  # noqa: PLC0415 - only codecs need it

    form, subtype, rates = _CODECS[name]
    # The lowest of its rates that holds the band, else its highest.
    rate = next((one for one in rates if one >= sample_rate), rates[-1])
    seen = resample_exactly(x, sample_rate, rate)
    further = {} if name == "gsm" else {"compression_level": level}
    decoded = []
    for channel in np.clip(seen, -1, 1).T:
        file = io.BytesIO()
        with soundfile.SoundFile(file, "w", rate, 1, subtype, format=form, **further) as out:
            out.write(channel)
        file.seek(0)
        with soundfile.SoundFile(file) as coded:
            decoded.append(coded.read(coded.frames, dtype="float32")[: len(seen)])
    y = np.stack([np.pad(one, (0, len(seen) - len(one))) for one in decoded], axis=-1)
    error = resample_exactly(y - seen, rate, sample_rate)[: len(x)]
    return x + lengthen(error, len(x))
