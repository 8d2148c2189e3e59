"""Clean signals and noise made by rule: a source without a download."""

import functools

import numpy as np

from zoo.data import samples, voices
from zoo.data.sources.contract import SPLITS, Form, Listing
from zoo.errors import ZooError

# Of the noise, which lasts half as long again as a clean signal.
_NOISE_SHARE = 2
_LONGER = 1.5
_LEAST_RATE = 4000


def splits(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    train: int = 64,
    validation: int = 8,
    test: int = 8,
    seconds: float = 4.0,
) -> dict[str, Listing]:
    """List signals of `zoo.data.voices`, half as many noises beside them.

    They are made when they are read, at any sample rate. They are the same whatever the seed, so
    that scores can be compared, and no two splits share a speaker or a noise.

    Args:
      path: unused.
      fractions: unused.
      seed: unused.
      train: signals to train on.
      validation: signals to select on.
      test: signals to test on.
      seconds: how long each of them is.

    Raises:
      ZooError: a count is negative or the signals last no time. On reading: the sample rate is
        below 4,000 Hz.
    """
    counts = {"train": train, "validation": validation, "test": test}
    for name, count in counts.items():
        if not isinstance(count, int) or count < 0:
            raise ZooError(f"{name} is {count!r}; make it how many signals there shall be")
    if not 0.1 <= seconds <= 3600:
        raise ZooError(f"seconds is {seconds}; make it 0.1 to 3600")
    listings = {}
    for number, name in enumerate(SPLITS):
        noises = -(-counts[name] // _NOISE_SHARE)
        listings[name] = _listing(name, "voice", number, counts[name], seconds)._replace(
            noise=_listing(name, "noise", number, noises, seconds * _LONGER)
        )
    return listings


def _listing(split: str, what: str, seed: int, count: int, seconds: float) -> Listing:
    names = [f"{what}-{split}-{n:03}" for n in range(count)]
    read = functools.partial(_read, what, seed, seconds)
    return Listing(names, range(count), read, (), functools.partial(_length, seconds))


def _read(
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
    make = voices.clean if what == "voice" else voices.ambience
    length = _length(seconds, index, form)
    x = make(seed, index, sample_rate=form.sample_rate, length=length)
    stop = None if frames is None else start + frames
    return samples.to_int16(samples.to_channels(x[start:stop], form.channels)), None


def _length(seconds: float, index: int, form: Form) -> int:
    return round(seconds * form.sample_rate)
