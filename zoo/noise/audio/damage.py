"""What breaks single stretches of a recording: saturation, clicks, lost packets."""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.noise.audio.law import op
from zoo.noise.audio.snr import samples
from zoo.noise.contract import FRACTION, NOT_NEGATIVE, Range


@op(axes="TC", threshold=Range(0, 1, above=True))
def clipping(key, x, *, threshold, mode="hard"):
    """Saturates everything above a part of the peak, as an overdriven input does.

    With `t = threshold * max(abs(x))` of each example, channels together: `"hard"` cuts at -t and
    t, `"soft"` is `t * tanh(x / t)`, which bends before it.

    Args:
      key: ignored.
      x: recordings `(..., T, C)`.
      threshold: level; where it saturates, as a part of the peak, above 0 and up to 1. Less is
        worse.
      mode: `"hard"` or `"soft"`.
      clip: `(low, high)` to clip the result to, or None.

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


@op(axes="TC", rate=NOT_NEGATIVE, height=NOT_NEGATIVE)
def clicks(key, x, *, rate, height=0.5, width=0.0005, sample_rate=16000):
    """Adds short clicks at random places, as dust on a record or switches do.

    A click starts at every sample with probability `rate / sample_rate`, on average `rate` a
    second. It jumps to a height drawn uniformly from `[-height, height)` and dies away as
    `exp(-t / width)`. All channels have the same clicks.

    Args:
      key: random key.
      x: recordings `(..., T, C)`.
      rate: level; clicks a second, 0 or more.
      height: the most that a click jumps by, in units of the signal, 0 or more; a level too.
      width: the time in seconds in which a click falls to 1/e; 0 makes it one sample.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The noisy recordings, shape and dtype of `x`.

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


@op(axes="TC", amount=FRACTION)
def dropouts(key, x, *, amount, length=0.02, sample_rate=16000):
    """Sets random stretches to 0, as lost packets do.

    Stretches of one length start at random and may run into each other; a sample is lost with
    probability `amount`. All channels are lost together.

    Args:
      key: random key.
      x: recordings `(..., T, C)`.
      amount: level; the part of the signal that is lost, on average, from 0 to 1.
      length: of a stretch in seconds.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The recordings with gaps, shape and dtype of `x`.

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
