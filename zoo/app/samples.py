"""Something to try the page on: photographs of scikit-image, and voices out of nothing."""

import shutil
from pathlib import Path

import numpy as np

from zoo import files
from zoo.data import audio_writing, image_files, pixels, synthetic
from zoo.data.sources import image_sources

# Name, and the standard deviation of its noise in 1/255.
_PHOTOS = {"coffee": 25, "chelsea": 40, "camera": 25, "astronaut": 15}
# Labels of the noisy and the clean one, number of the voice, of the ambience, ratio of both in dB.
_VOICES = (
    ("Voice and hum", "Voice", 0, 1, 0.0),
    ("Voice and crowd", "Another voice", 2, 2, 5.0),
    ("Music and hiss", "Music", 5, 0, 8.0),
)
_RATE, _SECONDS = 16000, 8


class Samples:
    """Sample files, made once.

    Attributes:
      clean_pictures: files of photographs.
      noisy_pictures: the same with noise added.
      clean_recordings: label to file.
      noisy_recordings: label to file.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        # Copies, below the folder that the page serves from: others would be taken for uploads.
        self.clean_pictures = [
            Path(shutil.copyfile(path, folder / path.name)) for path in _photos()
        ]
        self.noisy_pictures = [_noisy_picture(path, folder) for path in self.clean_pictures]
        self.clean_recordings: dict[str, Path] = {}
        self.noisy_recordings: dict[str, Path] = {}
        for noisy_label, label, voice, ambience, ratio in _VOICES:
            size = {"sample_rate": _RATE, "length": _RATE * _SECONDS}
            clean = synthetic.clean(7, voice, **size)
            noise = synthetic.ambience(7, ambience, **size)
            times = np.sqrt(np.square(clean).mean() / np.square(noise).mean() / 10 ** (ratio / 10))
            noisy = clean + np.float32(times) * noise
            noisy = noisy * np.float32(0.9 / max(np.abs(noisy).max(), 0.9))
            self.clean_recordings[label] = _write(folder, label, clean)
            self.noisy_recordings[noisy_label] = _write(folder, noisy_label, noisy)


def _photos() -> list[Path]:
    listings = image_sources.list_photos("", (1.0, 0.0, 0.0), 0).values()
    every = [Path(item) for listing in listings for item in listing.items]
    return [path for name in _PHOTOS for path in every if path.stem == name]


def _noisy_picture(path: Path, folder: Path) -> Path:
    rng = np.random.default_rng(0)
    picture = pixels.to_float(image_files.read(path))
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(_PHOTOS[path.stem] / 255)
    place = folder / f"{path.stem}-noisy.png"
    image_files.write(place, pixels.to_uint8(picture + noise))
    return place


def _write(folder: Path, label: str, x: np.ndarray) -> Path:
    path = folder / f"{files.slug(label)}.wav"
    audio_writing.write(path, x, _RATE)
    return path
