"""Audio files of any length, denoised in flat memory."""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from flax import linen as nn

from zoo import files
from zoo.data import audio_files, audio_writing
from zoo.inference.ready import ready
from zoo.inference.recordings import choice
from zoo.inference.recordings.arrays import BLOCK
from zoo.inference.recordings.pipe import check_rate, pipe

# Values, over all channels, of a block: of many channels or a high rate it is shorter than 10 s.
_MOST_VALUES = 2**21
# Of speech in noise of -5 dB a network takes up to 9 dB from the loudest fifth of its frames, of
# music, animals and machines 8 to 57 dB.
_FRAME, _LOUD, _MOST_TAKEN = 0.03, 0.8, 9.0


class Report(NamedTuple):
    """What was written.

    Attributes:
      frames: samples of each channel.
      channels: how many.
      sample_rate: Hz.
      clipped: values, over all channels, beyond what the file's integers hold, and so clipped; of
        float files and of lossy ones none is.
      notes: what there is to know of it, in words: what was mended in `src`, what could not be
        kept, why another model than usual was taken, and that more than noise may be gone.
    """

    frames: int
    channels: int
    sample_rate: int
    clipped: int
    notes: tuple[str, ...] = ()


def denoise_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    model: str | os.PathLike | nn.Module | None = None,
    variables: Mapping | None = None,
    *,
    strength: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> Report:
    """Denoises an audio file of any length, in flat memory.

    Channels (each by itself), sample rate, length and the places of the samples are kept, so are
    container and coding (16, 24 and 32 bits, float, the bit rate of mp3 and Opus) where `dst` ends
    like `src`; another ending chooses another container. Titles and the like go along; covers,
    chapters, markers and the timecode to a file of the same kind. What cannot be kept is told.
    Samples go through float32: 32-bit integers keep 24 bits.

    At another rate than the model's (16 kHz) the model hears the recording resampled, and only
    what it changes is resampled back. What lies above its band, such as cymbals and the air of a
    voice, is kept, with the gain that the model gives from moment to moment at the top of its
    band (5.2 to 7.2 kHz): hiss goes where the model takes hiss, and music stays where it leaves
    music. For music, a `strength` below 1 leaves more.

    Models that stream carry their state through the file, as one recording. The others
    (spectral-gate, wave-unet) take 16 s at a time, cross-faded over 1 s.

    Args:
      src: the file to read: wav and its kin, aiff, au, caf, flac, ogg, mp3 and what else libsndfile
        knows; with PyAV also m4a, aac, wma, and the sound of films.
      dst: the file to write. It appears at the end, whole, or not at all; its folder exists.
      model: the name of weights that come with the zoo, a weight file's path, a registered
        model, or a module. None takes stream-b, or a gentle wiener filter where the sound ends
        below 6.5 kHz, as that of telephones does, on which stream-b was not trained.
      variables: those of a registered model or a module; None with weights or if it has none.
      strength: how much of the model's change is made, 0 (none) to 1 (all): x + strength (y - x).
      progress: is called with the samples read so far and all there are, after each block of
        some 10 s.
      overwrite: whether a file that stands at `dst`, which may be `src`, is replaced.

    Returns:
      What was written, and what to know of it.

    Raises:
      ZooError: `src` is missing, damaged, truncated or no audio; `dst` exists, ends in no
        container's name or cannot be written; the model is unknown or none of recordings, its
        variables do not fit, or `strength` is out of range. Nothing is left behind then.
    """
    facts = audio_files.info(src)
    files.free(dst, overwrite)
    check_rate(facts.sample_rate, f"{src} has")
    label, reason = model, ""
    if model is None:
        label, model, variables, reason = choice.choose(src)
    module, variables = ready(model, variables, modality="audio")
    settings = {"channels": facts.channels, "sample_rate": facts.sample_rate}
    through = pipe(module, variables, **settings, strength=strength)
    size = min(BLOCK * facts.sample_rate, _MOST_VALUES // facts.channels)
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
    if variables:
        notes.append(_warning(before.powers(), after.powers(), label))
    found = (written + count, facts.channels, facts.sample_rate, clipped + over)
    return Report(*found, tuple(filter(None, notes)))


class _Loudness:
    """The power of each frame of 30 ms of a recording that comes in pieces, over its channels."""

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


def _warning(before: np.ndarray, after: np.ndarray, label: object) -> str:
    """That a network of speech took far more than noise, which of music it does; else nothing."""
    if not len(before) or not before.any():
        return ""
    loud = before >= np.quantile(before, _LOUD)
    taken = 10 * np.log10(before[loud].sum() / max(after[loud].sum(), 1e-12))
    if taken < _MOST_TAKEN:
        return ""
    name = f"{label} keeps" if isinstance(label, str) else "this model keeps"
    return (
        f"{taken:.0f} dB were taken where it is loudest, and {name} little but speech: for music, "
        "animals or machines take model='wiener', or strength=0.75"
    )
