"""The compiled program of a batch of tiles, and the size of tile and batch that memory holds."""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from jax.extend.core import Jaxpr
from jax.sharding import Mesh, PartitionSpec

from zoo.data.windows import middle
from zoo.models import inference_options, spec_of, variable_shapes
from zoo.models.canvas import cleared, on_canvas

AXIS = "tiles"
# Noise reaches about so far beyond black and white.
_SEEN = (-1.0, 2.0)

KEPT = 48
"""Programs that are kept, those used last: some ten megabytes each. A model that knows canvases has
fewer; one that does not, one for each size."""


@lru_cache(maxsize=KEPT)
def compiled(
    model: nn.Module,
    shape: tuple[int, ...],
    kind: np.dtype,
    blind: bool,
    dtype: np.dtype,
    mesh: Mesh | None,
) -> Callable:
    """The program for a batch of tiles of one shape and kind, for `lru_cache` to let go.

    A function compiled for many shapes keeps every program for as long as the process lives.

    Args:
      model: the module, of C channels, of 1 or of 3.
      shape: (N, H, W, K C) of the tiles; K is the number of planes that the model takes.
      kind: their dtype, uint8, uint16 or float32.
      blind: whether it is called without a level.
      dtype: what the result is rounded and clipped to, or float32.
      mesh: the devices that share the tiles, or None.

    Returns:
      `(variables, tiles, filled, level, strength) -> (result, finite)`. `filled`, (2,) int32, is
      height and width of what of the tiles is not canvas, None for a model that knows no canvases;
      `level` the noise in what the model sees; `strength` that of x + strength (y - x). The result
      is (N, H, W, C) of `dtype`; `finite`, (N,), whether the outputs of the model are.
    """
    body = partial(_run, model=model, dtype=dtype)
    if mesh is not None:
        # Each device traces for its own tiles, of whose size the convolutions make their choice.
        every, split = PartitionSpec(), PartitionSpec(AXIS)
        specs = (every, split, every, every, every)
        body = jax.shard_map(body, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    return jax.jit(body, compiler_options=inference_options(model))


def _run(variables, tiles, filled, level, strength, *, model, dtype):
    x = tiles.astype(jnp.float32)
    if jnp.issubdtype(tiles.dtype, jnp.integer):
        x = x / np.float32(jnp.iinfo(tiles.dtype).max)
    # Stars and hot pixels far beyond white keep what no image of the training had.
    seen = jnp.clip(x, *_SEEN)
    with nullcontext() if filled is None else on_canvas(filled, tiles.shape[1:3]):
        y = _fitted(model, variables, seen, level)
        finite = jnp.isfinite(cleared(y)).all((1, 2, 3))
    if (planes := spec_of(model).planes) > 1:
        x, seen = (middle(one, one.shape[-1] // planes) for one in (x, seen))
    y = x + strength * (y - seen)
    if jnp.issubdtype(dtype, jnp.integer):
        y = jnp.round(jnp.clip(y, 0, 1) * np.float32(jnp.iinfo(dtype).max))
    return y.astype(dtype), finite


def _fitted(
    model: nn.Module, variables: Mapping, x: jax.Array, level: jax.Array | None
) -> jax.Array:
    """The model on as many channels as it takes, of each plane."""
    planes = spec_of(model).planes
    n, h, w, c = (*x.shape[:3], x.shape[3] // planes)
    channels = getattr(model, "channels", c)
    if channels == c:
        return model.apply(variables, x, level)
    if c == 1:
        wide = jnp.broadcast_to(x[..., None], (n, h, w, planes, channels))
        y = model.apply(variables, wide.reshape(n, h, w, -1), level)
        return y.mean(-1, keepdims=True)
    single = x.reshape(n, h, w, planes, c).transpose(0, 4, 1, 2, 3).reshape(n * c, h, w, planes)
    y = model.apply(variables, single, level)
    return y.reshape(n, c, h, w).transpose(0, 2, 3, 1)


# Values of the largest array inside a model, of all tiles that run on a device at once. A model
# holds several such arrays at a time: half a gigabyte in all on a CPU.
_VALUES = 2**25
_VALUES_OF_ACCELERATORS = 2**28
# Sides of tiles in pixels: shorter ones are mostly halo, longer ones leave the caches, which costs
# less than that halo if it is wide.
_SHORTEST, _LONGEST, _HALOS = 128, 768, 12
# Pixels of an image that is taken whole where the model is light.
_WHOLE = 2**20
# Tiles at once on each accelerator; on a CPU one tile keeps all cores busy.
_BATCH = 16
# A traced image so large makes parameters look small.
_PROBE = 1024


def _budget() -> int:
    return _VALUES if jax.default_backend() == "cpu" else _VALUES_OF_ACCELERATORS


def fits(size: tuple[int, int], model: nn.Module, channels: int) -> bool:
    """Whether an image is better taken whole.

    Args:
      size: (H, W).
      model: the module.
      channels: of the image.
    """
    pixels = size[0] * size[1]
    if pixels <= _SHORTEST**2:
        return True
    return pixels <= _WHOLE and pixels * values_per_pixel(model, channels) <= 2 * _budget()


def side(model: nn.Module, channels: int, halo: int, stride: int) -> int:
    """The side of a tile in pixels, a multiple of the stride: up to twelve halos, of which two are
    computed for nothing, and not under six."""
    most = math.isqrt(int(_budget() / values_per_pixel(model, channels)))
    most = min(most, max(_LONGEST, _HALOS * halo))
    chosen = max(most, _SHORTEST, 6 * halo, 2 * stride)
    return chosen + -chosen % stride


def batch(shape: tuple[int, int], model: nn.Module, channels: int) -> int:
    """How many tiles (H, W) a device takes at once."""
    if jax.default_backend() == "cpu":
        return 1
    most = _budget() / (shape[0] * shape[1] * values_per_pixel(model, channels))
    return min(max(int(most), 1), _BATCH)


@lru_cache(maxsize=64)
def values_per_pixel(model: nn.Module, channels: int) -> float:
    """Values of the largest array that a model makes, over the pixels it is given."""
    facts = spec_of(model)
    size = facts.size or (_PROBE + -_PROBE % math.lcm(facts.stride, facts.multiple),) * 2
    variables = traverse_util.unflatten_dict(variable_shapes(model, facts), sep="/")
    x = jax.ShapeDtypeStruct((1, *size, facts.inputs), jnp.float32)
    level = jax.ShapeDtypeStruct((), jnp.float32)
    values = _largest(jax.make_jaxpr(model.apply)(variables, x, level).jaxpr)
    # A gray model takes each channel of a color image by itself.
    return values / (size[0] * size[1]) * max(channels / facts.channels, 1)


def _largest(jaxpr: Jaxpr) -> int:
    """The most values of an array in a traced function, within others too."""
    most = 1
    for equation in jaxpr.eqns:
        most = max(most, *(getattr(v.aval, "size", 1) for v in equation.outvars), 1)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                most = max(most, _largest(inner))
    return most
