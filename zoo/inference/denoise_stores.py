"""Zarr stores denoised region by region: of any size, resumable, here or on a cluster.

What is found of the whole image comes first: the range of its values, and where a plane is in
several regions its noise level. Then each region is read with its surroundings, denoised, and
written; at last the smaller levels.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import zoo
from zoo.data import pixels
from zoo.data.image_metadata import Metadata, Page
from zoo.errors import ZooError, in_words
from zoo.inference import blocks, kept_mean, value_scale
from zoo.inference.blocks import HELD, Plane
from zoo.inference.denoise_images import ImageReport, hints
from zoo.inference.even_noise import KINDS, Noise, kind_of
from zoo.inference.image_denoiser import ImageDenoiser
from zoo.inference.kept_mean import Residual
from zoo.inference.resumable import Steps, Workers, workers
from zoo.inference.value_scale import Look, Scale, Spread

# Values that are looked at together where chunks hold several planes.
_SLAB = 2**26
# The least side of what is without measurements.
_MARGIN = 16

Place = tuple[int, ...]


class _Work(NamedTuple):
    """What all steps share.

    Attributes:
      name: of this work, by which workers know stores that they have opened.
      source, target: the folders of the stores.
      denoiser: the model.
      level: of the noise, given; None to estimate it.
      limits: the values of black and of white, given; None to choose them.
      stabilize: the noise to make even, as of `zoo.inference.denoise_image_file`.
      scales: by the name of a dtype, once they are found.
      levels: by image and place of a plane, where they are found before.
    """

    name: str
    source: str
    target: str
    denoiser: ImageDenoiser
    level: float | None
    limits: tuple[float, float] | None
    stabilize: str | Noise | None
    scales: dict[str, Scale]
    levels: dict[tuple[int, Place], float]


def fits(source: Any, denoiser: ImageDenoiser) -> bool:
    """Whether the model is a local one for the images of a `ZarrStack`."""
    return all(denoiser.surroundings(_colors(block)) for block in source.blocks)


def denoise_store(
    source: Any,
    dst: Path,
    denoiser: ImageDenoiser,
    *,
    level: float | None,
    limits: tuple[float, float] | None,
    stabilize: str | Noise | None,
    overwrite: bool,
    scheduler: str | None,
    progress: Callable[[int, int], None] | None,
) -> ImageReport:
    """Denoises a Zarr store into another; see `zoo.inference.denoise_image_file`.

    Until it is whole, the output is called `dst` and `.unfinished`. The same call goes on where
    one was killed.

    Args:
      source: a `zoo.data.science.zarr_files.ZarrStack`.
      dst: the store to write.
      denoiser: a local model.
      level, overwrite, progress: as there.
      limits: the values of black and of white; None chooses them.
      stabilize: the noise to make even, as of `zoo.inference.denoise_image_file`.
      scheduler: address of a dask.distributed scheduler; None for threads of this process.

    Raises:
      ZooError: as there; or no scheduler answers, or another process or other options are at work
        on this output.
    """
    denoiser = denoiser.steady()
    channels = [_colors(block) for block in source.blocks]
    for count in channels:
        blocks.needed(denoiser, count)
    source.check_levels()
    place = os.path.realpath(source.path)
    facts = (place, denoiser.digest(channels), level, limits, stabilize, zoo.__version__)
    identity = hashlib.sha256(repr((facts, source.digest())).encode()).hexdigest()
    with workers(scheduler) as pool:
        steps = Steps(dst, identity, source.copy, overwrite=overwrite)
        work = _Work(
            identity,
            place,
            os.path.realpath(steps.folder),
            denoiser,
            level,
            limits,
            stabilize,
            {},
            {},
        )
        try:
            report = _denoise(source, work, pool, steps, progress)
        except BaseException as error:
            kept, said = steps.stop(), error
            if isinstance(error, OSError):
                said = ZooError(in_words(error))
            if isinstance(said, ZooError):
                rest = f"; what is done is in {steps.folder}, and the same command goes on"
                raise ZooError(f"{said}{rest if kept else ''}") from None
            raise
        steps.finish()
    return report


def _denoise(
    source: Any,
    work: _Work,
    pool: Workers,
    steps: Steps,
    progress: Callable[[int, int], None] | None,
) -> ImageReport:
    target = _target(work.target, work.name)
    slabs = [(n, *one) for n, block in enumerate(source.blocks) for one in _slabs(source, n, block)]
    parts = [(n, one) for n in range(len(source.blocks)) for one in target.regions(n, 0)]
    # Estimates of a plane need all of it; a region that has it makes them itself.
    split = {n for n, one in parts if _is_split(source.blocks[n], one)}
    split = {n for n in split if _estimates(work, _colors(source.blocks[n]))}
    estimated = [one for one in slabs if one[0] in split]
    smaller = [
        (n, level, one)
        for n, series in enumerate(target.series)
        for level in range(1, len(series.levels))
        for one in target.regions(n, level)
    ]
    total = len(slabs) + len(estimated) + len(parts) + len(smaller)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    run = functools.partial(pool.run, steps, advance=advance)
    looks = run(_look, work, [(f"look {n}", one) for n, one in enumerate(slabs)])
    work = work._replace(scales=_scales(work, [_as_look(one) for every in looks for one in every]))
    found = run(_estimate, work, [(f"estimate {n}", one) for n, one in enumerate(estimated)])
    levels = {
        (n, place): level
        for (n, *slab), every in zip(estimated, found, strict=True)
        for place, level in zip(_places(source.blocks[n], *slab), every, strict=True)
    }
    work = work._replace(levels=levels)
    made = run(_write, work, [(f"region {n}", one) for n, one in enumerate(parts)])
    for level in range(1, max((one[1] for one in smaller), default=0) + 1):
        each = [(n, one) for n, one in enumerate(smaller) if one[1] == level]
        run(_shrink, work, [(f"level {n}", one) for n, one in each])
    return _report(source, work, made)


def _report(source: Any, work: _Work, made: list[dict[str, Any]]) -> ImageReport:
    residual, levels, count, notes = Residual(), 0.0, 0, {}
    for one in made:
        residual = Residual(*(a + b for a, b in zip(residual, one["removed"], strict=True)))
        levels, count = levels + one["levels"], count + one["estimates"]
        notes |= dict.fromkeys(one["notes"])
    block = source.blocks[0]
    return ImageReport(
        pages=len(source),
        size=block.shape[len(block.lead) :][:2],
        level=255 * levels / count if count else None,
        deviation=None,
        lost=(),
        scale=work.scales[_native(block).name],
        notes=tuple(notes),
        shift=residual.shift,
    )


def _scales(work: _Work, looks: list[Look]) -> dict[str, Scale]:
    options = {"stabilize": work.stabilize, "trained": work.denoiser.trained_range}
    found = value_scale.settle(looks, work.limits, **options)
    return {dtype.name: scale for dtype, scale in found.items()}


def _as_look(facts: list) -> Look:
    name, spread, evened = facts
    least, most, ends, noise = spread
    known = Spread(least, most, tuple(ends), noise)
    return Look(np.dtype(name), known, KINDS[evened[0]](*evened[1]) if evened else None)


def _slabs(source: Any, number: int, block: Any) -> list[tuple[Place, int, int]]:
    """Planes that are looked at together: the axes before the last, first and end along that."""
    if not block.lead:
        return [((), 0, 1)]
    plane = block.size // block.dtype.itemsize // int(np.prod(block.lead))
    depth = max(1, min(source.depth(number), _SLAB // plane))
    return [
        (lead, first, min(first + depth, block.lead[-1]))
        for lead in np.ndindex(block.lead[:-1])
        for first in range(0, block.lead[-1], depth)
    ]


def _places(block: Any, lead: Place, first: int, end: int) -> list[Place]:
    """Of the planes of a slab."""
    return [(*lead, index) for index in range(first, end)] if block.lead else [()]


def _look(work: _Work, number: int, lead: Place, first: int, end: int) -> list:
    options = {"stabilize": work.stabilize, "trained": work.denoiser.trained_range}
    found = []
    for image in _planes(work, number, lead, first, end):
        dtype, spread, noise = value_scale.look(image, work.limits, **options)
        evened = noise and [kind_of(noise), noise]
        found.append([np.dtype(dtype).name, spread, evened])
    return found


def _estimate(work: _Work, number: int, lead: Place, first: int, end: int) -> list[float]:
    block = _source(work.source, work.name).blocks[number]
    wide = kept_mean.wide(block.dtype) if _colors(block) == 1 else block.dtype
    scale = work.scales[_native(block).name]
    return [
        blocks.level_of(image, scale, work.denoiser)
        for image in _planes(work, number, lead, first, end, wide)
    ]


def _planes(
    work: _Work, number: int, lead: Place, first: int, end: int, dtype: np.dtype | None = None
) -> Any:
    """Whole planes without alpha, large ones as those that are read in parts."""
    source = _source(work.source, work.name)
    block = source.blocks[number]
    shape = (*block.shape[len(block.lead) :][:2], _colors(block))
    dtype = dtype or _native(block)
    many = shape[0] * shape[1] <= HELD and block.lead
    held = source.values(number, (*lead, slice(first, end))) if many else None
    for index, place in enumerate(_places(block, lead, first, end)):

        def read(rows: slice, columns: slice, place: Place = place) -> np.ndarray:
            return pixels.without_alpha(source.values(number, (*place, rows, columns)))

        if shape[0] * shape[1] > HELD:
            yield Plane(read, shape, dtype)
            continue
        if held is None:
            image = read(slice(None), slice(None))
        else:
            image = pixels.without_alpha(held[index])
        yield image.astype(dtype, copy=False)


def _write(work: _Work, number: int, region: tuple[slice, ...]) -> dict[str, Any]:
    """Denoises a region and writes it."""
    source = _source(work.source, work.name)
    block, array = source.blocks[number], source.arrays[number]
    axes, around = len(block.lead), blocks.needed(work.denoiser, _colors(block))
    given, inner = zip(
        *(
            blocks.surrounded(part, side, around)
            for part, side in zip(region[axes:], block.shape[axes:][:2], strict=False)
        ),
        strict=True,
    )
    values = source.values(number, (*region[:axes], *given))
    scale = work.scales[_native(block).name]
    out = values[(..., *inner, slice(None))].copy()
    residual, levels, notes = Residual(), [], {}
    for index in np.ndindex(values.shape[:axes]):
        image, before = values[index], out[index].copy()
        blank = _blank(before, array.chunks[axes:][:2])
        if blank.all():
            continue
        place = tuple(part.start + i for part, i in zip(region, index, strict=False))
        level = work.levels.get((number, place), work.level)
        if level == 0:
            continue
        with blocks.alone():
            if image.shape[-1] <= 2:
                missing = np.zeros(image.shape[:2], bool)
                missing[inner] = blank
                page = Page(image, Metadata(stack=source), missing=missing)
                done, removed = kept_mean.denoise(page, work.denoiser, level, None, scale, inner)
                residual = residual.plus(removed)
                out[index] = done.image
            elif done := blocks.denoise_part(image, work.denoiser, level, scale):
                out[index] = done.image[inner]
            else:
                continue
            out[index][blank] = before[blank]
        levels += [] if done.level is None else [done.level]
        notes |= dict.fromkeys((*done.notes, *hints(Page(image), "zarr", done, work.stabilize)))
    _target(work.target, work.name).write(number, region, out if block.channels else out[..., 0])
    return {
        "removed": list(residual),
        "levels": sum(levels),
        "estimates": len(levels),
        "notes": list(notes),
    }


def _blank(image: np.ndarray, chunk: tuple[int, int]) -> np.ndarray:
    """Where nothing was measured, as in the margins of a slide: chunks of one value, `(h, w)`.

    Several small ones, for in one of a few pixels noise has one value too.
    """
    blank = np.zeros(image.shape[:2], bool)
    chunk = tuple(-(-_MARGIN // side) * side for side in chunk)
    for top in range(0, blank.shape[0], chunk[0]):
        for left in range(0, blank.shape[1], chunk[1]):
            place = (slice(top, top + chunk[0]), slice(left, left + chunk[1]))
            blank[place] = image[place].min() == image[place].max()
    return blank


def _shrink(work: _Work, number: int, level: int, region: tuple[slice, ...]) -> None:
    """Writes a region of a smaller level."""
    _target(work.target, work.name).shrink(number, level, region)


def _estimates(work: _Work, channels: int) -> bool:
    return work.level is None and work.denoiser.specification(channels).takes_level


def _is_split(block: Any, region: tuple[slice, ...]) -> bool:
    axes = len(block.lead)
    sides = zip(region[axes:], block.shape[axes:], strict=True)
    return any((part.start, part.stop) != (0, side) for part, side in sides)


def _colors(block: Any) -> int:
    """Channels without alpha."""
    count = block.shape[-1] if block.channels else 1
    return count - (count in (2, 4))


def _native(block: Any) -> np.dtype:
    return block.dtype.newbyteorder("=")


# A worker opens a store once, not for each region.
@functools.lru_cache(maxsize=4)
def _source(path: str, work: str) -> Any:
    del work  # another has other arrays
    from zoo.data.science import zarr_files  # noqa: PLC0415 - an extra

    return zarr_files.ZarrStack(path)


@functools.lru_cache(maxsize=4)
def _target(path: str, work: str) -> Any:
    del work
    from zoo.data.science import zarr_files  # noqa: PLC0415 - an extra

    return zarr_files.ZarrWriter(Path(path), path)
