"""Settings of the process: XLA's flags and messages, compiled programs, the C library's memory.

Importing `zoo` changes none of them. This file can be loaded without the package.
"""

import ctypes
import hashlib
import os
import platform
import re
import select
import signal
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LIMIT = 2**30
"""Bytes of compiled programs above which the least recently used are removed."""

_KEPT_FREE = 0.25
_UNREADABLE = "Error (reading|writing) persistent compilation cache entry"
# Of glibc's malloc.h: never trim the heap, never map blocks on their own, and have one arena, for
# those of threads are too small for large blocks, which would be mapped all the same.
_MALLOC = ((-1, -1), (-4, 0), (-8, 1))
# Messages of gloo about every connection, from several threads at once and so in pieces, and
# warnings of XLA's coordination service.
_CHATTER = re.compile(
    rb".*(\[Gloo\] Rank|is connected to|peer ranks)|[\d: ]*$|[IW]\d{4} .*coordination_service"
)
# An error of that service, the end of what it writes if the error is fatal, and the seconds after
# which it is known not to be.
_ERROR = re.compile(rb"[EF]\d{4} .*(coordination_service|distributed service detected fatal)")
_FATAL_END = re.compile(rb"Check failure stack trace")
_HOLD = 2.0


def check_flags() -> None:
    """Tries the flags in `XLA_FLAGS` in a child, because XLA ends the process at an unknown one.

    For commands, before JAX is imported; afterwards it does nothing.

    Raises:
      ZooError: XLA does not know one of them.
    """
    if "XLA_FLAGS" not in os.environ or "jax" in sys.modules or not hasattr(os, "fork"):
        return
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with suppress(BaseException):
            os.dup2(writer, 2)
            from jaxlib import xla_client  # noqa: PLC0415 - only the child imports it

            # XLA looks at them when it is first asked for its own.
            _ = xla_client.CompileOptions().executable_build_options.debug_options
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        output = pipe.read().decode(errors="replace")
    if os.waitpid(child, 0)[1]:
        first = re.search(r"^[EF]\d.*?\] (.*)", output, re.MULTILINE)
        reason = first[1][:200] if first else "XLA does not start"
        from zoo.errors import ZooError  # noqa: PLC0415 - only here the package is needed

        raise ZooError(f"{reason}; correct or unset XLA_FLAGS")


def cache_programs() -> Path | None:
    """Makes JAX keep compiled programs in the user's cache folder from one process to the next.

    For commands, before their first compilation. JAX's own settings take precedence:
    `JAX_COMPILATION_CACHE_DIR` names another folder, and `JAX_ENABLE_COMPILATION_CACHE=false`
    switches the cache off.

    Returns:
      The folder, below `XDG_CACHE_HOME` or `~/.cache`; None where JAX is configured otherwise or
      the folder cannot be made, as in a read-only home: then all programs are compiled.
    """
    import jax  # noqa: PLC0415 - `check_flags` comes before it

    if not jax.config.jax_enable_compilation_cache:
        return None
    if jax.config.jax_compilation_cache_dir is not None:
        return None
    try:
        folder = _cache_home() / "denoising-zoo" / "programs" / _processor()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_ours(folder)
    except (OSError, RuntimeError):
        return None
    with suppress(OSError):
        _drop_damaged(folder)
        _drop_oldest(folder, LIMIT)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # A run starts with dozens of small programs, each far faster read than compiled.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # JAX compiles what it cannot read, and says so once a program; the next start drops the entry.
    warnings.filterwarnings("ignore", message=_UNREADABLE)
    return folder


def keep_memory() -> bool:
    """Makes the C library keep freed memory; for commands, which repeat the same computation.

    On a CPU XLA allocates a step's temporary memory every time. By default glibc returns so large a
    block to the system, which then clears every page of the next one. Call it before JAX starts
    threads.

    Returns:
      Whether the C library is glibc and took the settings.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    done = [mallopt(option, value) for option, value in _MALLOC]
    return all(done)


def filter_native_output(lost: Callable[[str], None]) -> Callable[[], None]:
    """Puts the messages of native code on the standard error, without those of a lost process.

    Where a process of a run dies, XLA writes a page into the logs of the others and aborts them;
    its callback for this fails (`std::bad_cast`). So what native code writes comes here first.

    Args:
      lost: called with that page from another thread; it should end this process.

    Returns:
      A function that restores the outputs.
    """
    streams = {"stdout": 1, "stderr": 2}
    before = {name: getattr(sys, name) for name in streams}
    kept = {}
    for name, number in streams.items():
        before[name].flush()
        kept[number] = os.dup(number)
        # Python's own output is not filtered. Its descriptor stays open for good, for those who
        # have taken `sys.stderr` meanwhile, as handlers of logging do.
        options = {"buffering": 1, "errors": "backslashreplace", "closefd": False}
        setattr(sys, name, os.fdopen(kept[number], "w", **options))
    reading, writing = os.pipe()
    for number in kept:
        os.dup2(writing, number)
    os.close(writing)
    thread = threading.Thread(target=_filter, args=(reading, kept[2], lost), daemon=True)
    thread.start()
    # A handler in Python would not run, as the aborting thread is not one of Python's. The sleep of
    # the C library takes the signal's number, 6, for its seconds, in which `lost` ends the process.
    library = ctypes.CDLL(None)
    library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    library.signal.restype = ctypes.c_void_p
    library.signal(signal.SIGABRT, ctypes.cast(library.sleep, ctypes.c_void_p))

    def restore() -> None:
        for name, number in streams.items():
            getattr(sys, name).flush()
            os.dup2(kept[number], number)
            setattr(sys, name, before[name])
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        thread.join(timeout=1)

    return restore


def _filter(reading: int, output: int, lost: Callable[[str], None]) -> None:
    def write(text: bytes) -> None:
        # Its reader may be gone; native code must not block all the same.
        with suppress(OSError):
            os.write(output, text)

    held, until = b"", 0.0
    # Unbuffered, so that `select` sees every line that is left.
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            wait = until - time.monotonic()
            if held and (wait <= 0 or not select.select([pipe], [], [], wait)[0]):
                write(held)
                held = b""
            row = pipe.readline()
            if held or _ERROR.match(row):
                until = until if held else time.monotonic() + _HOLD
                held += row
                if _FATAL_END.search(row):
                    lost(held.decode(errors="replace"))
            elif not _CHATTER.match(row):
                write(row)
            if not row:
                write(held)
                return


def _cache_home() -> Path:
    """The user's cache folder by the XDG specification, which says to ignore relative paths."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"


def _processor() -> str:
    """A name for this kind of processor, the same on machines that can share programs.

    A home may be shared by unlike machines. In JAX 0.12 the key of a program holds the processor's
    name and features (the fingerprint of a topology with one feature edited is another); in 0.10
    nothing shows that it does. XLA refuses a program compiled for features that are missing, with
    pages of log (openxla/xla#44565), and JAX never replaces an entry, so it would be compiled again
    each time.
    """
    described = {"machine": platform.machine(), "processor": platform.processor()}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if name in ("model name", "flags", "Features", "CPU implementer", "CPU part"):
                described.setdefault(name, value)
    return f"{platform.machine()}-{hashlib.sha256(repr(described).encode()).hexdigest()[:12]}"


def _check_ours(folder: Path) -> None:
    """Refuses a folder that others own or may write, for a compiled program is code to run."""
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(folder)


def _drop_damaged(folder: Path) -> None:
    """Removes entries that cannot be read: JAX writes them in place, so a kill leaves a half.

    JAX never replaces an entry, so it would fail on it at every start. Only entries written since
    the last check are read; one that another process is writing may be removed too, and is then
    compiled once more.
    """
    stamp = folder / ".looked"
    seen = stamp.stat().st_mtime_ns if stamp.exists() else 0
    stamp.touch()
    for path in folder.glob("*-cache"):
        # Another process may drop it first.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime_ns >= seen and not _whole(path.read_bytes()):
                path.unlink()


def _whole(entry: bytes) -> bool:
    """Whether an entry can be unpacked; of zstandard, which JAX takes if it is there, the head."""
    if entry.startswith(b"\x28\xb5\x2f\xfd"):
        return True
    try:
        zlib.decompress(entry)
    except zlib.error:
        return False
    return True


def _drop_oldest(folder: Path, limit: int) -> None:
    """Removes the least recently used entries if all together exceed the limit.

    JAX's own limit (`jax_compilation_cache_max_size`) needs the package filelock, takes a lock
    around every read, and leaves damaged entries.
    """
    entries = [(path, path.stat()) for path in folder.glob("*-cache")]
    excess = sum(status.st_size for _, status in entries) - limit
    if excess <= 0:
        return
    excess += _KEPT_FREE * limit
    # Many file systems note an access only once a day, which is fine enough.
    for path, status in sorted(entries, key=lambda e: max(e[1].st_atime, e[1].st_mtime)):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= status.st_size
