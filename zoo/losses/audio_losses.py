"""Losses of audio (..., T, C) with values in [-1, 1]: each a map (..., 1, 1).

Spectra are those of `zoo.spectral.stft` with the ends mirrored, as the originals have them, so a
signal must be longer than half a frame. Magnitudes have a floor, so that gradients are finite at
silence.
"""

import jax
import jax.numpy as jnp

from zoo import metrics, spectral
from zoo.errors import ZooError
from zoo.losses.loss_registry import float32, loss
from zoo.modality import AUDIO

# Yamamoto, Song and Kim 2020: points, hop and window of each transform.
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))

# The floor of the authors' magnitudes, the square root of 1e-7.
LEAST_MAGNITUDE = 1e-7**0.5

# Spectral convergence divides by the target's magnitudes, whose root mean square counts as this at
# least (that of white noise some 60 dB below full scale): else a silent crop would weigh as much as
# all the others together.
LEAST_SPECTRUM = 1e-2

# Of the magnitudes, as FastEnhancer has it.
EXPONENT = 0.3


@loss(modality=AUDIO)
def si_sdr(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """The negative scale-invariant signal-to-distortion ratio in dB, (..., 1, 1).

    Invariant to the scale of the prediction; add `l1` to fix that. See `zoo.metrics.si_sdr`.
    """
    return -metrics.si_sdr(prediction, target)[..., None, None]


@loss(modality=AUDIO)
def multi_resolution_stft(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Spectral convergence plus the absolute difference of log magnitudes, (..., 1, 1).

    The mean over three resolutions: 1024, 2048 and 512 points, a hop of 120, 240 and 50 samples,
    Hann windows of 600, 1200 and 240. Spectral convergence is the norm of the difference of the
    magnitudes over the target's norm, each of a whole channel.

    Args:
      prediction: audio, (..., T, C), T more than 1024.
      target: audio of the same shape.

    Raises:
      ZooError: the audio is too short.

    References:
      Yamamoto, Song, Kim, "Parallel WaveGAN: a fast waveform generation model based on generative
      adversarial networks with multi-resolution spectrogram", ICASSP 2020.
    """
    total = jnp.float32(0)
    for size, hop, length in RESOLUTIONS:
        a, b = (
            spectral.magnitude(
                _stft(x, "multi_resolution_stft", size, hop, length), LEAST_MAGNITUDE
            )
            for x in float32(prediction, target)
        )
        convergence = _norm(a - b) / jnp.maximum(_norm(b), LEAST_SPECTRUM)
        logarithm = jnp.mean(jnp.abs(jnp.log(a) - jnp.log(b)), axis=(-2, -1))
        total = total + convergence + logarithm
    return _whole(total / len(RESOLUTIONS))


@loss(modality=AUDIO)
def compressed_magnitude(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Squared error of magnitudes to the power of .3, the mean over frames and bins, (..., 1, 1).

    Frames of 512 samples, a hop of 256, a Hann window.

    Args:
      prediction: audio, (..., T, C), T more than 256.
      target: audio of the same shape.

    Raises:
      ZooError: the audio is too short.

    References:
      "FastEnhancer: speed-optimized streaming neural speech enhancement", arXiv 2509.21867, where
      the spectrum is the network's own output rather than the waveform's.
    """
    a, b = (
        spectral.magnitude(_stft(x, "compressed_magnitude")) ** EXPONENT
        for x in float32(prediction, target)
    )
    return _whole(jnp.mean(jnp.square(a - b), axis=(-2, -1)))


@loss("consistency", modality=AUDIO)
def compressed_complex(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Squared error of spectra whose magnitudes are raised to .3, (..., 1, 1).

    The mean over frames, bins, and real and imaginary parts. Frames, arguments, errors and source
    as for `compressed_magnitude`.

    It is also called `consistency`. FastEnhancer's magnitude and complex terms see the spectrum the
    network puts out, which may be no waveform's; its consistency term is this one, between the
    spectra of the waveforms. A loss here sees waveforms alone, so that the two terms are one; the
    second name keeps the original's weights readable: .3 magnitude, .2 complex, .3 consistency, .2
    `l1`.
    """
    a, b = (
        spectral.compress(_stft(x, "compressed_complex"), EXPONENT)
        for x in float32(prediction, target)
    )
    error = jnp.square(a.real - b.real) + jnp.square(a.imag - b.imag)
    return _whole(0.5 * jnp.mean(error, axis=(-2, -1)))


def _stft(
    x: jax.Array, name: str, size: int = 512, hop: int = 256, window: int | None = None
) -> jax.Array:
    """The spectra of audio (..., T, C): (..., C, frames, bins)."""
    if x.ndim < 2:
        raise ZooError(f"loss {name!r} takes audio (..., T, C), got shape {x.shape}")
    if x.shape[-2] <= size // 2:
        raise ZooError(
            f"loss {name!r} needs audio of more than {size // 2} samples, got {x.shape[-2]}; "
            "take longer crops"
        )
    hann = spectral.hann(window or size)
    return spectral.stft(x.swapaxes(-2, -1), size=size, hop=hop, window=hann)


def _norm(x: jax.Array) -> jax.Array:
    """The root mean square over frames and bins, with a finite slope at 0."""
    return jnp.sqrt(jnp.maximum(jnp.mean(jnp.square(x), axis=(-2, -1)), 1e-12))


def _whole(values: jax.Array) -> jax.Array:
    """One value a channel, (..., C), to one for each signal, (..., 1, 1)."""
    return jnp.mean(values, axis=-1)[..., None, None]
