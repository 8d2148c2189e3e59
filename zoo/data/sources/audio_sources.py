"""Sources of audio: clean files and noise in folders, and synthetic signals."""

import functools
from collections.abc import Sequence

import numpy as np

from zoo.data import audio_files, pcm, synthetic
from zoo.data.file_kinds import AUDIO_SUFFIXES
from zoo.data.sources import folders
from zoo.data.sources.source import SPLITS, Form, Listing, namer
from zoo.errors import ZooError

# One noise for two clean signals, half as long again.
_NOISE_SHARE = 2
_LONGER = 1.5
_LEAST_RATE = 4000


def list_recordings(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    train: str | Sequence[str] = (),
    validation: str | Sequence[str] = (),
    test: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    speaker: str = "",
    noise: str = "",
) -> dict[str, Listing]:
    r"""List the audio files below a folder, and noise below another.

    The splits are made as by the kind `folder`: by the sub-folders named, or
    the usual `train`, `validation` or `val`, and `test`, or by `fractions`. The noise is split
    independently in the same way, with its usual sub-folders.

    Silent files are kept, since pauses without speech are part of the signal.

    Args:
      path: the folder of clean audio.
      fractions: shares of train, validation and test.
      seed: of the split by fractions.
      train: sub-folders of `path` (or absolute folders) to train on.
      validation: the same to select on.
      test: the same to test on.
      exclude: glob patterns or folders to omit, as for the kind `folder`.
      speaker: a regular expression searched for in the stem of a file; the match of its
        first group, or the whole match without a group, names the speaker, `r"^([^_]+)_"`. A split
        by fractions keeps the files of a speaker together. Without it every file is a speaker.
      noise: the folder of noise; empty for none.

    Returns:
      The listings; names are relative to their folder, with forward slashes.

    Raises:
      ZooError: a folder is missing or has no audio, a file is in two splits, or `exclude` has no
        effect.
    """
    found = folders.listings(
        path,
        fractions,
        seed,
        AUDIO,
        named={"train": train, "validation": validation, "test": test},
        exclude=exclude,
        group=namer("speaker", speaker),
    )
    return with_noise(found, noise, fractions, seed)


def with_noise(
    found: dict[str, Listing], noise: str, fractions: tuple[float, float, float], seed: int
) -> dict[str, Listing]:
    """The listings with the noise of a folder added to each split.

    Args:
      found: the clean audio.
      noise: the folder of noise; empty for none.
      fractions: of the noise, where it has no sub-folders for the splits.
      seed: of that split.

    Raises:
      ZooError: the folder is missing, or has no noise for a split that has examples.
    """
    if not noise:
        return found
    named = dict.fromkeys(SPLITS, ())
    noises = folders.listings(noise, fractions, seed, _NOISES, named=named)
    for s in SPLITS:
        if len(found[s].names) and not len(noises[s].names):
            raise ZooError(
                f"the folder of noise files {noise} has none for {s}; give it sub-folders "
                "train, validation and test, or change fractions"
            )
    return {s: found[s]._replace(noise=noises[s]) for s in SPLITS}


def read(
    path: str, form: Form, start: int = 0, frames: int | None = None
) -> tuple[np.ndarray, None]:
    """Read a piece of audio, as `Listing.read`."""
    return audio_files.read(
        path, **form._asdict(), start=start, frames=frames, dtype=np.int16
    ), None


def length(path: str, form: Form) -> int:
    """Samples of audio, as `Listing.length`."""
    return audio_files.info(path).length(form.sample_rate)


AUDIO = folders.Files("audio files", AUDIO_SUFFIXES, read, length=length)
_NOISES = AUDIO._replace(what="noise files", option="noise")


def list_voices(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    train: int = 64,
    validation: int = 8,
    test: int = 8,
    seconds: float = 4.0,
) -> dict[str, Listing]:
    """List signals of `zoo.data.synthetic`, with half as many noises.

    They are computed when they are read, at any sample rate. They are the same for any seed, so
    that scores can be compared, and no two splits share a speaker or a noise.

    Args:
      path: unused.
      fractions: unused.
      seed: unused.
      train: signals to train on.
      validation: signals to select on.
      test: signals to test on.
      seconds: the length of each of them.

    Raises:
      ZooError: a count is negative or the signals have no length. On reading: the sample rate is
        below 4,000 Hz.
    """
    counts = {"train": train, "validation": validation, "test": test}
    for name, count in counts.items():
        if not isinstance(count, int) or count < 0:
            raise ZooError(f"{name} is {count!r}; set it to the number of signals")
    if not 0.1 <= seconds <= 3600:
        raise ZooError(f"seconds is {seconds}; make it 0.1 to 3600")
    listings = {}
    for number, name in enumerate(SPLITS):
        noises = -(-counts[name] // _NOISE_SHARE)
        listings[name] = _voices(name, "voice", number, counts[name], seconds)._replace(
            noise=_voices(name, "noise", number, noises, seconds * _LONGER)
        )
    return listings


def _voices(split: str, what: str, seed: int, count: int, seconds: float) -> Listing:
    names = [f"{what}-{split}-{n:03}" for n in range(count)]
    read = functools.partial(_read_voice, what, seed, seconds)
    return Listing(names, range(count), read, (), functools.partial(_voice_length, seconds))


def _read_voice(
    what: str,
    seed: int,
    seconds: float,
    index: int,
    form: Form,
    start: int = 0,
    frames: int | None = None,
) -> tuple[np.ndarray, None]:
    if form.sample_rate < _LEAST_RATE:
        raise ZooError(
            f"voices need a sample rate of {_LEAST_RATE} Hz or more, not {form.sample_rate}"
        )
    make = synthetic.clean if what == "voice" else synthetic.ambience
    length = _voice_length(seconds, index, form)
    x = make(seed, index, sample_rate=form.sample_rate, length=length)
    stop = None if frames is None else start + frames
    return pcm.to_int16(pcm.to_channels(x[start:stop], form.channels)), None


def _voice_length(seconds: float, index: int, form: Form) -> int:
    return round(seconds * form.sample_rate)
