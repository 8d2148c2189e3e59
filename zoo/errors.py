"""The error for mistakes of the user, and one-line descriptions of other errors."""

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

OUT_OF_MEMORY = "out of memory"
"""The beginning of the result of `in_words` where memory is exhausted."""

# Control characters, surrogates (bytes of a name that are not text), ends of lines.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Characters that change the direction of the text behind them, and so hide the end of a name.
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
# Errors of JAX about environment variables, such as JAX_PLATFORMS or JAX_ENABLE_X64.
_OF_JAX = re.compile("Unable to initialize backend|Unknown backend|environment 'JAX|for JAX flag")


class ZooError(ValueError):
    """A mistake that the user can correct: one line that names the culprit and the remedy.

    The command line prints it without a traceback; in Python it is a `ValueError`.
    """


def unknown(kind: str, name: str, choices: Iterable[str]) -> ZooError:
    """The error for an unknown name, with the nearest existing name.

    Args:
      kind: the kind of the name, such as `"model"`.
      name: the unknown name.
      choices: all valid names.
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"
    return ZooError(f"unknown {kind} {name!r}; {hint}")


@contextmanager
def in_one_line(what: str) -> Iterator[None]:
    """Convert errors of a library about invalid values to a `ZooError`.

    Args:
      what: the operation that failed; the first line of the library's error follows.
    """
    try:
        yield
    except ZooError:
        raise
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ZooError(f"{what}: {reason}") from None


def line(text: str) -> str:
    """The text as one line: a newline is escaped as in Python, `\\n`.

    The result contains no control sequences for a terminal.
    """
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _UNSEEN or unicodedata.bidirectional(letter) in _TURNS
        else letter
        for letter in text
    )


def in_words(error: BaseException) -> str | None:
    """One line for an error that is caused by the environment rather than by a bug.

    Commands print it instead of a traceback: a refused file or stream, exhausted memory or stack,
    bytes that are not text, a platform that JAX does not find.

    Args:
      error: what was raised.

    Returns:
      The line, or None for an error that needs its traceback.
    """
    text = " ".join(str(error).split())
    if isinstance(error, ZooError):
        return str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return f"{OUT_OF_MEMORY}; take a smaller model, or smaller pictures"
    if isinstance(error, RecursionError | UnicodeError):
        what = "nested too deeply" if isinstance(error, RecursionError) else f"not text ({text})"
        return f"what was read is {what}; correct or leave out the file"
    if isinstance(error, OSError):
        return _refused(error)
    if isinstance(error, RuntimeError | ValueError) and _OF_JAX.search(text):
        return f"JAX cannot start: {text[:300]}; correct or unset that variable of the environment"
    return None


def _refused(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        return f"cannot use {os.fsdecode(error.filename)}: {reason}; check the path"
    if isinstance(error, FileNotFoundError):
        # Without a name only for the working folder.
        return "the working folder is gone; go to one that is there"
    return f"the system refuses: {reason}; correct it, and try again"
