"""The one error a user's mistake raises, and what else is told in one line."""

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# Control characters, halves of pairs (bytes of a name that are no text), ends of lines.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
# What turns the direction of the text that follows, and so hides how a name ends.
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
# What JAX says of a variable of the environment, such as JAX_PLATFORMS or JAX_ENABLE_X64.
_OF_JAX = re.compile("Unable to initialize backend|Unknown backend|environment 'JAX|for JAX flag")

EXTRAS = {
    **dict.fromkeys(("ml_collections", "orbax", "tensorboardX"), "train"),
    **dict.fromkeys(("h5py", "jinja2", "matplotlib", "pywt", "skimage"), "science"),
    **dict.fromkeys(("grain", "tensorflow_datasets"), "data"),
    **dict.fromkeys(("av", "mutagen"), "media"),
    **dict.fromkeys(("pesq", "pystoi"), "audio"),
    "flatbuffers": "export",
    "gradio": "app",
    "pillow_heif": "heic",
}
"""The extra of `pyproject.toml` that installs each optional package, by its import name."""


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


def line(told: str) -> str:
    """One line, whatever names stand in it: a newline in one is written as in Python, `\\n`.

    Nothing in it is an order to a terminal.
    """
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _UNSEEN or unicodedata.bidirectional(letter) in _TURNS
        else letter
        for letter in told
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or JAX, on the host or a device, had too little memory."""
    if isinstance(error, MemoryError):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and (
        "RESOURCE_EXHAUSTED" in message or "out of memory" in message.lower()
    )


def in_words(error: BaseException) -> str | None:
    """One line for what the machine, and not a mistake in a program, keeps a command from.

    The commands print it instead of a traceback: a refused file or stream, memory or the stack
    used up, bytes that are no text, a platform that JAX does not find.

    Args:
      error: what was raised.

    Returns:
      The line, or None for an error that only its traceback explains.
    """
    told = " ".join(str(error).split())
    if isinstance(error, ZooError):
        return str(error)
    if is_out_of_memory(error):
        return "out of memory; take a smaller model, or smaller images"
    if isinstance(error, RecursionError | UnicodeError):
        what = "nested too deeply" if isinstance(error, RecursionError) else f"no text ({told})"
        return f"what was read is {what}; mend or leave out the file"
    if isinstance(error, OSError):
        return _refused(error)
    words = None
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in EXTRAS:
            words = f"this needs {package}; pip install 'denoising-zoo[{EXTRAS[package]}]'"
    elif isinstance(error, RuntimeError | ValueError) and _OF_JAX.search(told):
        words = f"JAX cannot start: {told[:300]}; correct or unset that environment variable"
    return words


def _refused(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        return f"cannot use {os.fsdecode(error.filename)}: {reason}; mend the path"
    if isinstance(error, FileNotFoundError):
        # Only who asks for the working folder gets this without a name.
        return "the working folder is gone; go to one that is there"
    return f"the system refuses: {reason}; mend that, and try again"
