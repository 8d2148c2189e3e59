"""Pictures and sound inside the page, as far as it has room for them."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.errors import ZooError

_TYPES = {".png": "image/png", ".wav": "audio/wav"}
_NARROW = 1840
_QUALITY = 85


class Room:
    """How many bytes of the page are left.

    Args:
      left: to begin with.
    """

    def __init__(self, left: int):
        self.left = left

    def take(self, count: int) -> bool:
        """Whether so many bytes fit; if so they are taken."""
        if count > self.left:
            return False
        self.left -= count
        return True


class Picture(NamedTuple):
    """A picture for the page.

    Attributes:
      uri: its data.
      width: in pixels, as is the height.
      height: see `width`.
    """

    uri: str
    width: int
    height: int


def length(path: Path) -> int:
    """How long a file is as a data URI, about; 0 if it is gone."""
    try:
        return (path.stat().st_size + 2) // 3 * 4 + 64
    except OSError:
        return 0


def uri(data: bytes, kind: str) -> str:
    """A data URI.

    Args:
      data: the file.
      kind: its media type, such as "audio/wav".
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(path: Path, *, small: bool) -> Picture | None:
    """A PNG as it is, or small: at most 1840 pixels wide, as WebP; None if it cannot be read.

    Args:
      path: the file.
      small: whether it has to be small.
    """
    from PIL import Image  # noqa: PLC0415, only this needs it

    try:
        data = files.read(path)
        with Image.open(io.BytesIO(data)) as image:
            # A file cut short would be half a picture.
            image.load()
            if not small:
                return Picture(uri(data, _TYPES[".png"]), *image.size)
            width = min(image.width, _NARROW)
            height = max(1, round(image.height * width / image.width))
            shrunk = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            shrunk.save(out, "WEBP", quality=_QUALITY)
            return Picture(uri(out.getvalue(), "image/webp"), width, height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def sound(path: Path) -> str | None:
    """A wav as a data URI; None if it cannot be read."""
    try:
        data = files.read(path)
    except ZooError:
        return None
    return uri(data, _TYPES[".wav"]) if data[:4] == b"RIFF" and data[8:12] == b"WAVE" else None
