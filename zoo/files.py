"""Files that appear whole or not at all."""

import errno
import os
import re
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zoo.errors import ZooError

# Bytes. File systems hold names of 255, and the name of the piece is longer.
_LONG_NAME = 255 - len("..01234567.part")


def write(path: str | os.PathLike, data: bytes, *, durable: bool = False) -> None:
    """Writes a file beside its place and moves it there; what stood there stays until then.

    Args:
      path: the file; its folder exists.
      data: all of it.
      durable: whether to wait until it would survive a power cut.

    Raises:
      ZooError: it cannot be written; no piece of it is left behind.
    """
    with beside(path) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextmanager
def beside(path: str | os.PathLike) -> Iterator[Path]:
    """A place beside a file, moved there at the end; after an error nothing is left of it.

    Args:
      path: the file; its folder exists.

    Yields:
      Where to write it, in the same folder: only within one file system is the move one step.

    Raises:
      ZooError: it cannot be written.
    """
    path = Path(path)
    # Not `tempfile`, whose files only their owner may read.
    kept = f".{path.name}" if len(os.fsencode(path.name)) <= _LONG_NAME else ""
    part = path.with_name(f"{kept}.{secrets.token_hex(4)}.part")
    try:
        with _gone_when_killed(part):
            yield part
            os.replace(part, path)
    except OSError as error:
        raise ZooError(f"cannot write {path}: {error.strerror}; {_remedy(error)}") from None
    finally:
        with suppress(OSError):
            part.unlink()


def _remedy(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "make room on its disk" if full else "mend the path"


# What is being written, each with the process that writes it: a forked child has the handler too.
_unfinished: dict[Path, int] = {}


@contextmanager
def _gone_when_killed(part: Path) -> Iterator[None]:
    """Removes a file before SIGTERM, Ctrl-C or a closed terminal end the process.

    Only of what would end it at once: who listens to a signal already cleans up by himself. Nothing
    is done outside the main thread, where Python takes no signals.

    Args:
      part: the file; it need not be there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = (name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
    signums = [getattr(signal, name) for name in names]
    held = [one for one in signums if signal.getsignal(one) is signal.SIG_DFL]
    for signum in held:
        signal.signal(signum, _die)
    _unfinished[part] = os.getpid()
    try:
        yield
    finally:
        del _unfinished[part]
        for signum in held:
            if signal.getsignal(signum) is _die:
                signal.signal(signum, signal.SIG_DFL)


def _die(signum: int, _) -> None:
    for part, process in _unfinished.items():
        if os.getpid() == process:
            with suppress(OSError):
                part.unlink()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, where they are missing.

    Raises:
      ZooError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError(f"cannot make {folder}: {error.strerror}; {_remedy(error)}") from None


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^\w.+=-]+", "_", label).lstrip(".") or "_"
