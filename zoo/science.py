"""Arrays larger than one machine, denoised block by block through dask.

References:
  M. Rocklin, "Dask: parallel computation with blocked algorithms and task scheduling", SciPy 2015.
"""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from zoo.data import pixels
from zoo.errors import EXTRAS, ZooError
from zoo.inference import ImageDenoiser, blocks, even_noise, value_scale
from zoo.inference.blocks import HELD, Plane
from zoo.inference.even_noise import Noise
from zoo.inference.image_denoiser import Surroundings
from zoo.inference.noise_level import check_level
from zoo.inference.value_scale import Scale
from zoo.resolve import Resolved

if TYPE_CHECKING:
    import dask.array as da

# Sides of a block over its halo, so that little is computed twice; and the least in pixels.
_HALOS, _SIDE = 6, 256
# Planes that the noise level is estimated from.
_PLANES = 16


def map_blocks(
    model: str | os.PathLike | nn.Module | Resolved | None,
    array: "da.Array",
    *,
    level: float | None = None,
    range: tuple[float, float] | None = None,
    stabilize: str | Noise | None = None,
    channel_axis: int | None = None,
    variables: Mapping | None = None,
    strength: float = 1.0,
    ensemble: bool = False,
    dtype: DTypeLike | None = None,
) -> "da.Array":
    """Denoises an array of any size, block by block, as `zoo.denoise` would the whole.

    Blocks overlap as far as the model looks, so that they make no difference. Computing the result
    runs on threads of this machine, or on the `dask.distributed` client that is current. A process
    computes one block at a time, which keeps its cores busy; a worker takes one device, by the
    number at the end of its name. The model is sent to each worker once.

    One scale of values holds for the whole array. It is looked for now, which reads the array once,
    a plane or a part of one at a time, unless `range` states it; and so is the noise level, from
    some of the planes, unless `level` does. With both, nothing is computed before the result is.

    Args:
      model: a local one, as of `zoo.denoise`; None takes the usual one for gray or color.
      array: integers or floats; the last two axes, but for that of channels, are those of a plane,
        and the others any. Chunks become multiples of what the model divides by, not smaller than
        what it looks at is worth.
      level: standard deviation of the noise as a share of white, see `zoo.denoise`; None estimates
        one for the whole array, the median over those of up to 16 planes that have any.
      range: the values of black and of white; None chooses them.
      stabilize: the noise to make even, as of `zoo.denoise`.
      channel_axis: that of 1 to 4 channels, as of `zoo.denoise`; None where planes are gray. Equal
        channels are not looked for.
      variables, strength, ensemble, dtype: as of `zoo.denoise`.

    Returns:
      The clean estimate, of the shape and dtype of the array. Values that are not finite stay, and
      where there are no others within a block and its overlap, all of it.

    Raises:
      ZooError: dask is missing, the model is not local, or as `zoo.denoise`.
    """
    try:
        import dask  # noqa: PLC0415 - an extra
        import dask.array as da  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ZooError(f"blocks need dask; pip install 'denoising-zoo[{EXTRAS['dask']}]'") from None
    array = da.asarray(array)
    planes = _with_channels_last(array, channel_axis)
    channels = planes.shape[-1]
    colors = channels - (channels in (2, 4))
    denoiser = ImageDenoiser(
        model, variables=variables, strength=strength, ensemble=ensemble, dtype=dtype
    ).steady()
    around = blocks.needed(denoiser, colors)
    scale = _scale(planes, denoiser, range, even_noise.check(stabilize))
    if level is not None:
        level = check_level(level)
    elif denoiser.specification(colors).takes_level:
        level = _level(planes, denoiser, scale)
    # A task of its own, which others depend on: so a worker is given the model once.
    shared = dask.delayed((denoiser, level, scale), pure=True, traverse=False)
    lead = planes.ndim - 3
    chunks = {axis: _chunks(planes.chunks[axis], around) for axis in (lead, lead + 1)}
    planes = planes.rechunk({**chunks, lead + 2: channels})
    depth = {axis: around.halo if len(one) > 1 else 0 for axis, one in chunks.items()}
    done = da.map_overlap(
        _denoise,
        planes,
        depth=depth,
        boundary="none",
        allow_rechunk=False,
        dtype=array.dtype,
        meta=np.empty((0,) * planes.ndim, array.dtype),
        shared=shared,
    )
    return done[..., 0] if channel_axis is None else da.moveaxis(done, -1, channel_axis)


def _denoise(part: np.ndarray, shared: tuple) -> np.ndarray:
    """Planes `(..., h, w, C)` with their surroundings."""
    denoiser, level, scale = shared
    done = np.empty_like(part)
    for index in np.ndindex(part.shape[:-3]):
        with blocks.alone():
            found = blocks.denoise_part(part[index], denoiser, level, scale)
        done[index] = found.image if found else part[index]
    return done


def _with_channels_last(array: "da.Array", axis: int | None) -> "da.Array":
    import dask.array as da  # noqa: PLC0415 - an extra

    if array.dtype.kind not in "iuf":
        raise ZooError(f"the array holds {array.dtype}; convert it to integers or floats")
    if axis is None:
        if array.ndim < 2:
            raise ZooError(f"an array of shape {array.shape} has no planes; give (..., H, W)")
        planes = array[..., None]
    elif not -array.ndim <= axis < array.ndim or array.ndim < 3:
        raise ZooError(f"channel_axis={axis} is no axis of an array of shape {array.shape}")
    else:
        planes = da.moveaxis(array, axis, -1)
    if not 1 <= planes.shape[-1] <= 4 or not math.prod(planes.shape):
        raise ZooError(
            f"an array of shape {array.shape} has {planes.shape[-1]} channels or no values; give 1 "
            "to 4, or channel_axis=None, and values"
        )
    if any(math.isnan(side) for side in planes.shape):
        raise ZooError("the array has chunks of unknown sizes; call its compute_chunk_sizes()")
    return planes


def _chunks(given: Sequence[int], around: Surroundings) -> tuple[int, ...]:
    """Lengths of blocks, multiples of the stride but for the last, about as long as the chunks."""
    length, stride = sum(given), around.stride
    least = max(_HALOS * around.halo, min(_SIDE, length))
    side = max(*given, least)
    side += -side % stride
    count = max(1, length // side)
    sizes = [side] * count
    if (rest := length - side * count) > 0:
        # A short one would be mostly overlap.
        if rest >= least // 2 and rest >= around.halo:
            sizes.append(rest)
        else:
            sizes[-1] += rest
    elif rest < 0:
        sizes = [length]
    return tuple(sizes)


def _scale(
    planes: "da.Array",
    denoiser: ImageDenoiser,
    limits: tuple[float, float] | None,
    stabilize: str | Noise | None,
) -> Scale:
    if limits is not None and stabilize in (None, even_noise.NONE):
        return value_scale.scale_of_range(value_scale.check_range(limits), planes.dtype)
    indices = np.ndindex(planes.shape[:-3])
    every = (_plane(planes, index) for index in indices)
    return denoiser.find_scales(every, limits, stabilize=stabilize)[planes.dtype]


def _level(planes: "da.Array", denoiser: ImageDenoiser, scale: Scale) -> float:
    count = math.prod(planes.shape[:-3])
    chosen = {int(n) for n in np.linspace(0, count - 1, min(count, _PLANES))}
    indices = (one for n, one in enumerate(np.ndindex(planes.shape[:-3])) if n in chosen)
    found = [blocks.level_of(_plane(planes, index), scale, denoiser) for index in indices]
    # Planes of nothing, as above and below a specimen, have none.
    return float(np.median([one for one in found if one > 0] or [0.0]))


def _plane(planes: "da.Array", index: tuple[int, ...]) -> np.ndarray | Plane:
    """A plane without alpha, or what reads a large one in parts."""
    plane = planes[index]

    def read(rows: slice, columns: slice) -> np.ndarray:
        return pixels.without_alpha(np.asarray(plane[rows, columns]))

    height, width, channels = plane.shape
    if height * width <= HELD:
        return read(slice(None), slice(None))
    return Plane(read, (height, width, channels - (channels in (2, 4))), plane.dtype)
