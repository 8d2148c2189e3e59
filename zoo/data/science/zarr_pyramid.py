"""The smaller levels of an OME-Zarr image: each the mean over whole factors of the one before."""

from collections.abc import Sequence

import numpy as np

from zoo.data.science.regions import Region
from zoo.errors import ZooError


def factors(
    finer: Sequence[int], coarser: Sequence[int], scale: Sequence[float] | None, name: str
) -> tuple[int, ...]:
    """How many values of a level become one of the next, along each axis.

    Args:
      finer, coarser: shapes of the two, of which the last values of the finer may be left over.
      scale: the ratio of their scale transformations, which decides where the shapes do not; None
        where they have none.
      name: of the coarser level, for an error.

    Raises:
      ZooError: there are no such whole numbers.
    """
    none = ZooError(
        f"{name} has the shape {tuple(coarser)}, which is no whole part of {tuple(finer)}, so that "
        "it cannot be computed again; save the image without it"
    )
    if len(finer) != len(coarser) or 0 in coarser:
        raise none
    found = []
    for axis, (many, few) in enumerate(zip(finer, coarser, strict=True)):
        tried = [many / few, many // few, -(-many // few)]
        if scale is not None and np.isfinite(scale[axis]):
            tried.insert(0, scale[axis])
        fitting = [round(one) for one in tried if _fits(many, few, round(one))]
        if not fitting:
            raise none
        found.append(fitting[0])
    return tuple(found)


def _fits(many: int, few: int, factor: int) -> bool:
    return factor >= 1 and few in (max(many // factor, 1), -(-many // factor))


def source(region: Region, by: Sequence[int], shape: Sequence[int]) -> Region:
    """Of the finer level, of a shape, what becomes a region of the coarser one."""
    return tuple(
        slice(part.start * factor, min(part.stop * factor, side))
        for part, factor, side in zip(region, by, shape, strict=True)
    )


def reduced(values: np.ndarray, by: Sequence[int]) -> np.ndarray:
    """The mean over blocks of values, the last of which may be cut off; integers are rounded.

    Args:
      values: integers or floats.
      by: the sides of a block.
    """
    mean = values
    for axis, factor in enumerate(by):
        if factor > 1:
            starts = np.arange(0, mean.shape[axis], factor)
            counts = np.diff(starts, append=mean.shape[axis]).astype(np.float64)
            column = counts.reshape(-1, *(1,) * (mean.ndim - axis - 1))
            mean = np.add.reduceat(mean, starts, axis, np.float64) / column
    if values.dtype.kind in "iu" and mean is not values:
        most = float(np.iinfo(values.dtype).max)
        # The largest of 64 bits is no float.
        mean = np.minimum(np.rint(mean), np.nextafter(most, 0) if values.itemsize == 8 else most)
    return mean.astype(values.dtype)
