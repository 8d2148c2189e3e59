"""NIfTI-1 and NIfTI-2, by nibabel: the header and its extensions are those of the file read.

References:
  NIfTI-1 and NIfTI-2 data formats, nifti.nimh.nih.gov.
"""

from collections.abc import Sequence
from typing import BinaryIO

import nibabel
import numpy as np

from zoo.data.science.stacks import Block, Totals
from zoo.errors import ZooError

_NIFTI_1 = 348
_MOST_1 = 32767
# Of one channel, and colors of 8 bits, which the format has by types of their own.
_HELD = frozenset(map(np.dtype, "bBhHiIlLfd")) | {np.dtype("i8"), np.dtype("u8")}
_COLORS = {3: np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])}
_COLORS[4] = np.dtype([*_COLORS[3].descr, ("A", "u1")])


def layout(file: BinaryIO, name: str) -> list[Block]:
    """Where the array is; its first axis, x, is the last of a plane.

    Raises:
      ZooError: it holds complex numbers or the like.
      Exception: the header is broken.
    """
    file.seek(0)
    size = file.read(4)
    file.seek(0)
    first = _NIFTI_1 in (int.from_bytes(size, order) for order in ("little", "big"))
    kind = nibabel.Nifti1Header if first else nibabel.Nifti2Header
    header = kind.from_fileobj(file, check=False)
    shape, dtype = header.get_data_shape()[::-1], header.get_data_dtype()
    if any(side < 1 for side in shape):
        raise ValueError(f"its shape is {shape[::-1]}")
    channels = dtype.fields is not None and len(dtype.fields) in _COLORS
    if dtype.fields is not None and not channels:
        raise ZooError(f"{name} holds values of type {dtype}; save it as integers or real floats")
    if channels:
        shape, dtype = (*shape, len(dtype.fields)), np.dtype(np.uint8)
    return [Block(int(header.get_data_offset()), shape, dtype, channels=channels)]


def refusal(dtype: np.dtype, channels: int) -> str:
    """Why such planes cannot be held; empty where they can."""
    if channels > 1:
        color = channels in _COLORS and dtype == np.uint8
        return "" if color else "NIfTI holds gray, and color of 8 bits; end it in .tif"
    return "" if dtype in _HELD else f"NIfTI holds no {dtype}; end it in .tif or .npy"


def create(file: BinaryIO, shape: Sequence[int], dtype: np.dtype) -> None:
    """Writes a file of zeros, of unknown place in space."""
    if len(shape) > 2 and shape[-1] in _COLORS and dtype == np.uint8:
        shape, dtype = shape[:-1], _COLORS[shape[-1]]
    kind = nibabel.Nifti1Header if max(shape) <= _MOST_1 else nibabel.Nifti2Header
    header = kind()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape[::-1])
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    # No extensions follow.
    file.write(header.binaryblock + bytes(4))
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    file.truncate(header.single_vox_offset + size)


def finish(file: BinaryIO, totals: Sequence[Totals]) -> None:
    """The header says nothing of the values, but for the window they are shown in."""
