"""Data sets of TensorFlow Datasets, prepared as array_record and read without TensorFlow."""

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.data import images
from zoo.data.sources import split as splitting
from zoo.data.sources.contract import Listing
from zoo.errors import ZooError, unknown


def splits(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    name: str,
    feature: str = "image",
    train: str = "",
    validation: str = "",
    test: str = "",
) -> dict[str, Listing]:
    """List the pictures of a data set; its other features are not read.

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
        uint8, uint16 or floats in [0, 1].
      train: the split to train on; a slice such as `"train[:90%]"` will do. Empty for `train`.
      validation: the same to select on. Empty for `validation`, where there is one.
      test: the same to test on. Empty for `test`, where there is one.

    Returns:
      The listings, named by split and place, `train-00000`.

    Raises:
      ZooError: the data set, a split or the feature does not exist, or it is not prepared and
        TensorFlow is missing.
    """
    builder = _prepared(name, path)
    if feature not in builder.info.features:
        raise unknown(f"feature of {name}", feature, builder.info.features)
    existing = builder.info.splits
    asked = {"train": train, "validation": validation, "test": test}
    listings = {}
    taken: list[tuple[str, Any]] = []
    for split, wanted in asked.items():
        if wanted and wanted.split("[")[0].split("+")[0] not in existing:
            raise unknown(f"split of {name}", wanted, existing)
        wanted = wanted or (split if split in existing else "")  # noqa: PLW2901
        count = len(_opened(name, path, wanted, feature)) if wanted else 0
        listings[split] = _listing(name, path, wanted, feature, range(count))
        for part in existing[wanted].file_instructions if wanted else ():
            for other, record in taken:
                if other != split and _overlap(part, record):
                    raise ZooError(f"{split} {wanted!r} of {name} overlaps {other}; name others")
            taken.append((split, part))
    if not listings["validation"].items and fractions[1]:
        whole = listings["train"]
        cut = splitting.last(len(whole.items), fractions[1])
        listings["train"] = whole._replace(names=whole.names[:cut], items=whole.items[:cut])
        listings["validation"] = whole._replace(names=whole.names[cut:], items=whole.items[cut:])
    return listings


def _overlap(part: Any, other: Any) -> bool:
    """Whether two file instructions of tfds share a record."""
    ends = (part.skip + part.take, other.skip + other.take)
    return part.filename == other.filename and max(part.skip, other.skip) < min(ends)


def _listing(name: str, path: str, split: str, feature: str, numbers: range) -> Listing:
    read = functools.partial(_read, name, path, split, feature)
    return Listing([f"{split}-{n:05}" for n in numbers], numbers, read)


def _read(name: str, path: str, split: str, feature: str, number: int):
    value = _opened(name, path, split, feature)[number][feature]
    where = f"{name} {split}-{number:05}"
    if isinstance(value, bytes):
        picture = images.decode(value, where)
        if _prepared(name, path).info.features[feature].np_dtype == np.float32:
            picture = picture.view(np.float32)  # tfds hides a float in four bytes of colour
    else:
        picture = np.asarray(value)
        picture = picture[..., None] if picture.ndim == 2 else picture
    return images.check(picture, where), None


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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
