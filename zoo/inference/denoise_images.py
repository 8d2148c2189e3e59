"""Images denoised: arrays in memory, and files page by page with all else in them kept."""

import functools
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from zoo.data import pixels
from zoo.data.file_kinds import SCIENCE, is_named_store, is_store
from zoo.errors import ZooError
from zoo.inference import even_noise, image_canvas, kept_mean, plane_windows, value_scale
from zoo.inference.even_noise import Noise
from zoo.inference.image_denoiser import Denoised, ImageDenoiser
from zoo.inference.kept_mean import Residual
from zoo.inference.value_scale import Scale

if TYPE_CHECKING:
    from zoo.data.image_files import Pages
    from zoo.data.image_metadata import Page

# Of noise fainter than this, in what the model sees, not all is taken.
_FAINT = 1 / 255
# Values of a band: what is computed for one is of 32 bits.
_BAND = 2**22
WORDS = ("denoised", "noise taken out")
"""What is done for the two files."""


class ImageReport(NamedTuple):
    """A denoised image file.

    Attributes:
      pages: how many.
      size: height and width in pixels, of the first.
      level: standard deviation of the noise that the model was given, in 1/255, the mean over the
        pages; None where the model takes none.
      deviation: how much tiles changed the result, in signal units, the most of all pages, or None
        where it is not known.
      lost: parts of the input that the output lacks, in short sentences.
      scale: which values the model saw as black and as white, of the first page.
      notes: short sentences on what a user may not expect.
      shift: of gray files of `zoo.data.science`; the mean of what was removed over its standard
        deviation, of all pages. None where nothing was removed.
    """

    pages: int
    size: tuple[int, int]
    level: float | None
    deviation: float | None
    lost: tuple[str, ...]
    scale: Scale
    notes: tuple[str, ...] = ()
    shift: float | None = None


def denoise_image_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    denoiser: ImageDenoiser,
    *,
    level: float | None = None,
    range: tuple[float, float] | Literal["page"] | None = None,
    stabilize: str | Noise | None = None,
    overwrite: bool = False,
    save_noise: str | os.PathLike | None = None,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageReport:
    """Denoises an image file; pages of a TIFF file and planes of a volume one after another.

    Size, depth (8 and 16 bits, floats), gray or color, alpha, EXIF, color profile, XMP, resolution
    and the coding of the file are kept as far as the format of `dst` can hold them (see
    `zoo.data.image_files`). The orientation is applied, and is 1 from then on. GIF, of one image
    only, must become another format. Of gray files of `zoo.data.science` the mean of each plane is
    kept (see `zoo.inference.kept_mean`), unless the noise is Rician, which shifts it. From Zarr to
    Zarr a local model of single planes goes region by region, in memory that does not grow, and
    where it was killed the same call goes on: see `zoo.inference.denoise_stores`.

    A model of several planes (`zoo.models.ModelSpec.planes`) sees those before and after each,
    along z or else along time, never along channels; a file of fewer planes is refused.

    Args:
      src: the file to read.
      dst: the file to write; its suffix chooses the format. It appears at the end, whole, or not at
        all; its folder exists.
      denoiser: the model, or a function with the same arguments.
      level: standard deviation of the noise as a share of white, see `zoo.denoise`; None estimates
        it, page by page, where the model takes one.
      range: the values that the model is to see as black and as white; None chooses them for all
        pages, "page" for each.
      stabilize: the noise to make even, see `zoo.denoise`; None makes that of photons even where
        the color profile or the other notes of the file say that values are in proportion to light.
      overwrite: whether a file that stands at `dst` or `save_noise` is replaced; `dst` may then be
        `src`.
      save_noise: a file for what was removed, input minus output plus 0.5, clipped to [0, 1], by
        the same rules; alpha is the input's. None writes none.
      scheduler: address of a dask.distributed scheduler, whose workers see both files; for Zarr to
        Zarr by a local model. None computes here.
      progress: called with the tiles done and those of all pages, as if every page had as many as
        this one.

    Returns:
      What was written.

    Raises:
      ZooError: `src` is missing, damaged or no image; `dst` or `save_noise` exists, is the other
        or `src`, cannot hold the image or cannot be written; or the denoiser refuses the
        image. Nothing is left behind then, but for a `dst` finished before `save_noise` failed.
    """
    # Here, since its libraries are heavy.
    from zoo.data import image_files  # noqa: PLC0415
    from zoo.data.image_fitting import fitting  # noqa: PLC0415

    check_places(src, dst, save_noise)
    places = [Path(dst)] + ([] if save_noise is None else [Path(save_noise)])
    pages = image_files.read_pages(src)
    if pages.form == "zarr" and save_noise is None and range != "page" and is_named_store(dst):
        from zoo.inference import denoise_stores  # noqa: PLC0415 - it needs this module

        stack = pages.stack
        known = isinstance(denoiser, ImageDenoiser)
        if known and (scheduler or denoise_stores.fits(stack, denoiser)):
            return denoise_stores.denoise_store(
                stack,
                image_files.free(dst, overwrite),
                denoiser,
                level=level,
                limits=None if range is None else value_scale.check_range(range),
                stabilize=even_noise.check(stabilize),
                overwrite=overwrite,
                scheduler=scheduler,
                progress=progress,
            )
    if scheduler:
        raise ZooError(
            "a scheduler is for a Zarr store that becomes another by a model, with one range and "
            "without the noise; leave it out"
        )
    # A function has no training.
    find = getattr(denoiser, "find_scales", value_scale.find)
    stabilize = even_noise.check(stabilize)
    scale_of = _scales(pages, range, stabilize, find)
    levels, deviations, size, lost, said, first = [], [], None, {}, {}, None
    residual, planes = Residual(), _planes_of(denoiser, pages)

    def advance(index: int, done: int, whole: int) -> None:
        progress(index * whole + done, len(pages) * whole)

    with ExitStack() as stack:
        puts = [
            stack.enter_context(
                image_files.writing(place, len(pages), overwrite=overwrite, word=word)
            )
            for place, word in zip(places, WORDS, strict=False)
        ]
        for i, (page, around) in enumerate(plane_windows.of_pages(pages, planes)):
            for place in places:
                # What cannot be written is said before the work, not after it.
                fitting(page, place, len(pages))
            scale = scale_of(page)
            report = progress and functools.partial(advance, i)
            one = functools.partial(denoiser, around=around) if around else denoiser
            if pages.form in SCIENCE and page.image.shape[-1] <= 2:
                done, taken = kept_mean.denoise(page, one, level, report, scale)
                residual = residual.plus(taken)
            else:
                done = one(page.image, level, report, scale)
            image = np.asarray(done.image)
            said |= dict.fromkeys((*done.notes, *hints(page, pages.form, done, stabilize)))
            first = first or scale
            lost |= dict.fromkeys((*page.lost, *puts[0](page._replace(image=image))))
            if save_noise is not None:
                origin = page.metadata.stack
                # The planes after it are denoised with it.
                before = page.image.copy() if around else page.image
                noise = removed(before, image, scale, origin and origin.ends)
                puts[1](page._replace(image=noise))
            size = size or image.shape[:2]
            levels += [] if done.level is None else [done.level]
            deviations += [] if done.deviation is None else [done.deviation]
    return ImageReport(
        pages=len(pages),
        size=size,
        level=255 * float(np.mean(levels)) if levels else None,
        deviation=float(max(deviations)) if deviations else None,
        lost=tuple(lost),
        scale=first,
        notes=tuple(said),
        shift=residual.shift,
    )


def _planes_of(denoiser: ImageDenoiser | Callable[..., Denoised], pages: "Pages") -> int:
    """How many planes the denoiser takes at once; a function takes one."""
    if not isinstance(denoiser, ImageDenoiser):
        return 1
    channels = pixels.without_alpha(next(iter(pages)).image).shape[-1]
    return denoiser.specification(channels).planes


def _scales(
    pages: "Pages",
    limits: tuple | str | None,
    stabilize: str | Noise | None,
    find: Callable[..., dict[np.dtype, Scale]],
) -> Callable[["Page"], Scale]:
    """The value scale of each page of a file: one for all, by default."""

    def found(every: Iterable["Page"], first: "Page") -> dict[np.dtype, Scale]:
        kind = stabilize
        if kind is None and first.metadata.is_linear():
            kind = "poisson"
        images = (image_canvas.colors(page.image) for page in every)
        return find(images, None if limits == "page" else limits, stabilize=kind)

    # All pages are linear if the first is.
    shared = found(pages, next(iter(pages))) if limits is None and len(pages) > 1 else None
    return lambda page: (shared or found([page], page))[image_canvas.colors(page.image).dtype]


def hints(
    page: "Page", form: str, done: Denoised, stabilize: str | Noise | None
) -> tuple[str, ...]:
    """That noise is not of the kind that was named; parameters to try where none is found."""
    if stabilize in even_noise.KINDS and not done.scale.noise:
        return (f"no {stabilize} noise found, so that it is taken for even",)
    if done.level is None or done.level * done.scale.seen >= _FAINT:
        return ()
    if form == "jpeg" or page.metadata.camera():
        return (
            "hardly any noise found, but that of cameras and JPEG hides from the estimate: "
            "try model='unet-real', or level=10 / 255",
        )
    # Those of hospitals are no measure of light.
    if page.image.dtype != np.uint8 and not done.scale.noise and form not in ("dicom", "nifti"):
        return (
            "hardly any noise found; if values are in proportion to light, try stabilize='poisson'",
        )
    return ()


def removed(
    image: np.ndarray, clean: np.ndarray, scale: Scale, ends: tuple[int, int] | None = None
) -> np.ndarray:
    """What was removed; it takes the place of the image where it can.

    Args:
      image: `(H, W, C)`; overwritten if it may be.
      clean: the clean estimate, of its shape and dtype.
      scale: what the model saw of it.
      ends: the least and the largest integer that can be stored; None for those of the type.

    Returns:
      image - clean, around mid gray: 128 or 32768 of 8 or 16 bits, 0.5 of floats in [0, 1], to
      which it is clipped. Signed integers and floats of other ranges are around 0. Alpha is that of
      `image`.
    """
    out = image if image.flags.writeable else image.copy()
    colors = pixels.without_alpha(image).shape[-1]
    kind = image.dtype
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        least, most = ends or (limits.min, limits.max)
        wide, middle = np.int64, most // 2 + 1 if kind.kind == "u" else 0
    elif scale.low >= 0 and scale.high <= 1:
        wide, middle, least, most = kind, 0.5, 0, 1
    else:
        wide, middle, least, most = kind, 0, -np.inf, np.inf
    rows = max(1, _BAND // (image.shape[1] * image.shape[2]))
    for top in range(0, len(image), rows):
        band = (slice(top, top + rows), slice(None), slice(0, colors))
        with np.errstate(invalid="ignore"):
            difference = image[band].astype(wide) - clean[band].astype(wide)
        out[band] = np.clip(difference + np.asarray(middle, wide), least, most)
    return out


def _nested(a: str | os.PathLike, b: str | os.PathLike) -> str:
    """Which of two places lies in the other, a Zarr store, in words; empty where none does."""
    for inner, outer in ((a, b), (b, a)):
        within = Path(os.path.realpath(outer)) in Path(os.path.realpath(inner)).parents
        if within and is_store(outer):
            return f"{inner} lies in {outer}"
    return ""


def check_places(
    src: str | os.PathLike, dst: str | os.PathLike, save_noise: str | os.PathLike | None
) -> None:
    """Refuses a file for the noise that is the input or the output, and one store in another.

    Raises:
      ZooError: it is.
    """
    for place in (dst, save_noise):
        if place is not None and (inside := _nested(src, place)):
            raise ZooError(f"{inside}; name another output")
    if save_noise is None:
        return
    for other, what in ((src, "the input"), (dst, "the output")):
        # By path for those that are not there yet, and by file for links.
        same = os.path.realpath(other) == os.path.realpath(save_noise)
        there = os.path.exists(other) and os.path.exists(save_noise)
        if same or (there and os.path.samefile(other, save_noise)):
            raise ZooError(f"{save_noise} is {what}; name another file for the noise")
