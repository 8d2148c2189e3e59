"""Data sets of TensorFlow Datasets, prepared as array_record and read without TensorFlow."""

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.data import image_files, pcm, pixels
from zoo.data.sources.audio_sources import with_noise
from zoo.data.sources.source import Form, Listing, last
from zoo.errors import ZooError, unknown


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
    """List the pictures or the recordings of a data set; its other features are not read.

    One that is not prepared yet is downloaded and prepared, which needs TensorFlow; reading does
    not.

    Args:
      path: the `data_dir` of tfds; empty for its default, `~/tensorflow_datasets`.
      fractions: only `fractions[1]` counts, and only without a validation split: the last share of
        train is validation.
      seed: unused.
      name: the data set, `"mnist"`, with a config and a version if need be,
        `"imagenet_resized/32x32:0.1.0"`.
      feature: the feature with the picture: an `Image`, or a tensor `(H, W)` or `(H, W, C)` of
        uint8, uint16 or floats in [0, 1]. One named `audio`, or of the kind `Audio`, holds
        recordings: integers of `bits` bits or floats in [-1, 1], `(T,)` or `(T, C)`. Empty for
        `image`, or for `audio` where there is no `image`.
      train: the split to train on; a slice such as `"train[:90%]"` will do. Empty for `train`.
      validation: the same to select on. Empty for `validation`, where there is one.
      test: the same to test on. Empty for `test`, where there is one.
      rate: samples a second of the recordings, where the feature does not say.
      bits: of the integers of recordings.
      noise: a folder of noise recordings to mix with them, as for `recordings`.

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
    sound = _sound(name, features[feature], feature, rate, bits)
    if noise and not sound:
        raise ZooError(f"the feature {feature!r} of {name} holds pictures; leave noise out")
    asked = {"train": train, "validation": validation, "test": test}
    listings = {}
    taken: list[tuple[str, Any]] = []
    for split, wanted in asked.items():
        if wanted and wanted.split("[")[0].split("+")[0] not in existing:
            raise unknown(f"split of {name}", wanted, existing)
        wanted = wanted or (split if split in existing else "")  # noqa: PLW2901
        count = len(_opened(name, path, wanted, feature)) if wanted else 0
        listings[split] = _listing(name, path, wanted, feature, range(count), sound)
        for part in existing[wanted].file_instructions if wanted else ():
            for other, record in taken:
                if other != split and _overlap(part, record):
                    raise ZooError(f"{split} {wanted!r} of {name} overlaps {other}; name others")
            taken.append((split, part))
    if not listings["validation"].items and fractions[1]:
        whole = listings["train"]
        cut = last(len(whole.items), fractions[1])
        listings["train"] = whole._replace(names=whole.names[:cut], items=whole.items[:cut])
        listings["validation"] = whole._replace(names=whole.names[cut:], items=whole.items[cut:])
    return with_noise(listings, noise, fractions, seed)


def _overlap(part: Any, other: Any) -> bool:
    """Whether two file instructions of tfds share a record."""
    ends = (part.skip + part.take, other.skip + other.take)
    return part.filename == other.filename and max(part.skip, other.skip) < min(ends)


class _Sound(NamedTuple):
    """How the numbers of a recording are meant: samples a second, and full scale."""

    rate: int
    scale: float


def _sound(name: str, connector: Any, feature: str, rate: int, bits: int) -> _Sound | None:
    """What is known of recordings; None where the feature holds pictures."""
    if feature != "audio" and type(connector).__name__ != "Audio":
        return None
    rate = rate or getattr(connector, "sample_rate", None) or 0
    if rate < 1:
        raise ZooError(
            f"{name} does not say the sample rate of {feature!r}; set rate to its samples a second"
        )
    return _Sound(
        rate, 1.0 if np.issubdtype(connector.np_dtype, np.floating) else 2.0 ** (bits - 1)
    )


def _listing(
    name: str, path: str, split: str, feature: str, numbers: range, sound: _Sound | None
) -> Listing:
    names = [f"{split}-{n:05}" for n in numbers]
    where = (name, path, split, feature)
    if sound is None:
        return Listing(names, numbers, functools.partial(_read, *where))
    read = functools.partial(_read_recording, *where, sound)
    return Listing(names, numbers, read, (), functools.partial(_length, *where, sound))


def _read_recording(
    name: str,
    path: str,
    split: str,
    feature: str,
    sound: _Sound,
    number: int,
    form: Form,
    start: int = 0,
    frames: int | None = None,
) -> tuple[np.ndarray, None]:
    value = _samples(name, path, split, feature, number)
    where = f"{name} {split}-{number:05}"
    if value.dtype.kind == "i" and np.abs(value).max(initial=0) > sound.scale:
        raise ZooError(f"{where} holds {np.abs(value).max()}, more than its bits; set bits")
    x = pcm.check((value / sound.scale).astype(np.float32), where)
    stop = None if frames is None else start + frames
    return form.finish(x, sound.rate)[start:stop], None


def _length(
    name: str, path: str, split: str, feature: str, sound: _Sound, number: int, form: Form
) -> int:
    length = len(_samples(name, path, split, feature, number))
    return pcm.resampled_length(length, sound.rate, form.sample_rate)


def _samples(name: str, path: str, split: str, feature: str, number: int) -> np.ndarray:
    value = np.asarray(_opened(name, path, split, feature)[number][feature])
    return value[:, None] if value.ndim == 1 else value


def _read(name: str, path: str, split: str, feature: str, number: int):
    value = _opened(name, path, split, feature)[number][feature]
    where = f"{name} {split}-{number:05}"
    if isinstance(value, bytes):
        picture = image_files.decode(value, where)
        if _prepared(name, path).info.features[feature].np_dtype == np.float32:
            picture = picture.view(np.float32)  # tfds hides a float in four bytes of colour
    else:
        picture = np.asarray(value)
        picture = picture[..., None] if picture.ndim == 2 else picture
    return pixels.check(picture, where), None


# Kept once in each process; what is pickled is only the name and the path.
@functools.lru_cache(maxsize=16)
def _opened(name: str, path: str, split: str, feature: str) -> Sequence[dict[str, Any]]:
    """The records of a split, each a dict of features, pictures still encoded."""
    import tensorflow_datasets as tfds  # noqa: PLC0415 - seconds and gigabytes for its users only

    builder = _prepared(name, path)
    # Our own decoder: that of tfds is Pillow, which makes 16-bit colour 8-bit. Skipping the other
    # images too saves decoding what nobody looks at.
    decoders = {
        key: tfds.decode.SkipDecoding()
        for key, connector in builder.info.features.items()
        if isinstance(connector, tfds.features.Image)
    }
    try:
        return builder.as_data_source(split, decoders=decoders)
    except Exception as error:
        raise ZooError(f"tfds cannot open {name} {split!r}: {_first_line(error)}") from None


@functools.lru_cache(maxsize=4)
def _prepared(name: str, path: str):
    """The builder of a data set that is ready to be read."""
    import tensorflow_datasets as tfds  # noqa: PLC0415

    _spare_tensorflow()

    def build(**options):
        try:
            return tfds.builder(name, data_dir=path or None, try_gcs=False, **options)
        except Exception as error:
            raise ZooError(f"tfds has no {name!r} in {where}: {_first_line(error)}") from None

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
                f"tfds could not prepare {name}: {_first_line(error)}; try {command}"
            ) from None
    elif "array_record" not in {form.value for form in builder.info.available_file_formats()}:
        raise ZooError(
            f"{name} in {where} is prepared as {builder.info.file_format.value}, which has no "
            f"random access; run {command} with another --data_dir and set path to it"
        )
    return builder


def _spare_tensorflow() -> None:
    """Lets data sets with the feature `Audio` be described without TensorFlow.

    On being made the feature looks up a dtype in TensorFlow, for the encoding of files; reading
    never needs it.
    """
    if importlib.util.find_spec("tensorflow") is not None:
        return
    from tensorflow_datasets.core.features import audio_feature  # noqa: PLC0415

    class Unneeded:
        """Stands where the encoder of files would."""

        def __init__(self, **description):
            pass

    # By this name in tfds 4.9; elsewhere nothing changes, and TensorFlow is asked for as before.
    if hasattr(audio_feature, "_EagerDecoder"):
        audio_feature._EagerDecoder = Unneeded


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
