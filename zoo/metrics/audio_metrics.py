"""Distances of an audio signal from its reference, as pure functions.

Every function takes an estimate and a reference of shape (..., T, C), computes in float32 whatever
the input's dtype and returns shape (...): one figure for each signal, the mean over its channels.
Silence in either gives a finite figure, and no figure's gradient is NaN.

Signals of several lengths can be measured by one compiled program: fill them up to one length
and give `length`, integers (...), the samples of each. What lies beyond does not count, whatever
it is.
"""

import jax
import jax.numpy as jnp
import numpy as np

from zoo import spectral
from zoo.errors import ZooError
from zoo.modality import AUDIO, Metric

# Added to energies (sums of squares), so that ratios and their logarithms stay finite. A single
# sample of one 16-bit step has 9e-10.
EPS = 1e-10

# Loizou 2013: frames of 30 ms, a quarter apart, whose SNR is held between these limits in dB.
SEGMENT = 0.03
LEAST, MOST = -10.0, 35.0

# About what rounding to 16 bits leaves in a bin of 512 points under a Hann window.
MAGNITUDE_FLOOR = 1e-4


def snr(estimate: jax.Array, reference: jax.Array, *, length: jax.Array | None = None) -> jax.Array:
    """Signal-to-noise ratio: the reference's energy over that of estimate - reference.

    Args:
      estimate: audio, (..., T, C).
      reference: audio of the same shape.
      length: (...), the samples that count; None for all.

    Returns:
      (...), float32, dB; 0 where both are silent.

    Raises:
      ZooError: if the shapes differ or have fewer than two axes.
    """
    estimate, reference = _pair(estimate, reference, length)
    return jnp.mean(_decibels(_energy(reference), _energy(estimate - reference)), axis=-1)


@AUDIO.metric("SI-SDR, dB", 2)
def si_sdr(
    estimate: jax.Array,
    reference: jax.Array,
    *,
    zero_mean: bool = False,
    length: jax.Array | None = None,
) -> jax.Array:
    """Scale-invariant signal-to-distortion ratio.

    The estimate is split into its projection on the reference and the rest; the figure is the
    ratio of their energies.

    Args:
      estimate: audio, (..., T, C).
      reference: audio of the same shape.
      zero_mean: whether the means are taken off first, as the paper has it; a constant offset is
        then no distortion.
      length: (...), the samples that count; None for all.

    Returns:
      (...), float32, dB. A silent reference gives 0 against silence and less against anything
      louder; a silent estimate gives 0.

    Raises:
      ZooError: if the shapes differ or have fewer than two axes.

    References:
      Le Roux, Wisdom, Erdogan, Hershey, "SDR: half-baked or well done?", ICASSP 2019.
    """
    estimate, reference = _pair(estimate, reference, length)
    if zero_mean:
        # Held to the length again: what lies beyond must stay 0.
        centered = (_center(estimate, length), _center(reference, length))
        estimate, reference = _pair(*centered, length)
    along = jnp.sum(estimate * reference, axis=-2, keepdims=True)
    scale = along / (_energy(reference)[..., None, :] + EPS)
    target = scale * reference
    return jnp.mean(_decibels(_energy(target), _energy(estimate - target)), axis=-1)


AUDIO.add(Metric(name="si_sdr_gain", function=None, heading="gain, dB", digits=2, gain_of="si_sdr"))


@AUDIO.metric("segSNR, dB", 2)
def segmental_snr(
    estimate: jax.Array,
    reference: jax.Array,
    *,
    sample_rate: int = 16000,
    length: jax.Array | None = None,
) -> jax.Array:
    """The mean over short frames of their SNR, each held between -10 and 35 dB.

    Frames of 30 ms, a quarter apart, under a Hann window, as in Loizou's code. A shorter
    signal is filled up with silence.

    Args:
      estimate: audio, (..., T, C).
      reference: audio of the same shape.
      sample_rate: samples a second.
      length: (...), the samples that count; None for all.

    Returns:
      (...), float32, dB, in [-10, 35]. A frame silent in both counts as 0, one silent in the
      reference alone as -10.

    Raises:
      ZooError: if the shapes differ or have fewer than two axes.

    References:
      Loizou, "Speech Enhancement: Theory and Practice", 2nd edition, CRC Press 2013.
    """
    estimate, reference = _pair(estimate, reference, length)
    size = round(SEGMENT * sample_rate)
    hop = size // 4
    # Loizou's window is symmetric and leaves out the two zeros at its ends.
    window = spectral.hann(size + 1)[1:]
    signal = _frame_energy(reference, window, hop)
    noise = _frame_energy(estimate - reference, window, hop)
    values = jnp.clip(_decibels(signal, noise), LEAST, MOST)
    if length is None:
        return jnp.mean(values, axis=(-2, -1))
    return jnp.mean(_frame_mean(values, 1 + (jnp.maximum(length, size) - size) // hop), axis=-1)


@AUDIO.metric("LSD, dB", 2, higher=False)
def log_spectral_distance(
    estimate: jax.Array,
    reference: jax.Array,
    *,
    size: int = 512,
    hop: int = 256,
    length: jax.Array | None = None,
) -> jax.Array:
    """The distance of two short-time spectra in dB: its root mean square over the bins of a frame,
    averaged over the frames.

    Frames are those of `zoo.spectral.stft` with zeros beyond the ends. Magnitudes below 1e-4, about
    the rounding of 16 bits, count as 1e-4.

    Args:
      estimate: audio, (..., T, C).
      reference: audio of the same shape.
      size: samples a frame.
      hop: samples from frame to frame.
      length: (...), the samples that count; None for all.

    Returns:
      (...), float32, dB; 0 for equal signals.

    Raises:
      ZooError: if the shapes differ or have fewer than two axes.

    References:
      Gray and Markel, "Distance measures for speech processing", IEEE TASSP 1976.
    """
    estimate, reference = _pair(estimate, reference, length)

    def levels(x):
        spectrum = spectral.stft(x.swapaxes(-2, -1), size=size, hop=hop, padding="zero")
        return 20 * jnp.log10(spectral.magnitude(spectrum, MAGNITUDE_FLOOR))

    distance = jnp.mean(jnp.square(levels(estimate) - levels(reference)), axis=-1)
    # The slope of a root at 0 is infinite.
    distance = jnp.where(distance > 0, jnp.sqrt(jnp.where(distance > 0, distance, 1)), 0)
    distance = distance.swapaxes(-2, -1)
    if length is None:
        return jnp.mean(distance, axis=(-2, -1))
    return jnp.mean(_frame_mean(distance, 1 + length // hop), axis=-1)


def _pair(
    estimate: jax.Array, reference: jax.Array, length: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Both in float32, checked to be signals of one shape, 0 beyond their length."""
    estimate, reference = jnp.asarray(estimate), jnp.asarray(reference)
    if estimate.shape != reference.shape or estimate.ndim < 2:
        raise ZooError(
            "need two audio signals of one shape (..., T, C), got "
            f"{estimate.shape}, {reference.shape}"
        )
    estimate, reference = estimate.astype(jnp.float32), reference.astype(jnp.float32)
    if length is None:
        return estimate, reference
    counts = _below(estimate.shape[-2], length)[..., None]
    # Not a product with the mask: what lies beyond may be infinite.
    return jnp.where(counts, estimate, 0), jnp.where(counts, reference, 0)


def _below(number: int, limit: jax.Array) -> jax.Array:
    """Whether a place of `number` lies below the limits (...): (..., number)."""
    limit = jnp.asarray(limit)
    return jnp.expand_dims(jnp.arange(number), range(limit.ndim)) < limit[..., None]


def _center(x: jax.Array, length: jax.Array | None) -> jax.Array:
    if length is None:
        return x - jnp.mean(x, axis=-2, keepdims=True)
    number = jnp.maximum(jnp.asarray(length), 1).astype(x.dtype)[..., None, None]
    return x - jnp.sum(x, axis=-2, keepdims=True) / number


def _energy(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(x), axis=-2)


def _decibels(signal: jax.Array, noise: jax.Array) -> jax.Array:
    return 10 * (jnp.log10(signal + EPS) - jnp.log10(noise + EPS))


def _frame_energy(x: jax.Array, window: np.ndarray, hop: int) -> jax.Array:
    """The energy of windowed frames (..., T, C): (..., frames, C)."""
    framed = spectral.frame(x.swapaxes(-2, -1), size=len(window), hop=hop)
    weight = jnp.asarray(window).reshape((1,) * (framed.ndim - 1) + (-1,))
    return jnp.sum(jnp.square(framed * weight), axis=-1).swapaxes(-2, -1)


def _frame_mean(values: jax.Array, frames: jax.Array) -> jax.Array:
    """The mean of the first `frames` (...) of values (..., number, C): (..., C)."""
    counts = _below(values.shape[-2], frames)[..., None]
    total = jnp.sum(jnp.where(counts, values, 0), axis=-2)
    return total / jnp.asarray(frames).astype(values.dtype)[..., None]
