"""Windows of a stack: a plane between its neighbors, which a model takes as further channels.

A window of K planes, K odd, is an array (..., K C): plane by plane in their order, the channels of
each together. Beyond an end of the stack there is no plane; the one as far on the other side of
the center stands in for it. So the center is never among its neighbors, and its noise is in no
other plane of the window.

Planes are numbered as they lie in a file, along axes such as time, channel and z. A window runs
along one of them, see `around`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from zoo.errors import ZooError

if TYPE_CHECKING:
    import jax

Axes = tuple[tuple[str, int], ...]
"""Axes of a stack before those of a plane, the slowest first: a name in lower case (`"z"`, `"t"`,
`"c"`; empty where the file has none), and how many."""

Array = TypeVar("Array", np.ndarray, "jax.Array")


def check(planes: int, name: str) -> None:
    """Refuses a window that is not of an odd number of planes.

    Raises:
      ZooError: it is not.
    """
    if planes < 1 or planes % 2 == 0:
        raise ZooError(f"{name}: planes={planes!r} is not an odd number; make it 3 or 5")


def around(
    number: int, stacks: Sequence[Axes], window: int, name: str, *, frames: bool = False
) -> list[int]:
    """The planes of a window, by their numbers in the file.

    It runs along z where the stack has more than one plane along it, else along t, else along the
    last axis that is not one of channels (c).

    Args:
      number: of the plane in the center.
      stacks: the axes of each stack of the file, in their order.
      window: K.
      name: what to call the file in an error.
      frames: whether one more plane follows that is not in the window: of a stack of z and t the
        same at the next time, else the nearest beyond the window; at an end the one before.

    Raises:
      ZooError: there are fewer planes than so many along such an axis.
    """
    if window + frames == 1:
        return [number]
    first = 0
    for axes in stacks:
        count = int(np.prod([size for _, size in axes], dtype=np.int64))
        if number < first + count:
            break
        first += count
    steps, times = (_offsets(number - first, axes, order) for order in ("zt", "tz"))
    apart = frames and times[0] != steps[0]
    needed = window + (frames and not apart)
    if (length := len(steps[1])) < needed:
        found = f"a stack of {length} planes" if length > 1 else "a single plane"
        remedy = "choose a model of single planes"
        if frames:
            remedy = "give two noisy images of each scene as data.name='pairs'"
        raise ZooError(
            f"{name} is {found}, where {needed} are needed; give a deeper stack, or {remedy}"
        )
    reach = window // 2
    wanted = [_mirrored(*steps, offset) for offset in range(-reach, reach + 1)]
    if frames:
        wanted.append(_mirrored(*times, 1) if apart else _mirrored(*steps, reach + 1))
    return [number + offset for offset in wanted]


def _offsets(number: int, axes: Axes, order: str) -> tuple[int, range]:
    """How far apart two planes are along an axis, and what can be added to a place along it.

    Args:
      number: of the plane in its stack.
      axes: of the stack.
      order: names of axes, the first of which with several planes it is.
    """
    many = [axis for axis, (_, size) in enumerate(axes) if size > 1]
    named = [axis for one in order for axis in many if axes[axis][0] == one]
    along = (named or [axis for axis in many if axes[axis][0] != "c"][-1:] or [len(axes)])[0]
    length = axes[along][1] if along < len(axes) else 1
    stride = int(np.prod([size for _, size in axes[along + 1 :]], dtype=np.int64))
    place = number // stride % length
    return stride, range(-place, length - place)


def _mirrored(stride: int, inside: range, offset: int) -> int:
    return stride * (offset if offset in inside else -offset)


def middle(x: Array, channels: int) -> Array:
    """The center plane of a window (..., K C), of so many channels; of a plane, itself."""
    first = (x.shape[-1] - channels) // 2
    return x[..., first : first + channels] if first else x


def with_middle(x: "jax.Array", center: "jax.Array") -> "jax.Array":
    """A window with another center plane.

    Args:
      x: (..., K C).
      center: (..., C); of K = 1 it is returned.
    """
    first = (x.shape[-1] - center.shape[-1]) // 2
    if not first:
        return center
    import jax.numpy as jnp  # noqa: PLC0415 - commands read files without it

    return jnp.concatenate([x[..., :first], center, x[..., first + center.shape[-1] :]], axis=-1)
