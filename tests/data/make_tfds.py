"""Prepares the tiny tfds data sets of `test_sources_tfds.py`, without TensorFlow.

The tests call `make(folder)`: it takes under a second, so no prepared files need to be kept.
By hand: `python tests/data/make_tfds.py FOLDER`.
"""

import sys

import imagecodecs
import numpy as np
import tensorflow_datasets as tfds

COUNTS = {"train": 6, "test": 3}


def pictures(split, dtype=np.uint8, channels=3):
    """The pictures `(N, 16, 16, C)` that a data set was prepared from."""
    rng = np.random.default_rng(len(split))
    shape = (COUNTS[split], 16, 16, channels)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def _encoded(split):
    # tfds encodes arrays by TensorFlow, but stores bytes as they are.
    return [imagecodecs.png_encode(picture) for picture in pictures(split, np.uint16)]


class _Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    feature: tfds.features.FeatureConnector
    values = staticmethod(pictures)

    def _info(self):
        features = {"image": self.feature, "label": tfds.features.Scalar(np.int64)}
        return tfds.core.DatasetInfo(
            builder=self,
            description="a few pictures",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
        for number, value in enumerate(self.values(split)):
            yield number, {"image": value, "label": number}


class TinyTensor(_Tiny, skip_registration=True):
    """8-bit pictures as a tensor."""

    name = "tiny_tensor"
    feature = tfds.features.Tensor(shape=(16, 16, 3), dtype=np.uint8)


class TinyFloat(_Tiny, skip_registration=True):
    """Grey pictures as floats in [0, 1]."""

    name = "tiny_float"
    feature = tfds.features.Tensor(shape=(16, 16, 1), dtype=np.float32)
    values = staticmethod(lambda split: pictures(split, np.float32, 1))


class TinyImage(_Tiny, skip_registration=True):
    """16-bit colour PNG."""

    name = "tiny_image"
    feature = tfds.features.Image(shape=(16, 16, 3), dtype=np.uint16, encoding_format="png")
    values = staticmethod(_encoded)


class TinyBad(_Tiny, skip_registration=True):
    """Floats of which the second picture is NaN."""

    name = "tiny_bad"
    feature = tfds.features.Tensor(shape=(4, 4), dtype=np.float32)
    values = staticmethod(lambda _: [np.full((4, 4), v, np.float32) for v in (0.5, np.nan, 1.0)])


def make(folder):
    """Prepare all four in `folder`, as array_record."""
    for builder in (TinyTensor, TinyFloat, TinyImage, TinyBad):
        builder(data_dir=str(folder), file_format="array_record").download_and_prepare()


if __name__ == "__main__":
    make(sys.argv[1])
