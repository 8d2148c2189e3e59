"""HEIC and AVIF: what lies beside the pixels in.

References:
  ISO/IEC 23008-12:2022 (HEIF); Alliance for Open Media, "AV1 Image File Format 1.1", 2022.
"""

from zoo.data import decoding
from zoo.data.pages.facts import Kept
from zoo.errors import ZooError

_EXIF = b"Exif\0\0"


def read(data: bytes, form: str, name: str) -> tuple[Kept, list[str]]:
    """What lies beside the pixels.

    Args:
      data: the file's bytes.
      form: "heic" or "avif".
      name: what to call it in an error.

    Returns:
      That, where EXIF and XMP are as they stand, and what is lost.

    Raises:
      ZooError: it is animated, or the library that reads it is not there.
    """
    lost = []
    if form == "avif":
        with decoding.opened_avif(data, name) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise ZooError(f"{name} is animated; save its frames as files of their own")
            info = image.info
    else:
        image = decoding.opened_heic(data, name)
        info = image.info
        more = len(image) - 1
        if more:
            lost.append(f"its other {more} pictures are not kept")
        if info.get("depth_images") or info.get("aux"):
            lost.append("what goes with the picture in its file (depth, gain map) is not kept")
    blob, xmp = info.get("exif") or b"", info.get("xmp")
    return Kept(
        exif=blob.removeprefix(_EXIF) or None,
        icc=info.get("icc_profile") or None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
    ), lost
