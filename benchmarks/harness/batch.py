"""What does not fit into memory: a batch halved as long as it runs out, or one line."""

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax

from zoo.errors import ZooError, is_out_of_memory

Result = TypeVar("Result")


def fitting(
    attempt: Callable[[int], Result], batch: int, devices: int = 1
) -> tuple[Result | None, int]:
    """Tries a batch, then half of it, and so on while memory runs out.

    Args:
      attempt: takes a batch size; other errors of it pass.
      batch: the first to try.
      devices: must share a batch evenly, so none is smaller than this.

    Returns:
      What `attempt` gave, None where not even the smallest batch fits; and the last batch tried.
    """
    while True:
        try:
            return attempt(batch), batch
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, where the error and with it the frames that hold the arrays are gone.
        gc.collect()
        half = batch // 2 // devices * devices
        if not half:
            return None, batch
        batch = half


@contextlib.contextmanager
def must_fit(what: str, remedy: str) -> Iterator[None]:
    """Measures what cannot be halved.

    Args:
      what: is measured.
      remedy: what to do if it is too large.

    Raises:
      ZooError: there was not enough memory; other errors pass.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ZooError(f"{what} does not fit into memory; {remedy}") from None
