"""A recording denoised, and what to say of it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zoo import weights
from zoo.app import limits
from zoo.app.models import AUTO, Models
from zoo.data import audio_files, file_kinds
from zoo.inference import denoise_audio_file

# What notes name for programs, as one chooses it here.
_WORDS = {"take model='wiener'": "choose wiener", "strength=0.75": "a strength of 75 %"}
_SUBTYPES = {"PCM_16": "16 bits", "PCM_24": "24 bits", "PCM_32": "32 bits", "FLOAT": "floats"}


class Outcome(NamedTuple):
    """A denoised recording.

    Attributes:
      path: the file.
      facts: name and value of what there is to say.
      notes: short sentences on what was lost.
    """

    path: Path
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def look(path: Path) -> str:
    """Length, rate, channels and coding of a recording, in words.

    Raises:
      ZooError: it is damaged, no recording, or too long.
    """
    limits.check_recording(path)
    facts = audio_files.info(path)
    channels = {1: "mono", 2: "stereo"}.get(facts.channels, f"{facts.channels} channels")
    coding = _SUBTYPES.get(facts.subtype)
    length = clock(facts.frames / facts.sample_rate)
    told = f"{length}, {facts.sample_rate / 1000:g} kHz, {channels}"
    return f"{told}, {coding}" if coding else told


def clock(seconds: float) -> str:
    """Seconds as one reads them, such as 1:02:03, or 7.4 s for a short time."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def denoise(
    path: Path,
    room: Path,
    models: Models,
    tell: Callable[[int, int], None],
    *,
    model: str,
    strength: float,
) -> Outcome:
    """Denoises a recording; rate, channels, length and coding stay.

    Args:
      path: the file.
      room: a folder for the result.
      models: what can be chosen.
      tell: called with the samples done and all of them.
      model: one of their labels.
      strength: how much of the model's change is made, 0 to 1.

    Raises:
      ZooError: the file or the model cannot be used.
    """
    start = time.perf_counter()
    choice = models.choose(model, "audio")
    # Which of ours is best for it is seen when it is heard.
    ours = model == AUTO and choice.source in weights.list_weights()
    resolved = None if ours else models.ready(choice)
    suffix = ".wav" if path.suffix.lower() in file_kinds.READ_ONLY_AUDIO else path.suffix
    target = room / f"{path.stem}.denoised{suffix}"
    report = denoise_audio_file(path, target, resolved, strength=strength, progress=tell)
    facts = (
        ("Model", choice.label),
        ("Length", clock(report.frames / report.sample_rate)),
        ("Took", f"{time.perf_counter() - start:.1f} s"),
    )
    notes = [f"{report.clipped} values were clipped"] if report.clipped else []
    notes += report.notes
    for name, words in _WORDS.items():
        notes = [note.replace(name, words) for note in notes]
    return Outcome(target, facts, tuple(notes))
