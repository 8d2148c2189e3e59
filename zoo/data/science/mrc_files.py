"""MRC2014 and CCP4 maps, by mrcfile: images, stacks and volumes of electron microscopes.

References:
  A. Cheng et al., "MRC2014: Extensions to the MRC format header for electron cryo-microscopy and
  tomography", Journal of Structural Biology 192, 2015; IMOD, "The MRC file format" (its bytes).
"""

import io
import math
import warnings
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from mrcfile.mrcinterpreter import MrcInterpreter

from zoo.data.science.stacks import Block, Totals
from zoo.errors import ZooError

_MODES = {0: np.dtype("i1"), 1: np.dtype("i2"), 2: np.dtype("f4"), 6: np.dtype("u2")}
_MODES[12] = np.dtype("f2")
_HEADER = 1024
# IMOD's mark in the header, and the flag by which its bytes have a sign.
_IMOD, _SIGNED = 1146047817, 1


def layout(file: BinaryIO, name: str) -> list[Block]:
    """Where the array is.

    Raises:
      ZooError: it holds complex numbers or halves of bytes.
      Exception: the header is broken.
    """
    header = _header(file)
    mode, offset = int(header.mode), header.nbytes + int(header.nsymbt)
    if mode not in _MODES:
        raise ZooError(f"{name} is of mode {mode}, which is no image of integers or real floats")
    dtype = _MODES[mode].newbyteorder(header.mode.dtype.byteorder)
    mark, flags = np.frombuffer(header.tobytes(), header.mode.dtype, 2, 152)
    if mode == 0 and mark == _IMOD and not flags & _SIGNED:
        dtype = np.dtype("u1")
    sides = (header.nz, header.ny, header.nx)
    return [Block(offset, tuple(map(int, sides)), dtype)]


def refusal(dtype: np.dtype, channels: int) -> str:
    """Why such planes cannot be held; empty where they can."""
    if channels > 1:
        return "MRC holds gray images; end it in .tif"
    return "" if dtype in _MODES.values() else f"MRC holds no {dtype}; end it in .tif or .npy"


def create(file: BinaryIO, shape: Sequence[int], dtype: np.dtype) -> None:
    """Writes a file of zeros, a stack of images; the size of a voxel is unknown."""
    mode = next(mode for mode, one in _MODES.items() if one == dtype)
    planes = (math.prod(shape[:-2]), *shape[-2:])
    with warnings.catch_warnings(action="ignore"):
        new = MrcInterpreter()
        # As its documentation has it of a stream to write.
        new._create_default_attributes()
    header = new.header
    header.nz, header.ny, header.nx = planes
    header.mz, header.my, header.mx = 1, *shape[-2:]
    header.mode, header.ispg = mode, 0
    file.write(header.tobytes())
    file.truncate(header.nbytes + math.prod(shape) * dtype.itemsize)


def finish(file: BinaryIO, totals: Sequence[Totals]) -> None:
    """Sets the statistics that the header holds, where it held some."""
    (found,) = totals
    header = np.memmap(file, _header(file).dtype, "r+", shape=(1,)).view(np.recarray)
    if found.count and header.dmin[0] <= header.dmax[0]:
        mean = found.total / found.count
        header.dmin, header.dmax, header.dmean = found.least, found.most, mean
        header.rms = math.sqrt(max(found.squares / found.count - mean**2, 0.0))


def _header(file: BinaryIO) -> np.recarray:
    file.seek(0)
    # Of the header alone, as it would be written back into the file.
    head = io.BytesIO(file.read(_HEADER))
    with warnings.catch_warnings(action="ignore"):
        return MrcInterpreter(head, permissive=True, header_only=True).header.copy()
