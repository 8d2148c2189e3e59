"""Files of diffusion MRI, denoised by Patch2Self: each volume is predicted from all others."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from zoo import files
from zoo.errors import ZooError
from zoo.inference import image_canvas, kept_mean
from zoo.inference.denoise_images import WORDS, ImageReport, check_places, removed
from zoo.inference.value_scale import Scale
from zoo.selfsupervised.patch2self import absorb, fresh, groups, mixed, mixture

if TYPE_CHECKING:
    from zoo.data.image_files import Pages

# Fewer volumes say little of each other.
_FEW = 10
# Values are those of the file.
_SCALE = Scale(0.0, 1.0, 1.0)


def read_bvals(path: str | os.PathLike) -> np.ndarray:
    """Reads the b-values of a series from a text file, as FSL and BIDS have them.

    Args:
      path: the file: numbers in s/mm^2, apart by spaces or lines.

    Raises:
      ZooError: it is missing or holds something else.
    """
    with files.opened(path) as file:
        text = files.rest(file, path)
    try:
        found = np.array([float(word) for word in text.decode().split()])
    except ValueError:
        found = np.zeros(0)
    if not found.size or not np.isfinite(found).all() or found.min() < 0:
        raise ZooError(
            f"{path} holds no b-values; give a text file of numbers, one for each volume"
        )
    return found


def denoise_diffusion_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    *,
    bvals: Sequence[float] | None = None,
    strength: float = 1.0,
    overwrite: bool = False,
    save_noise: str | os.PathLike | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageReport:
    """Denoises a series of volumes by `zoo.selfsupervised.patch2self`, in two passes.

    The series is held in memory once, as float32.

    Args:
      src: the file, of `zoo.data.science`, of four axes: NIfTI, or an array (volumes, z, y, x).
      dst: the file to write, as of `zoo.inference.denoise_image_file`.
      bvals: one for each volume, in s/mm^2, see `patch2self`; None regresses all on all.
      strength: how much of the change is made, 0 to 1.
      overwrite, save_noise: as of `denoise_image_file`.
      progress: called with the slices that are done and with those of both passes.

    Returns:
      What was written; `shift` is the mean of what was removed over its standard deviation.

    Raises:
      ZooError: the file is no such series, the b-values are not as many, or as
        `denoise_image_file`.
    """
    # Here, since its libraries are heavy.
    from zoo.data import image_files  # noqa: PLC0415

    check_places(src, dst, save_noise)
    strength = image_canvas.check_strength(strength)
    pages = image_files.read_pages(src)
    first = next(iter(pages))
    stack = first.metadata.stack
    lead = tuple(stack.lead) if stack else ()
    if len(lead) != 2 or first.image.shape[-1] != 1:
        raise ZooError(
            f"{src} is no series of gray volumes, of four axes, which patch2self is for; "
            "choose another method"
        )
    count, slices = lead
    chosen = groups(count, bvals)
    predicted = {int(volume) for group in chosen for volume in group}
    places = [Path(dst)] + ([] if save_noise is None else [Path(save_noise)])
    with ExitStack() as writers:
        puts = [
            writers.enter_context(
                image_files.writing(place, len(pages), overwrite=overwrite, word=word)
            )
            for place, word in zip(places, WORDS, strict=False)
        ]
        values = _read(pages, count, slices)
        _predict(values, chosen, progress)
        residual, lost = kept_mean.Residual(), {}
        for number, page in enumerate(pages):
            known, clean = np.isfinite(page.image), page.image
            if number // slices in predicted:
                found = values[number // slices, number % slices].reshape(page.image.shape)
                change = strength * (found.astype(np.float64) - page.image)
                clean = kept_mean.stored(page.image + change, page.image.dtype, _SCALE, page)
                # What is not finite in one volume is known in no other prediction.
                clean = np.where(np.isfinite(found) & known, clean, page.image)
            if page.missing is not None:
                known &= ~page.missing.reshape(known.shape)
            before = page.image[known].astype(np.float64)
            residual = residual.plus(before - clean[known])
            lost |= dict.fromkeys((*page.lost, *puts[0](page._replace(image=clean))))
            if save_noise is not None:
                noise = removed(page.image.copy(), clean, _SCALE, stack.ends)
                puts[1](page._replace(image=noise))
    notes = []
    if alone := count - len(predicted):
        notes.append(f"volumes without another of such a b-value, left as they are: {alone}")
    if min(map(len, chosen), default=_FEW) < _FEW:
        notes.append(f"of fewer than {_FEW} volumes each says little of the others")
    return ImageReport(
        pages=len(pages),
        size=first.image.shape[:2],
        level=None,
        deviation=None,
        lost=tuple(lost),
        scale=_SCALE,
        notes=tuple(notes),
        shift=residual.shift,
    )


def _read(pages: "Pages", count: int, slices: int) -> np.ndarray:
    """All values, (volumes, slices, pixels of one), float32."""
    values = None
    for number, page in enumerate(pages):
        if values is None:
            values = np.empty((count, slices, page.image.size), np.float32)
        values[number // slices, number % slices] = page.image.ravel()
    return values


def _predict(
    values: np.ndarray, chosen: Sequence[np.ndarray], progress: Callable[[int, int], None] | None
) -> None:
    """Puts the predictions in the place of the values; NaN where a volume of a group has none."""
    slices = values.shape[1]
    done, whole = 0, 2 * slices * len(chosen)
    for group in chosen:
        means, deviations, counts = _moments(values, group)
        share, factor = jnp.float32(1 / max(counts, 1)), fresh(len(group))
        unit = np.where(deviations > 0, deviations, 1)
        weights = None
        for number in range(2 * slices):
            place = (group, number % slices)
            rows = ((values[place].T - means) / unit).astype(np.float32)
            unknown = ~np.isfinite(rows).all(-1)
            rows[unknown] = 0
            if number < slices:
                factor = absorb(factor, rows, share)
            else:
                weights = mixture(factor) if weights is None else weights
                found = np.asarray(mixed(rows, weights)) * unit + means
                found[unknown] = np.nan
                values[place] = found.T
            done += 1
            if progress is not None:
                progress(done, whole)


def _moments(values: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Of the voxels that all volumes of a group know: means, deviations and how many."""
    count, sums, _ = _sums(values, group, np.zeros(len(group)))
    mean = sums / max(count, 1)
    # About the mean, so that the squares keep their digits.
    _, _, squares = _sums(values, group, mean)
    return mean, np.sqrt(squares / max(count, 1)), count


def _sums(
    values: np.ndarray, group: np.ndarray, around: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """The number of those voxels, and the sums of their distances and of the squares of those."""
    count, sums, squares = 0, np.zeros(len(group)), np.zeros(len(group))
    for number in range(values.shape[1]):
        rows = values[group, number].astype(np.float64) - around[:, None]
        rows = rows[:, np.isfinite(rows).all(0)]
        count += rows.shape[1]
        sums += rows.sum(1)
        squares += np.square(rows).sum(1)
    return count, sums, squares
