"""Noise whose power follows the frequency: white, pink, brown, blue, violet."""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.noise.audio import snr as ratio
from zoo.noise.audio.fourier import fast_length
from zoo.noise.audio.law import op
from zoo.noise.contract import ANY, Range

# Below, nobody hears anything, yet it would hold nearly all the power of brown noise.
_LOWEST = 20.0
# So that a signal of a few samples still finds some frequencies above the lowest.
_SHORTEST = 8192


@op(axes="TC", snr=ANY, exponent=Range(-4, 4))
def colored(key, x, *, snr, exponent, active=True, sample_rate=16000):
    """Adds Gaussian noise whose power spectral density is proportional to `1 / f**exponent`.

    The density holds from 20 Hz to half the sample rate and is 0 below, where nobody hears it.
    Exponent 0 is white, 1 pink, 2 brown, -1 blue, -2 violet; the density falls by 3 dB an octave
    for each 1. Channels are independent.

    Args:
      key: random key.
      x: recordings `(..., T, C)`.
      snr: level; signal-to-noise ratio in dB, as in `add_at_snr`.
      exponent: how the density falls, from -4 to 4; a level too.
      active: whether the signal's power is measured where there is speech rather than over pauses
        too.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The noisy recordings, shape and dtype of `x`. Where `x` is silent, `x`.

    References:
      Timmer, Koenig, "On generating power law noise", Astronomy and Astrophysics 1995.
    """
    return _colored(key, x, snr, exponent, active, sample_rate)


def _colored(key, x, snr, exponent, active, sample_rate):
    ratio.samples(0, sample_rate, "colored")
    *lead, time, channels = x.shape
    size = fast_length(max(time, _SHORTEST))
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    # In kilohertz, so that no power of it comes near the ends of float32.
    octaves = jnp.asarray(np.log(np.maximum(frequency, _LOWEST) / 1000)[:, None], x.dtype)
    octaves = octaves.reshape((1,) * len(lead) + octaves.shape)
    heard = jnp.asarray((frequency >= _LOWEST)[:, None]).reshape(octaves.shape)
    shape = jnp.where(heard, jnp.exp(-exponent / 2 * octaves), 0.0)
    real, imaginary = jax.random.normal(key, (2, *lead, frequency.size, channels), x.dtype)
    noise = jnp.fft.irfft(jax.lax.complex(real * shape, imaginary * shape), size, axis=-2)
    noise = jax.lax.slice_in_dim(noise, 0, time, axis=-2)
    return ratio.add(x, noise, snr, op="colored", active=active, sample_rate=sample_rate)


def _named(name: str, exponent: float, law: str):
    """A colour of its own name."""

    def color(key, x, *, snr, active=True, sample_rate=16000):
        return _colored(key, x, snr, jnp.full_like(snr, exponent), active, sample_rate)

    color.__name__ = color.__qualname__ = name
    color.__doc__ = f"""Adds {name} noise, whose power spectral density {law}.

    It is `colored` with exponent {exponent:g}.

    Args:
      key: random key.
      x: recordings `(..., T, C)`.
      snr: level; signal-to-noise ratio in dB, as in `add_at_snr`.
      active: whether the signal's power is measured where there is speech rather than over pauses
        too.
      sample_rate: of `x` in Hz.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The noisy recordings, shape and dtype of `x`. Where `x` is silent, `x`.
    """
    return op(axes="TC", snr=ANY)(color)


white = _named("white", 0.0, "is the same from 20 Hz up")
pink = _named("pink", 1.0, "falls by 3 dB an octave")
brown = _named("brown", 2.0, "falls by 6 dB an octave")
blue = _named("blue", -1.0, "rises by 3 dB an octave")
violet = _named("violet", -2.0, "rises by 6 dB an octave")
