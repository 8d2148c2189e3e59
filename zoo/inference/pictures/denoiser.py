"""A model that denoises pictures of any size, one after the other."""

import collections
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jax.typing import ArrayLike, DTypeLike

from zoo import weights
from zoo.errors import ZooError, unknown
from zoo.inference.pictures import check, memory, program, tiles
from zoo.inference.pictures import scale as scales
from zoo.inference.pictures.blend import Blend, Whole
from zoo.inference.pictures.level import check_level, hear
from zoo.inference.pictures.scale import Scale
from zoo.inference.ready import ready
from zoo.models import ModelSpec, spec_of

_DEFAULTS = {1: "unet-gray", 3: "unet-color"}
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
# The overlap of models without a reach, in pixels.
_OVERLAP = 32
# Pixels in whose time a program is compiled, about.
_WORTH_A_PROGRAM = 2**21


class Denoised(NamedTuple):
    """A denoised picture and how it came about.

    Attributes:
      image: shape and dtype of the picture that was given.
      level: the standard deviation of the noise, told or estimated, as a share of white; None where
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
    """A model for pictures of some number of channels, and the level up to which it is trained."""

    model: nn.Module
    variables: dict
    facts: ModelSpec
    trained: float | None

    @property
    def stride(self) -> int:
        """Of the padding the model does and of that it asks for."""
        return int(np.lcm(self.facts.stride, self.facts.multiple))


class Denoiser:
    """A model and how it is used; pictures of like sizes share its compiled programs.

    The arguments are those of `zoo.denoise`, which see, and `trained`, the highest level the
    variables were trained on, in what the model sees; weights that are named tell it themselves.

    Raises:
      ZooError: the model is unknown or denoises no pictures, its variables do not fit, or an
        option is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike | nn.Module | None = None,
        *,
        variables: Mapping | None = None,
        strength: float = 1.0,
        tile: int | None = None,
        overlap: int | None = None,
        ensemble: bool = False,
        dtype: DTypeLike | None = None,
        trained: float | None = None,
    ):
        if model is None and variables is not None:
            raise ZooError("variables are given without their model; name it too")
        self._dtype = None if dtype is None else _dtype(dtype)
        self._strength = check.share("strength", strength)
        self._tile = check.whole_number("tile", tile, 0)
        self._overlap = check.whole_number("overlap", overlap, 0)
        self._ensemble = bool(ensemble)
        self._parts: dict[int, _Part] = {}
        self._only = None if model is None else self._ready(model, variables, trained)
        self._spread: dict[int, dict] = {}
        # By size of image: the pixels that were computed for canvases and overlaps alone.
        self._spare: collections.Counter[tuple[int, ...]] = collections.Counter()

    def __call__(
        self,
        image: ArrayLike,
        level: float | None = None,
        progress: Callable[[int, int], None] | None = None,
        scale: Scale | None = None,
    ) -> Denoised:
        """Denoises a picture.

        Args:
          image: as `zoo.denoise` takes it.
          level: of its noise; None estimates it where the model takes one.
          progress: called with the number of tiles that are done and that of all.
          scale: which values the model sees as black and as white; None chooses it.

        Raises:
          ZooError: as `zoo.denoise`.
        """
        if level is not None:
            level = check_level(level)
        canvas = check.canvas(image)
        source, target = canvas.seen, canvas.target
        part = self._part(source)
        scale = scale or scales.find([canvas.source])[source.dtype]
        heard = hear(canvas.source, scale, level, part.facts, part.trained)
        scale = scale._replace(dim=heard.dim)
        strength = self._strength * heard.share
        if strength == 0:
            target[...] = source
            return Denoised(canvas.finish(), heard.told, None, 0, scale, heard.notes)
        grid = self._grid(source, part)
        whole = grid.exact
        sink = Whole(grid, target, scale) if whole else Blend(grid, target, scale)
        kind = target.dtype.newbyteorder("=")
        rounded = whole and scale.plain(kind) and kind.kind == "u" and not self._ensemble
        done = 0
        for batch, outputs in self._outputs(
            source, part, grid, scale, heard.level, strength, kind if rounded else np.float32
        ):
            for tile, output in zip(batch, outputs, strict=False):
                sink.add(tile, output)
            done += len(batch)
            if progress is not None:
                progress(done, grid.count)
        deviation = sink.finish()
        return Denoised(canvas.finish(), heard.told, deviation, grid.count, scale, heard.notes)

    def _ready(
        self,
        model: str | os.PathLike | nn.Module,
        variables: Mapping | None,
        trained: float | None = None,
    ) -> _Part:
        if variables is None and isinstance(model, str | os.PathLike):
            trained = _trained(model)
        module, variables = ready(model, variables, modality="image")
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
        return _Part(module, variables, spec_of(module), trained)

    def _part(self, source: np.ndarray) -> _Part:
        """The model for a picture.

        Raises:
          ZooError: it takes pictures of other channels or another size.
        """
        height, width, channels = source.shape
        part = self._only
        if part is None:
            if channels not in self._parts:
                self._parts[channels] = self._ready(_DEFAULTS[channels], None)
            part = self._parts[channels]
        name, takes = type(part.model).__name__, part.facts.channels
        if takes != channels and not (takes == 1 or (takes == 3 and channels == 1)):
            raise ZooError(
                f"{name} takes pictures of {takes} channels, got {channels} beside alpha; "
                "choose another model"
            )
        if part.facts.size and part.facts.size != (height, width):
            h, w = part.facts.size
            raise ZooError(
                f"{name} takes pictures of {h}x{w} pixels only, got {height}x{width}; resize the "
                "picture or choose another model"
            )
        return part

    def _grid(self, source: np.ndarray, part: _Part) -> tiles.Grid:
        *size, channels = source.shape
        facts, stride = part.facts, part.stride
        if facts.size or self._tile == 0:
            return tiles.one(size, stride, canvas=facts.canvas)
        side = self._tile
        # Of a local model that does not tell its reach nothing is known.
        reach = facts.reach if facts.locality == "local" else 0
        halo = self._overlap
        if halo is None:
            halo = reach or min(_OVERLAP, _OVERLAP if side is None else side // 4)
        exact = 0 < reach <= halo
        if side is None:
            # Where tiles make no difference there is no need of canvases as large as the picture.
            alone = not (exact and facts.canvas)
            fits = memory.fits(size, part.model, channels)
            if fits and self._spare[tuple(size)] > _WORTH_A_PROGRAM:
                return tiles.one(size, stride, canvas=False)
            if alone and fits:
                grid = tiles.one(size, stride, canvas=facts.canvas)
            else:
                side = memory.side(part.model, channels, halo, stride)
                grid = tiles.grid(
                    size, side, halo, stride, exact=exact, chosen=False, canvas=facts.canvas
                )
            self._spare[tuple(size)] += grid.count * math.prod(grid.shape) - math.prod(size)
            return grid
        return tiles.grid(size, side, halo, stride, exact=exact, chosen=True, canvas=facts.canvas)

    def _outputs(
        self,
        source: np.ndarray,
        part: _Part,
        grid: tiles.Grid,
        scale: Scale,
        level: float | None,
        strength: float,
        dtype: np.dtype,
    ) -> Iterator[tuple[list[tiles.Tile], np.ndarray]]:
        """Tiles a batch at a time, and what comes of them: at least as many outputs."""
        mesh = self._mesh(grid)
        shared = 1 if mesh is None else mesh.size
        # Of the sizes of batches there are few, for each is a program.
        needed = 1 << (-(-grid.count // shared) - 1).bit_length()
        if needed > 1:
            needed = min(needed, memory.batch(grid.shape, part.model, source.shape[-1]))
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
                    grid.cut(source, tile, place, part.facts.margin)
                    continue
                values = np.zeros(place.shape, source.dtype)
                grid.cut(source, tile, values, part.facts.margin)
                # What is canvas stays zero.
                height, width = grid.filled
                place[:height, :width] = scale.enter(values[:height, :width])
            if self._ensemble:
                mine = self._mean_of_eight(part, cut, grid.filled, level, strength, mesh)
                yield batch, mine
                continue
            started = self._start(part, cut, grid.filled, level, strength, dtype, mesh)
            waiting.append((batch, started))
            # An accelerator works on one batch while the host cuts the next.
            if len(waiting) > (jax.default_backend() != "cpu"):
                before, started = waiting.pop(0)
                yield before, self._fetch(part, started)
        for before, started in waiting:
            yield before, self._fetch(part, started)

    def _start(
        self,
        part: _Part,
        cut: np.ndarray,
        filled: tuple[int, int],
        level: float | None,
        strength: float,
        dtype: np.dtype,
        mesh: Mesh | None,
    ) -> tuple[jax.Array, jax.Array]:
        variables = part.variables
        if mesh is not None:
            if id(part.variables) not in self._spread:
                self._spread[id(part.variables)] = program.replicate(part.variables, mesh)
            variables, cut = self._spread[id(part.variables)], program.share(cut, mesh)
        level = None if level is None else np.float32(level)
        strength = np.float32(strength)
        filled = np.int32(filled) if part.facts.canvas else None
        return program.run(
            variables, cut, filled, level, strength, model=part.model, dtype=dtype, mesh=mesh
        )

    def _fetch(self, part: _Part, started: tuple[jax.Array, jax.Array]) -> np.ndarray:
        outputs, finite = started
        if not np.all(finite):
            raise ZooError(
                f"the output of {type(part.model).__name__} is not finite; its variables are "
                "damaged or diverged in training"
            )
        return np.asarray(outputs)

    def _mean_of_eight(
        self,
        part: _Part,
        cut: np.ndarray,
        filled: tuple[int, int],
        level: float | None,
        strength: float,
        mesh: Mesh | None,
    ) -> np.ndarray:
        """The mean over the flips and turns of each tile; turned ones have its sides swapped.

        What is canvas stays below and to the right, and zero.
        """
        total = np.zeros(cut.shape, np.float32)
        height, width = filled
        inside = cut[:, :height, :width]
        for turned, down, right in itertools.product((False, True), (1, -1), (1, -1)):
            view = np.zeros_like(cut.swapaxes(1, 2) if turned else cut, order="C")
            mine = (width, height) if turned else filled
            place = (slice(None), slice(mine[0]), slice(mine[1]))
            view[place] = (inside.swapaxes(1, 2) if turned else inside)[:, ::down, ::right]
            started = self._start(part, view, mine, level, strength, np.dtype(np.float32), mesh)
            found = self._fetch(part, started)[place][:, ::down, ::right]
            total[:, :height, :width] += found.swapaxes(1, 2) if turned else found
        return total / 8

    def _mesh(self, grid: tiles.Grid) -> Mesh | None:
        devices = None if grid.count == 1 else program.devices()
        return None if devices is None else Mesh(np.array(devices), (program.AXIS,))


def _dtype(dtype: DTypeLike) -> str:
    """Its name; None stands for a model's own."""
    try:
        name = jnp.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in _DTYPES:
        raise unknown("dtype", name, _DTYPES)
    return name


def _trained(model: str | os.PathLike) -> float | None:
    """What the record says; registered models have none."""
    try:
        return weights.trained_level(weights.read_record(model))
    except ZooError:
        return None


def _batched(grid: tiles.Grid, count: int) -> Iterator[list[tiles.Tile]]:
    every = iter(grid)
    while batch := list(itertools.islice(every, count)):
        yield batch
