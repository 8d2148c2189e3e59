"""The model for an audio signal: the default, by its bandwidth, or a gate that knows its noise."""

import functools
from collections.abc import Callable, Iterable

import numpy as np

from zoo import weights
from zoo.errors import ZooError
from zoo.models import SpectralGate, create_model, spec_of
from zoo.resolve import Resolved, resolve

Stretch = tuple[float, float]
"""Beginning and end in seconds."""

# Frames of 32 ms, and bands of 250 Hz up to what speech needs.
_FRAME, _BAND, _TOP = 0.032, 250, 8000
# Frames so far below the loudest are pauses.
_QUIET = 1e-4
# The level of a band is that of its loudest frames: speech is high only in its sibilants.
_LOUD = 0.98
# An edge lies between these bands; the four below it have sound, those from an eighth above it on
# are not. Of 60 signals of speech, clean and in noise of -5 to 25 dB, full ones fall there by at
# most 15 dB, those that were filtered or of a telephone by 18 to 77 dB.
_LOWEST, _HIGHEST, _BELOW, _BEYOND, _LAST = 6, 26, 4, 1.12, 31
_FALL = 16.0
# The sound of a file ends at half of its sample rate too; above it nobody misses much of speech.
_FULL = 7000


def band_edge(blocks: Iterable[np.ndarray], sample_rate: int) -> float | None:
    """Where the sound of an audio signal ends, if that is below what speech needs.

    Telephones, codecs and filters end it: from there on it is far below what is next to it, and
    never rises. Where noise of the full band covers it, by some 20 dB below the speech or more,
    the edge is not known.

    Args:
      blocks: the signal, in pieces (n, C), float32.
      sample_rate: of them, Hz.

    Returns:
      The frequency in Hz, to 250 Hz; None where the sound goes on above 6.5 kHz or nothing is
      known.
    """
    powers = _powers(blocks, sample_rate)
    half = sample_rate / 2
    found = None
    if len(powers):
        total = powers.sum(1, dtype=np.float64)
        loud = powers[total > total.max() * _QUIET]
        if len(loud):
            found = _fall(10 * np.log10(np.quantile(loud, _LOUD, axis=0) + 1e-20))
    if half < _FULL:
        return min(found or half, half)
    return found


def _powers(blocks: Iterable[np.ndarray], sample_rate: int) -> np.ndarray:
    """The power of every band in every frame, (frames, bands) float32, over the channels."""
    size = max(round(_FRAME * sample_rate), 2)
    window = np.hanning(size + 1)[:-1].astype(np.float32)[:, None]
    hz = np.fft.rfftfreq(size, 1 / sample_rate)
    # Below the first line there would be none in a band of low rates.
    bands = np.minimum((hz // _BAND).astype(int), _TOP // _BAND)
    starts = np.searchsorted(bands, np.arange(min(bands[-1], _TOP // _BAND)))
    found, held = [], np.zeros((0, 1), np.float32)
    for block in blocks:
        x = np.concatenate([np.broadcast_to(held, (len(held), block.shape[1])), block])
        count = len(x) // size
        frames = x[: count * size].reshape(count, size, x.shape[1]) * window[None]
        power = np.square(np.abs(np.fft.rfft(frames, axis=1))).sum(2)
        found.append(np.add.reduceat(power, starts, axis=1).astype(np.float32))
        held = x[count * size :]
    return np.concatenate(found) if found else np.zeros((0, len(starts)), np.float32)


def _fall(levels: np.ndarray) -> float | None:
    """Where the levels of the bands, in dB, fall and stay; None where they do not."""
    best, edge = _FALL, None
    last = min(_LAST, len(levels))
    for at in range(_LOWEST, min(_HIGHEST, last - 1) + 1):
        below = levels[at - _BELOW : at].min()
        above = levels[min(int(np.ceil(at * _BEYOND)), last - 2) : last].max()
        if below - above > best:
            best = below - above
            edge = _BAND * (1 + int(np.flatnonzero(levels > below - _FALL)[-1]))
    return edge if best > _FALL and edge <= _HIGHEST * _BAND else None


# In the order of preference, of those that come with the zoo. The first scores best on speech of
# 16 kHz, too, resampled there and back: see docs/audio.md.
_PREFERRED = ("stream-s-48k", "stream-b-48k", "stream-b", "stream-t")


def choose(blocks: Iterable[np.ndarray], sample_rate: int) -> tuple[Resolved, str]:
    """The best model for an audio signal.

    That is one of 48 kHz at every sample rate. But networks that were trained on little or nothing
    like telephone speech take its consonants for noise. It gets a gentle Wiener filter, which
    leaves STOI no lower than it was.

    Args:
      blocks: the signal in pieces (n, C), float32; not read where the usual model takes any.
      sample_rate: of them, Hz.

    Returns:
      The model; and why it is not the usual one, in words, empty where it is.
    """
    usual, any_band = _usual()
    edge = None if any_band else band_edge(blocks, sample_rate)
    if edge is None:
        return usual, ""
    reason = (
        f"a gentle wiener filter, for its sound ends at {edge / 1000:.2g} kHz, where "
        f"{usual.label} takes consonants for noise"
    )
    filter = create_model("wiener", attenuation=6.0, smoothing=0.9)
    return Resolved(filter, {}, spec_of(filter, "wiener"), "wiener"), reason


@functools.cache
def _usual() -> tuple[Resolved, bool]:
    """The usual model, and whether it was trained on audio of any bandwidth."""
    label = next((name for name in _PREFERRED if name in weights.list_weights()), "")
    if not label:
        return resolve("wiener", modality="audio"), True
    usual = resolve(label, modality="audio")
    return usual, bool(((usual.metadata or {}).get("noise") or {}).get("line"))


# A quarter of the width by which the usual gate is smoothed over frequency, which takes a good part
# of a steady tone.
_SMOOTH_HZ = 15.0


def gate(
    model: Resolved | None,
    stretch: Stretch,
    read: Callable[[int, int], np.ndarray],
    *,
    frames: int,
    sample_rate: int,
) -> Resolved:
    """The spectral gate with the noise of a stretch, at the rate of the signal.

    At another rate it would leave what lies above its band to the gain at its edge, and hiss is
    there above all.

    Args:
      model: a spectral gate; None, and its name, take the usual one, smoothed over few bins.
      stretch: where there is only noise: before the first word, between two pieces of music.
      read: gives samples (n, C) of the signal: the first, and how many.
      frames: samples of each channel of the signal.
      sample_rate: of the audio, Hz.

    Raises:
      ZooError: the model is another; or the stretch is reversed, too short, silent, or not all in
        the signal.
    """
    model = model or resolve("spectral-gate")
    if not isinstance(model.module, SpectralGate):
        raise ZooError(
            f"a noise profile is for model='spectral-gate', and {model.label} takes none; leave "
            "out one of them"
        )
    try:
        start, end = map(float, stretch)
    except (TypeError, ValueError):
        start = end = np.nan
    seconds = frames / sample_rate
    named = f"the noise profile from {start:g} to {end:g} s"
    if not 0 <= start < end:
        raise ZooError(f"{named} ends before it begins; give its start and its end in seconds")
    if end > seconds:
        raise ZooError(
            f"{named} is not all in the audio, which has {seconds:.2f} s; name a stretch in it"
        )
    options = {"smooth_hz": _SMOOTH_HZ} if model.module == SpectralGate() else {}
    module = model.module.clone(sample_rate=sample_rate, **options)
    first = round(start * sample_rate)
    variables = module.profile(read(first, round(end * sample_rate) - first))
    return model._replace(module=module, variables=variables)
