"""Thousands of damaged images: each is read, or refused in one line, soon, in little memory."""

import io
import random
import resource
import sys
import time

import numpy as np
import pytest
import tifffile
from page_files import ICC, XMP, smooth
from page_files import random as noise
from PIL import Image

from zoo.data.image_files import read_pages, write_pages
from zoo.errors import ZooError

CASES, SECONDS, GROWTH = 6000, 5.0, 2**29


def whole():
    """Small files of all formats, and of many kinds of TIFF."""
    colored, found = Image.fromarray(smooth()), []
    for form, modes in {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
        "JPEG": ("L", "RGB", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("L", "P"),
        "BMP": ("1", "P", "RGB"),
        "AVIF": ("L", "RGBA"),
        "TIFF": ("1", "P", "RGB", "YCbCr"),
    }.items():
        for mode in modes:
            out = io.BytesIO()
            beside = {} if form in ("GIF", "BMP") else {"icc_profile": ICC, "xmp": XMP}
            colored.convert(mode).save(out, form, **beside)
            found.append(out.getvalue())
    stack = np.stack([noise(1, np.uint16)[..., 0]] * 3)
    for options in (
        {},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw", "bigtiff": True},
        {"compression": "zstd", "tile": (16, 16)},
        {"imagej": True, "truncate": True},
        {"byteorder": ">"},
    ):
        out = io.BytesIO()
        tifffile.imwrite(out, stack, photometric="minisblack", **options)
        found.append(out.getvalue())
    for compression in ("jpeg", "packbits", "webp", "jpeg2000"):
        out = io.BytesIO()
        tifffile.imwrite(out, smooth(), photometric="rgb", compression=compression)
        found.append(out.getvalue())
    return found


def damaged(data, rng):
    """Cut off, bytes taken out or put in, or overwritten, most often where headers are."""
    data, way = bytearray(data), rng.random()
    at = rng.randrange(len(data))
    if way < 0.2:
        return data[:at]
    if way < 0.4:
        data[at : at + rng.choice((0, 1, 99))] = rng.randbytes(rng.randrange(400))
        return data
    for _ in range(rng.choice((1, 2, 4, 20))):
        at = rng.randrange(min(len(data), rng.choice((32, 300, 3000))))
        # Directories of TIFF lie at the end as well.
        data[-at if way > 0.8 else at] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
    return data


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is counted in other units")
def test_damaged_images(tmp_path):
    rng, files = random.Random(0), whole()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in range(CASES):
        path = tmp_path / "a"
        path.write_bytes(damaged(rng.choice(files), rng))
        start, reported = time.process_time(), ""
        try:
            write_pages(tmp_path / "b.tif", list(read_pages(path)), overwrite=True)
        except ZooError as error:
            reported = str(error)
        assert "\n" not in reported, case
        assert "remove" not in reported, case
        assert time.process_time() - start < SECONDS, case
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < GROWTH
