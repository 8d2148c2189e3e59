"""The error for mistakes of the user, and one-line descriptions of other errors."""

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

# Control characters, surrogates (bytes of a name that are not text), ends of lines.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Characters that change the direction of the text behind them, and so hide the end of a name.
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
# Errors of JAX about environment variables, such as JAX_PLATFORMS or JAX_ENABLE_X64.
_OF_JAX = re.compile("Unable to initialize backend|Unknown backend|environment 'JAX|for JAX flag")

EXTRAS = {
    **dict.fromkeys(("orbax", "tensorboardX"), "train"),
    **dict.fromkeys(("h5py", "jinja2", "matplotlib", "pywt", "skimage"), "science"),
    **dict.fromkeys(("astropy", "mrcfile", "nibabel", "pydicom", "zarr"), "science"),
    **dict.fromkeys(("dask", "distributed"), "scale"),
    **dict.fromkeys(("grain", "tensorflow_datasets"), "data"),
    **dict.fromkeys(("av", "mutagen"), "media"),
    **dict.fromkeys(("onnxruntime", "pesq", "pystoi", "speechmos"), "audio"),
    "flatbuffers": "export",
    "gradio": "app",
    "onnx": "onnx",
    "pillow_heif": "heic",
    "rawpy": "raw",
}
"""The extra of `pyproject.toml` that installs each optional package, by its import name."""


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
        raise ZooError(f"{what}: {first_line(error)}") from None


def listed(names: Sequence[str], most: int = 3) -> str:
    """The names, separated by commas; only the first of many, and how many more there are.

    Args:
      names: any number of names.
      most: how many to list.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where there is none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or JAX, on the host or a device, had too little memory."""
    if isinstance(error, MemoryError):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and (
        "RESOURCE_EXHAUSTED" in message or "out of memory" in message.lower()
    )


def in_words(error: BaseException) -> str | None:
    """One line for an error that is caused by the environment rather than by a bug.

    Commands print it instead of a traceback: a refused file or stream, exhausted memory or stack,
    bytes that are not text, a missing package, a platform that JAX does not find.

    Args:
      error: what was raised.

    Returns:
      The line, or None for an error that needs its traceback.
    """
    text = " ".join(str(error).split())
    if isinstance(error, ZooError):
        return str(error)
    if is_out_of_memory(error):
        return "out of memory; take a smaller model, or smaller images"
    if isinstance(error, RecursionError | UnicodeError):
        what = "nested too deeply" if isinstance(error, RecursionError) else f"not text ({text})"
        return f"what was read is {what}; correct or leave out the file"
    if isinstance(error, OSError):
        return _refused(error)
    words = None
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in EXTRAS:
            words = f"this needs {package}; pip install 'denoising-zoo[{EXTRAS[package]}]'"
    elif isinstance(error, RuntimeError | ValueError) and _OF_JAX.search(text):
        words = f"JAX cannot start: {text[:300]}; correct or unset that environment variable"
    return words


def _refused(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        return f"cannot use {os.fsdecode(error.filename)}: {reason}; check the path"
    if isinstance(error, FileNotFoundError):
        # Without a name only for the working folder.
        return "the working folder is gone; go to one that is there"
    return f"the system refuses: {reason}; correct it, and try again"
