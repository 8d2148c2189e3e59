"""Audio denoised: arrays in memory, and files of any length in flat memory."""

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zoo import files
from zoo.data import audio_files, audio_writing, pcm
from zoo.errors import ZooError
from zoo.inference.audio_choice import Stretch, choose, gate
from zoo.inference.audio_resampling import check_rate, pipe
from zoo.inference.image_canvas import check_strength
from zoo.resolve import Resolved

# Seconds of a file or an array that are processed at a time.
_BLOCK = 10
# Columns of an array: more are samples, put where channels belong.
_MOST_COLUMNS = 32
# Values, over all channels, of a block: of many channels or a high rate it is shorter than 10 s.
_MOST_VALUES = 2**21
# Of speech in noise of -5 dB a network takes up to 9 dB from the loudest fifth of its frames, of
# music, animals and machines 8 to 57 dB.
_FRAME, _LOUD, _MOST_TAKEN = 0.03, 0.8, 9.0
# Of the attenuation, in dB: beyond what any file holds.
_MOST_LIMIT = 200


class AudioReport(NamedTuple):
    """A denoised audio file.

    Attributes:
      frames: samples of each channel.
      channels: how many.
      sample_rate: Hz.
      clipped: values, over all channels, beyond what the file's integers hold, and so clipped; of
        float files and of lossy ones none is.
      notes: remarks in words: what was repaired in `src`, what could not be
        kept, why another model than usual was taken, and that more than noise may be gone.
      model: the label of the model that was taken.
    """

    frames: int
    channels: int
    sample_rate: int
    clipped: int
    notes: tuple[str, ...] = ()
    model: str = ""


def share(strength: float, limit: float | None) -> float:
    """The share of a model's change that is made.

    Args:
      strength: the share itself, 0 to 1.
      limit: the most attenuation in dB, 0 to 200, in its place: a component that the model removes
        keeps 10^(-limit / 20) of its amplitude, so the share is one less that. None: no limit.

    Raises:
      ZooError: one is out of range, or both are given.
    """
    if limit is None:
        return check_strength(strength)
    if strength != 1:
        raise ZooError(f"limit={limit!r} and strength={strength!r} are one setting; give one")
    try:
        decibels = float(limit)
    except (TypeError, ValueError):
        decibels = np.nan
    if not 0 <= decibels <= _MOST_LIMIT:
        raise ZooError(f"limit={limit!r} is no number of dB from 0 to {_MOST_LIMIT}")
    return 1 - 10 ** (-decibels / 20)


def denoise_audio(
    x: np.ndarray,
    model: Resolved | None,
    *,
    sample_rate: int,
    strength: float = 1.0,
    limit: float | None = None,
    separate_channels: bool = False,
    profile: Stretch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Denoises an audio signal in memory; see `zoo.denoise`.

    Args:
      x: (T,) or (T, C), int16, or a float in [-1, 1].
      model: of audio; None chooses one.
      sample_rate: of `x`, in Hz.
      strength: share of the model's change that is made, 0 to 1.
      limit: the most attenuation in dB, in the place of `strength`; see `share`.
      separate_channels: whether each channel is processed by itself, instead of one gain for all.
      profile: where there is only noise, for the spectral gate, which it chooses.
      progress: called with the samples done and all.

    Returns:
      The denoised signal, shape and dtype of `x`.

    Raises:
      ZooError: as `zoo.denoise`.
    """
    x = np.asarray(x)
    signal = x[:, None] if x.ndim == 1 else x
    if signal.ndim == 2 and len(signal) and signal.shape[1] > min(len(signal), _MOST_COLUMNS):
        raise ZooError(
            f"the audio has shape {signal.shape}; audio is (samples, channels), so transpose it"
        )
    signal = pcm.to_float(pcm.check(signal, "the audio"))
    check_rate(sample_rate)
    size = _BLOCK * int(sample_rate)
    blocks = [signal[at : at + size] for at in range(0, len(signal), size)]
    if profile is not None:
        facts = {"frames": len(signal), "sample_rate": int(sample_rate)}
        model = gate(model, profile, lambda first, count: signal[first : first + count], **facts)
    module, variables, *_ = model or choose(blocks, int(sample_rate))[0]
    settings = {"sample_rate": sample_rate, "strength": share(strength, limit)}
    settings |= {"channels": signal.shape[1], "linked": not separate_channels}
    through = pipe(module, variables, **settings)
    found, done = [], 0
    for block in blocks:
        found.append(through.feed(block))
        done += len(block)
        if progress is not None:
            progress(done, len(signal))
    y = np.concatenate([*found, through.finish()]).reshape(x.shape)
    return pcm.to_int16(y) if x.dtype == np.int16 else y.astype(x.dtype)


def denoise_audio_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    model: Resolved | None = None,
    *,
    strength: float = 1.0,
    limit: float | None = None,
    separate_channels: bool = False,
    profile: Stretch | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> AudioReport:
    """Denoises an audio file of any length, in flat memory.

    Channels, sample rate, length and the places of the samples are kept, so are
    container and coding (16, 24 and 32 bits, float, the bit rate of mp3 and Opus) where `dst` ends
    like `src`; another ending chooses another container. Titles and the like go along; covers,
    chapters, markers and the timecode to a file of the same kind. The report names what cannot be
    kept. Samples go through float32: 32-bit integers keep 24 bits.

    At another rate than the model's the model gets the signal resampled, and only its change is
    resampled back. What lies above its band (8 kHz of models of 16 kHz), such as cymbals and the
    air of a voice, is kept, with the gain that the model gives from moment to moment at the top of
    its band (5.2 to 7.2 kHz): hiss goes where the model takes hiss, and music stays where it leaves
    music. For music, a `limit` of 12 dB leaves more.

    Models that stream carry their state through the file, as one signal. The others
    (spectral-gate, wave-unet) take 16 s at a time, cross-faded over 1 s.

    Args:
      src: the file to read: wav and the like, aiff, au, caf, flac, ogg, mp3 and whatever else
        libsndfile reads; with PyAV also m4a, aac, wma, and the audio of videos.
      dst: the file to write. It appears at the end, whole, or not at all; its folder exists.
      model: of audio. None takes stream-s-48k, or a gentle wiener filter where the sound ends
        below 6.5 kHz, as that of telephones does.
      strength: share of the model's change that is made, 0 (none) to 1 (all): x + strength (y - x).
      limit: the most attenuation in dB, in the place of `strength`; 12 leaves a quarter of the
        amplitude of whatever the model removes.
      separate_channels: whether each channel is processed by itself, as suits a microphone each;
        otherwise they get one gain, see `zoo.inference.linked_channels`.
      profile: start and end in seconds of a stretch that holds only noise, for the spectral gate,
        which it chooses: for hum, hiss and music.
      overwrite: whether a file that stands at `dst`, which may be `src`, is replaced.
      progress: called with the samples read so far and all there are, after each block of
        some 10 s.

    Raises:
      ZooError: `src` is missing, damaged, truncated or no audio; `dst` exists, ends in no
        container's name or cannot be written; or `strength` or `limit` is out of range. Nothing is
        left behind then.
    """
    strength = share(strength, limit)
    facts = audio_files.info(src)
    files.free(dst, overwrite)
    check_rate(facts.sample_rate, f"{src} has")
    size = min(_BLOCK * facts.sample_rate, _MOST_VALUES // facts.channels)
    reason = ""
    if profile is not None:

        def read(first: int, count: int) -> np.ndarray:
            return audio_files.read(src, start=first, frames=count)

        model = gate(model, profile, read, frames=facts.frames, sample_rate=facts.sample_rate)
    if model is None:
        model, reason = choose(audio_files.blocks(src, size), facts.sample_rate)
    settings = {"channels": facts.channels, "sample_rate": facts.sample_rate}
    options = {"strength": strength, "linked": not separate_channels}
    through = pipe(model.module, model.variables, **settings, **options)
    written = clipped = 0
    before, after = (_Loudness(facts.sample_rate) for _ in range(2))
    with audio_writing.writing(dst, **settings, like=facts, source=src, overwrite=overwrite) as put:

        def take(y: np.ndarray) -> tuple[int, int]:
            after.push(y)
            return len(y), put(y) if len(y) else 0

        read = 0
        for x in audio_files.blocks(src, size):
            before.push(x)
            count, over = take(through.feed(x))
            read, written, clipped = read + len(x), written + count, clipped + over
            if progress is not None:
                progress(read, facts.frames)
        count, over = take(through.finish())
    notes = [*audio_files.remarks(src), *put.lost, reason]
    if "params" in model.variables:
        notes.append(_warning(before.powers(), after.powers(), model.label))
    found = (written + count, facts.channels, facts.sample_rate, clipped + over)
    return AudioReport(*found, tuple(filter(None, notes)), model.label)


def write_difference(
    src: str | os.PathLike, denoised: str | os.PathLike, dst: str | os.PathLike, *, overwrite: bool
) -> None:
    """Writes what was removed from an audio file, `src - denoised`, block by block.

    Raises:
      ZooError: a file cannot be read, or `dst` exists or cannot be written, or the coding of
        `denoised` has changed its length or its rate.
    """
    facts, after = audio_files.info(src), audio_files.info(denoised)
    if (facts.frames, facts.sample_rate) != (after.frames, after.sample_rate):
        raise ZooError(
            f"{dst} is not written: the coding of {denoised} moves its samples; end both in .wav"
        )
    settings = {"channels": facts.channels, "sample_rate": facts.sample_rate, "like": facts}
    size = max(_MOST_VALUES // facts.channels // 8, 1)
    with audio_writing.writing(dst, **settings, overwrite=overwrite) as put:
        blocks = (audio_files.blocks(path, size) for path in (src, denoised))
        for noisy, clean in zip(*blocks, strict=True):
            put(noisy - clean)


class _Loudness:
    """The power of each frame of 30 ms of a signal that comes in pieces, over its channels."""

    def __init__(self, sample_rate: int):
        self._size = max(round(_FRAME * sample_rate), 1)
        self._held, self._found = np.zeros(0, np.float32), []

    def push(self, x: np.ndarray) -> None:
        """Takes the next samples (n, C)."""
        held = np.concatenate([self._held, np.square(x).mean(axis=1)])
        whole = len(held) // self._size * self._size
        self._found.append(held[:whole].reshape(-1, self._size).mean(axis=1))
        self._held = held[whole:]

    def powers(self) -> np.ndarray:
        """Those of the whole frames so far."""
        return np.concatenate([np.zeros(0, np.float32), *self._found])


def _warning(before: np.ndarray, after: np.ndarray, label: str) -> str:
    """A warning where a network of speech removed far more than noise, as it does of music."""
    if not len(before) or not before.any():
        return ""
    loud = before >= np.quantile(before, _LOUD)
    taken = 10 * np.log10(before[loud].sum() / max(after[loud].sum(), 1e-12))
    if taken < _MOST_TAKEN:
        return ""
    return (
        f"{taken:.0f} dB were taken where it is loudest, and {label} keeps little but speech: for "
        "music, animals or machines take model='wiener', or limit=12"
    )
