"""Archives of images: zip files, NumPy's arrays, TIFF files, and volumes of `zoo.data.science`.

Sources treat them as folders: `photos.zip/train/1.png`, `stack.npy/17`, `head.nii.gz/17`,
`movie.tif/17`, and in a `.npz` with several arrays `set.npz/noisy/17`. A file with one image is an
image: `1.npy`.
"""

import functools
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo import files
from zoo.data import file_kinds, image_files, pixels, windows
from zoo.data.image_decoding import intact
from zoo.errors import ZooError

SUFFIXES = frozenset({".npy", ".npz", ".zip", ".tif", ".tiff"}) | file_kinds.SCIENCE_SUFFIXES
"""Their suffixes, in lower case."""

# The most bytes of a file in a zip, or of an array: those of the largest image.
_LIMIT = 4 * pixels.PIXEL_LIMIT
_CHANNELS = 4
_NUMPY = frozenset({".npy", ".npz"})


def split(path: str | os.PathLike) -> tuple[str, str] | None:
    """Split a path into an archive and the name of an image or a folder in it.

    Returns:
      The two; None where no part of the path is an archive.
    """
    path = Path(path)
    for parent in (path, *path.parents):
        there = parent.is_file() or file_kinds.is_store(parent)
        if file_kinds.ending(parent) in SUFFIXES and there:
            inside = path.relative_to(parent).as_posix()
            return str(parent), "" if inside == "." else inside
    return None


def names(file: str | os.PathLike) -> tuple[list[str], list[str]]:
    """The names of the images in an archive, and of its other files, sorted.

    A NumPy file of one image has the single name `""`.

    Raises:
      ZooError: it is damaged, or does not hold the values of images.
    """
    file = str(file)
    if Path(file).suffix.lower() == ".zip":
        inside = [name for name in _zip(file).namelist() if not name.endswith("/")]
        inside = [name for name in inside if not _is_hidden(name)]
        known = [name for name in inside if Path(name).suffix.lower() in file_kinds.PLAIN_SUFFIXES]
        return sorted(known), sorted({*inside} - {*known})
    if file_kinds.ending(file) not in _NUMPY:
        count = len(_pages_of(file))
        return [""] if count == 1 else [f"{n:05}" for n in range(count)], []
    keys, found = _keys(file), []
    for key in keys:
        prefix = "" if len(keys) == 1 else key
        count = _count(_shape(file, key), f"{file}/{key}" if prefix else file)
        last = [""] if count is None else [f"{n:05}" for n in range(count)]
        found += ["/".join(filter(None, (prefix, one))) for one in last]
    return found, []


def read(file: str, name: str, *, any_range: bool = False) -> np.ndarray:
    """Read an image by its name, as `zoo.data.image_files.read` does.

    Raises:
      ZooError: it is damaged, or not an image.
    """
    full = f"{file}/{name}" if name else file
    with intact("archive", full):
        if Path(file).suffix.lower() == ".zip":
            return image_files.decode(_unzipped(file, name), full, any_range=any_range)
        if file_kinds.ending(file) not in _NUMPY:
            if not name:
                return image_files.read(file, any_range=any_range)
            image = _pages_of(file)[int(name)].image
            return pixels.check(image, full, any_range=any_range)
        keys = _keys(file)
        key, _, number = ("", "", name) if len(keys) == 1 else name.partition("/")
        image = _array(file, key or keys[0], os.stat(file).st_mtime_ns)
        if number:
            image = image[int(number)]
        else:
            _count(image.shape, full)
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype == np.bool_:
        image = image * np.uint8(255)
    return pixels.check(np.array(image), full, any_range=any_range)


def around(file: str, name: str, window: int, *, frames: bool) -> list[str]:
    """The names of the planes of a window; see `zoo.data.windows.around`.

    Args:
      file: the archive.
      name: of the image in the center.
      window, frames: as there.

    Raises:
      ZooError: it is no stack, or not so deep.
    """
    full = f"{file}/{name}" if name else file
    key, _, last = name.rpartition("/")
    if not last.isdecimal() or Path(file).suffix.lower() == ".zip":
        windows.around(0, [()], window, full, frames=frames)
        return [name]
    if file_kinds.ending(file) in _NUMPY:
        stacks = [(("", _count(_shape(file, key or _keys(file)[0]), full)),)]
    else:
        stacks = _pages_of(file).stacks
    numbers = windows.around(int(last), stacks, window, file, frames=frames)
    return ["/".join(filter(None, (key, f"{n:05}"))) for n in numbers]


def stack_of(name: str) -> str:
    """The file of a plane by the plane's name, `head.nii.gz/00017`; of other images the name.

    NumPy's arrays hold images that may have nothing to do with each other.
    """
    file, _, last = name.rpartition("/")
    planes = last.isdecimal() and file_kinds.ending(file) in SUFFIXES - _NUMPY - {".zip"}
    return file if planes else name


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _count(shape: Sequence[int], name: str) -> int | None:
    """The number of images in an array of a shape; None for one that is an image itself."""
    axes = len(shape)
    last = axes in (3, 4) and shape[-1] <= _CHANNELS
    if axes == 2 or (axes == 3 and last):
        return None
    # Three images of one channel, or one of three? A fourth axis makes it unambiguous.
    if (axes == 3 and shape[0] > _CHANNELS) or (axes == 4 and last):
        return shape[0]
    raise ZooError(
        f"{name} has the shape {tuple(shape)}; save an image as (height, width, channels) and "
        "several as (images, height, width, channels), with 1 to 4 channels"
    )


def _keys(file: str) -> list[str]:
    """The names of the arrays in a file; `""` for one without names."""
    if Path(file).suffix.lower() == ".npy":
        return [""]
    keys = [name.removesuffix(".npy") for name in _zip(file).namelist() if name.endswith(".npy")]
    if not keys:
        raise ZooError(f"{file} holds no arrays; write it with numpy.savez")
    return keys


def _shape(file: str, key: str) -> tuple[int, ...]:
    """The shape of an array, read without its values.

    Raises:
      ZooError: it is damaged, larger than an image can be, or holds Python objects.
    """
    name = f"{file}/{key}" if key else file
    with intact("archive", name):
        if key:
            stored = _zip(file).getinfo(f"{key}.npy").file_size
            stream = _zip(file).open(f"{key}.npy")
        else:
            stored, stream = os.path.getsize(file), files.opened(file)
        with stream:
            major, _ = np.lib.format.read_magic(stream)
            shape, _, dtype = getattr(np.lib.format, f"read_array_header_{min(major, 2)}_0")(stream)
            wanted = stream.tell() + dtype.itemsize * int(np.prod(shape, dtype=object))
    if dtype.hasobject:
        raise ZooError(f"{name} holds Python objects, which are not read; save plain numbers")
    if stored < wanted:
        raise ZooError(f"{name} is truncated: {stored} of {wanted} bytes; fetch it again")
    if key and wanted > _LIMIT:
        raise ZooError(f"{name} takes {wanted:,} bytes, too many; save it as .npy, uncompressed")
    return shape


def _pages_of(file: str) -> image_files.Pages:
    # Open files and their positions would be shared with forked processes.
    return _pages(file, os.stat(file).st_mtime_ns, os.getpid())


# Some are unpacked when they are opened.
@functools.lru_cache(maxsize=16)
def _pages(file: str, changed: int, process: int) -> image_files.Pages:
    del changed, process
    return image_files.read_pages(file)


# Images of one file are usually read one after the other.
@functools.lru_cache(maxsize=1)
def _array(file: str, key: str, changed: int) -> np.ndarray:
    del changed  # a modified file is read again
    shape = _shape(file, key)
    if not key:
        return np.load(file, mmap_mode="r" if 0 not in shape else None, allow_pickle=False)
    with _zip(file).open(f"{key}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _unzipped(file: str, name: str) -> bytes:
    info = _zip(file).getinfo(name)
    if info.flag_bits & 1:
        raise ZooError(f"{file}/{name} is encrypted; unpack {file} with its password first")
    if info.file_size > _LIMIT:
        raise ZooError(f"{file}/{name} unpacks to {info.file_size:,} bytes, more than an image has")
    with _zip(file).open(info) as stream:
        # Bounded, whatever the zip contains.
        return stream.read(info.file_size)


def _zip(file: str) -> zipfile.ZipFile:
    # An open file and its position would be shared with forked processes.
    return _opened(file, os.stat(file).st_mtime_ns, os.getpid())


@functools.lru_cache(maxsize=8)
def _opened(file: str, changed: int, process: int) -> zipfile.ZipFile:
    del changed, process
    with intact("archive", file):
        return zipfile.ZipFile(files.regular(file))
