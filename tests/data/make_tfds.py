"""Prepares the tiny tfds data sets of `test_sources_tfds.py`, without TensorFlow.

The tests call `make(folder)`: it takes under a second, so no prepared files need to be kept.
By hand: `python tests/data/make_tfds.py FOLDER`.
"""

import json
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import tensorflow_datasets as tfds

COUNTS = {"train": 6, "test": 3}


def images(split, dtype=np.uint8, channels=3):
    """The images `(N, 16, 16, C)` that a data set was prepared from."""
    rng = np.random.default_rng(len(split))
    shape = (COUNTS[split], 16, 16, channels)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def _encoded(split):
    # tfds encodes arrays by TensorFlow, but stores bytes as they are.
    return [imagecodecs.png_encode(image) for image in images(split, np.uint16)]


class _Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    feature: tfds.features.FeatureConnector
    feature_name = "image"
    values = staticmethod(images)

    def _info(self):
        features = {self.feature_name: self.feature, "label": tfds.features.Scalar(np.int64)}
        return tfds.core.DatasetInfo(
            builder=self,
            description="a few pictures or recordings",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
        for number, value in enumerate(self.values(split)):
            yield number, {self.feature_name: value, "label": number}


class TinyTensor(_Tiny, skip_registration=True):
    """8-bit images as a tensor."""

    name = "tiny_tensor"
    feature = tfds.features.Tensor(shape=(16, 16, 3), dtype=np.uint8)


class TinyFloat(_Tiny, skip_registration=True):
    """Gray images as floats in [0, 1]."""

    name = "tiny_float"
    feature = tfds.features.Tensor(shape=(16, 16, 1), dtype=np.float32)
    values = staticmethod(lambda split: images(split, np.float32, 1))


class TinyImage(_Tiny, skip_registration=True):
    """16-bit color PNG."""

    name = "tiny_image"
    feature = tfds.features.Image(shape=(16, 16, 3), dtype=np.uint16, encoding_format="png")
    values = staticmethod(_encoded)


class TinyBad(_Tiny, skip_registration=True):
    """Floats of which the second image is NaN."""

    name = "tiny_bad"
    feature = tfds.features.Tensor(shape=(4, 4), dtype=np.float32)
    values = staticmethod(lambda _: [np.full((4, 4), v, np.float32) for v in (0.5, np.nan, 1.0)])


def sounds(split, dtype=np.int64):
    """The recordings `(T,)` that a data set was prepared from, each of another length."""
    rng = np.random.default_rng(len(split))
    if dtype == np.float32:
        return [rng.random(800 + n, np.float32) - np.float32(0.5) for n in range(COUNTS[split])]
    return [rng.integers(-9000, 9000, 800 + n) for n in range(COUNTS[split])]


class TinySound(_Tiny, skip_registration=True):
    """Recordings as 16-bit integers, of which the data set does not say the rate."""

    name = "tiny_sound"
    feature_name = "audio"
    feature = tfds.features.Tensor(shape=(None,), dtype=np.int64)
    values = staticmethod(sounds)


class TinyFloatSound(TinySound, skip_registration=True):
    """Recordings as floats in [-1, 1]."""

    name = "tiny_float_sound"
    feature = tfds.features.Tensor(shape=(None,), dtype=np.float32)
    values = staticmethod(lambda split: sounds(split, np.float32))


class TinyAudio(TinySound, skip_registration=True):
    """Recordings as the feature `Audio` of 8 kHz; see `make`."""

    name = "tiny_audio"


# As tfds writes it. The feature itself cannot be made without TensorFlow.
_AUDIO = {
    "pythonClassName": "tensorflow_datasets.core.features.audio_feature.Audio",
    "audio": {
        "dtype": "int64",
        "encoding": "none",
        "sampleRate": "8000",
        "shape": {"dimensions": ["-1"]},
    },
}


def make(folder):
    """Prepare all in `folder`, as array_record."""
    images = (TinyTensor, TinyFloat, TinyImage, TinyBad)
    for builder in (*images, TinySound, TinyFloatSound, TinyAudio):
        builder(data_dir=str(folder), file_format="array_record").download_and_prepare()
    path = Path(folder, "tiny_audio", "1.0.0", "features.json")
    described = json.loads(path.read_text())
    described["featuresDict"]["features"]["audio"] = _AUDIO
    path.write_text(json.dumps(described))


if __name__ == "__main__":
    make(sys.argv[1])
