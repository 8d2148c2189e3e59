"""A model as a function of arrays alone, its weights within."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.interop.export.signature import Signature


def whole(model: nn.Module, variables: Mapping, signature: Signature) -> Callable[..., jax.Array]:
    """The function `(x)` or `(x, level)` to the clean estimate.

    Args:
      model: the module.
      variables: what `apply` needs.
      signature: of the function.
    """

    def apply(x: jax.Array, *level: jax.Array) -> jax.Array:
        return model.apply(variables, x, *level)

    if signature.facts.modality == "audio":
        # One recording at a time, for these models count the recordings of a batch.
        return jax.vmap(lambda x: apply(x[None])[0])
    if signature.size or signature.multiple == 1:
        return apply

    def padded(x: jax.Array, *level: jax.Array) -> jax.Array:
        h, w = x.shape[1:3]
        y = pad(pad(x, 1, signature), 2, signature)
        return apply(y, *level)[:, :h, :w]

    return padded


def step(
    model: nn.Module, variables: Mapping
) -> tuple[Callable[[jax.Array], list[jax.Array]], Callable[..., list[jax.Array]]]:
    """The functions of a stream, whose state is a list of arrays.

    Args:
      model: a module that streams.
      variables: what `apply` needs.

    Returns:
      `start(x) -> state`, from any chunk (b, hop, 1), for its b; and
      `step(x, *state) -> [y, *state]`.
    """
    structure = jax.tree.structure(jax.eval_shape(lambda: model.init_state(1, 1)))

    def start(x: jax.Array) -> list[jax.Array]:
        # It has nothing to do with the chunk, but must have its batch.
        return jax.vmap(lambda _: jax.tree.leaves(model.init_state(1, 1)))(x)

    def advance(x: jax.Array, *state: jax.Array) -> list[jax.Array]:
        def one(x, *leaves):
            state, y = model.step(variables, jax.tree.unflatten(structure, leaves), x[None])
            return [y[0], *jax.tree.leaves(state)]

        return jax.vmap(one)(x, *state)

    return start, advance


def pad(x: jax.Array, axis: int, signature: Signature) -> jax.Array:
    """As `zoo.models.layers.pad_to_multiple`, along one axis and for a size that is not known.

    Args:
      x: (N, H, W, C).
      axis: 1 or 2.
      signature: whose multiple and mode.
    """
    have, multiple = x.shape[axis], signature.multiple
    want = (have + multiple - 1) // multiple * multiple
    if signature.mode == "constant":
        pads = [(0, 0)] * x.ndim
        pads[axis] = (0, want - have)
        return jnp.pad(x, pads)
    at, last = jnp.arange(want, dtype=jnp.int32), jnp.asarray(have - 1, jnp.int32)
    if signature.mode == "reflect":
        # There and back again, as often as a small picture needs it.
        at = at % jnp.maximum(2 * last, 1)
        at = jnp.minimum(at, 2 * last - at)
    return jnp.take(x, jnp.minimum(at, last), axis=axis, mode="clip")
