"""Recordings in folders: clean ones, and noise to mix with them."""

from collections.abc import Sequence

import numpy as np

from zoo.data import recordings
from zoo.data.sources import folder, split
from zoo.data.sources.contract import SPLITS, Form, Listing
from zoo.errors import ZooError


def splits(
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
    r"""List the recordings below a folder, and the noise recordings below another.

    The splits are made as the kind `folder` makes those of pictures: by the sub-folders named, or
    the usual `train`, `validation` or `val`, and `test`, or by `fractions`. The noise is split by
    itself in the same way, with its usual sub-folders.

    A silent recording is kept: a stretch without speech is one, too.

    Args:
      path: the folder of clean recordings.
      fractions: shares of train, validation and test.
      seed: of the split by fractions.
      train: sub-folders of `path` (or absolute folders) to train on.
      validation: the same to select on.
      test: the same to test on.
      exclude: glob patterns or folders to leave out, as for pictures.
      speaker: a regular expression searched for in the stem of a file; what its first group
        matches, or all of it without a group, names the speaker, `r"^([^_]+)_"`. A split by
        fractions keeps a speaker's recordings together. Without it every recording is a speaker.
      noise: the folder of noise recordings; empty for none.

    Returns:
      The listings; names are relative to their folder, with forward slashes.

    Raises:
      ZooError: a folder is missing or has no recordings, a recording is in two splits, or `exclude`
        leaves out nothing.
    """
    found = folder.listings(
        path,
        fractions,
        seed,
        RECORDINGS,
        named={"train": train, "validation": validation, "test": test},
        exclude=exclude,
        group=split.namer("speaker", speaker),
    )
    return with_noise(found, noise, fractions, seed)


def with_noise(
    found: dict[str, Listing], noise: str, fractions: tuple[float, float, float], seed: int
) -> dict[str, Listing]:
    """The listings with the noise of a folder beside them, split for split.

    Args:
      found: the clean recordings.
      noise: the folder of noise recordings; empty for none.
      fractions: of the noise, where its sub-folders do not say.
      seed: of that split.

    Raises:
      ZooError: the folder is missing, or has no noise for a split that has recordings.
    """
    if not noise:
        return found
    named = dict.fromkeys(SPLITS, ())
    noises = folder.listings(noise, fractions, seed, _NOISES, named=named)
    for s in SPLITS:
        if len(found[s].names) and not len(noises[s].names):
            raise ZooError(
                f"the folder of noise recordings {noise} has none for {s}; give it sub-folders "
                "train, validation and test, or change fractions"
            )
    return {s: found[s]._replace(noise=noises[s]) for s in SPLITS}


def read(
    path: str, form: Form, start: int = 0, frames: int | None = None
) -> tuple[np.ndarray, None]:
    """A recording, or a piece of it, as `Listing.read` has it."""
    return recordings.read(path, **form._asdict(), start=start, frames=frames, dtype=np.int16), None


def length(path: str, form: Form) -> int:
    """Samples of a recording, as `Listing.length` has it."""
    return recordings.info(path).length(form.sample_rate)


RECORDINGS = folder.Files("recordings", recordings.SUFFIXES, read, length=length)
_NOISES = RECORDINGS._replace(what="noise recordings", option="noise")
