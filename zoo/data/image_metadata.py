"""Pages of image files: pixels, and the metadata kept with them from one file to the next.

References:
  ICC.1:2022, 10.6 and 10.18, for the curves of a profile.
  W3C, "Portable Network Graphics (PNG) Specification, Third Edition", 2025, 11.3.2.
"""

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo.data import exif

if TYPE_CHECKING:
    from zoo.data.science.stacks import Stack

TEXT_TAGS = frozenset({270, 271, 272, 305, 306, 315, 33432})
"""Text tags that TIFF and EXIF share: description, make, model, program, date, artist, rights."""

MOVED = "its maker note is kept, but has moved: offsets that it may contain are wrong"

INCH = 0.0254
"""Meters."""

_MAKE, _MODEL = 271, 272
# Of PNG: a gamma of 1, in hundred thousandths, and the transfer of H.273 that is linear.
_GAMMA, _TRANSFER = 100_000, 8
_CURVES = (b"rTRC", b"gTRC", b"bTRC", b"kTRC")
_MOST_TAGS = 256


class Density(NamedTuple):
    """Print resolution.

    Attributes:
      x: pixels per unit, to the right.
      y: pixels per unit, downwards.
      unit: its length in meters; None where only the ratio of x and y is meaningful.
    """

    x: float
    y: float
    unit: float | None = INCH

    def per(self, meters: float) -> tuple[float, float]:
        """The density in another unit; without a unit, the ratio."""
        times = 1 if self.unit is None else meters / self.unit
        return self.x * times, self.y * times


class TiffLayout(NamedTuple):
    """How a page was stored in a TIFF file.

    Attributes:
      order: "<" or ">", its byte order.
      big: whether it was a BigTIFF.
      dtype: of its samples, which may be a float wider or narrower than the image's.
      compression: its name in tifffile, such as "lzw" or "none".
      predictor: whether one preceded the compression.
      tile: its height and width, or None for strips.
      alpha: "unassalpha", "assocalpha" or "unspecified", or None.
      tags: number, type, count and bytes of the tags that describe the image.
      planar: whether its samples lie one plane after the other.
      planes: of how many planes it is one where a page holds several gray ones, as samples of no
        color; else 1.
    """

    order: str
    big: bool
    dtype: str
    compression: str
    predictor: bool
    tile: tuple[int, int] | None
    alpha: str | None
    tags: tuple[tuple[int, int, int, bytes], ...]
    planar: bool = False
    planes: int = 1

    @property
    def more(self) -> tuple[int, ...]:
        """The numbers of those tags that EXIF lacks."""
        return tuple(tag[0] for tag in self.tags if tag[0] not in TEXT_TAGS)


class Metadata(NamedTuple):
    """What a file contains besides the pixels.

    Attributes:
      exif: a TIFF file of its own, from "II" or "MM" on; its orientation is 1.
      icc: a color profile.
      xmp: a packet of XML; its orientation is 1.
      density: the print resolution.
      chunks: kind and body of the chunks of a PNG file: its text, and the meaning of its colors.
      segments: marker and body of the segments of a JPEG file: its comment and Photoshop block.
      quality: that of a JPEG file, 1 to 100 on libjpeg's scale.
      subsampling: that of a JPEG file, such as "420".
      webp: "lossy" where a WebP file was.
      tiff: how it was stored in a TIFF file.
      stack: the file of `zoo.data.science` that it is a plane of.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    density: Density | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    segments: tuple[tuple[int, bytes], ...] = ()
    quality: int | None = None
    subsampling: str | None = None
    webp: str | None = None
    tiff: TiffLayout | None = None
    stack: "Stack | None" = None

    def upright(self) -> "tuple[Metadata, tuple[str, ...]]":
        """The metadata of an image whose orientation has been applied; and what was lost."""
        kept = self._replace(xmp=exif.upright_xmp(self.xmp)) if self.xmp else self
        if not kept.exif:
            return kept, ()
        try:
            blob, preview, orientation = exif.upright(kept.exif)
        except Exception:  # broken metadata does not affect the pixels
            return kept._replace(exif=None), ("its EXIF is broken and not kept",)
        density = kept.density
        if density and orientation in exif.QUARTERS:
            density = Density(density.y, density.x, density.unit)
        lost = ("the small preview in its EXIF is not kept",) if preview else ()
        return kept._replace(exif=blob, density=density), lost

    def camera(self) -> str:
        """Maker and model, from EXIF or from the tags of a TIFF file; empty where unknown."""
        tags = {number: data for number, _, _, data in self.tiff.tags} if self.tiff else {}
        if self.exif:
            try:
                tags |= {number: value.data for number, value in exif.parse(self.exif)[1].items()}
            except ValueError:
                return ""
        words = [
            bytes(tags[number]).split(b"\0")[0].decode("latin-1").strip()
            for number in (_MAKE, _MODEL)
            if number in tags
        ]
        # Many models begin with their maker.
        if len(words) == 2 and words[1].startswith(words[0]):
            words = words[1:]
        return " ".join(words)

    def is_linear(self) -> bool:
        """Whether values are proportional to light: by the color profile, else by PNG chunks."""
        chunks = dict(self.chunks)
        code_points = chunks.get(b"cICP", b"")
        if len(code_points) == 4:
            return code_points[1] == _TRANSFER
        if self.icc:
            return _is_linear(self.icc)
        gamma = chunks.get(b"gAMA", b"")
        return b"sRGB" not in chunks and gamma == struct.pack(">I", _GAMMA)


class Page(NamedTuple):
    """A page of an image file.

    Attributes:
      image: `(H, W, C)`, upright, C from 1 to 4: gray, gray and alpha, color, color and alpha; an
        integer or a float, of the file's own range.
      metadata: what is kept with it.
      lost: short sentences on parts of the file that are in neither.
      orientation: the one that has been applied to the pixels, by EXIF 2.32 and TIFF 6.0.
      missing: bool, of the shape of the image or without its channels: where there was no
        measurement, and the nearest value stands instead; None for nowhere.
    """

    image: np.ndarray
    metadata: Metadata = Metadata()
    lost: tuple[str, ...] = ()
    orientation: int = 1
    missing: np.ndarray | None = None


def _is_linear(icc: bytes) -> bool:
    """Whether every curve of a profile is a straight line; one without curves has tables."""
    (count,) = struct.unpack_from(">I", icc, 128) if len(icc) >= 132 else (0,)
    found = []
    for number in range(min(count, _MOST_TAGS)):
        entry = icc[132 + 12 * number : 144 + 12 * number]
        if len(entry) == 12 and entry[:4] in _CURVES:
            at, size = struct.unpack(">II", entry[4:])
            found.append(_is_line(icc[at : at + size]))
    return bool(found) and all(found)


def _is_line(curve: bytes) -> bool:
    if curve[:4] == b"para" and len(curve) >= 16:
        kind, _, power = struct.unpack_from(">HHi", curve, 8)
        return kind == 0 and power == 1 << 16
    if curve[:4] != b"curv" or len(curve) < 12:
        return False
    (count,) = struct.unpack_from(">I", curve, 8)
    if count <= 1:
        # A single value is a power, in 256ths.
        return count == 0 or curve[12:14] == b"\1\0"
    values = struct.unpack_from(f">{count}H", curve, 12) if len(curve) >= 12 + 2 * count else ()
    last = max(len(values) - 1, 1)
    return bool(values) and all(
        abs(value - 65535 * place / last) <= 1 for place, value in enumerate(values)
    )
