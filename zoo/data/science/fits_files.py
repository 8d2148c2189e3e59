"""FITS, by astropy: images and cubes of all header-data units, beside tables that stay.

Units of weights, errors and flags are no images, and stay too. Integers that stand for unsigned
ones by BZERO are taken as such.

References:
  FITS Working Group, "Definition of the Flexible Image Transport System", version 4.0, 2018, 4.4,
  5.2.5 (unsigned integers), 10.1 (tiles) and appendix J (checksums).
"""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from astropy.io import fits

from zoo.data.science.stacks import Block, Totals
from zoo.errors import ZooError

# By the names of units, as observatories give them.
_NO_IMAGE = re.compile(
    r"(ERR|DQ|WHT|WEIGHT|CTX|CON$|VAR|IVAR|SIGMA|STD|RMS|UNC|MASK|FLAG|BAD_?PIX|BPM|SAMP$|TIME$|AREA$"
    r"|EXP(OSURE|MAP|TIME)?$|COVERAGE|WAVELENGTH|SEG)",
    re.IGNORECASE,
)
# A noise level is estimated from sides of so many pixels; a smaller array is hardly an image.
_LEAST = 16
_AS_STORED = {"do_not_scale_image_data": True}
_CHECKS, _ENDS = ("CHECKSUM", "DATASUM"), ("DATAMIN", "DATAMAX")
_HELD = {np.dtype(kind) for kind in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")}


def layout(file: BinaryIO, name: str) -> list[Block]:
    """Where the images are.

    Raises:
      ZooError: there is none.
      Exception: a header is broken.
    """
    with _opened(file) as units:
        blocks = [_block(unit) for unit in _images(units)]
        last = units[-1].fileinfo()
        end = last["datLoc"] + last["datSpan"]
    if not blocks and end < os.fstat(file.fileno()).st_size:
        raise ValueError("a header is cut off")
    if not blocks:
        raise ZooError(f"{name} holds no image, but tables or other data; leave it out")
    return blocks


def is_tiled(file: BinaryIO) -> bool:
    """Whether images are compressed in tiles."""
    with _opened(file) as units:
        return any(isinstance(unit, fits.CompImageHDU) for unit in units)


def untile(file: BinaryIO, plain: BinaryIO) -> None:
    """Writes a file with images that are not compressed."""
    with _opened(file) as units:
        kept = [
            _like(unit, fits.ImageHDU(unit.data, unit.header))
            if isinstance(unit, fits.CompImageHDU)
            else unit
            for unit in units
        ]
        _write(kept, plain)


def tile(plain: BinaryIO, output: BinaryIO, source: BinaryIO) -> None:
    """Compresses the images of a file as those of its source were, which it is `untile` of."""
    with _opened(plain) as units, _opened(source) as former:
        kept = []
        for unit, other in zip(units, former, strict=True):
            if isinstance(other, fits.CompImageHDU):
                tiled = fits.CompImageHDU(
                    unit.data,
                    unit.header,
                    compression_type=other.compression_type,
                    tile_shape=other.tile_shape,
                    hcomp_scale=other.hcomp_scale,
                    hcomp_smooth=other.hcomp_smooth,
                    quantize_level=other.quantize_level,
                    quantize_method=other.quantize_method,
                    dither_seed=other.dither_seed,
                )
                kept.append(_like(unit, tiled))
            else:
                kept.append(unit)
        _write(kept, output)


def _like(unit: fits.ImageHDU, made: fits.ImageHDU) -> fits.ImageHDU:
    """A unit made of another with its scale, which astropy drops as if values were as they mean."""
    for key in ("BSCALE", "BZERO", "BLANK"):
        if key in unit.header:
            made.header[key] = unit.header[key], unit.header.comments[key]
    return made


def refusal(dtype: np.dtype, channels: int) -> str:
    """Why such planes cannot be held; empty where they can."""
    if channels > 1:
        return "FITS holds gray images here; end it in .tif"
    return "" if dtype in _HELD else f"FITS holds no {dtype}; end it in .tif or .npy"


def create(file: BinaryIO, shape: Sequence[int], dtype: np.dtype) -> None:
    """Writes a file of zeros, its only unit the primary one."""
    # Of one plane, as astropy would need all of the memory; the length is then set.
    header = fits.PrimaryHDU(np.zeros(shape[-2:], dtype)).header
    header["NAXIS"] = len(shape)
    for axis, side in enumerate(reversed(shape), 1):
        header.set(f"NAXIS{axis}", int(side), after=f"NAXIS{axis - 1}" if axis > 1 else "NAXIS")
    file.write(header.tostring().encode("ascii"))
    size = int(np.prod(shape, dtype=np.int64)) * abs(header["BITPIX"]) // 8
    file.truncate(file.tell() + -(-size // 2880) * 2880)


def finish(file: BinaryIO, totals: Sequence[Totals]) -> None:
    """Sets the ends of the values and the checksums that headers hold."""
    with _opened(file, "update") as units:
        for unit, found in zip(_images(units), totals, strict=True):
            header = unit.header
            ends = (found.least, found.most) if found.count else ()
            for key, end in zip(_ENDS, ends, strict=False):
                value = end * header.get("BSCALE", 1) + header.get("BZERO", 0)
                if key in header and not np.isclose(header[key], value, atol=0):
                    header[key] = value
            if any(key in header for key in _CHECKS):
                unit.add_checksum()


@contextmanager
def _opened(file: BinaryIO, mode: str = "readonly") -> Iterator[fits.HDUList]:
    options = {**_AS_STORED, "lazy_load_hdus": False, "memmap": True}
    with (
        warnings.catch_warnings(action="ignore"),
        _again(file, "rb" if mode == "readonly" else "rb+") as again,
        fits.open(again, mode, output_verify="ignore", **options) as units,
    ):
        yield units


def _again(file: BinaryIO, mode: str) -> BinaryIO:
    """The open file in a mode that astropy knows, and which it may close."""
    file.flush()
    file.seek(0)
    return os.fdopen(os.dup(file.fileno()), mode)


def _write(units: Sequence[object], output: BinaryIO) -> None:
    with _again(output, "wb") as again:
        fits.HDUList(units).writeto(again, overwrite=True, output_verify="ignore")


def _images(units: fits.HDUList) -> list[fits.ImageHDU]:
    """The units that are images; small ones only where there are no others."""
    every = [unit for unit in units if _is_image(unit)]
    return [unit for unit in every if min(unit.shape[-2:]) >= _LEAST] or every


def _is_image(unit: object) -> bool:
    kinds = (fits.PrimaryHDU, fits.ImageHDU)
    if not isinstance(unit, kinds) or isinstance(unit, fits.GroupsHDU | fits.CompImageHDU):
        return False
    return len(unit.shape) >= 2 and 0 not in unit.shape and not _NO_IMAGE.match(unit.name)


def _block(unit: fits.ImageHDU) -> Block:
    header = unit.header
    bits = header["BITPIX"]
    kind = np.dtype(f"{'f' if bits < 0 else 'i' if bits > 8 else 'u'}{abs(bits) // 8}")
    half = -128 if bits == 8 else 1 << bits - 1 if bits > 0 else None
    flipped = header.get("BSCALE", 1) == 1 and header.get("BZERO") == half and half is not None
    missing = header.get("BLANK") if bits > 0 else None
    return Block(
        unit.fileinfo()["datLoc"],
        unit.shape,
        kind.newbyteorder(">"),
        flipped=flipped,
        missing=missing if isinstance(missing, int) else None,
    )
