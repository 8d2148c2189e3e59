"""Noisy recordings and their clean takes, in folders side by side."""

import functools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data import recordings
from zoo.data.sources import files, split
from zoo.data.sources.contract import SPLITS, Form, Listing
from zoo.errors import ZooError

# Clean and noisy folder of each split, as VoiceBank+DEMAND and others name them.
_USUAL = {
    "train": (
        ("clean_trainset_wav", "noisy_trainset_wav"),
        ("clean_trainset_28spk_wav", "noisy_trainset_28spk_wav"),
        ("clean_trainset_56spk_wav", "noisy_trainset_56spk_wav"),
        ("train/clean", "train/noisy"),
    ),
    "validation": (("validation/clean", "validation/noisy"), ("val/clean", "val/noisy")),
    "test": (("clean_testset_wav", "noisy_testset_wav"), ("test/clean", "test/noisy")),
}
_WHOLE = ("clean", "noisy")


class _Pair(NamedTuple):
    clean: str
    noisy: str


def splits(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    clean: str = "",
    noisy: str = "",
    validation_clean: str = "",
    validation_noisy: str = "",
    test_clean: str = "",
    test_noisy: str = "",
    speaker: str = "",
) -> dict[str, Listing]:
    r"""List the pairs of equal names, endings apart, in a clean and a noisy folder.

    Without an option the usual folders are looked for: those of VoiceBank+DEMAND
    (`clean_trainset_wav` or `clean_trainset_28spk_wav` and their noisy ones, `clean_testset_wav`
    and `noisy_testset_wav`), `train/clean` and `train/noisy` and so on, or `clean` and `noisy`
    alone. Where only one pair of folders is there and it is not the test's, its recordings are
    split by `fractions`; otherwise, without a validation, it takes `fractions[1]` of train.

    Args:
      path: the folder they are in.
      fractions: shares of train, validation and test.
      seed: of the split by fractions.
      clean: the sub-folder with the clean recordings to train on; all sub-folders of it count.
      noisy: the one with the noisy recordings, under the same names.
      validation_clean: the same to select on.
      validation_noisy: the same to select on.
      test_clean: the same to test on.
      test_noisy: the same to test on.
      speaker: a regular expression for the stem, as for `recordings`; VoiceBank's is `r"^p\d+"`.

    Returns:
      The listings, named by the noisy files, relative to `path`.

    Raises:
      ZooError: a folder is missing or empty. On reading: the two
        recordings of a pair differ in length or rate.
    """
    root = files.existing(path, "the folder of pairs")
    named = {
        "train": (clean, noisy),
        "validation": (validation_clean, validation_noisy),
        "test": (test_clean, test_noisy),
    }
    for name, pair in named.items():
        if bool(pair[0]) != bool(pair[1]):
            raise ZooError(f"{name} has a folder {pair[0] or pair[1]!r} alone; name both or none")
    if not any(clean for clean, _ in named.values()):
        named = {name: _usual(root, name) for name in SPLITS}
    if not any(clean for clean, _ in named.values()):
        raise ZooError(f"{root} has no folders {' and '.join(_WHOLE)}; set clean and noisy")
    found = {name: _listing(root, *named[name]) for name in SPLITS}
    group = split.namer("speaker", speaker)
    whole = found["train"]
    shares = (1 - fractions[1], fractions[1], 0.0)
    if not named["validation"][0] and not named["test"][0]:
        shares = tuple(fractions)
    elif named["validation"][0] or not fractions[1]:
        return found
    chosen = split.by_fractions(whole.names, shares, seed, group)
    for name in SPLITS:
        if not named[name][0] or name == "train":
            found[name] = whole._replace(
                names=[whole.names[i] for i in chosen[name]],
                items=[whole.items[i] for i in chosen[name]],
                unpaired=whole.unpaired if name == "train" else {},
            )
    return found


def _usual(root: Path, name: str) -> tuple[str, str]:
    choices = _USUAL[name] + ((_WHOLE,) if name == "train" else ())
    there = (pair for pair in choices if all((root / one).is_dir() for one in pair))
    return next(there, ("", ""))


def _listing(root: Path, clean: str, noisy: str) -> Listing:
    if not clean:
        return Listing([], [], _read, (), _length)
    wanted, ignored = {}, []
    for one in (clean, noisy):
        where = files.existing(root / one, "the folder of recordings", "clean and noisy")
        wanted[one], others = files.below(where, recordings.SUFFIXES)
        ignored += [f"{one}/{name}" for name in others]
    if not wanted[clean] and not wanted[noisy]:
        raise ZooError(
            f"{root / clean} has no recordings; they end in "
            f"{', '.join(sorted(recordings.SUFFIXES))}"
        )
    # The two takes may be kept in other formats.
    stems = {one: {os.path.splitext(name)[0]: name for name in wanted[one]} for one in wanted}
    for one, names in wanted.items():
        if len(stems[one]) < len(names):
            twice = sorted({*names} - {*stems[one].values()})[0]
            raise ZooError(f"{root / one / twice} is there in two formats; keep one of them")
    both = sorted(stems[clean].keys() & stems[noisy].keys())
    unpaired = {
        f"{here}/{stems[here][stem]}": f"{root / here / stems[here][stem]} has no partner in "
        f"{root / there}"
        for here, there in ((clean, noisy), (noisy, clean))
        for stem in sorted(stems[here].keys() - stems[there].keys())
    }
    return Listing(
        [f"{noisy}/{stems[noisy][stem]}" for stem in both],
        [_Pair(*(str(root / one / stems[one][stem]) for one in (clean, noisy))) for stem in both],
        _read,
        sorted(ignored),
        _length,
        unpaired=unpaired,
    )


def _read(
    pair: _Pair, form: Form, start: int = 0, frames: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    _check_alike(pair)
    clean, noisy = (
        recordings.read(one, **form._asdict(), start=start, frames=frames, dtype=np.int16)
        for one in pair
    )
    # Headers of lossy files promise more than is in them, now and then.
    if len(clean) != len(noisy):
        raise ZooError(
            f"{pair.noisy} and {pair.clean} differ in length; mend the pair, or leave it out"
        )
    return clean, noisy


# A training reads the pieces of a pair over and over.
@functools.lru_cache(maxsize=2**16)
def _check_alike(pair: _Pair) -> None:
    clean, noisy = (recordings.info(one) for one in pair)
    if (clean.frames, clean.sample_rate) != (noisy.frames, noisy.sample_rate):
        raise ZooError(
            f"{pair.noisy} has {noisy.frames} samples at {noisy.sample_rate} Hz but {pair.clean} "
            f"{clean.frames} at {clean.sample_rate}; mend the pair, or leave it out"
        )


def _length(pair: _Pair, form: Form) -> int:
    _check_alike(pair)
    return recordings.info(pair.clean).length(form.sample_rate)
