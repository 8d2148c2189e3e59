"""Picture files, denoised page by page, all else in them kept."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.inference.pictures.denoiser import Denoiser

# Values of a band: what is computed for one is of 32 bits.
_BAND = 2**22


class Report(NamedTuple):
    """What was written.

    Attributes:
      pages: how many.
      size: height and width in pixels, of the first.
      level: standard deviation of the noise that the model was told, in 1/255, the mean over the
        pages; None where the model takes none.
      deviation: how much tiles changed the result, in signal units, the most of all pages, or None
        where it is not known.
      lost: what is in the input and not in the output, in short sentences.
    """

    pages: int
    size: tuple[int, int]
    level: float | None
    deviation: float | None
    lost: tuple[str, ...]


def denoise_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    denoiser: "Denoiser",
    *,
    level: float | None = None,
    overwrite: bool = False,
    save_noise: str | os.PathLike | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Denoises a png, jpeg, bmp, tiff, webp or gif file; pages of a TIFF file one after another.

    Kept are size, depth (8 and 16 bits, floats), grey or colour, alpha, EXIF, colour profile, XMP,
    resolution, and how the file was coded, as far as the format of `dst` has a place for it (see
    `zoo.data.pages`). The orientation is applied, and is 1 from then on. Floats are clipped to
    [0, 1]. GIF, of one picture only, must become another format.

    Args:
      src: the file to read.
      dst: the file to write; its suffix tells the format. It appears at the end, whole, or not at
        all; its folder exists.
      denoiser: a `zoo.inference.pictures.Denoiser`, or what is called alike.
      level: standard deviation of the noise in signal units; None estimates it, page by page,
        where the model takes one.
      overwrite: whether a file that stands at `dst` or `save_noise` is replaced; `dst` may then be
        `src`.
      save_noise: a file for what was removed, input minus output plus 0.5, clipped to [0, 1], by
        the same rules; alpha is the input's. None writes none.
      progress: called with the tiles done and those of all pages, as if every page had as many as
        this one.

    Returns:
      What was written.

    Raises:
      ZooError: `src` is missing, damaged or no picture; `dst` or `save_noise` exists, is the other
        or `src`, cannot hold the picture or cannot be written; or the denoiser refuses the
        picture. Nothing is left behind then, but for a `dst` finished before `save_noise` failed.
    """
    # Here, since its libraries are heavy.
    from contextlib import ExitStack  # noqa: PLC0415

    from zoo.data import pages as picture_files  # noqa: PLC0415

    _check_places(src, dst, save_noise)
    places = [Path(dst)] + ([] if save_noise is None else [Path(save_noise)])
    pages = picture_files.read_pages(src)
    levels, deviations, size, lost = [], [], None, {}
    with ExitStack() as stack:
        puts = [
            stack.enter_context(picture_files.writing(place, len(pages), overwrite=overwrite))
            for place in places
        ]
        for i, page in enumerate(pages):
            for place in places:
                # What cannot be written is said before the work, not after it.
                picture_files.fitting(page, place, len(pages))
            done = denoiser(page.picture, level, _nth(progress, i, len(pages)))
            image = _clipped(done.image)
            lost |= dict.fromkeys((*page.lost, *puts[0](page._replace(picture=image))))
            if save_noise is not None:
                noise = page._replace(picture=removed(page.picture, image))
                puts[1](noise)
            size = size or image.shape[:2]
            levels += [] if done.level is None else [done.level]
            deviations += [] if done.deviation is None else [done.deviation]
    return Report(
        pages=len(pages),
        size=size,
        level=255 * float(np.mean(levels)) if levels else None,
        deviation=float(max(deviations)) if deviations else None,
        lost=tuple(lost),
    )


def removed(picture: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What was removed, around mid grey; it takes the place of the picture where it can.

    Args:
      picture: `(H, W, C)`, uint8, uint16 or a float; overwritten if it may be.
      image: the clean estimate, of its shape and dtype.

    Returns:
      picture - image + 0.5, clipped to [0, 1]; alpha is that of `picture`. For integers 0.5 is 128
      or 32768.
    """
    out = picture if picture.flags.writeable else picture.copy()
    colours = picture.shape[-1] - (picture.shape[-1] in (2, 4))
    whole = picture.dtype.kind == "u"
    middle, most = (
        (2 ** (8 * picture.itemsize - 1), np.iinfo(picture.dtype).max) if whole else (0.5, 1)
    )
    wide = np.int32 if whole else picture.dtype
    rows = max(1, _BAND // (picture.shape[1] * picture.shape[2]))
    for top in range(0, len(picture), rows):
        band = (slice(top, top + rows), slice(None), slice(0, colours))
        difference = picture[band].astype(wide) - image[band].astype(wide)
        out[band] = np.clip(difference + np.asarray(middle, wide), 0, most)
    return out


def _clipped(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    return np.clip(image, 0, 1) if image.dtype.kind == "f" else image


def _nth(
    progress: Callable[[int, int], None] | None, index: int, count: int
) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, whole: progress(index * whole + done, count * whole)


def _check_places(
    src: str | os.PathLike, dst: str | os.PathLike, save_noise: str | os.PathLike | None
) -> None:
    if save_noise is None:
        return
    # By path for those that are not there yet, and by file for links.
    for other, what in ((src, "the input"), (dst, "the output")):
        same = os.path.realpath(other) == os.path.realpath(save_noise)
        if not same and os.path.exists(other) and os.path.exists(save_noise):
            same = os.path.samefile(other, save_noise)
        if same:
            raise ZooError(f"{save_noise} is {what}; name another file for the noise")
