"""The door to the disk: regular files in, bounded; files out that appear whole or not at all.

Every path a user gives is opened here, or looked at by `regular` before a library opens it. So a
pipe nobody writes to, a device without an end, a folder or a file of 60 GB is refused in one line,
and nothing waits for it or fills the memory with it.

Reading: `opened` for a stream, `read` for all of a small file, `regular` for libraries that want a
path, `walk` for folders. Writing: `write` and `beside`; `free` says before the work whether a file
may be written. `expanded` is the path that a user's text means.
"""

import errno
import fcntl
import os
import re
import secrets
import signal
import stat
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from zoo.errors import ZooError

LIMIT = 2**32
"""The most bytes that are read at once, unless told: more than a gigapixel of 8-bit color takes."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a disk without room answers, or a limit on the size of files."""

# Bytes. File systems hold names of 255, and the name of the piece is longer.
_LONG_NAME = 255 - len("..01234567.part")
# What a file system without hard links answers.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_PART = re.compile(r"\..*\.[0-9a-f]{8}\.part")
_KINDS = (
    (stat.S_ISDIR, "Is a directory; name a file in it"),
    (stat.S_ISFIFO, "it is a pipe or a device, no file; save what it gives as a file"),
    (stat.S_ISCHR, "it is a pipe or a device, no file; mend the path"),
    (stat.S_ISBLK, "it is a pipe or a device, no file; mend the path"),
    (stat.S_ISSOCK, "it is a socket, no file; mend the path"),
)


def expanded(path: str | os.PathLike) -> Path:
    """The path that a user's text means: `~` is a home where there is one, else a name."""
    return Path(os.path.expanduser(path))


def regular(path: str | os.PathLike, *, limit: int | None = None) -> Path:
    """The path, if a regular file is there, for libraries that open it themselves.

    Args:
      path: the file; links are followed.
      limit: the most bytes it may have; None for any number.

    Raises:
      ZooError: it is missing, or cannot be read, or is a folder, a pipe, a device or a socket, or
        has more bytes.
    """
    opened(path, limit=limit).close()
    return Path(path)


def opened(path: str | os.PathLike, *, limit: int | None = None) -> BinaryIO:
    """Opens a regular file for reading; never waits, as opening a pipe would.

    Args:
      path: the file; links are followed.
      limit: the most bytes it may have; None for any number.

    Returns:
      The file, as `open(path, "rb")` has it.

    Raises:
      ZooError: as `regular`.
    """
    try:
        # Looked at first: to open some devices does something.
        _check(path, os.stat(path), limit)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            # Another file may stand there by now.
            _check(path, os.fstat(descriptor), limit)
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise ZooError(f"cannot read {path}: {error.strerror}; mend the path") from None
    except ValueError as error:
        if isinstance(error, ZooError):
            raise
        raise ZooError(f"cannot read {os.fspath(path)!r}: {error}; mend the path") from None


def read(path: str | os.PathLike, *, limit: int = LIMIT) -> bytes:
    """All bytes of a regular file.

    Args:
      path: the file.
      limit: the most bytes it may have.

    Raises:
      ZooError: as `regular`.
    """
    with opened(path, limit=limit) as file:
        return rest(file, path, limit=limit)


def rest(file: BinaryIO, path: str | os.PathLike, *, limit: int = LIMIT) -> bytes:
    """What follows in an open file, such as behind the first bytes that told its format.

    Args:
      file: a file of `opened`.
      path: what to call it in an error.
      limit: the most bytes that may follow, whatever the system says of its size.

    Raises:
      ZooError: there is more, or it cannot be read.
    """
    try:
        # The size first: of a file of many gigabytes not even a part is read.
        left = os.fstat(file.fileno()).st_size - file.tell()
        _check_size(path, left, limit)
        # Not the limit at once, for so much memory would be asked for.
        data = file.read(left)
        while len(data) <= limit and (more := file.read(2**20)):
            data += more
    except OSError as error:
        raise ZooError(f"cannot read {path}: {error.strerror}; mend the path") from None
    _check_size(path, len(data), limit)
    return data


def _check(path: str | os.PathLike, status: os.stat_result, limit: int | None) -> None:
    for is_it, told in _KINDS:
        if is_it(status.st_mode):
            raise ZooError(f"cannot read {path}: {told}")
    if limit is not None:
        _check_size(path, status.st_size, limit)


def _check_size(path: str | os.PathLike, size: int, limit: int) -> None:
    if size > limit:
        raise ZooError(
            f"{path} has {size:,} bytes, more than the {limit:,} that are read; name another file, "
            "or cut it into pieces"
        )


def walk(
    folder: str | os.PathLike,
    *,
    without: Collection[str | os.PathLike] = (),
    unreadable: Callable[[Path, str], None] | None = None,
) -> list[Path]:
    """The files below a folder, in all its sub-folders; hidden ones are passed over.

    Links to folders are followed, but into no folder twice, for they may lead in circles. Pipes and
    the like are listed too: whoever reads them is told what they are.

    Args:
      folder: the folder.
      without: folders below it that are left out.
      unreadable: is called with each sub-folder that cannot be read, and why; None raises.

    Returns:
      Paths relative to `folder`, sorted.

    Raises:
      ZooError: the folder cannot be read, or a sub-folder, unless `unreadable` is given.
    """
    root = Path(folder)
    found, seen = [], set()

    def fail(error: OSError) -> None:
        place = Path(error.filename or root)
        if unreadable is None:
            raise ZooError(f"cannot read the folder {place}: {error.strerror}; mend that") from None
        unreadable(place, error.strerror)

    def is_new(place: str | os.PathLike) -> bool:
        """Whether a folder is met for the first time; of one that is gone `os.walk` will tell."""
        key = _identity(place)
        if key in seen:
            return False
        seen.add(key)
        return True

    for place in (*without, root):
        is_new(place)
    for parent, folders, names in os.walk(root, followlinks=True, onerror=fail):
        shown = sorted(name for name in folders if not name.startswith("."))
        # A folder goes by its own name rather than by a link's.
        shown.sort(key=lambda name: os.path.islink(os.path.join(parent, name)))
        folders[:] = [name for name in shown if is_new(os.path.join(parent, name))]
        here = Path(parent).relative_to(root)
        found += [here / name for name in names if not name.startswith(".")]
    return sorted(found)


def _identity(place: str | os.PathLike) -> object:
    try:
        status = os.stat(place)
    except OSError:
        return os.fspath(place)
    return status.st_dev, status.st_ino


def free(path: str | os.PathLike, overwrite: bool) -> Path:
    """Where to write: the file that a link leads to, else the path itself.

    Args:
      path: the file to write.
      overwrite: whether one that is there may be replaced.

    Raises:
      ZooError: there is a folder, or a file that is not to be replaced, or links in a circle.
    """
    path = Path(path)
    _check_name(path)
    try:
        if path.is_dir():
            raise ZooError(f"{path} is a folder; name a file in it")
        if os.path.lexists(path) and not overwrite:
            raise ZooError(f"{path} is there already; set overwrite=True, or choose another name")
        if not path.is_symlink():
            return path
        # A link stays a link.
        target = Path(os.path.realpath(path))
    except OSError as error:
        raise _unwritable(path, error) from None
    if target.is_symlink():
        raise ZooError(f"{path} leads in a circle of links; choose another name")
    return target


def write(
    path: str | os.PathLike, data: bytes, *, durable: bool = False, overwrite: bool = True
) -> None:
    """Writes a file beside its place and moves it there; what stood there stays until then.

    Args:
      path: the file; its folder exists.
      data: all of it.
      durable: whether to wait until it would survive a power cut.
      overwrite: as `beside` takes it.

    Raises:
      ZooError: it cannot be written; no piece of it is left behind.
    """
    with beside(path, overwrite=overwrite) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextmanager
def beside(path: str | os.PathLike, *, overwrite: bool = True) -> Iterator[Path]:
    """A place beside a file, moved there at the end; after an error nothing is left of it.

    What killed processes left of such places in the folder is removed.

    Args:
      path: the file; its folder exists.
      overwrite: whether a file that stands there at the end is replaced. If not, one that appeared
        during the work, from another run or by another program, stays, and this one fails.

    Yields:
      Where to write it, in the same folder: only within one file system is the move one step.

    Raises:
      ZooError: it cannot be written, or there is a file that is not to be replaced.
    """
    path = Path(path)
    _check_name(path)
    try:
        if overwrite:
            _check_replaceable(path)
        _remove_left_behind(path.parent)
        with _part(path) as part, _gone_when_killed(part):
            try:
                yield part
                (os.replace if overwrite else _link)(part, path)
            finally:
                with suppress(OSError):
                    part.unlink()
    except OSError as error:
        raise _unwritable(path, error) from None


def _check_name(path: Path) -> None:
    try:
        good = bool(path.name) and b"\0" not in os.fsencode(path)
    except UnicodeError:
        good = False
    if not good:
        raise ZooError(f"cannot write {str(path)!r}: it is no name of a file; mend the path")


def _check_replaceable(path: Path) -> None:
    """Refuses to put a file where a pipe, a device or a socket is: root could, and break much."""
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ZooError(f"cannot write {path}: it is a pipe or a device; name a file")


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """An empty file of this process alone, locked as long as it is at work on it."""
    # Not `tempfile`, whose files only their owner may read.
    kept = f".{path.name}" if len(os.fsencode(path.name)) <= _LONG_NAME else ""
    while True:
        part = path.with_name(f"{kept}.{secrets.token_hex(4)}.part")
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        try:
            with suppress(OSError):  # not every file system has locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Another process may have come upon it before it was locked.
            if part.exists():
                yield part
                return
        finally:
            os.close(descriptor)


def _link(part: Path, path: Path) -> None:
    """Moves a file to a place where there is none, in one step.

    Raises:
      ZooError: there is one.
    """
    try:
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # The name is taken first.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            os.replace(part, path)
    except FileExistsError:
        raise ZooError(
            f"{path} has appeared meanwhile, and is kept; choose another name, or overwrite it"
        ) from None


# Folders that this process has tidied up.
_tidied: set[str] = set()


def _remove_left_behind(folder: Path) -> None:
    """Removes the places of `beside` whose makers are gone, killed: nobody holds their locks."""
    here = os.path.abspath(folder)
    if here in _tidied:
        return
    _tidied.add(here)
    with suppress(OSError), os.scandir(folder) as entries:
        left = [entry.path for entry in entries if _PART.fullmatch(entry.name)]
        for place in left:
            with suppress(OSError):
                if not stat.S_ISREG(os.lstat(place).st_mode):
                    continue
                descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(place)
                finally:
                    os.close(descriptor)


def _unwritable(path: str | os.PathLike, error: OSError) -> ZooError:
    return ZooError(f"cannot write {path}: {error.strerror}; {_remedy(error)}")


def _remedy(error: OSError) -> str:
    if error.errno in FULL:
        return "make room on its disk" if error.errno != errno.EFBIG else "raise ulimit -f"
    return "mend the path"


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
    except ValueError as error:
        raise ZooError(f"cannot make {str(folder)!r}: {error}; mend the path") from None


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^\w.+=-]+", "_", label).lstrip(".") or "_"
