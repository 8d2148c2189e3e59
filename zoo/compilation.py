"""Compiled programs, kept from one process to the next, and what the compiler is told."""

import hashlib
import os
import platform
import re
import sys
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

from zoo.errors import ZooError

LIMIT = 2**30
"""Bytes of compiled programs above which those unused for longest go."""

_KEPT_FREE = 0.25
_UNREADABLE = "Error (reading|writing) persistent compilation cache entry"


def check_flags() -> None:
    """Tries the flags in `XLA_FLAGS`, of which XLA ends the process where it does not know one.

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
        told = pipe.read().decode(errors="replace")
    if os.waitpid(child, 0)[1]:
        first = re.search(r"^[EF]\d.*?\] (.*)", told, re.MULTILINE)
        reason = first[1][:200] if first else "XLA does not start"
        raise ZooError(f"{reason}; mend or unset XLA_FLAGS")


def enable() -> Path | None:
    """Has JAX look for compiled programs in the user's cache folder, and leave new ones there.

    For commands, before their first compilation; importing `zoo` changes nothing. Whoever has told
    JAX itself is obeyed: `JAX_COMPILATION_CACHE_DIR` names another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=false` switches the cache off.

    Returns:
      The folder, below `XDG_CACHE_HOME` or `~/.cache`; None where JAX has been told otherwise or
      there can be no such folder, as in a home that cannot be written: then all is compiled anew.
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


def _cache_home() -> Path:
    """The user's cache folder by the XDG specification, which says to ignore relative paths."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"


def _processor() -> str:
    """A name for this kind of processor, the same on machines that can share programs.

    A home may be shared by unlike machines. In JAX 0.12 the key of a program holds the processor's
    name and features (the fingerprint of a topology with one feature edited is another); in 0.10
    nothing shows that it does. XLA refuses a program compiled for features that are missing, with
    pages of log (openxla/xla#44565), and JAX never replaces an entry, so it would be compiled anew
    each time.
    """
    told = {"machine": platform.machine(), "processor": platform.processor()}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if name in ("model name", "flags", "Features", "CPU implementer", "CPU part"):
                told.setdefault(name, value)
    return f"{platform.machine()}-{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"


def _check_ours(folder: Path) -> None:
    """Refuses a folder that others own or may write, for a compiled program is code to run."""
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(folder)


def _drop_damaged(folder: Path) -> None:
    """Removes entries that cannot be read: JAX writes them in place, so a kill leaves a half.

    JAX would stumble over such an entry at every start, for it never replaces one. Only what has
    been written since the last look is looked at; what another process is just writing may go too,
    and is compiled once more.
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
    """Removes the entries unused for longest, if all together are above the limit.

    JAX's own limit needs the package filelock, and a lock around every read.
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
