"""Data sets of TensorFlow Datasets, prepared as array_record and read without TensorFlow."""

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.data import image_files, pcm, pixels
from zoo.data.sources.audio_sources import with_noise
from zoo.data.sources.source import Form, Listing, last
from zoo.errors import ZooError, first_line, unknown


def list_tfds(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    name: str,
    feature: str = "",
    train: str = "",
    validation: str = "",
    test: str = "",
    rate: int = 0,
    bits: int = 16,
    noise: str = "",
) -> dict[str, Listing]:
    """List the images or the audio of a data set; its other features are not read.

    It is downloaded and prepared if necessary, which needs TensorFlow; reading does not.

    Args:
      path: the `data_dir` of tfds; empty for its default, `~/tensorflow_datasets`.
      fractions: only `fractions[1]` counts, and only without a validation split: the last share of
        train is validation.
      seed: unused.
      name: the data set, `"mnist"`, with a config and a version if need be,
        `"imagenet_resized/32x32:0.1.0"`.
      feature: the feature with the image: an `Image`, or a tensor `(H, W)` or `(H, W, C)` of
        uint8, uint16 or floats in [0, 1]. One named `audio`, or of the kind `Audio`, holds
        audio: integers of `bits` bits or floats in [-1, 1], `(T,)` or `(T, C)`. Empty for
        `image`, or for `audio` where there is no `image`.
      train: the split to train on; a slice such as `"train[:90%]"` will do. Empty for `train`.
      validation: the same to select on. Empty for `validation`, where there is one.
      test: the same to test on. Empty for `test`, where there is one.
      rate: samples per second of audio, where the feature does not state it.
      bits: of the integers of audio.
      noise: a folder of noise to mix with the audio, as for `recordings`.

    Returns:
      The listings, named by split and place, `train-00000`.

    Raises:
      ZooError: the data set, a split or the feature does not exist, or it is not prepared and
        TensorFlow is missing.
    """
    builder = _prepared(name, path)
    features = builder.info.features
    feature = feature or ("audio" if "audio" in features and "image" not in features else "image")
    if feature not in features:
        raise unknown(f"feature of {name}", feature, features)
    existing = builder.info.splits
    rate, scale = _sample_rate_and_scale(name, features[feature], feature, rate, bits)
    if noise and not rate:
        raise ZooError(f"the feature {feature!r} of {name} holds images; leave noise out")
    listings = {}
    taken: list[tuple[str, Any]] = []
    for split, wanted in {"train": train, "validation": validation, "test": test}.items():
        if wanted and wanted.split("[")[0].split("+")[0] not in existing:
            raise unknown(f"split of {name}", wanted, existing)
        wanted = wanted or (split if split in existing else "")  # noqa: PLW2901
        listings[split] = _Records(name, path, wanted, feature, rate, scale).listing()
        for part in existing[wanted].file_instructions if wanted else ():
            for other, record in taken:
                if other != split and _overlap(part, record):
                    raise ZooError(f"{split} {wanted!r} of {name} overlaps {other}; name others")
            taken.append((split, part))
    if not listings["validation"].items and fractions[1]:
        whole = listings["train"]
        cut = last(len(whole.items), fractions[1])
        listings["train"] = whole.subset(range(cut))
        listings["validation"] = whole.subset(range(cut, len(whole.items)))
    return with_noise(listings, noise, fractions, seed)


def _overlap(part: Any, other: Any) -> bool:
    """Whether two file instructions of tfds share a record."""
    ends = (part.skip + part.take, other.skip + other.take)
    return part.filename == other.filename and max(part.skip, other.skip) < min(ends)


def _sample_rate_and_scale(
    name: str, connector: Any, feature: str, rate: int, bits: int
) -> tuple[int, float]:
    """Samples per second and full scale of audio; 0 and 1 where the feature holds images."""
    if feature != "audio" and type(connector).__name__ != "Audio":
        return 0, 1.0
    rate = rate or getattr(connector, "sample_rate", None) or 0
    if rate < 1:
        raise ZooError(
            f"{name} does not state the sample rate of {feature!r}; set rate to its samples a "
            "second"
        )
    return rate, 1.0 if np.issubdtype(connector.np_dtype, np.floating) else 2.0 ** (bits - 1)


class _Records(NamedTuple):
    """The records of a split, opened on access; only these values are pickled.

    `split` is empty for no records, `rate` 0 for images; `scale` is full scale of audio.
    """

    name: str
    path: str
    split: str
    feature: str
    rate: int
    scale: float

    def listing(self) -> Listing:
        """The listing of all records."""
        numbers = range(len(_opened(*self[:4])) if self.split else 0)
        names = [f"{self.split}-{n:05}" for n in numbers]
        if not self.rate:
            return Listing(names, numbers, self.read_image)
        return Listing(names, numbers, self.read_audio, length=self.length)

    def read_image(self, number: int) -> tuple[np.ndarray, None]:
        """An image, as `Listing.read` returns it."""
        value, where = self._value(number)
        if isinstance(value, bytes):
            image = image_files.decode(value, where)
            features = _prepared(self.name, self.path).info.features
            if features[self.feature].np_dtype == np.float32:
                image = image.view(np.float32)  # tfds hides a float in four bytes of color
        else:
            image = np.asarray(value)
            image = image[..., None] if image.ndim == 2 else image
        return pixels.check(image, where), None

    def read_audio(
        self, number: int, form: Form, start: int = 0, frames: int | None = None
    ) -> tuple[np.ndarray, None]:
        """A piece of audio, as `Listing.read` returns it."""
        value, where = self._samples(number)
        if value.dtype.kind == "i" and np.abs(value).max(initial=0) > self.scale:
            raise ZooError(f"{where} holds {np.abs(value).max()}, more than its bits; set bits")
        x = pcm.check((value / self.scale).astype(np.float32), where)
        stop = None if frames is None else start + frames
        return form.finish(x, self.rate)[start:stop], None

    def length(self, number: int, form: Form) -> int:
        """Samples of audio, as `Listing.length` returns them."""
        return pcm.resampled_length(len(self._samples(number)[0]), self.rate, form.sample_rate)

    def _value(self, number: int) -> tuple[Any, str]:
        """The feature of a record, and its name in an error."""
        value = _opened(*self[:4])[number][self.feature]
        return value, f"{self.name} {self.split}-{number:05}"

    def _samples(self, number: int) -> tuple[np.ndarray, str]:
        value, where = self._value(number)
        value = np.asarray(value)
        return value[:, None] if value.ndim == 1 else value, where


# Cached once in each process.
@functools.lru_cache(maxsize=16)
def _opened(name: str, path: str, split: str, feature: str) -> Sequence[dict[str, Any]]:
    """The records of a split, each a dict of features, images still encoded."""
    import tensorflow_datasets as tfds  # noqa: PLC0415 - seconds and gigabytes for its users only

    builder = _prepared(name, path)
    # tfds decodes by Pillow, which makes 16-bit color 8-bit. The other images are not used.
    decoders = {
        key: tfds.decode.SkipDecoding()
        for key, connector in builder.info.features.items()
        if isinstance(connector, tfds.features.Image)
    }
    try:
        return builder.as_data_source(split, decoders=decoders)
    except Exception as error:
        raise ZooError(f"tfds cannot open {name} {split!r}: {first_line(error)}") from None


@functools.lru_cache(maxsize=4)
def _prepared(name: str, path: str):
    """The builder of a data set that is ready for reading."""
    import tensorflow_datasets as tfds  # noqa: PLC0415

    _spare_tensorflow()

    def build(**options):
        try:
            return tfds.builder(name, data_dir=path or None, try_gcs=False, **options)
        except Exception as error:
            raise ZooError(f"tfds has no {name!r} in {where}: {first_line(error)}") from None

    where = path or "~/tensorflow_datasets"
    builder = build()
    command = f"tfds build {name} --file_format=array_record --data_dir={where}"
    if not builder.is_prepared():
        if importlib.util.find_spec("tensorflow") is None:
            raise ZooError(
                f"{name} is not prepared in {where} and preparing it needs TensorFlow; "
                f"pip install 'denoising-zoo[tfds]' and run {command}"
            )
        builder = build(file_format="array_record")
        try:
            builder.download_and_prepare()
        except Exception as error:
            raise ZooError(
                f"tfds could not prepare {name}: {first_line(error)}; try {command}"
            ) from None
    elif "array_record" not in {form.value for form in builder.info.available_file_formats()}:
        raise ZooError(
            f"{name} in {where} is prepared as {builder.info.file_format.value}, which has no "
            f"random access; run {command} with another --data_dir and set path to it"
        )
    return builder


def _spare_tensorflow() -> None:
    """Allow data sets with the feature `Audio` to be described without TensorFlow.

    On construction the feature looks up a dtype in TensorFlow, for writing; reading does not use
    it. It has this name in tfds 4.9; in other versions nothing changes, and TensorFlow is needed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        from tensorflow_datasets.core.features import audio_feature  # noqa: PLC0415

        if hasattr(audio_feature, "_EagerDecoder"):
            audio_feature._EagerDecoder = lambda **_: None
