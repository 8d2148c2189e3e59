"""Noise that replaces some values and leaves the rest alone.

Impulses hit every channel of a pixel on its own, as MATLAB's `imnoise` and scikit-image's
`random_noise` do; `per_channel=False` makes them hit whole pixels. Dead and masked pixels are
always whole pixels. The places depend on the key alone: the same key gives the same places.
"""

import jax
import jax.numpy as jnp

from zoo.noise import random_bits
from zoo.noise.op_contract import ANY, FRACTION, op

__all__ = ["dead_pixels", "impulse", "mask_pixels", "pepper", "salt", "salt_and_pepper"]


@op(axes="C", amount=FRACTION, salt_fraction=FRACTION, examples={"amount": (0.1, 0.4)})
def salt_and_pepper(key, x, *, amount, salt_fraction=0.5, per_channel=True):
    """Sets a random fraction of the values to 1 (salt) or 0 (pepper).

    A value becomes 1 with probability `amount * salt_fraction`, 0 with probability
    `amount * (1 - salt_fraction)`, and is kept otherwise.

    Args:
      x: signal `(..., C)`.
      amount: level; the fraction of values that is hit, from 0 to 1.
      salt_fraction: the fraction of hits that is salt, from 0 to 1; a level too.
      per_channel: whether channels are hit one by one rather than whole pixels.
    """
    place = random_bits.uniform(key, _places(x, per_channel))
    # One number decides both: below amount it is a hit, and then uniform below amount.
    return jnp.where(place < amount, (place < amount * salt_fraction).astype(x.dtype), x)


@op(axes="C", amount=FRACTION, examples={"amount": (0.1, 0.4)})
def salt(key, x, *, amount, per_channel=True):
    """Sets a random fraction of the values to 1.

    Args:
      x: signal `(..., C)`.
      amount: level; the fraction of values that is hit, from 0 to 1.
      per_channel: whether channels are hit one by one rather than whole pixels.
    """
    return jnp.where(_hits(key, x, amount, per_channel), 1.0, x)


@op(axes="C", amount=FRACTION, examples={"amount": (0.1, 0.4)})
def pepper(key, x, *, amount, per_channel=True):
    """Sets a random fraction of the values to 0.

    Args:
      x: signal `(..., C)`.
      amount: level; the fraction of values that is hit, from 0 to 1.
      per_channel: whether channels are hit one by one rather than whole pixels.
    """
    return jnp.where(_hits(key, x, amount, per_channel), 0.0, x)


@op(axes="C", amount=FRACTION, examples={"amount": (0.1, 0.4)})
def impulse(key, x, *, amount, per_channel=True):
    """Replaces a random fraction of the values by uniform random values from [0, 1).

    Args:
      x: signal `(..., C)`.
      amount: level; the fraction of values that is hit, from 0 to 1.
      per_channel: whether channels are hit one by one rather than whole pixels. The values are
        random for each channel either way.
    """
    key_place, key_value = jax.random.split(key)
    value = random_bits.uniform(key_value, x.shape)
    return jnp.where(_hits(key_place, x, amount, per_channel), value, x)


@op(axes="C", amount=FRACTION, value=ANY, examples={"amount": (0.1, 0.4)})
def dead_pixels(key, x, *, amount, value=0.0):
    """Sets all channels of a random fraction of the pixels to one value.

    Args:
      x: signal `(..., C)`.
      amount: level; the fraction of pixels that is dead, from 0 to 1.
      value: what dead pixels show, such as 0 (dead) or 1 (hot); a level too.
    """
    return jnp.where(_hits(key, x, amount, per_channel=False), value, x)


@op(axes="C", amount=FRACTION, examples={"amount": (0.1, 0.4)})
def mask_pixels(key, x, *, amount):
    """Sets all channels of a random fraction of the pixels to 0, as for inpainting.

    Args:
      x: signal `(..., C)`.
      amount: level; the fraction of pixels that is masked, from 0 to 1.
    """
    return jnp.where(_hits(key, x, amount, per_channel=False), 0.0, x)


def _places(x: jax.Array, per_channel: bool) -> tuple[int, ...]:
    return x.shape if per_channel else (*x.shape[:-1], 1)


def _hits(key: jax.Array, x: jax.Array, amount: jax.Array, per_channel: bool) -> jax.Array:
    return random_bits.uniform(key, _places(x, per_channel)) < amount
