"""The classical estimators of speech in noise, causal: log-MMSE and Wiener, after the noise.

The gains of Ephraim and Malah, "Speech Enhancement Using a Minimum Mean-Square Error Log-Spectral
Amplitude Estimator", IEEE Transactions on ASSP (1985), and of Wiener; the signal-to-noise ratio
they ask for decision-directed, as the same authors have it (1984). The noise is tracked as in
Gerkmann and Hendriks, "Unbiased MMSE-Based Noise Power Estimation with Low Complexity and Low
Tracking Delay", IEEE Transactions on Audio, Speech, and Language Processing (2012).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from zoo import spectral
from zoo.errors import ZooError
from zoo.models import layers, streaming
from zoo.models.registry import register

# Powers of bins below it are silence: rounding to 16 bits makes 200 times as much.
_SILENCE = 1e-10
# Of Gerkmann and Hendriks: the ratio in speech, the memory of the noise and of the probability
# of speech, and where a probability that stays high is held, so that noise is always learnt.
_SPEECH = 10**1.5
_NOISE_MEMORY, _PROBABILITY_MEMORY, _SURE = 0.8, 0.9, 0.99
# Below this ratio of speech to noise a bin is noise, -25 dB as is usual (Cappe 1994).
_LEAST = 10**-2.5
# Frames whose mean is the first guess at the noise.
_FIRST = 5


class Track(NamedTuple):
    """What is known of each bin of the N recordings after some frames.

    Attributes:
      noise: (N, bins), power.
      probability: (N, bins), of speech, smoothed.
      speech: (N, bins), power of the last estimate.
      count: (N,), frames so far.
    """

    noise: jax.Array
    probability: jax.Array
    speech: jax.Array
    count: jax.Array


class State(NamedTuple):
    """What a stream carries: the half windows of input and output, and the track."""

    frames: streaming.Frames
    track: Track


class Wiener(nn.Module):
    """Weighs every bin by what speech is in it; no parameters, each channel by itself.

    The first frames of a recording are taken for noise, and noise that changes within seconds is
    followed; that which is as brief as speech stays. It streams: see `init_state` and `step`.

    Attributes:
      channels: C where none is told, as for the registry; recordings of any C are taken.
      sample_rate: of the recordings, Hz; a frame has 32 ms, 512 samples at 16 kHz.
      gain: `"log-mmse"`, which sounds better, or `"wiener"`, which leaves a smaller error.
      smoothing: how much the signal-to-noise ratio leans on the frame before, in [0, 1); near 1
        musical tones are fewer, and onsets duller.
      attenuation: the most that is taken away, in dB, above 0.
    """

    channels: int = 1
    sample_rate: int = 16000
    gain: Literal["log-mmse", "wiener"] = "log-mmse"
    smoothing: float = 0.98
    attenuation: float = 20.0

    modality = "audio"
    range = (-1.0, 1.0)
    locality = "global"
    hop = latency = property(lambda self: streaming.frame_size(self) // 2)

    def __post_init__(self):
        streaming.frame_size(self)
        layers.check_choices(self, gain=("log-mmse", "wiener"))
        if not 0 <= self.smoothing < 1:
            raise ZooError(f"Wiener: smoothing={self.smoothing!r} is not in [0, 1); take 0.98")
        if not self.attenuation > 0:
            raise ZooError(f"Wiener: attenuation={self.attenuation!r} dB is not above 0; take 20")
        super().__post_init__()

    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (B, T, C), any float dtype, made for [-1, 1] at `sample_rate`.
          level: ignored.
          train: ignored.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` is no batch of recordings.
        """
        streaming.check_recording(x, "Wiener")
        signal = streaming.pad_to_hop(streaming.fold_channels(x), self.hop)
        size = 2 * self.hop
        framing = {"size": size, "hop": self.hop, "window": spectral.sqrt_hann(size)}
        spectrum = spectral.stft(signal, **framing, padding="zero")
        gains, _ = self._gains(spectrum, _start(len(signal), self.hop))
        y = spectral.istft(spectrum * gains.astype(spectrum.dtype), **framing, length=x.shape[1])
        return streaming.unfold_channels(y, x.shape[-1]).astype(x.dtype)

    def init_state(self, batch: int, channels: int = 1) -> State:
        """The state before the first sample of `batch` recordings."""
        number = batch * channels
        return State(streaming.init_frames(number, self.hop), _start(number, self.hop))

    def step(self, variables: dict, state: State, chunk: jax.Array) -> tuple[State, jax.Array]:
        """Denoises the next samples of a stream; pure, and made for jit.

        The outputs lag by a hop, and behind that they are those of the whole recording; a hop of
        zeros at the end brings the last of them out.

        Args:
          variables: none; taken for the contract.
          state: of `init_state` or of the last step.
          chunk: (B, n * hop, C).

        Returns:
          The next state, and the samples of the shape and dtype of `chunk`.

        Raises:
          ZooError: the chunk is no multiple of the hop.
        """
        streaming.check_chunk(chunk, self.hop, "Wiener")

        def change(spectrum):
            gains, track = self._gains(spectrum, state.track)
            return spectrum * gains.astype(spectrum.dtype), track

        window = spectral.sqrt_hann(2 * self.hop)
        frames, track, y = streaming.advance(state.frames, chunk, window, change)
        return State(frames, track), y

    def _gains(self, spectrum: jax.Array, track: Track) -> tuple[jax.Array, Track]:
        """A gain for every bin (N, frames, bins), and the next track."""
        power = (jnp.square(spectrum.real) + jnp.square(spectrum.imag)).swapaxes(0, 1)
        track, gains = lax.scan(self._frame, track, power)
        return gains.swapaxes(0, 1), track

    def _frame(self, track: Track, power: jax.Array) -> tuple[Track, jax.Array]:
        noise, probability = _track_noise(track, power)
        a_posteriori = power / noise
        a_priori = self.smoothing * track.speech / noise
        a_priori = a_priori + (1 - self.smoothing) * jnp.maximum(a_posteriori - 1, 0)
        a_priori = jnp.maximum(a_priori, _LEAST)
        gain = wiener_gain(a_priori)
        if self.gain == "log-mmse":
            gain = log_mmse_gain(a_priori, a_posteriori)
        gain = jnp.clip(gain, 10 ** (-self.attenuation / 20), 1)
        speech = jnp.square(gain) * power
        return Track(noise, probability, speech, track.count + 1), gain


def wiener_gain(a_priori: jax.Array) -> jax.Array:
    """The gain of the smallest squared error, s / (1 + s).

    Args:
      a_priori: power of speech over that of noise.
    """
    return a_priori / (1 + a_priori)


def log_mmse_gain(a_priori: jax.Array, a_posteriori: jax.Array) -> jax.Array:
    """The gain of the smallest squared error of log magnitudes, s / (1 + s) exp(E1(v) / 2).

    Args:
      a_priori: s, power of speech over that of noise.
      a_posteriori: power of the bin over that of noise; v = s / (1 + s) times it.

    Returns:
      The gain, above 1 where the bin is far weaker than its noise.
    """
    share = wiener_gain(a_priori)
    return share * jnp.exp(0.5 * exponential_integral(share * a_posteriori))


def exponential_integral(x: jax.Array) -> jax.Array:
    """E1(x), the integral of exp(-t) / t from x on, to 1e-6; x below 1e-6 counts as that.

    By the approximations 5.1.53 and 5.1.56 of Abramowitz and Stegun, "Handbook of Mathematical
    Functions" (1964): `jax.scipy.special.exp1` takes many times as long.
    """
    # Above 100 it is 0 in float32, and powers of it would overflow.
    x = jnp.clip(x, 1e-6, 100)
    near = (0.00107857, -0.00976004, 0.05519968, -0.24991055, 0.99999193, -0.57721566)
    above = (1, 8.5733287401, 18.0590169730, 8.6347608925, 0.2677737343)
    below = (1, 9.5733223454, 25.6329561486, 21.0996530827, 3.9584969228)
    small, large = jnp.minimum(x, 1), jnp.maximum(x, 1)
    far = _polynomial(above, large) / _polynomial(below, large) * jnp.exp(-large) / large
    return jnp.where(x < 1, _polynomial(near, small) - jnp.log(small), far)


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    total = jnp.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total = total * x + c
    return total


def _track_noise(track: Track, power: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The noise's power and the smoothed probability of speech, both with this frame."""
    before = jnp.maximum(track.noise, _SILENCE)
    evidence = jnp.exp(-jnp.minimum(power / before, 100) * (_SPEECH / (1 + _SPEECH)))
    present = 1 / (1 + (1 + _SPEECH) * evidence)
    probability = track.probability * _PROBABILITY_MEMORY + present * (1 - _PROBABILITY_MEMORY)
    present = jnp.where(probability > _SURE, jnp.minimum(present, _SURE), present)
    expected = present * before + (1 - present) * power
    followed = _NOISE_MEMORY * before + (1 - _NOISE_MEMORY) * expected
    count = track.count[:, None]
    mean = track.noise + (power - track.noise) / (count + 1)
    first = count < _FIRST
    noise = jnp.maximum(jnp.where(first, mean, followed), _SILENCE)
    return noise, jnp.where(first, 0, probability)


def _start(number: int, hop: int) -> Track:
    # An array of its own each, so that the state can be donated.
    noise, probability, speech = (jnp.zeros((number, hop + 1)) for _ in range(3))
    return Track(noise, probability, speech, jnp.zeros((number,)))


@register("wiener", parameters=0)
def wiener(**overrides) -> Wiener:
    """Log-MMSE gains, 20 dB at most."""
    return Wiener(**overrides)
