"""Pairs of a noisy and a clean image or audio file, in folders."""

import functools
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data import audio_files
from zoo.data.file_kinds import AUDIO_SUFFIXES, IMAGE_SUFFIXES, listed_suffixes
from zoo.data.sources import archives, folders
from zoo.data.sources.source import SPLITS, Form, Listing, by_fractions, namer
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
    """Paths of a noisy and a clean file."""

    noisy: str
    clean: str


def list_image_pairs(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    noisy: str,
    clean: str,
    scene: str = "",
) -> dict[str, Listing]:
    r"""List the pairs below a folder, split by scene.

    PolyU: `noisy="*_real.JPG", clean="*_mean.JPG", scene=r"([A-Za-z]+)_+\d+_real$"`, the object
    photographed, since several cameras photographed the same ones.

    Args:
      path: the folder; all its sub-folders are searched, hidden files passed over.
      fractions: shares of train, validation and test by images, as near as whole scenes allow.
      seed: of the split.
      noisy: the pattern of the noisy files' names relative to `path`, such as `"*_real.JPG"` or
        `"noisy/*.png"`; a star stands for anything, slashes too. A pattern that ends in a star
        matches all suffixes of images.
      clean: the pattern of the clean ones. A pair's stars match the same text; a clean pattern
        with fewer stars has the first of them, so that several noisy images share a clean one:
        `noisy="*/noisy_*.png", clean="*/clean.png"`. A file that matches both patterns belongs
        to the longer one.
      scene: a regular expression searched for in the stem of the noisy file; the match of its
        first group, or the whole match without a group, names the scene. Images of one scene are in
        one split. Without it every clean image is a scene.

    Returns:
      The listings, named by the noisy files, relative to `path`. Files that match neither
      pattern are ignored, those without a partner are `unpaired`.

    Raises:
      ZooError: the folder is missing or has no pairs, or a stem no scene.
        On reading: the two images differ in size or depth.
    """
    root = folders.existing(path, "the folder of pairs")
    images, ignored = folders.below(root)
    if noisy == clean or not 0 <= clean.count("*") <= noisy.count("*") or "*" not in noisy:
        raise ZooError(
            f"patterns noisy {noisy!r} and clean {clean!r} must differ and have stars, the clean "
            "one as many or fewer"
        )
    found: dict[str, dict[str, tuple[str, ...]]] = {noisy: {}, clean: {}}
    for name in images:
        for pattern in sorted(found, key=len, reverse=True):
            stars = _stars(pattern, name)
            if stars is not None:
                found[pattern][name] = stars[: clean.count("*")]
                break
        else:
            ignored.append(name)
    if not any(found.values()):
        raise ZooError(f"{root} has no images named {noisy!r} and {clean!r}; correct the patterns")
    takes: dict[tuple[str, ...], str] = {}
    for name, stars in found[clean].items():
        if takes.setdefault(stars, name) != name:
            raise ZooError(
                f"{root / takes[stars]} and {root / name} are both the clean image of the same "
                "noisy ones; narrow the pattern clean"
            )

    unpaired = {
        name: f"{root / name} has no partner {clean!r}"
        for name, stars in found[noisy].items()
        if stars not in takes
    } | {
        name: f"{root / name} has no partner {noisy!r}"
        for stars, name in takes.items()
        if stars not in found[noisy].values()
    }
    names = sorted(name for name in found[noisy] if name not in unpaired)
    pairs = [(name, takes[found[noisy][name]]) for name in names]
    # Those that share a clean image stay together, named by the first of them.
    first: dict[str, str] = {}
    for name, partner in pairs:
        first.setdefault(partner, name)
    alone = {name: first[partner] for name, partner in pairs}
    # And so do the planes of a stack, unless there is one alone.
    stacks = {name: archives.stack_of(one) for name, one in alone.items()}
    alone = stacks if len({*stacks.values()}) > 1 else alone
    group = namer("scene", scene) if scene else alone.__getitem__
    chosen = by_fractions(names, fractions, seed, group)
    items = [_Pair(*(str(root / name) for name in pair)) for pair in pairs]
    read_any = functools.partial(_read_images, any_range=True)
    own = {"unpaired": unpaired, "read_any": read_any, "around": _around}
    return _split(Listing(names, items, _read_images, sorted(ignored), **own), chosen)


def _split(whole: Listing, chosen: dict[str, list[int]]) -> dict[str, Listing]:
    """The splits of a listing; files without a partner are reported with the first."""
    found = {s: whole.subset(chosen[s])._replace(unpaired={}) for s in SPLITS}
    return found | {"train": found["train"]._replace(unpaired=whole.unpaired)}


def _stars(pattern: str, name: str) -> tuple[str, ...] | None:
    """The text of a pattern's stars in a name, or None where it does not match."""
    match = re.fullmatch("(.*)".join(map(re.escape, pattern.split("*"))), name)
    if match is None or not pattern.endswith("*"):
        return match and match.groups()
    # The same image may be stored in another format.
    *others, last = match.groups()
    stem, suffix = os.path.splitext(last)
    return (*others, stem if suffix.lower() in IMAGE_SUFFIXES | archives.SUFFIXES else last)


def _read_images(pair: _Pair, *, any_range: bool = False):
    noisy, clean = (
        folders.read_image(path, any_range=any_range) for path in (pair.noisy, pair.clean)
    )
    if noisy.shape[:2] != clean.shape[:2] or noisy.dtype != clean.dtype:
        raise ZooError(
            f"{pair.noisy} is {_size(noisy)} but {pair.clean} is {_size(clean)}; "
            "correct the pair, or leave it out"
        )
    return clean, noisy


def _around(pair: _Pair, window: int, *, frames: bool) -> list[_Pair]:
    return [_Pair(one, pair.clean) for one in folders.around(pair.noisy, window, frames=frames)]


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} x {image.shape[1]} {image.dtype}"


def list_audio_pairs(
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
    r"""List the pairs of equal names, suffixes apart, in a clean and a noisy folder.

    Without options the usual folders are expected: those of VoiceBank+DEMAND
    (`clean_trainset_wav` or `clean_trainset_28spk_wav` and their noisy ones, `clean_testset_wav`
    and `noisy_testset_wav`), `train/clean` and `train/noisy` and so on, or `clean` and `noisy`
    alone. Where only one pair of folders exists and it is not the test's, its files are split by
    `fractions`; otherwise, without a validation folder, validation takes `fractions[1]` of train.

    Args:
      path: the folder that contains them.
      fractions: shares of train, validation and test.
      seed: of the split by fractions.
      clean: the sub-folder with the clean files to train on, searched with all its sub-folders.
      noisy: the one with the noisy files, under the same names.
      validation_clean: the same to select on.
      validation_noisy: the same to select on.
      test_clean: the same to test on.
      test_noisy: the same to test on.
      speaker: a regular expression for the stem, as for `recordings`; VoiceBank's is `r"^p\d+"`.

    Returns:
      The listings, named by the noisy files, relative to `path`.

    Raises:
      ZooError: a folder is missing or empty. On reading: the files of a pair differ in length or
        rate.
    """
    root = folders.existing(path, "the folder of pairs")
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
    group = namer("speaker", speaker)
    whole = found["train"]
    shares = (1 - fractions[1], fractions[1], 0.0)
    if not named["validation"][0] and not named["test"][0]:
        shares = tuple(fractions)
    elif named["validation"][0] or not fractions[1]:
        return found
    parts = _split(whole, by_fractions(whole.names, shares, seed, group))
    return {s: parts[s] if s == "train" or not named[s][0] else found[s] for s in SPLITS}


def _usual(root: Path, name: str) -> tuple[str, str]:
    choices = _USUAL[name] + ((_WHOLE,) if name == "train" else ())
    there = (pair for pair in choices if all((root / one).is_dir() for one in pair))
    return next(there, ("", ""))


def _listing(root: Path, clean: str, noisy: str) -> Listing:
    if not clean:
        return Listing([], [], _read_audio, (), _length)
    wanted, ignored = {}, []
    for one in (clean, noisy):
        where = folders.existing(root / one, "the folder of audio files", "clean and noisy")
        wanted[one], others = folders.below(where, AUDIO_SUFFIXES)
        ignored += [f"{one}/{name}" for name in others]
    if not wanted[clean] and not wanted[noisy]:
        raise ZooError(
            f"{root / clean} has no audio files; they end in {listed_suffixes(AUDIO_SUFFIXES)}"
        )
    # The two may be stored in different formats.
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
        [_Pair(*(str(root / one / stems[one][stem]) for one in (noisy, clean))) for stem in both],
        _read_audio,
        sorted(ignored),
        _length,
        unpaired=unpaired,
    )


def _read_audio(
    pair: _Pair, form: Form, start: int = 0, frames: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    _check_alike(pair)
    noisy, clean = (
        audio_files.read(one, **form._asdict(), start=start, frames=frames, dtype=np.int16)
        for one in pair
    )
    # Headers of lossy files sometimes state more than there is.
    if len(clean) != len(noisy):
        raise ZooError(
            f"{pair.noisy} and {pair.clean} differ in length; correct the pair, or leave it out"
        )
    return clean, noisy


# Training reads pieces of the same pair many times.
@functools.lru_cache(maxsize=2**16)
def _check_alike(pair: _Pair) -> None:
    noisy, clean = (audio_files.info(one) for one in pair)
    if (clean.frames, clean.sample_rate) != (noisy.frames, noisy.sample_rate):
        raise ZooError(
            f"{pair.noisy} has {noisy.frames} samples at {noisy.sample_rate} Hz but {pair.clean} "
            f"{clean.frames} at {clean.sample_rate}; correct the pair, or leave it out"
        )


def _length(pair: _Pair, form: Form) -> int:
    _check_alike(pair)
    return audio_files.info(pair.clean).length(form.sample_rate)
