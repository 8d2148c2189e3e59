"""Test mixtures: which noise a recording gets, where it begins, and how loud it is."""

import hashlib
from typing import NamedTuple

import numpy as np

from zoo.data import pcm
from zoo.errors import ZooError
from zoo.evaluate.recordings.protocol import LOUDEST, RecordingProtocol
from zoo.evaluate.recordings.reading import Reader
from zoo.noise.audio.snr_mixing import ACTIVE_RANGE, FRAME_SECONDS

# How often another place in a noise is tried when the one drawn is silent.
_TRIES = 16


class Mixture(NamedTuple):
    """A recording and its noisy twin, (T, C), float32.

    Attributes:
      clean: the target, scaled as `noisy` is.
      noisy: what a model hears.
    """

    clean: np.ndarray
    noisy: np.ndarray


def excerpt(noises: Reader, *, seed: int, place: int, start: int, length: int) -> np.ndarray:
    """The noise of a recording, (length, C), float32; it does not depend on any other recording.

    Args:
      noises: the noise recordings.
      seed: as `RecordingProtocol.seed`.
      place: of the recording in its whole set.
      start: of the piece in the recording.
      length: in samples.

    Raises:
      ZooError: the noise is silent wherever it was tried, or is no recording.
    """
    turn, position = divmod(place, len(noises))
    order = sorted(range(len(noises)), key=lambda number: _number(seed, "order", turn, number))
    chosen = order[position]
    total = noises.length(chosen)
    for trial in range(_TRIES):
        number = _number(seed, "place", place, start, trial)
        if total >= length:
            first = number % (total - length + 1)
            name, part, _ = noises.read(chosen, first, first + length)
        else:
            name, whole, _ = noises.read(chosen, 0, total)
            part = np.take(whole, (number + np.arange(length)) % total, axis=0)
        if part.any():
            return pcm.to_float(part)
    raise ZooError(f"the noise {name} is silent; leave it out")


def mix(clean: np.ndarray, noise: np.ndarray, snr: float, protocol: RecordingProtocol) -> Mixture:
    """A mixture at a signal-to-noise ratio.

    Args:
      clean: (T, C), float32, not silent.
      noise: (T, C) or (T, 1), float32, not silent.
      snr: 10 log10 of the ratio of the powers, in dB.
      protocol: the choices.

    Returns:
      Both scaled down together if the mixture would leave [-1, 1).
    """
    wanted = power(clean, protocol) / 10 ** (snr / 10)
    found = np.mean(np.square(noise, dtype=np.float64))
    noisy = clean + noise * np.sqrt(wanted / found)
    gain = LOUDEST / max(np.abs(noisy).max(), LOUDEST)
    return Mixture((clean * gain).astype(np.float32), (noisy * gain).astype(np.float32))


def power(clean: np.ndarray, protocol: RecordingProtocol) -> float:
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
    """An even draw of 48 bits: by SHA-256, because NumPy does not promise its streams for ever."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:6], "big")
