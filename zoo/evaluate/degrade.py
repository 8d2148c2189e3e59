"""Noisy inputs of an evaluation: reproducible noise for images, mixtures at an SNR for audio."""

import functools
import hashlib
from typing import NamedTuple

import jax
import numpy as np

from zoo.errors import ZooError
from zoo.evaluate.batching import Decoded
from zoo.evaluate.protocol import LOUDEST, AudioProtocol
from zoo.modality import to_float
from zoo.noise import Sampler
from zoo.noise.audio.snr_mixing import ACTIVE_RANGE, FRAME_SECONDS

# How often another place in a noise is tried when the one chosen is silent.
_TRIES = 16


class NumpyGaussian(NamedTuple):
    """White Gaussian noise as NumPy's global generator makes it after `numpy.random.seed(seed)`.

    Attributes:
      sigma: standard deviation in signal units.
    """

    sigma: float

    def add(self, seed: int, clean: np.ndarray) -> np.ndarray:
        """A noisy image, float32, not clipped.

        Args:
          seed: from 0 to 2**32 - 1; the generator starts from it for every image.
          clean: (H, W, C), float32 in [0, 1].
        """
        noise = np.random.RandomState(seed).normal(0, self.sigma, clean.shape)
        return (clean + noise).astype(np.float32)


Noise = Sampler | NumpyGaussian


@functools.partial(jax.jit, static_argnums=0)
def degrade(
    sampler: Sampler, seed: int, index: jax.Array, clean: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Adds noise to examples, determined for each by its index, its canvas and the seed alone.

    Neither the level nor the other examples enter the key, so that a figure can be repeated on one
    example at one level, and levels differ by the strength of one and the same draw.

    Args:
      sampler: `(key, x) -> (noisy, level)` for one example, as `zoo.noise.samplers` makes it.
      seed: `Protocol.seed`.
      index: (B,) integers, each example's place in the whole set.
      clean: (B, ..., C), float32, on canvases of one size.

    Returns:
      noisy (B, ..., C), float32, not clipped; level (B,), float32 in signal units.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), index)
    return jax.vmap(sampler)(keys, clean)


class Mixture(NamedTuple):
    """An audio signal and its noisy version, (T, C), float32.

    Attributes:
      clean: the target, scaled as `noisy` is.
      noisy: the input of a model.
    """

    clean: np.ndarray
    noisy: np.ndarray


def excerpt(noises: Decoded, *, seed: int, place: int, start: int, length: int) -> np.ndarray:
    """The noise of an audio signal, (length, C), float32; it does not depend on any other signal.

    Args:
      noises: the noise signals.
      seed: as `AudioProtocol.seed`.
      place: of the signal in its whole set.
      start: of the piece in the signal.
      length: in samples.

    Raises:
      ZooError: the noise is silent wherever it was tried, or is not an audio signal.
    """
    turn, position = divmod(place, len(noises))
    order = sorted(range(len(noises)), key=lambda number: _number(seed, "order", turn, number))
    chosen = order[position]
    total = noises.lengths[chosen]
    for trial in range(_TRIES):
        number = _number(seed, "place", place, start, trial)
        if total >= length:
            first = number % (total - length + 1)
            name, part, _ = noises.excerpt(chosen, first, length)
        else:
            name, whole, _ = noises.excerpt(chosen, 0, total)
            part = np.take(whole, (number + np.arange(length)) % total, axis=0)
        if part.any():
            return to_float(part)
    raise ZooError(f"the noise {name} is silent; leave it out")


def mix(clean: np.ndarray, noise: np.ndarray, snr: float, protocol: AudioProtocol) -> Mixture:
    """A mixture at a signal-to-noise ratio.

    Args:
      clean: (T, C), float32, not silent.
      noise: (T, C) or (T, 1), float32, not silent.
      snr: 10 log10 of the ratio of the powers, in dB.
      protocol: the choices.

    Returns:
      Both scaled down together if the mixture would leave [-1, 1).
    """
    wanted = _power(clean, protocol) / 10 ** (snr / 10)
    found = np.mean(np.square(noise, dtype=np.float64))
    noisy = clean + noise * np.sqrt(wanted / found)
    gain = LOUDEST / max(np.abs(noisy).max(), LOUDEST)
    return Mixture((clean * gain).astype(np.float32), (noisy * gain).astype(np.float32))


def _power(clean: np.ndarray, protocol: AudioProtocol) -> float:
    """The mean power of (T, C), of its active frames if the protocol says so.

    As `zoo.noise.audio.add_at_snr` has it, in float64 and without a compilation for every length.
    """
    energy = np.square(clean, dtype=np.float64).sum(axis=1)
    size = round(FRAME_SECONDS * protocol.sample_rate) if protocol.active else len(energy)
    edges = np.arange(0, len(energy), size)
    totals = np.add.reduceat(energy, edges)
    counts = np.diff([*edges, len(energy)])
    loud = totals / counts >= ACTIVE_RANGE * (totals / counts).max()
    return float(totals[loud].sum() / counts[loud].sum() / clean.shape[1])


def _number(*words: object) -> int:
    """A uniform number of 48 bits: by SHA-256, because NumPy does not promise stable streams."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:6], "big")
