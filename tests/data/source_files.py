"""Folders of images for the tests of sources."""

import numpy as np
import pytest

from zoo.data import image_files, sources
from zoo.errors import ZooError


def make_image(seed, shape=(8, 10, 3), dtype=np.uint8):
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def fill(folder, names, **options):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image_files.write(folder / name, make_image(seed, **options))
    return str(folder)


def names_of(loaded):
    return {split: list(source.names) for split, source in loaded.items()}


def refused(match, kind, **options):
    with pytest.raises(ZooError, match=match) as caught:
        sources.load(kind, **{"channels": 3} | options)
    assert "\n" not in str(caught.value)
