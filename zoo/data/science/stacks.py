"""Stacks of planes in files whose arrays lie there as they are: read and written in place."""

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from zoo.data import pixels
from zoo.data.image_decoding import intact
from zoo.data.image_metadata import Metadata, Page
from zoo.data.science import packing
from zoo.errors import ZooError

_BLOCK = 2**20


class Stack(Protocol):
    """The planes of a file.

    Attributes:
      form: the format.
      lead: the sizes of the axes before those of a plane, slowest first; their product is the
        number of planes.
      ends: the least and the largest integer that can be stored, where they are not those of the
        type; else None.
    """

    form: str
    lead: tuple[int, ...]
    ends: tuple[int, int] | None

    def __len__(self) -> int:
        """The number of planes."""
        return math.prod(self.lead)

    def pages(self, numbers: Sequence[int] | None = None) -> Iterator[Page]:
        """Planes as pages, each read now; their metadata holds this stack.

        Args:
          numbers: of the planes, ascending; None for all.
        """

    def copied(self, output: BinaryIO | Path, path: Path, word: str) -> "Writer":
        """A writer of a file that is this one but for its planes; see `zoo.data.science.writer`."""


class Writer(Protocol):
    """A writer of planes one after the other."""

    def put(self, page: Page) -> None:
        """Writes the next plane."""

    def finish(self) -> None:
        """Completes the file."""


class Block(NamedTuple):
    """An array in a file.

    Attributes:
      offset: of its first byte.
      shape: its axes, the last but one and the last, before channels, those of the planes.
      dtype: its type with the order of its bytes.
      order: "C" or "F", as of NumPy.
      channels: whether the last axis is one of channels.
      flipped: whether integers have the other sign: they are stored less, or more, half their
        range.
      missing: the stored integer that stands for no measurement, or None.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype
    order: str = "C"
    channels: bool = False
    flipped: bool = False
    missing: int | None = None

    @property
    def lead(self) -> tuple[int, ...]:
        """The sizes of the axes before those of a plane."""
        return self.shape[: -3 if self.channels else -2]

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def upright(self) -> "Block":
        """Without axes of one, where a plane would otherwise be a line of a volume."""
        plane = self.shape[len(self.lead) :][:2]
        sides = [side for side in self.shape[: len(self.lead) + 2] if side > 1]
        if min(plane) > 1 or len(sides) < 2:
            return self
        channels = self.shape[-1:] if self.channels else ()
        return self._replace(shape=(*sides, *channels))

    def mapped(self, file: BinaryIO, mode: str) -> np.ndarray:
        """The array in an open file, not read."""
        return np.memmap(file, self.dtype, mode, self.offset, self.shape, self.order)

    def values(self, stored: np.ndarray) -> np.ndarray:
        """What stored values stand for, in this machine's order of bytes; always a copy."""
        native = np.array(stored, self.dtype.newbyteorder("="), order="C")
        return _flipped(native) if self.flipped else native

    def plane(self, page: Page) -> np.ndarray:
        """The image of a page as a plane of the array.

        Raises:
          ZooError: it is of another size than the array has room for.
        """
        image = page.image if self.channels else page.image[..., 0]
        shape = self.shape[len(self.lead) :]
        if image.shape != shape or (page.image.shape[-1] > 1) != self.channels:
            raise ZooError(
                f"its pages have the sizes {shape} and {image.shape}, and such a file one for all; "
                "end it in .tif"
            )
        return image

    def stored(self, values: np.ndarray) -> np.ndarray:
        """The inverse; integers are rounded and clipped where they are of another type."""
        native = self.dtype.newbyteorder("=")
        if self.flipped:
            kind = np.dtype(f"{'i' if native.kind == 'u' else 'u'}{native.itemsize}")
            return _flipped(_fitted(values, kind))
        return _fitted(values, native)


class Totals(NamedTuple):
    """Of the stored values of an array, those that are finite and not missing.

    Attributes:
      least, most: the ends; NaN where there are none.
      count: how many.
      total, squares: their sum and that of their squares.
    """

    least: float = math.nan
    most: float = math.nan
    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, values: np.ndarray) -> "Totals":
        """With those of more values."""
        values = values[np.isfinite(values)].astype(np.float64)
        if not values.size:
            return self
        return Totals(
            float(np.fmin(self.least, values.min())),
            float(np.fmax(self.most, values.max())),
            self.count + values.size,
            self.total + float(values.sum()),
            self.squares + float(np.square(values).sum()),
        )


class ArrayStack(Stack):
    """The planes of the arrays in a file.

    Args:
      form: the format.
      module: that of the format.
      path: the file.

    Raises:
      ZooError: it is broken or truncated, or holds no planes.
    """

    ends = None

    def __init__(self, form: str, module: ModuleType, path: str):
        self.form, self._module, self._name = form, module, path
        with intact(form, path):
            self._plain = packing.Unpacked(path, form)
            blocks = module.layout(self._plain.file, path)
        self.blocks = [_checked(block, self._plain.file, path).upright() for block in blocks]
        self.lead = lead_of(self.blocks)

    def pages(self, numbers: Sequence[int] | None = None) -> Iterator[Page]:
        """Planes as pages, each read now; all by default."""
        every = list(_places(self.blocks))
        for block, place in every if numbers is None else [every[number] for number in numbers]:
            # Anew each time, so that what was read does not stay in memory.
            stored = block.mapped(self._plain.file, "r")[place]
            image, missing = block.values(stored), None
            image = image if block.channels else image[..., None]
            if block.missing is not None and (stored == block.missing).any():
                missing = np.asarray(stored == block.missing)
                image = pixels.filled(image, missing)
            yield Page(
                pixels.check(image, self._name, any_range=True),
                Metadata(stack=self),
                missing=missing,
            )

    def copied(self, output: BinaryIO, path: Path, word: str) -> "ArrayWriter":
        """A writer of a file that is this one but for its planes, and says no word of it."""
        wanted = packing.Packing(path, output, self._plain)
        self._plain.file.seek(0)
        shutil.copyfileobj(self._plain.file, wanted.file, _BLOCK)
        wanted.file.flush()
        return ArrayWriter(self._module, wanted, self.blocks)


class ArrayWriter:
    """A writer of planes into the arrays of a file that is there already.

    Args:
      module: that of the format.
      wanted: the file, and what becomes of it.
      blocks: its arrays.
    """

    def __init__(self, module: ModuleType, wanted: packing.Packing, blocks: list[Block]):
        self._module, self._packing, self._blocks = module, wanted, blocks
        self._next = _places(blocks)
        self._totals = dict.fromkeys(blocks, Totals())

    @classmethod
    def new(
        cls, module: ModuleType, output: BinaryIO, path: Path, page: Page, lead: tuple[int, ...]
    ) -> "ArrayWriter":
        """A writer of a new file; all planes have the size and the type of the first."""
        wanted = packing.Packing(path, output, None)
        shape = page.image.shape if page.image.shape[-1] > 1 else page.image.shape[:2]
        module.create(wanted.file, (*(() if lead == (1,) else lead), *shape), page.image.dtype)
        wanted.file.flush()
        return cls(module, wanted, module.layout(wanted.file, str(path)))

    def put(self, page: Page) -> None:
        """Writes the next plane.

        Raises:
          ZooError: as `Block.plane`.
        """
        block, place = next(self._next)
        target = block.mapped(self._packing.file, "r+")[place]
        stored = block.stored(block.plane(page))
        there = np.ones((), bool)
        if block.missing is not None:
            there = np.asarray(target != block.missing)
            step = 1 if block.missing < np.iinfo(stored.dtype).max else -1
            stored[stored == block.missing] += step
        np.copyto(target, stored, where=there)
        self._totals[block] = self._totals[block].plus(stored[np.broadcast_to(there, stored.shape)])

    def finish(self) -> None:
        """Completes the file."""
        self._module.finish(self._packing.file, list(self._totals.values()))
        self._packing.finish()


def _places(blocks: list[Block]) -> Iterator[tuple[Block, tuple[int, ...]]]:
    return ((block, place) for block in blocks for place in np.ndindex(block.lead))


def _checked(block: Block, file: BinaryIO, name: str) -> Block:
    """An array that is all in the file, and of numbers of a plane that is not too large."""
    check_block(block, name)
    there = os.fstat(file.fileno()).st_size
    if there < block.offset + block.size:
        raise ZooError(
            f"{name} is truncated: {there:,} of {block.offset + block.size:,} bytes; fetch it again"
        )
    height, width = block.shape[len(block.lead) :][:2]
    pixels.check_size(width, height, name)
    return block


def lead_of(blocks: Sequence[Block]) -> tuple[int, ...]:
    """`Stack.lead` of the planes of some arrays: of several the number of all planes."""
    return blocks[0].lead if len(blocks) == 1 else (sum(math.prod(one.lead) for one in blocks),)


def check_block(block: Block, name: str) -> None:
    """Refuses an array that does not hold images of integers or real floats.

    Raises:
      ZooError: it does not.
    """
    dtype = block.dtype
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ZooError(f"{name} holds values of type {dtype}; save it as integers or real floats")
    if 0 in block.shape or len(block.shape) - block.channels < 2:
        raise ZooError(f"{name} has the shape {block.shape}, which is no image; leave it out")


def _flipped(values: np.ndarray) -> np.ndarray:
    bits = values.view(f"u{values.itemsize}") ^ np.array(
        1 << 8 * values.itemsize - 1, f"u{values.itemsize}"
    )
    return bits.view(f"{'i' if values.dtype.kind == 'u' else 'u'}{values.itemsize}")


def _fitted(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if values.dtype == dtype:
        return values.copy()
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)
