"""Large arrays of random numbers, equal to those of `jax.random` and much faster on a CPU.

XLA is given the rounds of Threefry as a loop on CPUs, to spare the compiler, and runs it on one
core. The same rounds written out are arithmetic like any other: vectorized, on all cores and fused
with what follows. On other devices JAX does so itself.
"""

import jax
import jax.numpy as jnp
import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)

ABOVE_MINUS_ONE = np.nextafter(np.float32(-1), np.float32(0))
"""The least float above -1, where quantile functions of (-1, 1) are still finite."""


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal numbers: `jax.random.normal(key, shape)`, float32."""
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(uniform(key, shape, low=ABOVE_MINUS_ONE))


def laplace(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Laplace numbers of scale 1: `jax.random.laplace(key, shape)`, float32."""
    u = uniform(key, shape, low=ABOVE_MINUS_ONE)
    return jnp.sign(u) * jnp.log1p(-jnp.abs(u))


def uniform(
    key: jax.Array, shape: tuple[int, ...], *, low: float = 0.0, high: float = 1.0
) -> jax.Array:
    """Uniform numbers: `jax.random.uniform(key, shape, minval=low, maxval=high)`, float32."""
    low, high = np.float32(low), np.float32(high)
    # The leading 23 bits are the digits of a number in [1, 2).
    digits = (bits(key, shape) >> np.uint32(9)) | np.uint32(0x3F800000)
    unit = jax.lax.bitcast_convert_type(digits, jnp.float32) - np.float32(1)
    return jnp.maximum(low, unit * (high - low) + low)


def bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random bits: `jax.random.bits(key, shape)`, uint32.

    Args:
      key: a typed key; one that is not of Threefry is left to JAX.
      shape: of the result.

    References:
      Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    size = int(np.prod(shape))
    ours = (
        str(jax.random.key_impl(key)) == "threefry2x32"
        and jax.config.jax_threefry_partitionable
        and jax.default_backend() == "cpu"
        and size < 2**32
    )
    if not ours:
        return jax.random.bits(key, shape)
    words = jax.random.key_data(key)
    schedule = (words[0], words[1], words[0] ^ words[1] ^ _PARITY)
    # JAX counts with 64 bits, of which the upper ones are 0 for arrays of this size.
    left = jnp.broadcast_to(schedule[0], (size,))
    right = jax.lax.iota(jnp.uint32, size) + schedule[1]
    for i in range(5):
        for rotation in _ROTATIONS[i % 2]:
            left = left + right
            right = (right << np.uint32(rotation)) | (right >> np.uint32(32 - rotation))
            right = right ^ left
        left = left + schedule[(i + 1) % 3]
        right = right + (schedule[(i + 2) % 3] + np.uint32(i + 1))
    # Fused with an inverse error function they would not be vectorized.
    return jax.lax.optimization_barrier((left ^ right).reshape(shape))
