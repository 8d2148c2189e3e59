"""A model that denoises images of any size, one after the other."""

import collections
import copy
import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike, DTypeLike

from zoo import weights
from zoo.errors import ZooError, unknown
from zoo.inference import image_canvas, plane_windows, tile_program, tiling, value_scale
from zoo.inference.even_noise import Noise
from zoo.inference.noise_level import check_level, model_level
from zoo.inference.tiling import Blend, Whole
from zoo.inference.value_scale import Scale
from zoo.models import ModelSpec, spec_of
from zoo.resolve import Resolved, resolve

DEFAULTS = {1: "unet-gray", 3: "unet-color"}
"""The weights for images of so many channels, where no model is named."""
BLIND = {3: "unet-photo"}
"""Those for images in the values of files, where the level of the noise is not given either."""

_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
# The overlap of models without a reach, in pixels.
_OVERLAP = 32
# Pixels in whose time a program is compiled, about.
_WORTH_A_PROGRAM = 2**21


class Denoised(NamedTuple):
    """A denoised image and how it came about.

    Attributes:
      image: shape and dtype of the image that was given.
      level: standard deviation of the noise, given or estimated, as a share of white; None where
        the model takes no level.
      deviation: root mean square of what overlapping tiles disagree by, weighted as they are
        blended, in signal units: about what another tiling would change. None where tiles make
        no difference.
      tiles: how many there were.
      scale: which values the model saw as black and as white.
      notes: short sentences on what a user may not expect.
    """

    image: np.ndarray
    level: float | None
    deviation: float | None
    tiles: int
    scale: Scale
    notes: tuple[str, ...] = ()


class _Part(NamedTuple):
    """A model for images of some number of channels.

    With the level up to which it is trained, and the record of its weight file.
    """

    model: nn.Module
    variables: dict
    specification: ModelSpec
    trained: float | None
    record: Mapping[str, Any]

    @property
    def ranged(self) -> bool:
        """Whether it has learned from noisy images alone, and so from some range of values."""
        return "adapted" in self.record or bool(self.record.get("ranges"))

    @property
    def stride(self) -> int:
        """Of the padding the model does and of that it asks for."""
        return int(np.lcm(self.specification.stride, self.specification.multiple))


class Surroundings(NamedTuple):
    """What of an image a model needs around a part of it, for the result it has in the whole.

    Attributes:
      halo: pixels at each side, as far as the model looks; within the image.
      stride: of what the part and its halo must start at a multiple.
    """

    halo: int
    stride: int


class _Task(NamedTuple):
    """What all tiles of an image share; `dtype` is that of the results."""

    part: _Part
    grid: tiling.Grid
    scale: Scale
    level: np.float32 | None
    strength: np.float32
    dtype: np.dtype
    mesh: Mesh | None


class ImageDenoiser:
    """A model and how it is used; images of like sizes share its compiled programs.

    The arguments are those of `zoo.denoise`; see there.

    Raises:
      ZooError: the model is unknown or denoises no images, its variables do not fit, or an
        option is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike | nn.Module | Resolved | None = None,
        *,
        variables: Mapping | None = None,
        strength: float = 1.0,
        tile: int | None = None,
        overlap: int | None = None,
        ensemble: bool = False,
        dtype: DTypeLike | None = None,
    ):
        if model is None and variables is not None:
            raise ZooError("variables are given without their model; name it too")
        self._dtype = None if dtype is None else _dtype(dtype)
        self._strength = image_canvas.check_strength(strength)
        self._tile = image_canvas.pixels_of("tile", tile)
        self._overlap = image_canvas.pixels_of("overlap", overlap)
        self._ensemble = bool(ensemble)
        self._parts: dict[str, _Part] = {}
        self._only = None
        if model is not None:
            self._only = self._prepared(resolve(model, variables, modality="image"))
        self._spread: dict[int, dict] = {}
        # By size of image: the pixels that were computed for canvases and overlaps alone; None
        # where tiles must not depend on the images before.
        self._spare: collections.Counter[tuple[int, ...]] | None = collections.Counter()

    def steady(self) -> "ImageDenoiser":
        """The same, but that an image has the same tiles, and bits, whatever came before it."""
        other = copy.copy(self)
        other._spare = None
        return other

    def surroundings(self, channels: int) -> Surroundings | None:
        """What to give with a part of an image; None where the result would not be the same.

        Args:
          channels: of the image, without alpha.

        Raises:
          ZooError: the model takes no such images.
        """
        part = self._part_of(channels)
        spec = part.specification
        reach = spec.reach if spec.locality == "local" else 0
        short = self._overlap is not None and self._overlap < reach
        if not reach or spec.size or spec.planes > 1 or short:
            return None
        return Surroundings(reach + -reach % part.stride, part.stride)

    def specification(self, channels: int) -> ModelSpec:
        """Of the model for images of so many channels, without alpha.

        Raises:
          ZooError: it takes no such images.
        """
        return self._part_of(channels).specification

    def digest(self, channels: Iterable[int]) -> str:
        """A hash of all that the result depends on, for images of so many channels each."""
        found = hashlib.sha256()
        for part in map(self._part_of, sorted(set(channels))):
            options = (self._dtype, self._strength, self._tile, self._overlap, self._ensemble)
            found.update(repr((part.model, options, part.trained)).encode())
            for path, leaf in sorted(traverse_util.flatten_dict(dict(part.variables)).items()):
                found.update(repr(path).encode() + np.asarray(leaf).tobytes())
        return found.hexdigest()

    def __call__(
        self,
        image: ArrayLike,
        level: float | None = None,
        progress: Callable[[int, int], None] | None = None,
        scale: Scale | None = None,
        *,
        part_of_larger: bool = False,
        around: Sequence[ArrayLike] = (),
    ) -> Denoised:
        """Denoises an image, or a plane of a stack.

        Args:
          image: as `zoo.denoise` takes it.
          level: of its noise; None estimates it where the model takes one.
          progress: called with the number of tiles that are done and that of all.
          scale: which values the model sees as black and as white; None chooses it.
          part_of_larger: whether it is a part of a larger image, of which equal channels and values
            say nothing.
          around: the neighboring planes, in their order without the image itself, where the model
            takes several; see `zoo.data.windows`.

        Raises:
          ZooError: as `zoo.denoise`, or the model takes more planes than there are.
        """
        if level is not None:
            level = check_level(level)
        canvas = image_canvas.canvas(image, part=part_of_larger or bool(len(around)))
        source, target = canvas.seen, canvas.target
        scale = scale or self.find_scales([canvas.source])[source.dtype]
        # Arrays that come in parts are data rather than photographs.
        blind = level is None and not scale.noise and self._spare is not None
        part = self._part_of(source.shape[-1], blind=blind)
        if (size := part.specification.size) and size != source.shape[:2]:
            (h, w), (height, width) = size, source.shape[:2]
            raise ZooError(
                f"{type(part.model).__name__} takes images of {h}x{w} pixels only, got "
                f"{height}x{width}; resize the image or choose another model"
            )
        noise = model_level(
            canvas.source,
            scale,
            level,
            part.specification,
            part.trained,
            part_of_larger=part_of_larger,
        )
        notes = noise.notes
        if part.ranged and (how := value_scale.misfit(canvas.source, scale)):
            learned = f"{scale.low:g} to {scale.high:g}, which the model learned from"
            notes += (f"{how} {learned}",)
        scale = scale._replace(dim=noise.dim)
        strength = self._strength * noise.share
        if strength == 0:
            target[...] = source
            return Denoised(canvas.finish(), noise.of_image, None, 0, scale, notes)
        source = plane_windows.joined(source, around, part.specification)
        grid = self._grid(source, part)
        sink = Whole(grid, target, scale) if grid.exact else Blend(grid, target, scale)
        kind = target.dtype.newbyteorder("=")
        rounded = grid.exact and scale.plain(kind) and kind.kind == "u" and not self._ensemble
        task = _Task(
            part=part,
            grid=grid,
            scale=scale,
            level=None if noise.level is None else np.float32(noise.level),
            strength=np.float32(strength),
            dtype=kind if rounded else np.dtype(np.float32),
            mesh=_mesh(grid),
        )
        done = 0
        for batch, outputs in self._outputs(source, task):
            for tile, output in zip(batch, outputs, strict=False):
                sink.add(tile, output)
            done += len(batch)
            if progress is not None:
                progress(done, grid.count)
        deviation = sink.finish()
        image = canvas.finish()
        return Denoised(image, noise.of_image, deviation, grid.count, scale, notes)

    def find_scales(
        self,
        images: Iterable[np.ndarray],
        limits: Sequence[float] | None = None,
        *,
        stabilize: str | Noise | None = None,
    ) -> dict[np.dtype, Scale]:
        """`zoo.inference.value_scale.find` with the ranges that the model was trained with."""
        return value_scale.find(images, limits, stabilize=stabilize, trained=self.trained_range)

    def trained_range(self, dtype: np.dtype) -> tuple[float, float] | None:
        """The values of a dtype that the model was trained to see as black and as white, if any."""
        return weights.trained_range(self._only.record if self._only else {}, dtype)

    def _prepared(self, model: Resolved) -> _Part:
        module = model.module
        try:
            hash(module)
        except TypeError:
            raise ZooError(
                f"{type(module).__name__} has a list or dict among its fields, so that no program "
                "can be kept for it; build it with tuples"
            ) from None
        if self._dtype is not None:
            if not hasattr(module, "dtype"):
                raise ZooError(f"{type(module).__name__} has no dtype to choose; leave it None")
            module = module.clone(dtype=_DTYPES[self._dtype])
        # In bfloat16 the output does not always show them, see `inference_options`.
        if not all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(model.variables)):
            raise _not_finite(module)
        record = model.metadata or {}
        return _Part(module, model.variables, spec_of(module), model.trained_level, record)

    def _part_of(self, channels: int, *, blind: bool = False) -> _Part:
        """The model for images of so many channels; a blind one for noise as photographs have it.

        Raises:
          ZooError: it takes images of other channels.
        """
        part = self._only
        if part is None:
            name = BLIND.get(channels) if blind else None
            name = name or DEFAULTS[channels]
            if name not in self._parts:
                self._parts[name] = self._prepared(resolve(name))
            part = self._parts[name]
        name, takes = type(part.model).__name__, part.specification.channels
        if takes != channels and not (takes == 1 or (takes == 3 and channels == 1)):
            raise ZooError(
                f"{name} takes images of {takes} channels, got {channels} beside alpha; "
                "choose another model"
            )
        return part

    def _grid(self, source: np.ndarray, part: _Part) -> tiling.Grid:
        *size, channels = source.shape
        channels //= part.specification.planes
        spec, stride = part.specification, part.stride
        if spec.size or self._tile == 0:
            return tiling.one(size, stride, canvas=spec.canvas)
        side = self._tile
        # A local model that states no reach may look any distance.
        reach = spec.reach if spec.locality == "local" else 0
        halo = self._overlap
        if halo is None:
            halo = reach or min(_OVERLAP, _OVERLAP if side is None else side // 4)
        exact = 0 < reach <= halo
        if side is None:
            # Where tiles make no difference there is no need of canvases as large as the image.
            alone = not (exact and spec.canvas)
            fits = tile_program.fits(size, part.model, channels)
            if fits and self._spare is not None and self._spare[tuple(size)] > _WORTH_A_PROGRAM:
                return tiling.one(size, stride, canvas=False)
            if alone and fits:
                grid = tiling.one(size, stride, canvas=spec.canvas)
            else:
                side = tile_program.side(part.model, channels, halo, stride)
                grid = tiling.grid(
                    size, side, halo, stride, exact=exact, chosen=False, canvas=spec.canvas
                )
            if self._spare is not None:
                self._spare[tuple(size)] += grid.count * math.prod(grid.shape) - math.prod(size)
            return grid
        return tiling.grid(size, side, halo, stride, exact=exact, chosen=True, canvas=spec.canvas)

    def _outputs(
        self, source: np.ndarray, task: _Task
    ) -> Iterator[tuple[list[tiling.Tile], np.ndarray]]:
        """Tiles a batch at a time, and their results: at least as many."""
        part, grid, scale = task.part, task.grid, task.scale
        shared = 1 if task.mesh is None else task.mesh.size
        # Of the sizes of batches there are few, for each is a program.
        needed = 1 << (-(-grid.count // shared) - 1).bit_length()
        if needed > 1:
            channels = source.shape[-1] // part.specification.planes
            needed = min(needed, tile_program.batch(grid.shape, part.model, channels))
        count = needed * shared
        plain = scale.plain(source.dtype)
        raw = plain and source.dtype.kind == "u"
        kind = source.dtype.newbyteorder("=") if raw else np.float32
        waiting: list = []
        for batch in _batched(grid, count):
            # A new array each time: on a CPU the device may read from this very memory.
            cut = np.zeros((count, *grid.shape, source.shape[-1]), kind)
            for tile, place in zip(batch, cut, strict=False):
                if plain:
                    grid.cut(source, tile, place, part.specification.margin)
                    continue
                values = np.zeros(place.shape, source.dtype)
                grid.cut(source, tile, values, part.specification.margin)
                # The canvas around the image stays zero.
                height, width = grid.filled
                place[:height, :width] = scale.enter(values[:height, :width])
            if self._ensemble:
                yield batch, self._mean_of_eight(cut, task)
                continue
            waiting.append((batch, self._start(cut, grid.filled, task)))
            # An accelerator works on one batch while the host cuts the next.
            if len(waiting) > (jax.default_backend() != "cpu"):
                before, started = waiting.pop(0)
                yield before, _fetch(started, part.model)
        for before, started in waiting:
            yield before, _fetch(started, part.model)

    def _start(
        self, tiles: np.ndarray, filled: tuple[int, int], task: _Task
    ) -> tuple[jax.Array, jax.Array]:
        """The results of a batch, and whether they are finite, still being computed."""
        part, variables = task.part, task.part.variables
        if task.mesh is not None:
            if id(variables) not in self._spread:
                every = NamedSharding(task.mesh, PartitionSpec())
                self._spread[id(variables)] = jax.device_put(dict(variables), every)
            variables = self._spread[id(variables)]
            split = NamedSharding(task.mesh, PartitionSpec(tile_program.AXIS))
            tiles = jax.device_put(tiles, split)
        shape, kind, blind = tiles.shape, np.dtype(tiles.dtype), task.level is None
        program = tile_program.compiled(part.model, shape, kind, blind, task.dtype, task.mesh)
        filled = np.int32(filled) if part.specification.canvas else None
        return program(variables, tiles, filled, task.level, task.strength)

    def _mean_of_eight(self, cut: np.ndarray, task: _Task) -> np.ndarray:
        """The mean over the flips and turns of each tile; turned ones have its sides swapped.

        The canvas around the image stays below and to the right, and zero.
        """
        total: np.ndarray | float = 0.0
        height, width = task.grid.filled
        inside = cut[:, :height, :width]
        for turned, down, right in itertools.product((False, True), (1, -1), (1, -1)):
            view = np.zeros_like(cut.swapaxes(1, 2) if turned else cut, order="C")
            filled = (width, height) if turned else (height, width)
            place = (slice(None), slice(filled[0]), slice(filled[1]))
            view[place] = (inside.swapaxes(1, 2) if turned else inside)[:, ::down, ::right]
            found = _fetch(self._start(view, filled, task), task.part.model)
            found = found[place][:, ::down, ::right]
            total = total + (found.swapaxes(1, 2) if turned else found)
        mean = np.zeros((*cut.shape[:3], total.shape[-1]), np.float32)
        mean[:, :height, :width] = total / 8
        return mean


def _fetch(started: tuple[jax.Array, jax.Array], model: nn.Module) -> np.ndarray:
    outputs, finite = started
    if not np.all(finite):
        raise _not_finite(model)
    return np.asarray(outputs)


def _not_finite(model: nn.Module) -> ZooError:
    return ZooError(
        f"the output of {type(model).__name__} is not finite; its variables are damaged or "
        "diverged in training"
    )


def _mesh(grid: tiling.Grid) -> Mesh | None:
    """The devices that share the tiles; None for the one that is chosen, or the only one."""
    one = grid.count == 1 or jax.local_device_count() == 1
    if one or jax.config.jax_default_device is not None:
        return None
    return Mesh(np.array(jax.local_devices()), (tile_program.AXIS,))


def _dtype(dtype: DTypeLike) -> str:
    """Its name; None stands for a model's own."""
    try:
        name = jnp.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in _DTYPES:
        raise unknown("dtype", name, _DTYPES)
    return name


def _batched(grid: tiling.Grid, count: int) -> Iterator[list[tiling.Tile]]:
    every = iter(grid)
    while batch := list(itertools.islice(every, count)):
        yield batch
