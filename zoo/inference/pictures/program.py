"""The compiled part: tiles in, as they are stored, and out the same way."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zoo.models.canvas import cleared, on_canvas

AXIS = "tiles"
# Noise reaches about so far beyond black and white.
_SEEN = (-1.0, 2.0)

KEPT = 48
"""Programs that are kept, those used last: some ten megabytes each. A model that knows canvases has
fewer; one that does not, one for each size."""


def devices() -> list[jax.Device] | None:
    """The devices that share the tiles; None for the one that is chosen, or the only one."""
    if jax.config.jax_default_device is not None or jax.local_device_count() == 1:
        return None
    return jax.local_devices()


def replicate(variables: Mapping, mesh: Mesh) -> dict:
    """The variables on every device."""
    return jax.device_put(dict(variables), NamedSharding(mesh, PartitionSpec()))


def share(tiles: np.ndarray, mesh: Mesh) -> jax.Array:
    """As many of the tiles on each device."""
    return jax.device_put(tiles, NamedSharding(mesh, PartitionSpec(AXIS)))


def run(
    variables: Mapping,
    tiles: jax.Array | np.ndarray,
    filled: np.ndarray | None,
    level: jax.Array | None,
    strength: jax.Array,
    *,
    model: nn.Module,
    dtype: np.dtype,
    mesh: Mesh | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Denoises a batch of tiles.

    Args:
      variables: of the model.
      tiles: (N, H, W, C), uint8, uint16 or float32.
      filled: (2,) int32, height and width of what of the tiles is not canvas; None for a model
        that knows no canvases.
      level: of the noise in what the model sees, or None.
      strength: of x + strength (y - x).
      model: the module, of C channels, of 1 or of 3.
      dtype: what the result is rounded and clipped to, or float32.
      mesh: the devices that share the tiles, or None.

    Returns:
      (N, H, W, C) of `dtype`, and whether the model's outputs are finite, (N,).
    """
    made = compiled(model, tiles.shape, np.dtype(tiles.dtype), level is None, dtype, mesh)
    return made(variables, tiles, filled, level, strength)


@lru_cache(maxsize=KEPT)
def compiled(
    model: nn.Module,
    shape: tuple[int, ...],
    kind: np.dtype,
    blind: bool,
    dtype: np.dtype,
    mesh: Mesh | None,
) -> Callable:
    """The program for tiles of one shape and kind; a function of its own, which can be let go.

    A function compiled for many shapes keeps every program for as long as the process lives.
    """
    body = partial(_run, model=model, dtype=dtype)
    if mesh is not None:
        # Each device traces for its own tiles, of whose size the convolutions make their choice.
        every, split = PartitionSpec(), PartitionSpec(AXIS)
        specs = (every, split, every, every, every)
        body = jax.shard_map(body, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    return jax.jit(body)


def _run(variables, tiles, filled, level, strength, *, model, dtype):
    if filled is None:
        return _denoised(variables, tiles, level, strength, model, dtype)
    with on_canvas(filled, tiles.shape[1:3]):
        return _denoised(variables, tiles, level, strength, model, dtype)


def _denoised(variables, tiles, level, strength, model, dtype):
    x = tiles.astype(jnp.float32)
    if jnp.issubdtype(tiles.dtype, jnp.integer):
        x = x / np.float32(jnp.iinfo(tiles.dtype).max)
    # Stars and hot pixels far beyond white keep what no picture of the training had.
    seen = jnp.clip(x, *_SEEN)
    y = _fitted(model, variables, seen, level)
    finite = jnp.isfinite(cleared(y)).all((1, 2, 3))
    y = x + strength * (y - seen)
    if jnp.issubdtype(dtype, jnp.integer):
        y = jnp.round(jnp.clip(y, 0, 1) * np.float32(jnp.iinfo(dtype).max))
    return y.astype(dtype), finite


def _fitted(
    model: nn.Module, variables: Mapping, x: jax.Array, level: jax.Array | None
) -> jax.Array:
    """The model on as many channels as it takes."""
    n, h, w, c = x.shape
    channels = getattr(model, "channels", c)
    if channels == c:
        return model.apply(variables, x, level)
    if c == 1:
        y = model.apply(variables, jnp.broadcast_to(x, (n, h, w, channels)), level)
        return y.mean(-1, keepdims=True)
    planes = x.transpose(0, 3, 1, 2).reshape(n * c, h, w, 1)
    y = model.apply(variables, planes, level)
    return y.reshape(n, c, h, w).transpose(0, 2, 3, 1)
