"""The planes of a file or an array with their neighbors, for models that take several at once.

Each plane is read once, in order, and held while a window needs it.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from zoo.data import pixels, windows
from zoo.errors import ZooError
from zoo.inference import image_canvas
from zoo.models import ModelSpec

if TYPE_CHECKING:
    from zoo.data.image_files import Pages
    from zoo.data.image_metadata import Page

# Planes held at most. Where other axes lie between those of a window, more are read twice.
_HELD = 64


def of_pages(pages: "Pages", planes: int) -> Iterator[tuple["Page", list[np.ndarray]]]:
    """The pages of a file in order, each with the images around it.

    Args:
      pages: of the file.
      planes: K; of 1 there is nothing around.

    Raises:
      ZooError: a stack of the file has fewer planes, or as `zoo.data.image_files.read_pages`.
    """
    if planes == 1:
        yield from ((page, []) for page in pages)
        return
    numbers = [windows.around(i, pages.stacks, planes, pages.name) for i in range(len(pages))]
    span = max(abs(n - i) for i, every in enumerate(numbers) for n in every)
    most = min(2 * span + 1, _HELD)
    coming, held, read = iter(pages), OrderedDict(), 0

    def keep(number: int, page: "Page") -> "Page":
        held[number] = page
        if len(held) > most:
            held.popitem(last=False)
        return page

    def at(number: int) -> "Page":
        nonlocal read
        while read <= number:
            keep(read, next(coming))
            read += 1
        return held.get(number) or keep(number, pages[number])

    for i, every in enumerate(numbers):
        beside = [at(n).image for n in every if n != i]
        yield at(i), beside


def of_array(x: np.ndarray, planes: int) -> Iterator[list[np.ndarray]]:
    """What is around each plane of a stack.

    Args:
      x: (N, H, W) or (N, H, W, C).
      planes: K.

    Raises:
      ZooError: it is no stack, or one of fewer planes.
    """
    if np.ma.is_masked(x):
        raise ZooError("the stack is masked; give floats with NaN in the place of what is")
    if x.ndim not in (3, 4) or not x.size:
        raise ZooError(
            f"the model takes {planes} planes of a stack at once, and the array has the shape "
            f"{x.shape}; give (N, H, W) or (N, H, W, C), or choose another model"
        )
    numbers = [windows.around(i, [(("", len(x)),)], planes, "the array") for i in range(len(x))]
    return ([x[n] for n in every if n != i] for i, every in enumerate(numbers))


def joined(source: np.ndarray, around: Sequence[ArrayLike], spec: ModelSpec) -> np.ndarray:
    """A window (H, W, K C): a plane between its neighbors.

    Args:
      source: (H, W, C).
      around: its neighbors, in their order, with or without alpha.
      spec: of the model, which says how many it takes.

    Raises:
      ZooError: they are too many or too few, or of another shape.
    """
    if len(around) != spec.planes - 1:
        raise ZooError(
            f"{spec.name} takes {spec.planes} planes of a stack at once; give it a stack of so "
            "many or more, or choose another model"
        )
    planes = []
    for one in map(np.asarray, around):
        plane = pixels.without_alpha(one[..., None] if one.ndim == 2 else one)
        if plane.shape != source.shape:
            raise ZooError(
                f"planes of one stack have the shapes {source.shape} and {plane.shape}; leave "
                "others out"
            )
        # Where nothing was measured the center alone is known.
        plane = source if pixels.is_blank(plane) else image_canvas.filled(plane)
        planes.append(plane.astype(source.dtype, copy=False))
    return np.concatenate([*planes[: len(planes) // 2], source, *planes[len(planes) // 2 :]], -1)
