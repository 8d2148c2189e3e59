"""Zarr, by zarr: OME-Zarr of any version, and bare arrays, each a folder that counts as one file.

The planes are those of the full resolution of all images in a store, be it one, a collection or the
wells of a plate; labels are no images. An output is a copy of its input, metadata byte for byte,
with other chunks of these arrays in it, of the same codecs, in the same shards. The smaller levels
of an image are computed again (`zoo.data.science.zarr_pyramid`), or the file is refused. Zarr's
warnings of what other programs may not read are ignored.

References:
  J. Moore et al., "OME-Zarr: a cloud-optimized bioimaging file format with international community
  support", Histochemistry and Cell Biology 160, 2023; ngff.openmicroscopy.org, versions 0.4 and 0.5
  (multiscales, axes, coordinate transformations, labels, plates, bioformats2raw).
"""

import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr

from zoo.data import pixels
from zoo.data.image_decoding import intact
from zoo.data.image_metadata import Metadata, Page
from zoo.data.science import zarr_pyramid
from zoo.data.science.regions import Region, regions
from zoo.data.science.stacks import Block, Stack, check_block, lead_of
from zoo.data.windows import Axes
from zoo.errors import ZooError

_CHANNELS = 4
# Bytes that are read or written at once where chunks hold several planes.
_SLAB = 2**28
# Side of a chunk of new files, and axes of an image by the number of those before a plane.
_SIDE, _AXES = 1024, (("t", "time"), ("c", "channel"), ("z", "space"))
_METADATA = frozenset({"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"})


class Series(NamedTuple):
    """An image in a store.

    Attributes:
      levels: the paths of its arrays, the full resolution first.
      scales: of each its scale transformation, empty where it has none.
      channels: whether the last axis is one of channels.
      names: of its axes, in lower case; empty where they have none.
    """

    levels: tuple[str, ...]
    scales: tuple[tuple[float, ...], ...]
    channels: bool
    names: tuple[str, ...] = ()


class Store:
    """The arrays of an open store.

    Args:
      path: its folder.
      name: what to call it in an error.
      mode: "r" or "r+".
    """

    def __init__(self, path: Path, name: str, mode: str = "r"):
        self._name = name
        with warnings.catch_warnings(action="ignore"):
            self.root = zarr.open(store=str(path), mode=mode)

    def array(self, path: str) -> zarr.Array:
        """An array by its path; the root itself by an empty one."""
        found = self.root
        if path:
            with warnings.catch_warnings(action="ignore"), suppress(KeyError):
                found = self.root[path]
        if not isinstance(found, zarr.Array):
            raise ZooError(f"{self._name} holds no array {path}; fetch it again")
        return found

    def series(self) -> list[Series]:
        """All images.

        Raises:
          ZooError: there is none.
        """
        if isinstance(self.root, zarr.Array):
            shape = self.root.shape
            return [Series(("",), ((),), len(shape) > 2 and shape[-1] <= _CHANNELS)]
        with warnings.catch_warnings(action="ignore"):
            found = [_series(*one) for one in _multiscales(self.root, "")]
            arrays = sorted(self.root.array_keys())
        if not found:
            inside = f"; name one, {self._name}/{arrays[0]}" if arrays else "; leave it out"
            raise ZooError(
                f"{self._name} is a group of {len(arrays)} arrays and no OME-Zarr image{inside}"
            )
        return found

    def factors(self, series: Series, level: int) -> tuple[int, ...]:
        """How many values of the level before become one of a level, along each axis.

        Raises:
          ZooError: the level is no mean over whole factors.
        """
        finer, coarser = (self.array(one).shape for one in series.levels[level - 1 : level + 1])
        before, scale = series.scales[level - 1 : level + 1]
        with np.errstate(all="ignore"):
            ratio = np.divide(scale, before) if len(before) == len(scale) == len(finer) else None
        return zarr_pyramid.factors(finer, coarser, ratio, f"{self._name}/{series.levels[level]}")


def _multiscales(group: zarr.Group, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Paths of images, with the first of what their groups say of levels."""
    attributes = dict(group.attrs)
    # From version 0.5 on it lies below a name of its own.
    attributes = attributes.get("ome", attributes)
    if attributes.get("multiscales"):
        yield path, attributes["multiscales"][0]
        return
    for name, inside in sorted(group.groups()):
        if name != "labels":
            yield from _multiscales(inside, f"{path}/{name}" if path else name)


def _series(path: str, facts: Mapping[str, Any]) -> Series:
    datasets = facts["datasets"]
    levels = tuple("/".join(filter(None, (path, one["path"]))) for one in datasets)
    axes = facts.get("axes") or ["x"]
    names = tuple(str(one if isinstance(one, str) else one.get("name")).lower() for one in axes)
    return Series(levels, tuple(map(_scale, datasets)), names[-1] == "c", names)


def _scale(dataset: Mapping[str, Any]) -> tuple[float, ...]:
    found = dataset.get("coordinateTransformations") or []
    return tuple(next((one["scale"] for one in found if one.get("type") == "scale"), ()))


class ZarrStack(Stack):
    """The planes of the images in a store.

    Args:
      path: its folder.

    Raises:
      ZooError: it is broken, or holds no planes.
    """

    form, ends = "zarr", None

    def __init__(self, path: str):
        self.path, self.name = Path(path), path
        with intact("Zarr", path):
            self._store = Store(self.path, path)
            self.series = self._store.series()
            self.arrays = [self._store.array(one.levels[0]) for one in self.series]
            self.blocks = _blocks(self.arrays, self.series)
            for block, array in zip(self.blocks, self.arrays, strict=True):
                _check(block, path)
                _unit(array)  # grids of other chunks have none
        self.lead = lead_of(self.blocks)

    @property
    def axes(self) -> list[Axes]:
        """What the planes of each image are counted along."""
        found = []
        for one, block in zip(self.series, self.blocks, strict=True):
            names = one.names if len(one.names) == len(block.shape) else ("",) * len(block.shape)
            found.append(tuple(zip(names, block.lead, strict=False)))
        return found

    def pages(self, numbers: Sequence[int] | None = None) -> Iterator[Page]:
        """Planes as pages, each read now, with others of its chunks; all by default."""
        every = list(_places(self.blocks))
        held, first, series = np.empty(0), (), -1
        for index, place in every if numbers is None else [every[number] for number in numbers]:
            block = self.blocks[index]
            pixels.check_size(*block.shape[len(place) :][1::-1], self.name)
            depth = self.depth(index) if numbers is None else 1
            start = (*place[:-1], place[-1] // depth * depth) if place else ()
            if (index, start) != (series, first) or not held.size:
                series, first = index, start
                key = (*place[:-1], slice(start[-1], start[-1] + depth)) if place else ...
                held = self.values(index, key)
            image = held[place[-1] - start[-1]] if place else held
            yield Page(pixels.check(image, self.name, any_range=True), Metadata(stack=self))

    def values(self, number: int, key: Any) -> np.ndarray:
        """Values of an image by an index of its array, `(..., C)`.

        Raises:
          ZooError: they are damaged.
        """
        block = self.blocks[number]
        with intact("Zarr", self.name):
            found = block.values(np.asarray(self.arrays[number][key]))
        return found if block.channels else found[..., None]

    def depth(self, number: int) -> int:
        """How many planes of an image are read together: those of a chunk, or some of them."""
        return _depth(self.arrays[number], self.blocks[number])

    def check_levels(self) -> None:
        """Refuses a store whose smaller levels cannot be computed again.

        Raises:
          ZooError: they cannot.
        """
        with intact("Zarr", self.name):
            for one in self.series:
                for level in range(1, len(one.levels)):
                    self._store.factors(one, level)

    def digest(self) -> str:
        """A hash of what describes the images: shapes, codecs, chunks, and when it was written."""
        found = hashlib.sha256()
        for level in ("", *(level for one in self.series for level in one.levels)):
            for place in _metadata(self.path / level):
                found.update(place.name.encode() + place.read_bytes())
                found.update(str(place.stat().st_mtime_ns).encode())
        return found.hexdigest()

    def copied(self, output: Path, path: Path, word: str) -> "ZarrWriter":
        """A writer of a store that is this one but for its images, and says no word of it."""
        self.copy(output)
        return ZarrWriter(output, str(path))

    def copy(self, folder: Path) -> None:
        """Copies all but the values of the images into a folder that is there.

        Raises:
          OSError: a part of it cannot be read or written.
        """
        levels = {self.path / level for one in self.series for level in one.levels}
        for place, folders, names in os.walk(self.path, followlinks=True, onerror=_fail):
            # Not those of `shutil.copytree`, which are read-only where the input is.
            target = folder / Path(place).relative_to(self.path)
            target.mkdir(exist_ok=True)
            inside = Path(place) in levels
            if inside:
                folders.clear()
            for name in _METADATA.intersection(names) if inside else names:
                shutil.copyfile(Path(place, name), target / name)


class ZarrWriter:
    """A writer of planes into a store whose images hold nothing yet.

    Args:
      folder: of the store.
      name: what to call it in an error.
    """

    def __init__(self, folder: Path, name: str):
        with intact("Zarr", name):
            self._store = Store(folder, name, "r+")
            self.series = self._store.series()
        self._arrays = [self._store.array(one.levels[0]) for one in self.series]
        self._blocks = _blocks(self._arrays, self.series)
        self._next = _places(self._blocks)
        self._held: list[np.ndarray] = []

    @classmethod
    def new(cls, folder: Path, path: Path, page: Page, lead: tuple[int, ...]) -> "ZarrWriter":
        """A writer of a new store, OME-Zarr 0.5 where its name says so, else a bare array.

        Args:
          folder: of the store.
          path: the name that it is going to have.
          page: the first plane.
          lead: sizes of the axes before those of a plane, which become z, c and t from the last.
        """
        *plane, channels = page.image.shape
        lead = () if lead == (1,) else lead
        color = (channels,) if channels > 1 else ()
        shape = (*lead, *plane, *color)
        chunks = (*(1,) * len(lead), *(min(_SIDE, side) for side in plane), *color)
        settings = {"shape": shape, "chunks": chunks, "dtype": page.image.dtype, "fill_value": 0}
        with warnings.catch_warnings(action="ignore"):
            if not path.name.lower().endswith(".ome.zarr"):
                zarr.create_array(str(folder), **settings)
            else:
                if len(lead) > len(_AXES) or color:
                    raise ZooError(
                        f"{path}: OME-Zarr holds gray planes along t, c and z here; end it in .zarr"
                    )
                names = (*_AXES[len(_AXES) - len(lead) :], ("y", "space"), ("x", "space"))
                scale = {"type": "scale", "scale": [1.0] * len(shape)}
                facts = {
                    "name": path.name.removesuffix(".ome.zarr"),
                    "axes": [{"name": name, "type": kind} for name, kind in names],
                    "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
                }
                ome = {"ome": {"version": "0.5", "multiscales": [facts]}}
                root = zarr.create_group(str(folder), zarr_format=3, attributes=ome)
                root.create_array("0", **settings, dimension_names=[name for name, _ in names])
        return cls(folder, str(path))

    def put(self, page: Page) -> None:
        """Writes the next plane, when those of its chunks are there too.

        Raises:
          ZooError: as `zoo.data.science.stacks.Block.plane`.
        """
        index, place = next(self._next)
        block, array = self._blocks[index], self._arrays[index]
        self._held.append(block.stored(block.plane(page)))
        if not place:
            array[...] = self._held.pop()
        elif (place[-1] + 1) % _depth(array, block) == 0 or place[-1] + 1 == block.lead[-1]:
            stop = place[-1] + 1
            key = (*place[:-1], slice(stop - len(self._held), stop))
            array[key] = np.stack(self._held)
            self._held.clear()

    def finish(self) -> None:
        """Makes the smaller levels."""
        for number, one in enumerate(self.series):
            for level in range(1, len(one.levels)):
                for region in self.regions(number, level):
                    self.shrink(number, level, region)

    def regions(self, number: int, level: int) -> list[Region]:
        """The parts in which a level of an image is written."""
        one = self.series[number]
        array = self._store.array(one.levels[level])
        return regions(array.shape, _unit(array), array.ndim - (3 if one.channels else 2))

    def write(self, number: int, region: Region, values: np.ndarray) -> None:
        """Writes a region of the full resolution of an image."""
        self._arrays[number][region] = self._blocks[number].stored(values)

    def shrink(self, number: int, level: int, region: Region) -> None:
        """Writes a region of a smaller level, from the level before."""
        one = self.series[number]
        by = self._store.factors(one, level)
        finer, array = (self._store.array(path) for path in one.levels[level - 1 : level + 1])
        wanted = tuple(slice(part.stop - part.start) for part in region)
        values = np.asarray(finer[zarr_pyramid.source(region, by, finer.shape)])
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        array[region] = zarr_pyramid.reduced(values, by)[wanted]


def _blocks(arrays: Sequence[zarr.Array], series: Sequence[Series]) -> list[Block]:
    pairs = zip(arrays, series, strict=True)
    return [Block(0, array.shape, array.dtype, channels=one.channels) for array, one in pairs]


def _unit(array: zarr.Array) -> tuple[int, ...]:
    """Sides of what is written at once: a shard, or a chunk where there are none."""
    return array.shards or array.chunks


def _depth(array: zarr.Array, block: Block) -> int:
    """Planes along the last axis before them that are read and written together."""
    if not block.lead:
        return 1
    plane = block.size // int(np.prod(block.lead))
    return max(1, min(_unit(array)[len(block.lead) - 1], _SLAB // max(plane, 1)))


def _places(blocks: Sequence[Block]) -> Iterator[tuple[int, tuple[int, ...]]]:
    return ((n, place) for n, block in enumerate(blocks) for place in np.ndindex(block.lead))


def _check(block: Block, name: str) -> None:
    check_block(block, name)
    if block.channels and block.shape[-1] > _CHANNELS:
        raise ZooError(
            f"{name} has {block.shape[-1]} channels as its last axis; save it with that before "
            "those of a plane"
        )


def refusal(dtype: np.dtype, channels: int) -> str:
    """It holds any planes."""
    return ""


def _fail(error: OSError) -> None:
    raise error


def _metadata(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(_METADATA) if (folder / name).is_file()]
