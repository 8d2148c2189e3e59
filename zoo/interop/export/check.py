"""An exported program beside the model it was made from."""

from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np
from flax import linen as nn

from zoo.errors import ZooError
from zoo.interop.export import program
from zoo.interop.export.signature import Signature, examples
from zoo.models import disable_winograd

_STEPS = 3


def compare(
    call: Callable, model: nn.Module, variables: Mapping, signature: Signature, tolerance: float
) -> dict:
    """Runs both on numbers at random, at each size of the signature's examples.

    Args:
      call: the exported program: the inputs to `y`; of a stream, x and the state to `[y, *state]`.
      model: the module.
      variables: what `apply` needs.
      signature: of the program.
      tolerance: the largest difference allowed, over the largest value.

    Returns:
      What was tried and found, JSON-like.

    Raises:
      ZooError: they differ by more, or the model's own output is not finite.
    """
    sizes, worst = signature.example_sizes(), 0.0
    for size in sizes:
        given = examples(signature, size)
        # Of another way to the same sums the model itself has its tests.
        with disable_winograd():
            pairs = _steps if signature.streams else _once
            for pair in pairs(call, model, variables, given):
                found, expected = map(np.asarray, pair)
                if not np.isfinite(expected).all():
                    raise ZooError(
                        f"the output of {signature.facts.name} is not finite; its variables are "
                        "damaged or diverged in training"
                    )
                apart = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
                worst = float(np.fmax(worst, apart) if np.isfinite(apart) else np.inf)
    if worst > tolerance:
        raise ZooError(
            f"the exported program differs from {signature.facts.name} by {worst:.1g}, more than "
            f"{tolerance:g}; nothing is written, take another format or version of its converter"
        )
    return {"sizes": [list(size) for size in sizes], "largest_difference": worst}


def _once(call, model, variables, given) -> Iterator[tuple]:
    # A function of its own: what jit keeps of `model.apply` would be this form for all who come.
    whole = jax.jit(lambda *given: model.apply(variables, *given))
    yield call(*given), whole(*given)


def _steps(call, model, variables, given) -> Iterator[tuple]:
    """A few steps of a stream, each state carried to the next."""
    start, _ = program.step(model, variables)
    (x,), theirs = given, jax.jit(lambda *given: model.step(variables, *given))
    ours, state = list(start(x)), model.init_state(len(x))
    for i in range(_STEPS):
        chunk = np.roll(np.asarray(x), 7 * i, axis=1)
        found, *ours = call(chunk, *ours)
        state, expected = theirs(state, chunk)
        yield found, expected
