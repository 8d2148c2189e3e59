"""Image files for tests of the page."""

import struct

import numpy as np
from PIL import Image


def photo(path, shape=(40, 60, 3), **options):
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    Image.fromarray(values).save(path, **options)
    return path


def tiff(path, width, height, samples, bits, *, pages=1):
    """Headers that say so, of a file with hardly any pixels."""
    at, blob = 8, b""
    for page in range(pages):
        tags = [
            *((256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 8), (262, 3, 1)),
            *((273, 4, 4), (277, 3, samples), (278, 4, height), (279, 4, 4), (339, 3, 3)),
        ]
        blob += struct.pack("<H", len(tags))
        blob += b"".join(struct.pack("<HHII", code, kind, 1, value) for code, kind, value in tags)
        at = 8 + len(blob) + 4
        blob += struct.pack("<I", at if page + 1 < pages else 0)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + blob)
    return path
