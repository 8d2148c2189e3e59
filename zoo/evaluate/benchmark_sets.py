"""The test sets of a benchmark: folders of images, and of audio files with noises to mix in."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo import files
from zoo.data import pixels, sources
from zoo.data.sources import Source
from zoo.errors import ZooError
from zoo.evaluate.batching import Decoded
from zoo.evaluate.contenders import Contender
from zoo.evaluate.degrade import Noise, NumpyGaussian
from zoo.evaluate.image_evaluator import is_exact
from zoo.evaluate.protocol import MULTIPLE, Protocol
from zoo.evaluate.published_figures import differing
from zoo.evaluate.result import REAL, Level
from zoo.modality import AUDIO, IMAGE, Modality
from zoo.models import model_spec
from zoo.noise import make_sampler


class TestSet(NamedTuple):
    """A data set to score on.

    Attributes:
      source: its examples.
      channels: of every example.
      summary: how many there are, where and in what form, for the head of a table.
      read: the folders that are read.
    """

    source: Source | Decoded
    channels: int
    summary: str
    read: tuple[Path, ...]


class Sets:
    """How a benchmark reads the sets of a modality, which images and audio state.

    Args:
      pairs: where the noisy and the clean files of each folder are, or None to add noise.
      protocol: the choices.

    Attributes:
      denoised: whether the outputs are written.
      noises: audio files that are mixed in.
    """

    modality: Modality
    unit: str
    quantity: str
    option: str
    denoised = False
    noises: TestSet | None = None

    def __init__(self, *, pairs: tuple[str, str] | None, protocol: Protocol):
        self.pairs = pairs
        self.protocol = protocol

    def levels(self, values: Sequence[float]) -> list[Level]:
        """The levels, without repetition."""
        if self.pairs:
            return [REAL]
        if not values:
            raise ZooError(f"there is no level to score at; name one with {self.option}")
        return list(dict.fromkeys(Level(float(x), self.unit, self.quantity) for x in values))

    def noise(self, level: Level) -> Noise | None:
        """The noise to add at a level; None where the examples bring it or it is mixed in."""
        return None

    def load(
        self, folders: Mapping[str, str], entered: Sequence[Contender], baselines: Sequence[str]
    ) -> dict[str, TestSet]:
        """The sets by name."""
        return {name: self.read(folder) for name, folder in folders.items()}

    def refusal(self, one: Contender, name: str, test: TestSet) -> str:
        """Why a model cannot take part in a set; empty if it does."""
        return ""

    def facts(self, baselines: Sequence[str]) -> dict[str, str]:
        """What else the figures rest on, for the head of a table."""
        return {}


class ImageSets(Sets):
    """Folders of images.

    Args:
      pairs: patterns of noisy and clean files, or None to add Gaussian noise.
      protocol: the choices.
      channels: `"gray"`, `"color"`, or `"auto"`: as the files of each folder are.
    """

    modality, unit, quantity, option = IMAGE, "1/255", "sigma", "--sigma"

    def __init__(self, *, channels: str, **options: Any):
        super().__init__(**options)
        self._channels = channels

    def levels(self, values: Sequence[float]) -> list[Level]:
        """As `Sets.levels`."""
        for sigma in values:
            if not 0 <= sigma <= 255:
                raise ZooError(f"sigma {sigma:g} is not between 0 and 255")
        return super().levels(values)

    def noise(self, level: Level) -> Noise | None:
        """As `Sets.noise`."""
        if level.value is None:
            return None
        numpy = self.protocol.noise == "numpy"
        return NumpyGaussian(level.value / 255) if numpy else _gaussian(level.value)

    def refusal(self, one: Contender, name: str, test: TestSet) -> str:
        """As `Sets.refusal`: another number of channels, or several planes."""
        if (planes := one.facts.planes) > 1:
            return f"takes {planes} planes of a stack, and {name} has single images"
        own, other = one.facts.channels, test.channels
        return "" if own == other else f"takes {_in_words(own)}, and {name} has {_in_words(other)}"

    def load(
        self, folders: Mapping[str, str], entered: Sequence[Contender], baselines: Sequence[str]
    ) -> dict[str, TestSet]:
        """As `Sets.load`; refuses a model that fits no set, or that needs an unknown level."""
        data = super().load(folders, entered, baselines)
        for one in entered:
            reasons = [self.refusal(one, name, test) for name, test in data.items()]
            if all(reasons):
                raise ZooError(
                    f"{one.label} {reasons[0]}; choose another model, or --images gray or color"
                )
            if self.pairs and one.facts.takes_level and self.protocol.level == "known":
                raise ZooError(
                    f"{one.label} takes a noise level, which is not known; choose --level estimated"
                )
        return data

    def facts(self, baselines: Sequence[str]) -> dict[str, str]:
        """As `Sets.facts`."""
        facts = {}
        if baselines:
            sigma = "estimated from each image" if self.pairs else "the true sigma"
            facts["baselines"] = f"given {sigma}"
        if {"nlm", "tv"} & set(baselines):
            facts["nlm and tv"] = "choose their strength by the PSNR they reach, in their favor"
        apart = [] if self.pairs else differing(self.protocol)
        if apart:
            facts["published figures"] = f"not shown, for they differ in {' and '.join(apart)}"
        return facts

    def read(self, folder: str) -> TestSet:
        """One set."""
        kind, options, words = "folder", {}, []
        if self.pairs:
            kind, options = "pairs", dict(zip(("noisy", "clean"), self.pairs, strict=True))
            words = [" ".join(one) for one in options.items()]
        channels = 1 if self._channels == "gray" else 3
        source = Decoded(_test_split(kind, folder, channels=channels, **options))
        if not len(source):
            raise ZooError(f"{folder} has no images to test on; name a folder of them")
        if self._channels == "auto":
            targets = (image.target for image in source)
            if all((target == target[..., :1]).all() for target in targets):
                # Those at hand are not decoded again.
                source = Decoded(source, lambda x, name: pixels.to_channels(x, 1), keep=0)
                channels = 1
        own = is_exact(source, self.protocol.shapes)
        words = (
            f"{len(source)} in {folder}",
            IMAGE.channels[channels],
            "at their own sizes" if own else f"padded to multiples of {MULTIPLE}",
            *words,
        )
        return TestSet(source, channels, ", ".join(words), (files.expanded(folder),))


class AudioSets(Sets):
    """Folders of audio files; of a folder with a sub-folder `test` only that.

    Args:
      pairs: sub-folders of each folder with the noisy and the clean audio files of equal names, or
        None to mix in noise.
      protocol: the choices; its sample rate becomes that of the models.
      noises: the folder of noise audio files to mix in; None with `pairs`.
    """

    modality, unit, quantity, option = AUDIO, "dB", "SNR", "--snr"
    denoised = True

    def __init__(self, *, noises: str | None, **options: Any):
        super().__init__(**options)
        self._folder = noises

    def load(
        self, folders: Mapping[str, str], entered: Sequence[Contender], baselines: Sequence[str]
    ) -> dict[str, TestSet]:
        """As `Sets.load`, each at the rate of the models."""
        rate = _rate(entered, baselines)
        self.protocol = dataclasses.replace(self.protocol, sample_rate=rate)
        data = super().load(folders, entered, baselines)
        if not self.pairs:
            if not self._folder:
                raise ZooError(
                    "there is no noise to mix in; name its folder with --noises, or two with "
                    "--pairs"
                )
            self.noises = self.read(self._folder, "--noises")
        return data

    def facts(self, baselines: Sequence[str]) -> dict[str, str]:
        """As `Sets.facts`."""
        return {} if self.noises is None else {"noises": self.noises.summary}

    def read(self, folder: str, option: str = "--data") -> TestSet:
        """One set, or the noises."""
        root, words = _existing(folder, f"check {option}"), ""
        whole, kind, options = root, "recordings", {}
        if (root / "test").is_dir() and not (self.pairs and (root / self.pairs[0]).is_dir()):
            root = root / "test"
        read = (root,)
        if self.pairs:
            remedy = "for audio --pairs names two folders below --data, the noisy and the clean one"
            read = tuple(_existing(root / one, remedy) for one in self.pairs)
            noisy, clean = self.pairs
            whole, kind, words = root, "recording_pairs", f"noisy {noisy}, clean {clean}, "
            options = {"test_noisy": noisy, "test_clean": clean}
        rate = self.protocol.sample_rate
        source = _test_split(kind, whole, channels=1, sample_rate=rate, **options)
        if not len(source):
            raise ZooError(
                f"{folder} has other splits but no test; name the sub-folder to take with {option}"
            )
        form = f"{words}mono at {rate} Hz, resampled where the files are not"
        return TestSet(source, 1, f"{len(source)} in {root}, {form}", read)


def _test_split(kind: str, path: str | Path, **options: Any) -> Source:
    """Everything in a folder, as a test set."""
    return sources.load(kind, path=str(path), fractions=(0.0, 0.0, 1.0), **options)["test"]


def _existing(folder: str | Path, remedy: str) -> Path:
    path = files.expanded(folder)
    if not path.is_dir():
        raise ZooError(f"there is no folder {path}; {remedy}")
    return path


def _rate(entered: Sequence[Contender], baselines: Sequence[str]) -> int:
    """The sample rate that all methods are made for."""
    specs = {one.label: one.facts for one in entered}
    specs |= {name: model_spec(name) for name in baselines}
    rates = {one.sample_rate: label for label, one in specs.items()}
    if len(rates) > 1:
        words = " and ".join(f"{label} takes {rate} Hz" for rate, label in rates.items())
        raise ZooError(f"{words}; score them one after the other")
    return next(iter(rates))


def _in_words(channels: int) -> str:
    kind = IMAGE.channels.get(channels)
    return f"{kind} images" if kind else f"images of {channels} channels"


@functools.cache
def _gaussian(sigma: float) -> Noise:
    """One for each level of all sets, because each is compiled."""
    return make_sampler("gaussian", sigma, unit="1/255")
