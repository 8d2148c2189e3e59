"""Parts of a chunked array that are written at once, so that no chunk is written twice."""

import itertools
import math
from collections.abc import Sequence

Region = tuple[slice, ...]

MOST = 2**24
"""Values of a region, unless a chunk has more."""


def regions(shape: Sequence[int], chunks: Sequence[int], plane: int) -> list[Region]:
    """Cuts an array into regions of whole chunks, in the order of the array.

    A plane is whole where it has at most `MOST` values, and else in parts about as high as wide;
    what is left is taken of the axes before it.

    Args:
      shape: of the array.
      chunks: of what is written at once, a chunk or a shard.
      plane: the first of the two axes of a plane; axes behind them are whole.
    """
    sizes = [min(chunk, side) for chunk, side in zip(chunks, shape, strict=True)]
    sizes[plane + 2 :] = shape[plane + 2 :]
    room = max(1, MOST // math.prod((*sizes[:plane], *sizes[plane + 2 :])))
    height, width = shape[plane : plane + 2]
    wide = width if height * width <= room else max(math.isqrt(room), room // height)
    sizes[plane + 1] = _whole_chunks(width, sizes[plane + 1], wide)
    sizes[plane] = _whole_chunks(height, sizes[plane], room // sizes[plane + 1])
    for axis in reversed(range(plane)):
        room = MOST // (math.prod(sizes) // sizes[axis])
        sizes[axis] = _whole_chunks(shape[axis], sizes[axis], room)
    parts = (
        [slice(start, min(start + size, side)) for start in range(0, side, size)]
        for side, size in zip(shape, sizes, strict=True)
    )
    return list(itertools.product(*parts))


def _whole_chunks(side: int, chunk: int, most: int) -> int:
    """As many chunks as fit into a length, one at least, and such that all parts are alike."""
    if side <= most:
        return side
    count = -(-side // chunk)
    parts = -(-count // max(1, most // chunk))
    return -(-count // parts) * chunk
