"""The one error a user's mistake raises, and the search for the name that was meant."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class ZooError(ValueError):
    """A mistake the user can mend: one line that names the culprit and the remedy.

    The command line prints it without a traceback; in Python it is a `ValueError`.
    """


def unknown(kind: str, name: str, choices: Iterable[str]) -> ZooError:
    """The error for a name nobody registered, with the nearest names that exist.

    Args:
      kind: what the name stands for, such as `"model"`.
      name: the name that was asked for.
      choices: every name that would have done.
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"
    return ZooError(f"unknown {kind} {name!r}; {hint}")


@contextmanager
def in_one_line(what: str) -> Iterator[None]:
    """Turns what a library raises of values that cannot be into a `ZooError`.

    Args:
      what: what cannot be done with them; the library's first line follows.
    """
    try:
        yield
    except ZooError:
        raise
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ZooError(f"{what}: {reason}") from None
