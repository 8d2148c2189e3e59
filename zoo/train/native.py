"""What native code writes, heard on its way out.

Where a process of a run dies, XLA writes a page into the logs of the others and aborts them, and
no callback of jax can say it better. So the descriptors of this process's output lead here first.
"""

import ctypes
import os
import re
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

# Gloo tells of every connection, on the standard output and from several threads at once, so that
# its lines come in pieces; the service tells of every stumble.
_CHATTER = re.compile(
    rb".*(\[Gloo\] Rank|is connected to|peer ranks)|[\d: ]*$|[IW]\d{4} .*coordination_service"
)
# The coordination service speaks of an error, and what it adds in the same breath if it is fatal.
_LOST = re.compile(rb"[EF]\d{4} .*(coordination_service|distributed service detected fatal)")
_END = re.compile(rb"Check failure stack trace")
_BREATH = 2.0


def overhear(lost: Callable[[str], None]) -> Callable[[], None]:
    """Passes on what native code writes, to the standard error, but the news of a lost process.

    Args:
      lost: called, from another thread, with XLA's words; it should end this process.

    Returns:
      A function that lets native code write for itself again.
    """
    streams = {"stdout": 1, "stderr": 2}
    before = {name: getattr(sys, name) for name in streams}
    kept = {}
    for name, number in streams.items():
        before[name].flush()
        kept[number] = os.dup(number)
        # What Python writes needs no listening to. The descriptor stays open for good, because who
        # has taken `sys.stderr` meanwhile, as handlers of logging do, may write after the end.
        options = {"buffering": 1, "errors": "backslashreplace", "closefd": False}
        setattr(sys, name, os.fdopen(kept[number], "w", **options))
    reading, writing = os.pipe()
    for number in kept:
        os.dup2(writing, number)
    os.close(writing)
    thread = threading.Thread(target=_listen, args=(reading, kept[2], lost), daemon=True)
    thread.start()
    _delay_abort()

    def stop() -> None:
        for name, number in streams.items():
            getattr(sys, name).flush()
            os.dup2(kept[number], number)
            setattr(sys, name, before[name])
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        thread.join(timeout=1)

    return stop


def _listen(reading: int, out: int, lost: Callable[[str], None]) -> None:
    news, rest, until = b"", b"", 0.0

    def hear(line: bytes) -> None:
        nonlocal news, until
        if news or _LOST.match(line):
            until = until if news else time.monotonic() + _BREATH
            news += line
            if _END.search(line):
                lost(news.decode(errors="replace"))
        else:
            _pass_on(out, line)

    with os.fdopen(reading, "rb", buffering=0) as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            wait = until - time.monotonic() if news else None
            if news and (wait <= 0 or not selector.select(wait)):
                # A breath later this process still runs: the service has recovered.
                _pass_on(out, news)
                news = b""
                continue
            data = pipe.read(2**16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                hear(line + b"\n")
    if rest:
        hear(rest)
    _pass_on(out, news)


def _pass_on(out: int, text: bytes) -> None:
    lines = [line for line in text.splitlines(keepends=True) if not _CHATTER.match(line)]
    # Whoever read it may be gone; this must go on, or native code waits for ever.
    with suppress(OSError):
        os.write(out, b"".join(lines))


def _delay_abort() -> None:
    """Makes an abort wait six seconds, in which the listener has its word.

    A handler in Python would never run: the aborting thread is none of Python's. The C library's
    `sleep` takes the number of the signal, 6, for its seconds; then the abort takes its course, as
    it does at once after them where the aborting thread holds Python's lock.
    """
    library = ctypes.CDLL(None)
    library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    library.signal.restype = ctypes.c_void_p
    library.signal(signal.SIGABRT, ctypes.cast(library.sleep, ctypes.c_void_p))
