"""Sources of images: photographs of scikit-image, folders, the idx format, and tiles of others.

References:
  Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist, "the IDX file format".
"""

import functools
import gzip
import importlib.util
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo import files
from zoo.data import pixels
from zoo.data.file_kinds import IMAGE_SUFFIXES
from zoo.data.sources import folders
from zoo.data.sources.source import Example, Listing, last
from zoo.errors import ZooError

PHOTOS = {
    "train": (
        "brick.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "ihc.png",
        "moon.png",
        "motorcycle_left.png",
        "page.png",
        "retina.jpg",
        "rocket.jpg",
        "text.png",
    ),
    "validation": ("astronaut.png",),
    "test": ("chelsea.png", "coffee.png", "camera.png"),
}
"""The photographs inside scikit-image, in a fixed split, so that scores can be compared."""


_TRAIN = "train-images-idx3-ubyte"
_TEST = "t10k-images-idx3-ubyte"
_MAGIC = b"\0\0\x08\x03"  # two zeros, unsigned bytes, three dimensions
_HEADER = 16
# Decompressed bytes: twice the largest of the kind, EMNIST by class.
_LIMIT = 2**30


def list_folder(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    train: str | Sequence[str] = (),
    validation: str | Sequence[str] = (),
    test: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
) -> dict[str, Listing]:
    """List the images below a folder.

    Sub-folders named by `train`, `validation` and `test` make the splits. When none is named, the
    usual `train`, `validation` or `val`, and `test` do, where one of them exists; otherwise all
    images below the folder are split by `fractions`. If train has sub-folders and validation
    has none, it takes `fractions[1]` of train.

    BSDS500 without its leak into BSD68: `train=("train", "test"), validation="val",
    test="../cbsd68", exclude="../cbsd68"`.

    Args:
      path: the folder, searched with all its sub-folders, hidden files apart. A zip file of images
        and files of several planes count as folders: a `.npy` or `.npz` file, a multi-page TIFF,
        a volume. The planes of a stack (other than NumPy's) are in one split, unless there is
        one stack alone.
      fractions: shares of train, validation and test.
      seed: of the split by fractions.
      train: sub-folders of `path` (or absolute folders) with the images to train on.
      validation: the same to select on.
      test: the same to test on.
      exclude: glob patterns for the names, `"*_mask.png"`, or folders, relative to `path` or
        absolute: an image with the stem of one in such a folder is omitted, whatever the suffixes.
        That keeps a test set out of train and validation; from the sub-folders of test only
        patterns omit, so that the test set may be named in both.

    Returns:
      The listings; names are relative to `path`, with forward slashes.

    Raises:
      ZooError: a folder is missing or has no images, an image is in two splits, or `exclude` has no
        effect.
    """
    return folders.listings(
        path,
        fractions,
        seed,
        IMAGES,
        named={"train": train, "validation": validation, "test": test},
        exclude=exclude,
    )


def folder_channels(path: str) -> int:
    """Channels of the first image below a folder, alpha apart: 1 for gray, 3 for color.

    Raises:
      ZooError: there is no such folder, it has no images, or the first cannot be read.
    """
    listings = list_folder(path, (1.0, 0.0, 0.0), 0)
    listing = next(listing for listing in listings.values() if listing.names)
    image, _ = listing.read_any(listing.items[0])
    return pixels.without_alpha(image).shape[-1]


def list_photos(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
) -> dict[str, Listing]:
    """List the photographs that come with scikit-image: real images without a download.

    They are read as files: `skimage.data` would download what the wheel lacks. Omitted as drawings:
    chessboard, color, horse, logo, phantom, multipage, no_time_for_that. Omitted as photographs:
    motorcycle_right, the scene of motorcycle_left again; clock_motion, blurred; cell, a hologram
    with ringing; hubble_deep_field, whose sky is noise that a denoiser should not learn to keep;
    microaneurysms and lfw_subset, too small for a crop.

    Args:
      path: empty, or a folder with the same files.
      fractions: unused.
      seed: unused.

    Raises:
      ZooError: scikit-image is missing or lacks one of the files.
    """
    folder = Path(path) if path else _photos_folder()
    listings = {}
    for split, names in PHOTOS.items():
        for name in names:
            if not (folder / name).is_file():
                raise ZooError(f"{folder / name} is missing; reinstall scikit-image")
        items = [str(folder / name) for name in names]
        listings[split] = Listing([Path(name).stem for name in names], items, _read_image)
    return listings


def _photos_folder() -> Path:
    # Found, not imported: importing `skimage.data` prepares its downloads.
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ZooError("the photos come with scikit-image; pip install 'denoising-zoo[train]'")
    return Path(spec.submodule_search_locations[0], "data")


def _read_image(path: str, *, any_range: bool = False):
    return folders.read_image(path, any_range=any_range), None


IMAGES = folders.Files(
    "images",
    IMAGE_SUFFIXES,
    _read_image,
    read_any=functools.partial(_read_image, any_range=True),
    around=folders.around,
)


def list_idx(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
) -> dict[str, Listing]:
    """List the images of the idx format of MNIST and its variants; labels are not needed.

    Args:
      path: the folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, either with
        `.gz` or without.
      fractions: only `fractions[1]` counts: the last share of the training file is validation.
      seed: unused.

    Returns:
      The listings, named `train-00000`, `test-00000` and so on by index in the file.

    Raises:
      ZooError: a file is missing, truncated or not in the format.
    """
    root = folders.existing(path, "the folder of idx files")
    train, test = _find(root, _TRAIN), _find(root, _TEST)
    count = len(_pixels(train))
    cut = last(count, fractions[1])
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
    return Listing(
        [f"{prefix}-{n:05}" for n in numbers], numbers, functools.partial(_read_idx, file)
    )


def _read_idx(file: str, number: int):
    return _pixels(file)[number][..., None], None


# Cached once in each process (47 MB for MNIST): gzip has no random access.
@functools.lru_cache(maxsize=4)
def _pixels(file: str) -> np.ndarray:
    """All images `(N, H, W)` of a file, uint8, not writeable."""
    with files.opened(file) as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            return _decoded(gzip.GzipFile(fileobj=raw) if packed else raw, file)
        except (OSError, EOFError, zlib.error) as error:
            raise ZooError(f"cannot read {file}: {error}; fetch it again") from None


def _decoded(stream: BinaryIO, file: str) -> np.ndarray:
    """The images; no more is decompressed than the header states, nor than `_LIMIT`."""
    head = stream.read(_HEADER)
    if not head.startswith(_MAGIC):
        raise ZooError(f"{file} is not an idx file of images: it begins with {head[:4].hex()}")
    shape = tuple(int.from_bytes(head[at : at + 4], "big") for at in range(4, _HEADER, 4))
    if math.prod(shape) > _LIMIT:
        raise ZooError(f"{file} states {shape} pixels, more than {_LIMIT}; split it")
    pixels = np.empty(math.prod(shape), np.uint8)
    view, filled = memoryview(pixels), 0
    while count := stream.readinto(view[filled:]):
        filled += count
    if len(head) < _HEADER or filled < len(pixels) or stream.read(1):
        raise ZooError(
            f"{file} is truncated or too long: {len(head) + filled} bytes or more for {shape} "
            "pixels; fetch it again"
        )
    pixels.flags.writeable = False
    return pixels.reshape(shape)


def cut_tiles(images: Sequence[Example], size: tuple[int, int]) -> Listing:
    """Cut images into tiles that do not overlap, and keep them in memory.

    The remainder at the right and at the bottom belongs to no tile; an image smaller than a tile
    gives none.

    Args:
      images: images of any sizes; each is read once, now.
      size: height and width of a tile in pixels.
    """
    height, width = size
    names: list[str] = []
    items: list[tuple[np.ndarray, np.ndarray | None]] = []
    for image in images:
        rows, columns = image.target.shape[0] // height, image.target.shape[1] // width
        for row in range(rows):
            for column in range(columns):
                tile = np.s_[
                    row * height : (row + 1) * height, column * width : (column + 1) * width
                ]
                names.append(f"{image.name}_{row}_{column}")
                noisy = None if image.input is None else image.input[tile]
                items.append((image.target[tile], noisy))
    return Listing(names, items, tuple)
