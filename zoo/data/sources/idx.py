"""The idx format of MNIST and its kin (Fashion-MNIST, KMNIST, EMNIST).

References:
  Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist, "the IDX file format".
"""

import functools
import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo import files
from zoo.data.sources import split
from zoo.data.sources.contract import Listing
from zoo.data.sources.files import existing
from zoo.errors import ZooError

_TRAIN = "train-images-idx3-ubyte"
_TEST = "t10k-images-idx3-ubyte"
_MAGIC = b"\0\0\x08\x03"  # two zeros, unsigned bytes, three dimensions
_HEADER = 16
# Bytes, unpacked: twice the largest of the kind, EMNIST by class.
_LIMIT = 2**30


def splits(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
) -> dict[str, Listing]:
    """List the pictures of a folder with the standard names; labels are not needed.

    Args:
      path: the folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, either with
        `.gz` or without.
      fractions: only `fractions[1]` counts: the last share of the training file is validation.
      seed: unused.

    Returns:
      The listings, named `train-00000`, `test-00000` and so on by place in the file.

    Raises:
      ZooError: a file is missing, truncated or not in the format.
    """
    root = existing(path, "the folder of idx files")
    train, test = _find(root, _TRAIN), _find(root, _TEST)
    count = len(_pixels(train))
    cut = split.last(count, fractions[1])
    return {
        "train": _listing(train, "train", range(cut)),
        "validation": _listing(train, "train", range(cut, count)),
        "test": _listing(test, "test", range(len(_pixels(test)))),
    }


def _find(root: Path, name: str) -> str:
    for file in (root / name, root / f"{name}.gz"):
        if file.is_file():
            return str(file)
    raise ZooError(f"{root} has no {name} or {name}.gz; set path to the folder with the idx files")


def _listing(file: str, prefix: str, numbers: range) -> Listing:
    return Listing([f"{prefix}-{n:05}" for n in numbers], numbers, functools.partial(_read, file))


def _read(file: str, number: int):
    return _pixels(file)[number][..., None], None


# Kept once in each process (47 MB for MNIST): a gzip file cannot be entered in the middle. What is
# pickled is only the path.
@functools.lru_cache(maxsize=4)
def _pixels(file: str) -> np.ndarray:
    """All pictures `(N, H, W)` of a file, uint8, not writeable."""
    with files.opened(file) as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            return _decoded(gzip.GzipFile(fileobj=raw) if packed else raw, file)
        except (OSError, EOFError, zlib.error) as error:
            raise ZooError(f"cannot read {file}: {error}; fetch it again") from None


def _decoded(stream: BinaryIO, file: str) -> np.ndarray:
    """The pictures; no more is unpacked than the head of the file says, nor than `_LIMIT`."""
    head = stream.read(_HEADER)
    if not head.startswith(_MAGIC):
        raise ZooError(f"{file} is no idx file of pictures: it begins with {head[:4].hex()}")
    shape = tuple(int.from_bytes(head[at : at + 4], "big") for at in range(4, _HEADER, 4))
    if math.prod(shape) > _LIMIT:
        raise ZooError(f"{file} says it has {shape} pixels, more than {_LIMIT}; split it")
    pixels = np.empty(math.prod(shape), np.uint8)
    room, filled = memoryview(pixels), 0
    while count := stream.readinto(room[filled:]):
        filled += count
    if len(head) < _HEADER or filled < len(pixels) or stream.read(1):
        raise ZooError(
            f"{file} is truncated or too long: {len(head) + filled} bytes or more for {shape} "
            "pixels; fetch it again"
        )
    pixels.flags.writeable = False
    return pixels.reshape(shape)
