"""Arrays of NumPy: `(H, W)`, `(H, W, C)` of up to four channels, and any axes before these."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from zoo.data.science.stacks import Block, Totals
from zoo.errors import ZooError

_CHANNELS = 4


def layout(file: BinaryIO, name: str) -> list[Block]:
    """Where the array is; a last axis of three axes or more, of up to four, is one of channels.

    Raises:
      ZooError: it holds Python objects, or nothing.
      Exception: it is broken.
    """
    file.seek(0)
    major, _ = np.lib.format.read_magic(file)
    read = getattr(np.lib.format, f"read_array_header_{min(major, 2)}_0")
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ZooError(f"{name} holds Python objects, which are not read; save plain numbers")
    channels = len(shape) > 2 and shape[-1] <= _CHANNELS
    return [Block(file.tell(), shape, dtype, "F" if fortran else "C", channels)]


def refusal(dtype: np.dtype, channels: int) -> str:
    """It holds any planes."""
    return ""


def create(file: BinaryIO, shape: Sequence[int], dtype: np.dtype) -> None:
    """Writes a file of zeros."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": tuple(map(int, shape))}
    np.lib.format.write_array_header_1_0(file, header)
    file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)


def finish(file: BinaryIO, totals: Sequence[Totals]) -> None:
    """The header says nothing of the values."""
