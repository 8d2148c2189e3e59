"""What a page of a picture file is: its pixels, and all that lies beside them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.images import FORMS
from zoo.errors import ZooError

WORDS = frozenset({270, 271, 272, 305, 306, 315, 33432})
"""Tags in words that TIFF and EXIF share: description, maker, program, date, artist, rights."""

# What is read and not written, and why.
_READ_ONLY = {
    ".gif": "gif holds 256 colours, which bring noise back",
    ".mpo": "mpo holds several pictures",
    **dict.fromkeys((".heic", ".heif", ".hif"), "heic is read and not written"),
    ".avif": "avif is read and not written",
}

MOVED = "its maker's note is kept, but has moved: places that it may hold are off"

INCH = 0.0254
"""Metres."""


class Density(NamedTuple):
    """How densely pixels are to be printed.

    Attributes:
      x: pixels a unit, to the right.
      y: pixels a unit, downwards.
      unit: its length in metres; None where only the ratio of x and y means something.
    """

    x: float
    y: float
    unit: float | None = INCH

    def per(self, metres: float) -> tuple[float, float]:
        """The density in another unit; that of a mere ratio is the ratio."""
        times = 1 if self.unit is None else metres / self.unit
        return self.x * times, self.y * times


class Tiff(NamedTuple):
    """How a page lay in a TIFF file.

    Attributes:
      order: "<" or ">", its byte order.
      big: whether it was a BigTIFF.
      dtype: of its samples, which may be a float wider or narrower than the picture's.
      compression: as tifffile names it, such as "lzw" or "none".
      predictor: whether one stood before the compression.
      tile: its height and width, or None for strips.
      alpha: "unassalpha", "assocalpha" or "unspecified", or None.
      tags: number, type, count and bytes, of those that say something of the picture.
    """

    order: str
    big: bool
    dtype: str
    compression: str
    predictor: bool
    tile: tuple[int, int] | None
    alpha: str | None
    tags: tuple[tuple[int, int, int, bytes], ...]

    @property
    def more(self) -> tuple[int, ...]:
        """The numbers of those tags that EXIF does not know."""
        return tuple(tag[0] for tag in self.tags if tag[0] not in WORDS)


class Kept(NamedTuple):
    """What goes beside the pixels.

    Attributes:
      exif: as in a TIFF file of its own, from "II" or "MM" on; its orientation is 1.
      icc: a colour profile.
      xmp: a packet of XML; its orientation is 1.
      density: how densely to print it.
      chunks: kind and body of the chunks of a PNG file: its text, and what its colours are.
      segments: marker and body of the segments of a JPEG file: its comment and Photoshop's block.
      quality: that of a JPEG file, 1 to 100 on libjpeg's scale.
      subsampling: that of a JPEG file, such as "420".
      webp: "lossy" where a WebP file was.
      tiff: how it lay in a TIFF file.
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
    tiff: Tiff | None = None


class Page(NamedTuple):
    """A page of a picture file.

    Attributes:
      picture: `(H, W, C)`, upright, C from 1 to 4: grey, grey and alpha, colour, colour and alpha;
        an integer or a float, of the file's own range.
      kept: what goes beside it.
      lost: short sentences on what was in the file and is in neither.
    """

    picture: np.ndarray
    kept: Kept = Kept()
    lost: tuple[str, ...] = ()


def form_of(path: Path) -> str:
    """The format that a file's ending stands for.

    Raises:
      ZooError: it stands for none that can be written.
    """
    suffix = path.suffix.lower()
    if suffix in _READ_ONLY:
        raise ZooError(f"{path}: {_READ_ONLY[suffix]}; end it in .png")
    if suffix not in FORMS:
        raise ZooError(f"cannot tell a format from {path}; end it in {', '.join(sorted(FORMS))}")
    return FORMS[suffix]
