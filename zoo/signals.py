"""What Ctrl-C, SIGTERM and a closed terminal do to work on files."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# Each with the process it belongs to, since a forked child inherits the handler.
_last_acts: list[tuple[int, Callable[[], None]]] = []


@contextmanager
def held_back() -> Iterator[None]:
    """A block at whose end Ctrl-C takes effect, and not before.

    For calls of C libraries that call Python, such as libsndfile for every write: an exception that
    is raised in there is printed and discarded, and the library fails with an error of its own or
    goes on. Outside the main thread, where Python handles no signals, the block runs as it is.

    Raises:
      KeyboardInterrupt: Ctrl-C was pressed, unless its handler does something else.
    """
    earlier = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(earlier):
        yield
        return
    received = []
    signal.signal(signal.SIGINT, lambda *given: received.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
        if received:
            earlier(*received[-1])


@contextmanager
def before_death(act: Callable[[], None]) -> Iterator[None]:
    """Calls a function before SIGTERM, Ctrl-C or a closed terminal end the process.

    Only for signals with the default handler; a program with its own handler cleans up by itself.
    Nothing is done outside the main thread, where Python handles no signals.

    Args:
      act: what to do, such as removing an unfinished file; its `OSError`s are ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = (name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
    signums = [getattr(signal, name) for name in names]
    held = [one for one in signums if signal.getsignal(one) is signal.SIG_DFL]
    for signum in held:
        signal.signal(signum, _die)
    entry = (os.getpid(), act)
    _last_acts.append(entry)
    try:
        yield
    finally:
        _last_acts.remove(entry)
        for signum in held:
            if signal.getsignal(signum) is _die:
                signal.signal(signum, signal.SIG_DFL)


def _die(signum: int, _) -> None:
    for process, act in _last_acts:
        if os.getpid() == process:
            with suppress(OSError):
                act()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
