"""Classical estimators of speech in noise, on the spectrum and without parameters."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zoo import spectral
from zoo.errors import ZooError
from zoo.models.audio_denoiser import AudioDenoiser, StreamingDenoiser, frame_size, pad_to_hop
from zoo.models.registry import register

# Powers of bins below it are silence: rounding to 16 bits makes 200 times as much.
_SILENCE = 1e-10
# Of Gerkmann and Hendriks: the ratio in speech, the memory of the noise and of the probability
# of speech, and the limit of a probability that stays high, so that noise is always updated.
_SPEECH = 10**1.5
_NOISE_MEMORY, _PROBABILITY_MEMORY, _SURE = 0.8, 0.9, 0.99
# Below this ratio of speech to noise a bin is noise, -25 dB as is usual (Cappe 1994).
_LEAST = 10**-2.5
# Frames whose mean is the first guess at the noise.
_FIRST = 5
# Levels so far below the loudest bin hold no information on the noise, in dB.
_DEPTH = 80.0
# The least power of a bin, in dB.
_NOTHING = -200.0
# Of the power of Gaussian noise in a bin, which is exponentially distributed, in dB.
_DEVIATION = 10 / np.log(10) * np.pi / np.sqrt(6)
# Of a noise profile: fewer tell too little of its deviation.
_LEAST_FRAMES = 8


class Track(NamedTuple):
    """The estimates for each bin of the N signals after some frames.

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


class Wiener(StreamingDenoiser):
    """Log-MMSE and Wiener estimates of speech; causal, without parameters.

    The gains are those of Ephraim and Malah, "Speech Enhancement Using a Minimum Mean-Square Error
    Log-Spectral Amplitude Estimator", IEEE Transactions on ASSP (1985), and of Wiener, for a
    decision-directed signal-to-noise ratio, by the same authors (1984). The noise is tracked as in
    Gerkmann and Hendriks, "Unbiased MMSE-Based Noise Power Estimation with Low Complexity and Low
    Tracking Delay", IEEE Transactions on Audio, Speech, and Language Processing (2012).

    The first frames of an audio signal are taken as noise, and noise that changes within seconds is
    tracked; noise as brief as speech remains.

    Attributes:
      sample_rate: of the audio, Hz; a frame has 32 ms, 512 samples at 16 kHz.
      gain: `"log-mmse"`, which sounds better, or `"wiener"`, which leaves a smaller error.
      smoothing: the weight of the previous frame in the signal-to-noise ratio, in [0, 1); near 1
        musical noise is weaker, and onsets duller.
      attenuation: the most a bin is attenuated by, in dB, above 0.
    """

    sample_rate: int = 16000
    gain: Literal["log-mmse", "wiener"] = "log-mmse"
    smoothing: float = 0.98
    attenuation: float = 20.0

    family = "wiener"
    hop = property(lambda self: frame_size(self.sample_rate) // 2)

    def __post_init__(self):
        if not 0 <= self.smoothing < 1:
            raise ZooError(f"Wiener: smoothing={self.smoothing!r} is not in [0, 1); take 0.98")
        if not self.attenuation > 0:
            raise ZooError(f"Wiener: attenuation={self.attenuation!r} dB is not above 0; take 20")
        super().__post_init__()

    def _memory(self, number: int) -> Track:
        noise, probability, speech = (jnp.zeros((number, self.hop + 1)) for _ in range(3))
        return Track(noise, probability, speech, jnp.zeros((number,)))

    def _enhance(
        self, spectrum: jax.Array, memory: Track, dtype: Any, train: bool
    ) -> tuple[jax.Array, Track]:
        power = (jnp.square(spectrum.real) + jnp.square(spectrum.imag)).swapaxes(0, 1)
        track, gains = lax.scan(self._frame, memory, power)
        return spectrum * gains.swapaxes(0, 1).astype(spectrum.dtype), track

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


class SpectralGate(AudioDenoiser):
    """A stationary spectral gate: opens a bin where it exceeds the signal's statistics.

    The method of the noisereduce package (Sainburg et al., "Finding, visualizing, and quantifying
    latent structure across diverse animal vocal repertoires", PLOS Computational Biology 2020),
    which goes back to the noise reduction of Audacity. It takes two passes over the whole
    signal, so that it does not stream, and has no parameters. The noise must be stationary. The
    noisereduce package takes `quietest=1` and `smooth_hz=500`, which costs more of the speech.
    Instead of the quietest frames `profile` takes a stretch that is known to be noise.

    Attributes:
      sample_rate: of the audio, Hz; a frame has 64 ms, 1024 samples at 16 kHz.
      deviations: a bin opens this many standard deviations above the mean, both in dB.
      quietest: the share of frames, in (0, 1], of which mean and deviation are taken: the frames of
        the least power. 1 takes all frames, with speech.
      reduction: the share that a closed bin loses, in [0, 1].
      smooth_hz: half the width of the triangle that smoothes the mask over frequency.
      smooth_ms: the same over time.
    """

    sample_rate: int = 16000
    deviations: float = 1.5
    quietest: float = 0.2
    reduction: float = 1.0
    smooth_hz: float = 60.0
    smooth_ms: float = 50.0

    family = "spectral_gate"

    def __post_init__(self):
        for field, least in (("quietest", 1e-3), ("reduction", 0.0)):
            value = getattr(self, field)
            if not least <= value <= 1:
                raise ZooError(f"SpectralGate: {field}={value!r} is a share; take one up to 1")
        for field in ("smooth_hz", "smooth_ms"):
            value = getattr(self, field)
            if not value >= 0:
                raise ZooError(f"SpectralGate: {field}={value!r} is negative; take 0 or more")
        super().__post_init__()

    def _denoise(self, x: jax.Array, dtype: Any, train: bool) -> jax.Array:
        size, hop = self._framing()
        spectrum = spectral.stft(pad_to_hop(x, hop), size=size, hop=hop, padding="zero")
        mask = self._smooth(self._open(spectrum))
        spectrum = spectrum * (1 - self.reduction * (1 - mask)).astype(spectrum.dtype)
        return spectral.istft(spectrum, size=size, hop=hop, length=x.shape[1])

    def profile(self, noise: jax.Array, deviations: float = 1.0) -> Mapping[str, Any]:
        """Variables of a model that goes by a stretch of noise, for `apply`.

        Args:
          noise: (T, C), floats, at the model's rate; at least 8 frames, 0.176 s. The signal has
            as many channels.
          deviations: as the field; known noise takes fewer, by trial on speech, tones and hum.

        Returns:
          `{"profile": {"threshold": (C, bins)}}`, in dB.

        Raises:
          ZooError: it is shorter, or silent.
        """
        size, hop = self._framing()
        frames = spectral.frame(jnp.asarray(noise).astype(jnp.float32).T, size=size, hop=hop)
        if len(noise) < size + (_LEAST_FRAMES - 1) * hop:
            seconds = (size + (_LEAST_FRAMES - 1) * hop) / self.sample_rate
            raise ZooError(f"a noise profile takes {seconds:.2g} s or more; take a longer stretch")
        decibels = _decibels(jnp.fft.rfft(frames * spectral.hann(size)[None, None]))
        if not (decibels > _NOTHING).any():
            raise ZooError("the noise profile is digital silence; take a stretch of noise")
        # What is steadier than noise, such as hum, would otherwise close on nothing but itself.
        deviation = jnp.maximum(decibels.std(1), _DEVIATION)
        threshold = decibels.mean(1) + deviations * deviation
        return {"profile": {"threshold": threshold}}

    def _framing(self) -> tuple[int, int]:
        """Samples of a frame, and from one to the next."""
        half = frame_size(self.sample_rate, 4)
        return 2 * half, half // 2

    def _open(self, spectrum: jax.Array) -> jax.Array:
        """1 where a bin of (N, frames, bins) stands out, else 0."""
        decibels = _decibels(spectrum)
        if self.has_variable("profile", "threshold"):
            threshold = self.get_variable("profile", "threshold")
            threshold = jnp.tile(threshold, (len(spectrum) // len(threshold), 1))
            return (decibels > threshold[:, None]).astype(jnp.float32)
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        decibels = jnp.maximum(decibels, decibels.max((1, 2), keepdims=True) - _DEPTH)
        # Digital silence is not noise: a deviation that counts it would close every bin.
        total = power.sum(-1, keepdims=True)
        limit = jnp.quantile(total, self.quietest, axis=1, keepdims=True)
        audible = total > total.max(1, keepdims=True) * 10 ** (-_DEPTH / 10)
        counted = (audible & (total <= limit)).astype(power.dtype)
        share = counted / jnp.maximum(counted.sum(1, keepdims=True), 1)
        mean = (decibels * share).sum(1, keepdims=True)
        variance = (jnp.square(decibels - mean) * share).sum(1, keepdims=True)
        threshold = mean + self.deviations * jnp.sqrt(variance)
        # Where even more is silent there is no noise, and all is open.
        threshold = jnp.where(counted.any(1, keepdims=True), threshold, -jnp.inf)
        return (decibels > threshold).astype(jnp.float32)

    def _smooth(self, mask: jax.Array) -> jax.Array:
        """The mask averaged over its neighborhood by a triangle each way, zero outside."""
        size, hop = self._framing()
        for axis, reach in (
            (1, self.smooth_ms / 1000 * self.sample_rate / hop),
            (2, self.smooth_hz * size / self.sample_rate),
        ):
            triangle = _triangle(round(reach))
            side = len(triangle) // 2
            pads = [(side, side) if i == axis else (0, 0) for i in range(3)]
            padded = jnp.pad(mask, pads)
            length = mask.shape[axis]
            mask = sum(
                float(weight) * lax.slice_in_dim(padded, i, i + length, axis=axis)
                for i, weight in enumerate(triangle)
            )
        return mask


def _decibels(spectrum: jax.Array) -> jax.Array:
    """The power of each bin in dB, at least that of silence."""
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    return 10 * jnp.log10(jnp.maximum(power, 10 ** (_NOTHING / 10)))


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


def _triangle(reach: int) -> np.ndarray:
    """Weights that fall on both sides and sum to 1; those `reach` + 1 away are 0."""
    weights = np.bartlett(2 * reach + 3)[1:-1]
    return weights / weights.sum()


register(Wiener, "wiener", "log-MMSE gains, 20 dB at most", 0, 0)
register(SpectralGate, "spectral-gate", "statistics of the quietest fifth of the frames", 0, 0)
