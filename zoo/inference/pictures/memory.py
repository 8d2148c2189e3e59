"""How large a tile may be, so that memory stays within bounds."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util
from jax.extend.core import Jaxpr

from zoo.models import ModelSpec, spec_of, variable_shapes

# Values of the largest array inside a model, of all tiles that run on a device at once. A model
# holds several such arrays at a time: half a gigabyte in all on a CPU.
_VALUES = 2**25
_VALUES_OF_ACCELERATORS = 2**28
# Sides of tiles in pixels: shorter ones are mostly halo, longer ones leave the caches.
_SHORTEST, _LONGEST = 128, 768
# Pixels of a picture that is taken whole where the model is light.
_WHOLE = 2**20
# Tiles at once on each accelerator; on a CPU one tile keeps all cores busy.
_BATCH = 16
# A traced picture so large makes parameters look small.
_PROBE = 1024


def _budget() -> int:
    return _VALUES if jax.default_backend() == "cpu" else _VALUES_OF_ACCELERATORS


def fits(size: tuple[int, int], model: nn.Module, channels: int) -> bool:
    """Whether a picture is better taken whole.

    Args:
      size: (H, W).
      model: the module.
      channels: of the picture.
    """
    pixels = size[0] * size[1]
    if pixels <= _SHORTEST**2:
        return True
    return pixels <= _WHOLE and pixels * values_per_pixel(model, channels) <= 2 * _budget()


def side(model: nn.Module, channels: int, halo: int, stride: int) -> int:
    """The side of a tile in pixels, a multiple of the stride; not under six halos, of which two are
    computed for nothing."""
    most = min(math.isqrt(int(_budget() / values_per_pixel(model, channels))), _LONGEST)
    chosen = max(most, _SHORTEST, 6 * halo, 2 * stride)
    return chosen + -chosen % stride


def batch(shape: tuple[int, int], model: nn.Module, channels: int) -> int:
    """How many tiles (H, W) a device takes at once."""
    if jax.default_backend() == "cpu":
        return 1
    most = _budget() / (shape[0] * shape[1] * values_per_pixel(model, channels))
    return min(max(int(most), 1), _BATCH)


@functools.lru_cache(maxsize=64)
def values_per_pixel(model: nn.Module, channels: int) -> float:
    """Values of the largest array that a model makes, over the pixels it is given."""
    facts = spec_of(model)
    size = facts.size or (_PROBE + -_PROBE % math.lcm(facts.stride, facts.multiple),) * 2
    values = _largest(_traced(model, facts, size))
    # A grey model takes each channel of a colour picture by itself.
    return values / (size[0] * size[1]) * max(channels / facts.channels, 1)


def _traced(model: nn.Module, facts: ModelSpec, size: tuple[int, int]) -> Jaxpr:
    variables = traverse_util.unflatten_dict(variable_shapes(model, facts), sep="/")
    x = jax.ShapeDtypeStruct((1, *size, facts.channels), jnp.float32)
    level = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.make_jaxpr(model.apply)(variables, x, level).jaxpr


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
