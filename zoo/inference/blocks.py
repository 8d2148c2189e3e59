"""Parts of images that are larger than the memory: looked at and denoised as in the whole.

A part is given with its surroundings, as far as a local model looks, so that its result is that of
the whole image. Range and noise level are found for the whole before, of which one part is read at
a time.
"""

import functools
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import jax
import numpy as np

from zoo import weights
from zoo.data import pixels
from zoo.errors import ZooError
from zoo.inference.image_denoiser import Denoised, ImageDenoiser, Surroundings
from zoo.inference.noise_level import estimate_level
from zoo.inference.value_scale import Scale
from zoo.models import list_models, model_spec
from zoo.resolve import build

HELD = 2**24
"""Pixels of an image up to which all of it is held in memory at once."""

# A model keeps all cores, or its device, busy: meanwhile others read and write.
_busy = threading.Lock()


class Plane:
    """A large image for those who look at some of it: `(H, W, C)`, read when it is asked for.

    Args:
      read: rows and columns, two slices, to their values `(h, w, C)`.
      shape: `(H, W, C)`.
      dtype: of the values, which are converted.
    """

    def __init__(self, read: Callable[..., np.ndarray], shape: Sequence[int], dtype: np.dtype):
        self._read, self.shape, self.dtype = read, tuple(shape), np.dtype(dtype)
        self.size = int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, places: slice | tuple[slice, slice]) -> np.ndarray:
        """Some rows, or rows and columns."""
        rows, columns = places if isinstance(places, tuple) else (places, slice(None))
        # Some steps skip most of what is read.
        if (rows.step or 1) * (columns.step or 1) == 1:
            return self._read(rows, columns).astype(self.dtype, copy=False)
        bands = []
        for start, stop in self._bands():
            first = start + -start % rows.step
            if first < stop:
                band = self._read(slice(start, stop), slice(None))
                bands.append(band[first - start :: rows.step, :: columns.step].copy())
        return np.concatenate(bands).astype(self.dtype, copy=False)

    def min(self) -> Any:
        """The least value."""
        return self._ends[0]

    def max(self) -> Any:
        """The largest value."""
        return self._ends[1]

    @functools.cached_property
    def _ends(self) -> tuple[Any, Any]:
        bands = (self._read(slice(*band), slice(None)) for band in self._bands())
        least, most = zip(*((band.min(), band.max()) for band in bands), strict=True)
        return min(least), max(most)

    def _bands(self) -> Iterator[tuple[int, int]]:
        height = max(1, HELD * self.shape[0] // self.size)
        return ((top, min(top + height, self.shape[0])) for top in range(0, self.shape[0], height))


def level_of(image: np.ndarray | Plane, scale: Scale, denoiser: ImageDenoiser) -> float | None:
    """The noise level of a whole image, estimated as a share of white; None for a model without.

    Args:
      image: `(H, W, C)`, without alpha.
      scale: what the model sees of it.
      denoiser: the model.

    Raises:
      ZooError: the image is too small, or the model takes no such images.
    """
    spec = denoiser.specification(image.shape[-1])
    if not spec.takes_level:
        return None
    if scale.level is not None:
        return scale.level / scale.seen
    return estimate_level(image, scale, luma=spec.channels != 1) / scale.seen


def needed(denoiser: ImageDenoiser, channels: int) -> Surroundings:
    """As `ImageDenoiser.surroundings`, of a model that must be a local one.

    Raises:
      ZooError: it is not.
    """
    found = denoiser.surroundings(channels)
    if found is None:
        spec = denoiser.specification(channels)
        name = spec.name
        if spec.planes > 1:
            raise ZooError(
                f"{name} takes {spec.planes} planes of a stack at once, and blocks are of single "
                "planes; choose another model, or denoise files plane by plane"
            )
        raise ZooError(
            f"{name} looks at all of an image, or farther than overlap=, so that parts would "
            f"differ from the whole; choose a local model: {', '.join(_local_models())}"
        )
    return found


def _local_models() -> list[str]:
    shipped = [name for name in weights.list_weights() if _is_local(build(name)[1])]
    others = [name for name in list_models() if _is_local(model_spec(name))]
    return [*shipped, *others]


def _is_local(spec: Any) -> bool:
    image = spec.modality == "image" and spec.size is None and spec.planes == 1
    return image and spec.locality == "local" and spec.reach > 0


def surrounded(part: slice, length: int, around: Surroundings) -> tuple[slice, slice]:
    """What to give of an axis for a part of it, and where the part lies in that."""
    start = max(part.start - around.halo, 0) // around.stride * around.stride
    stop = min(part.stop + around.halo, length)
    # The end is at a multiple too, so that nothing is padded within the image.
    stop = min(stop + -stop % around.stride, length)
    return slice(start, stop), slice(part.start - start, part.stop - start)


def denoise_part(
    image: np.ndarray, denoiser: ImageDenoiser, level: float | None, scale: Scale
) -> Denoised | None:
    """Denoises a part of an image, given with its surroundings.

    Args:
      image: `(h, w, C)`.
      denoiser: a local model.
      level: of the whole image, as a share of white; None for a model that takes none.
      scale: of the whole image.

    Returns:
      What the denoiser gives; its edges, as far as the model looks, are those of an image that ends
      there. None where there is no noise, or a channel without any finite value.
    """
    if level == 0 or pixels.is_blank(image):
        return None
    return denoiser(image, level, None, scale, part_of_larger=True)


@contextmanager
def alone() -> Iterator[None]:
    """While a model is at work: one at a time in a process, and on one device in a worker."""
    with _busy, _device():
        yield


def _device() -> Any:
    """The device of this worker of a cluster; elsewhere what is chosen already."""
    number = worker_number()
    if number is None or jax.config.jax_default_device is not None:
        return nullcontext()
    devices = jax.local_devices()
    return jax.default_device(devices[number % len(devices)])


def worker_number() -> int | None:
    """The number at the end of the name of a worker of dask.distributed; None outside of one."""
    if "distributed" not in sys.modules:
        return None
    try:
        name = str(sys.modules["distributed"].get_worker().name)
    except ValueError:
        return None
    found = re.search(r"(\d+)$", name)
    # Of a worker without a name its port, of which several on a machine differ.
    return int(found[1]) if found else 0
