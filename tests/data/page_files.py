"""What the tests of image files share."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from zoo.data.image_files import read_pages, write_pages
from zoo.errors import ZooError

SHAPE = (9, 13)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" word="kept"/></x:xmpmeta>'
UPRIGHT_XMP = XMP.replace(b'"6"', b'"1"')


def random(channels, dtype=np.uint8, shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random((*shape, channels)).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, (*shape, channels), dtype, endpoint=True)


def smooth(shape=(32, 48)):
    ramp = np.add.outer(np.linspace(20, 120, shape[0]), np.linspace(0, 110, shape[1]))
    return np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1).astype(np.uint8)


def squeezed(image):
    return image[..., 0] if image.shape[-1] == 1 else image


def pil(channels=3):
    return Image.fromarray(squeezed(random(channels)))


def one(path):
    (page,) = read_pages(path)
    return page


def again(path, suffix=None):
    """The file read and written; the new one's path, and what was not kept."""
    target = path.with_name(f"{path.stem}-again{suffix or path.suffix}")
    pages = read_pages(path)
    lost = write_pages(target, list(pages))
    return target, tuple(line for page in pages for line in page.lost) + lost


def refused(match, call, *args, **options):
    with pytest.raises(ZooError, match=match) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
