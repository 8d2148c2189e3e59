"""Images for the tests of files, and how they are held against each other."""

import numpy as np
from PIL import Image

from zoo.data import image_files

SHAPE = (9, 13)


def random(channels, dtype=np.uint8, shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random((*shape, channels), np.float32)
    return rng.integers(0, np.iinfo(dtype).max, (*shape, channels), dtype, endpoint=True)


def pil(channels, mode=None):
    array = random(channels)
    image = Image.fromarray(array[..., 0] if channels == 1 else array)
    return image if mode is None else image.convert(mode)


def save(path, image, kind, **options):
    image.save(path, kind, **options)
    return path


def same(path, expected):
    photo = image_files.read(path)
    assert photo.dtype == expected.dtype
    np.testing.assert_array_equal(photo, expected if expected.ndim == 3 else expected[..., None])


FILES = ["png", "jpg", "bmp", "tif", "webp"]


def encoded(tmp_path, suffix):
    path = tmp_path / f"whole.{suffix}"
    image_files.write(path, random(3, shape=(64, 80)))
    return path.read_bytes()
