"""New mixtures out of those at hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.noise.audio.law import op
from zoo.noise.contract import FRACTION


@op(axes="TC", amount=FRACTION)
def remix(key, x, *, amount, noisy):
    """Gives recordings the noise of others in the batch: `x + noise[permutation]`.

    The noise of an example is `noisy - x`, x clean. Each example takes part with probability
    `amount`; the noises of those that do are permuted at random (one may get its own back), the
    others keep theirs. No noise is used twice. With less than two examples `noisy` comes back.

    Args:
      key: random key.
      x: clean recordings `(..., T, C)`; the leading axes are the batch.
      amount: level; the probability that an example takes part, from 0 to 1.
      noisy: the same recordings with their noise, shape of `x`, floats.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      Noisy recordings with the targets `x`, shape and dtype of `x`.

    Raises:
      ZooError: `noisy` is of integers or has another shape.

    References:
      Defossez, Synnaeve, Adi, "Real time speech enhancement in the waveform domain", Interspeech
      2020.
    """
    noisy = noisy if isinstance(noisy, jax.Array) else np.asarray(noisy)
    if noisy.shape != x.shape or not jnp.issubdtype(noisy.dtype, jnp.floating):
        raise ZooError(
            f"remix: noisy must be floats of the shape of x, {x.shape}, "
            f"got {noisy.dtype} of shape {noisy.shape}"
        )
    lead = x.shape[:-2]
    count = math.prod(lead)
    noise = (jnp.asarray(noisy, x.dtype) - x).reshape(count, *x.shape[-2:])
    chance = jnp.broadcast_to(amount, (*lead, 1, 1)).reshape(count)
    key_part, key_order = jax.random.split(key)
    part = jax.random.uniform(key_part, (count,), x.dtype) < chance
    # Those that take part come first, in random order; the same places again, in their own order.
    drawn = jax.random.uniform(key_order, (count,), x.dtype)
    shuffled = jnp.argsort(jnp.where(part, drawn, 2.0))
    places = jnp.argsort(jnp.where(part, 0, 1), stable=True)
    source = jnp.zeros(count, jnp.int32).at[places].set(shuffled.astype(jnp.int32))
    return x + jnp.take(noise, source, axis=0).reshape(x.shape)
