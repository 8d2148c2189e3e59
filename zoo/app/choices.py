"""Models and sample files that the page offers."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo import files, weights
from zoo.data import audio_writing, image_files, pixels, synthetic
from zoo.data.sources import image_sources
from zoo.errors import ZooError
from zoo.modality import get
from zoo.models import ModelSpec, model_spec
from zoo.resolve import Resolved, build, resolve

AUTO = "Choose for me"
"""The label that leaves the choice of a model to the page."""

# Audio models without weights, and the models that are offered first.
_WITHOUT_WEIGHTS = ("wiener", "spectral-gate")
_FIRST = ("unet-photo", "unet-color", "unet-gray", "stream-s-48k")
# Photographs of scikit-image: name -> standard deviation of the added noise in 1/255.
_PHOTOS = {"coffee": 25, "chelsea": 40, "camera": 25, "astronaut": 15}
# Synthetic audio: label with noise, label without, number of the voice, of the noise, SNR in dB.
_VOICES = (
    ("Voice and hum", "Voice", 0, 1, 0.0),
    ("Voice and crowd", "Another voice", 2, 2, 5.0),
    ("Music and hiss", "Music", 5, 0, 8.0),
)
_RATE, _SECONDS = 16000, 8


class Choice(NamedTuple):
    """A model to choose.

    Attributes:
      label: its name on the page.
      source: a name or the path of a weight file.
      specification: the signals that it takes and gives.
    """

    label: str
    source: str
    specification: ModelSpec


class Models:
    """The user's weight files, then the shipped weights, then models without weights.

    Args:
      weight_files: of this package.

    Raises:
      ZooError: one of them is missing or not a weight file.
    """

    def __init__(self, weight_files: Sequence[str | os.PathLike] = ()):
        shipped = [*_FIRST, *(n for n in weights.list_weights() if n not in _FIRST)]
        every = [
            *((_label(path, weight_files), os.path.abspath(path)) for path in weight_files),
            *((name, name) for name in shipped if name in weights.list_weights()),
        ]
        found = [Choice(label, source, build(source)[1]) for label, source in every]
        found += [Choice(name, name, model_spec(name)) for name in _WITHOUT_WEIGHTS]
        self._choices: dict[str, Choice] = {}
        for one in found:
            # Models of one size are for digits and the like, not for visitors' images.
            if not one.specification.size:
                self._choices.setdefault(one.label, one)
        self._loaded: dict[str, Resolved] = {}

    def labels(self, modality: str) -> list[str]:
        """Models of images (`"image"`) or audio files (`"audio"`)."""
        return [c.label for c in self._choices.values() if c.specification.modality == modality]

    def takes_level(self, label: str) -> bool:
        """Whether a model takes the level of the noise."""
        labels = self.labels("image") if label == AUTO else [label]
        return any(
            one in self._choices and self._choices[one].specification.takes_level for one in labels
        )

    def choose(
        self, label: str, modality: str, channels: int | None = None, *, given: bool = False
    ) -> Choice:
        """The model of a label, or for `AUTO` the first that fits.

        Args:
          label: one of `labels`, or `AUTO`.
          modality: of the signal.
          channels: of an image, without alpha.
          given: whether the visitor gives the level of the noise, so that `AUTO` takes a model that
            takes it, if there is one.

        Raises:
          ZooError: there is none.
        """
        every = [self._choices[one] for one in self.labels(modality)]
        plural = get(modality).plural
        if label != AUTO:
            chosen = next((one for one in every if one.label == label), None)
            if chosen is None:
                raise ZooError(f"there is no model {label!r} for {plural}; choose again")
            return chosen
        if not every:
            raise ZooError(f"there are no weights for {plural}; start with zoo app --weights FILE")
        # A gray model takes each channel by itself, a color model a gray image three times.
        fits = [one for one in every if channels in (None, one.specification.channels)]
        if given:
            fits.sort(key=lambda one: not one.specification.takes_level)
        return next(iter(fits), every[0])

    def load(self, choice: Choice) -> Resolved:
        """The model, loaded once.

        Raises:
          ZooError: the weights are damaged or gone.
        """
        if choice.label not in self._loaded:
            modality = choice.specification.modality
            self._loaded[choice.label] = resolve(choice.source, modality=modality)
        return self._loaded[choice.label]


class Samples:
    """Sample files, made once.

    Args:
      folder: for the files.

    Attributes:
      clean_images: photographs.
      noisy_images: the same with noise added.
      clean_recordings: label -> file.
      noisy_recordings: label -> file.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        # Copies, below the folder that the page serves: others would be taken for uploads.
        self.clean_images = [Path(shutil.copyfile(path, folder / path.name)) for path in _photos()]
        self.noisy_images = [_add_noise(path, folder) for path in self.clean_images]
        self.clean_recordings: dict[str, Path] = {}
        self.noisy_recordings: dict[str, Path] = {}
        for noisy_label, label, voice, ambience, snr in _VOICES:
            size = {"sample_rate": _RATE, "length": _RATE * _SECONDS}
            clean = synthetic.clean(7, voice, **size)
            noise = synthetic.ambience(7, ambience, **size)
            gain = np.sqrt(np.square(clean).mean() / np.square(noise).mean() / 10 ** (snr / 10))
            noisy = clean + np.float32(gain) * noise
            noisy = noisy * np.float32(0.9 / max(np.abs(noisy).max(), 0.9))
            self.clean_recordings[label] = _write(folder, label, clean)
            self.noisy_recordings[noisy_label] = _write(folder, noisy_label, noisy)


def _label(path: str | os.PathLike, weight_files: Sequence[str | os.PathLike]) -> str:
    """The stem of the file, with its folder where two files share it."""
    path = Path(path)
    same = [other for other in weight_files if Path(other).stem == path.stem]
    return path.stem if len(same) == 1 else f"{path.absolute().parent.name}/{path.stem}"


def _photos() -> list[Path]:
    listings = image_sources.list_photos("", (1.0, 0.0, 0.0), 0).values()
    every = [Path(item) for listing in listings for item in listing.items]
    return [path for name in _PHOTOS for path in every if path.stem == name]


def _add_noise(path: Path, folder: Path) -> Path:
    rng = np.random.default_rng(0)
    image = pixels.to_float(image_files.read(path))
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(_PHOTOS[path.stem] / 255)
    place = folder / f"{path.stem}-noisy.png"
    image_files.write(place, pixels.to_uint8(image + noise))
    return place


def _write(folder: Path, label: str, x: np.ndarray) -> Path:
    path = folder / f"{files.slug(label)}.wav"
    audio_writing.write(path, x, _RATE)
    return path
