"""File access: bounded reading of regular files, and atomic writing.

Every path given by a user is opened here, or checked by `regular` before a library opens it. So a
pipe without a writer, an endless device, a folder or a file of 60 GB is refused in one line, and
nothing blocks on it or fills the memory with it.

Reading: `opened` for a stream, `read` for all of a small file, `regular` for libraries that need a
path, `walk` for folders. Writing: `write` and `staged`, of files that are folders `staged_folder`
and `move_folder`, in several steps `scratch_folder`; `free` checks before the work whether a file
can be written. `expanded` resolves `~` in a path.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from zoo.errors import ZooError
from zoo.signals import before_death

LIMIT = 2**32
"""The most bytes that are read at once by default: more than a gigapixel of 8-bit color."""

# Error numbers of a full disk; NumPy gives none.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, None)
# Bytes. File systems allow names of 255, and that of the staging file is longer.
_LONG_NAME = 255 - len("..01234567.former")
# Error numbers of a file system without hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_PART = re.compile(r"\..*\.[0-9a-f]{8}\.part")
_KINDS = (
    (stat.S_ISDIR, "Is a directory; name a file in it"),
    (stat.S_ISFIFO, "it is a pipe or a device, not a file; save its output as a file"),
    (stat.S_ISCHR, "it is a pipe or a device, not a file; check the path"),
    (stat.S_ISBLK, "it is a pipe or a device, not a file; check the path"),
    (stat.S_ISSOCK, "it is a socket, not a file; check the path"),
)


def expanded(path: str | os.PathLike) -> Path:
    """The path with `~` replaced by the home folder, where there is one."""
    return Path(os.path.expanduser(path))


def regular(path: str | os.PathLike, *, limit: int | None = None) -> Path:
    """The path of a regular file, for libraries that open it themselves.

    Args:
      path: the file; links are followed.
      limit: the most bytes it may have; None for any number.

    Raises:
      ZooError: it is missing, cannot be read, is a folder, pipe, device or socket, or has more
        bytes.
    """
    opened(path, limit=limit).close()
    return Path(path)


def opened(path: str | os.PathLike, *, limit: int | None = None) -> BinaryIO:
    """Open a regular file for reading; never block, as opening a pipe would.

    Args:
      path: the file; links are followed.
      limit: the most bytes it may have; None for any number.

    Returns:
      The file, as `open(path, "rb")` returns it.

    Raises:
      ZooError: as `regular`.
    """
    try:
        # Checked first, since opening some devices has an effect.
        _check(path, os.stat(path), limit)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            # It may have been replaced in the meantime.
            _check(path, os.fstat(descriptor), limit)
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise ZooError(f"cannot read {path}: {error.strerror}; check the path") from None
    except ValueError as error:
        if isinstance(error, ZooError):
            raise
        raise ZooError(f"cannot read {os.fspath(path)!r}: {error}; check the path") from None


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
    """The remaining bytes of an open file, for example behind its first bytes.

    Args:
      file: a file of `opened`.
      path: what to call it in an error.
      limit: the most bytes to read, whatever size the system reports.

    Raises:
      ZooError: there is more, or it cannot be read.
    """
    try:
        # The size first, so that nothing is read of a file that is too large.
        left = os.fstat(file.fileno()).st_size - file.tell()
        _check_size(path, left, limit)
        # Not the limit at once, which would be allocated.
        data = file.read(max(left, 0))
        while len(data) <= limit and (more := file.read(2**20)):
            data += more
    except OSError as error:
        raise ZooError(f"cannot read {path}: {error.strerror}; check the path") from None
    _check_size(path, len(data), limit)
    return data


def _check(path: str | os.PathLike, status: os.stat_result, limit: int | None) -> None:
    for is_kind, reason in _KINDS:
        if is_kind(status.st_mode):
            raise ZooError(f"cannot read {path}: {reason}")
    if limit is not None:
        _check_size(path, status.st_size, limit)


def _check_size(path: str | os.PathLike, size: int, limit: int) -> None:
    if size > limit:
        raise ZooError(
            f"{path} has {size:,} bytes, more than the {limit:,} that are read; choose another "
            "file, or cut it into pieces"
        )


def walk(
    folder: str | os.PathLike,
    *,
    without: Collection[str | os.PathLike] = (),
    whole: Callable[[Path], bool] | None = None,
    unreadable: Callable[[Path, str], None] | None = None,
) -> list[Path]:
    """The files in a folder and all its sub-folders; hidden ones are ignored.

    Links to folders are followed, but no folder is visited twice, since links may form circles.
    Pipes and the like are listed too, and refused on reading.

    Args:
      folder: the folder.
      without: folders below it to omit.
      whole: whether a folder below it counts as a file, and is not searched.
      unreadable: called with each sub-folder that cannot be read, and the reason; None raises.

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
            raise ZooError(f"cannot read the folder {place}: {error.strerror}; check it") from None
        unreadable(place, error.strerror)

    def is_new(place: str | os.PathLike) -> bool:
        """Whether a folder is visited for the first time; `os.walk` reports missing ones."""
        key = _identity(place)
        if key in seen:
            return False
        seen.add(key)
        return True

    for place in (*without, root):
        is_new(place)
    for parent, folders, names in os.walk(root, followlinks=True, onerror=fail):
        shown = sorted(name for name in folders if not name.startswith("."))
        # Folders by their own names take precedence over links.
        shown.sort(key=lambda name: os.path.islink(os.path.join(parent, name)))
        here = Path(parent).relative_to(root)
        if whole is not None:
            files = [name for name in shown if whole(Path(parent, name))]
            found += [here / name for name in files if is_new(os.path.join(parent, name))]
            shown = [name for name in shown if name not in files]
        folders[:] = [name for name in shown if is_new(os.path.join(parent, name))]
        found += [here / name for name in names if not name.startswith(".")]
    return sorted(found)


def _identity(place: str | os.PathLike) -> object:
    try:
        status = os.stat(place)
    except OSError:
        return os.fspath(place)
    return status.st_dev, status.st_ino


def free(path: str | os.PathLike, overwrite: bool) -> Path:
    """The path to write to: the target of a link, else the path itself.

    Args:
      path: the file to write.
      overwrite: whether an existing file may be replaced.

    Raises:
      ZooError: it is a folder, an existing file that must not be replaced, or a circle of links.
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
    """Write a file atomically: a former file remains until the new one is complete.

    Args:
      path: the file; its folder exists.
      data: all of it.
      durable: whether to wait until it would survive a power failure.
      overwrite: as in `staged`.

    Raises:
      ZooError: it cannot be written; no part of it is left.
    """
    with staged(path, overwrite=overwrite) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextmanager
def staged(path: str | os.PathLike, *, overwrite: bool = True) -> Iterator[Path]:
    """A staging file that is moved to its path at the end; after an error it is removed.

    Staging files of killed processes in the folder are removed.

    Args:
      path: the file; its folder exists.
      overwrite: whether a file there at the end is replaced. If not, one that appeared in the
        meantime, from another run or program, is kept, and this one fails.

    Yields:
      The path to write to, in the same folder, since a move is atomic only within a file system.

    Raises:
      ZooError: it cannot be written, or there is a file that must not be replaced.
    """
    path = Path(path)
    _check_name(path)
    try:
        if overwrite:
            _check_replaceable(path)
        _remove_left_behind(path.parent)
        with _part(path) as part, before_death(partial(_remove, part)):
            try:
                yield part
                (os.replace if overwrite else _link)(part, path)
            finally:
                with suppress(OSError):
                    part.unlink()
    except OSError as error:
        raise _unwritable(path, error) from None


@contextmanager
def staged_folder(path: str | os.PathLike, *, overwrite: bool = True) -> Iterator[Path]:
    """As `staged`, for a file that is a folder.

    Yields:
      The folder to fill, empty, beside the path.

    Raises:
      ZooError: as `staged`.
    """
    with scratch_folder(path) as part:
        yield part
        move_folder(part, Path(path), overwrite=overwrite)


@contextmanager
def scratch_folder(path: str | os.PathLike) -> Iterator[Path]:
    """An empty folder beside a path for work on it in several steps; it is removed at the end.

    Raises:
      ZooError: it cannot be written.
    """
    path = Path(path)
    _check_name(path)
    try:
        _remove_left_behind(path.parent)
        with _part(path, folder=True) as part, before_death(partial(_remove, part)):
            try:
                yield part
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def move_folder(part: Path, path: Path, *, overwrite: bool) -> None:
    """Move a finished folder to its path, in the place of a former one if it may be replaced.

    Raises:
      ZooError: there is one that must not be replaced.
      OSError: it cannot be moved.
    """
    if not os.path.lexists(path):
        os.rename(part, path)
        return
    if not overwrite:
        raise ZooError(
            f"{path} has appeared in the meantime, and is kept; choose another name, or "
            "overwrite it"
        )
    # Not as a staging file until it is replaced, for those of killed processes are removed.
    former = _beside(path, "former")
    os.rename(path, former)
    try:
        os.rename(part, path)
    except BaseException:
        os.rename(former, path)
        raise
    left = _beside(path, "part")
    os.rename(former, left)
    _remove(left)


def _beside(path: Path, ending: str) -> Path:
    """A hidden name that is not in use, in the same folder."""
    kept = f".{path.name}" if len(os.fsencode(path.name)) <= _LONG_NAME else ""
    return path.with_name(f"{kept}.{secrets.token_hex(4)}.{ending}")


def _check_name(path: Path) -> None:
    try:
        good = bool(path.name) and b"\0" not in os.fsencode(path)
    except UnicodeError:
        good = False
    if not good:
        raise ZooError(f"cannot write {str(path)!r}: it is not the name of a file; check the path")


def _check_replaceable(path: Path) -> None:
    """Refuse to replace a pipe, a device or a socket, which root could."""
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ZooError(f"cannot write {path}: it is a pipe or a device; name a file")


@contextmanager
def _part(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """An empty file or folder of this process, locked while it is being written."""
    flags = os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL
    while True:
        # Not `tempfile`, whose files only the owner may read.
        part = _beside(path, "part")
        try:
            if folder:
                part.mkdir()
            descriptor = os.open(part, flags | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        try:
            with suppress(OSError):  # not every file system has locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Another process may have removed it before it was locked.
            if part.exists():
                yield part
                return
        finally:
            os.close(descriptor)


def _link(part: Path, path: Path) -> None:
    """Move a file to a path without a file, atomically.

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
            # The name is reserved first.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            os.replace(part, path)
    except FileExistsError:
        raise ZooError(
            f"{path} has appeared in the meantime, and is kept; choose another name, or "
            "overwrite it"
        ) from None


# Folders that this process has cleaned.
_cleaned: set[str] = set()


def _remove_left_behind(folder: Path) -> None:
    """Remove the staging files of killed processes: those without a lock."""
    here = os.path.abspath(folder)
    if here in _cleaned:
        return
    _cleaned.add(here)
    with suppress(OSError), os.scandir(folder) as entries:
        left = [entry.path for entry in entries if _PART.fullmatch(entry.name)]
        for place in left:
            with suppress(OSError):
                mode = os.lstat(place).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    continue
                descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(place)
                finally:
                    os.close(descriptor)


def _remove(place: str | os.PathLike) -> None:
    if os.path.isdir(place) and not os.path.islink(place):
        shutil.rmtree(place, ignore_errors=True)
    else:
        os.unlink(place)


def _unwritable(path: str | os.PathLike, error: OSError) -> ZooError:
    # NumPy does not say why the disk took only a part.
    reason = error.strerror or "the disk took only a part"
    return ZooError(f"cannot write {path}: {reason}; {_remedy(error)}")


def _remedy(error: OSError) -> str:
    if error.errno == errno.EFBIG:
        return "raise ulimit -f"
    return "make room on its disk" if error.errno in NO_SPACE else "check the path"


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, where they are missing.

    Raises:
      ZooError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError(f"cannot make {folder}: {error.strerror}; {_remedy(error)}") from None
    except ValueError as error:
        raise ZooError(f"cannot make {str(folder)!r}: {error}; check the path") from None


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^\w.+=-]+", "_", label).lstrip(".") or "_"
