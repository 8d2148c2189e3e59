"""Long work in steps that are done once: on threads here or on a cluster, and resumed after a kill.

The folder that is being made holds a list of the steps that are done, one line of JSON each, with
what they found. It has a name of its own until it is whole.
"""

import fcntl
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zoo import files
from zoo.data.file_kinds import UNFINISHED
from zoo.errors import EXTRAS, ZooError, first_line

_LIST = ".steps.jsonl"
# One reads or writes while the other computes.
_THREADS = 2
_PATIENCE = "20s"


class Steps:
    """The steps of making a folder.

    Attributes:
      folder: where it is made, beside its path.

    Args:
      path: the folder that is going to be there.
      identity: of the work: another one does not resume it.
      create: fills the folder at the beginning.
      overwrite: whether work of another identity starts over, and a folder at the path replaced.

    Raises:
      ZooError: another process is at it, it was begun as other work, is damaged or of another
        origin, or it cannot be written.
    """

    def __init__(
        self, path: Path, identity: str, create: Callable[[Path], None], *, overwrite: bool
    ):
        self.folder = path.with_name(path.name + UNFINISHED)
        self._path, self._overwrite = path, overwrite
        self._list = self.folder / _LIST
        self.found: dict[str, Any] = {}
        self._began = False
        try:
            if self._list.is_file():
                self._open()
                if self._resumes(identity):
                    return
                self._file.close()
                shutil.rmtree(self.folder)
            elif self.folder.exists() and any(self.folder.iterdir()):
                raise ZooError(f"{self.folder} is there, of another origin; name another output")
            self._begin(identity, create)
        except OSError as error:
            raise ZooError(
                f"cannot write {self.folder}: {error.strerror}; check the path"
            ) from None

    def _resumes(self, identity: str) -> bool:
        """Takes over what is done, if it was begun as this work."""
        lines = self._list.read_text().split("\n")
        try:
            # A process that was killed may leave the half of one.
            begun, *known = [json.loads(line) for line in lines[:-1] if line] or [None]
            found = {one["step"]: one["found"] for one in known}
            why = "was begun with another version, model or input, or other options; give those, or"
        except (ValueError, TypeError, KeyError):
            begun, why = "", f"holds a damaged {_LIST};"
        if begun == {"identity": identity}:
            self.found = found
            os.truncate(self._list, sum(len(line.encode()) + 1 for line in lines[:-1]))
            return True
        # Without a line it was only being copied.
        if begun is not None and not self._overwrite:
            self._file.close()
            raise ZooError(
                f"{self.folder} {why} set overwrite=True to start over, or name another output"
            )
        return False

    def _begin(self, identity: str, create: Callable[[Path], None]) -> None:
        self.folder.mkdir(exist_ok=True)
        self._began = True
        # First, so that no other process begins in the meantime.
        self._open()
        try:
            create(self.folder)
            # An input may bring a list of its own making.
            os.truncate(self._list, 0)
            self._write({"identity": identity})
        except BaseException:
            self.stop()
            raise

    def _open(self) -> None:
        self._file = self._list.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ZooError(
                f"another process is at work on {self.folder}; let it finish, or name another "
                "output"
            ) from None
        except OSError:  # not every file system has locks
            pass

    def done(self, step: str, found: Any) -> None:
        """Notes that a step is done, with what it found."""
        self.found[step] = found
        self._write({"step": step, "found": found})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def finish(self) -> None:
        """Gives the folder its name.

        Raises:
          ZooError: something has appeared there in the meantime.
        """
        self._file.close()
        try:
            files.move_folder(self.folder, self._path, overwrite=self._overwrite)
            # Not before, so that nothing is lost where it cannot be moved.
            (self._path / _LIST).unlink(missing_ok=True)
        except OSError as error:
            raise ZooError(f"cannot write {self._path}: {error.strerror}; check the path") from None

    def stop(self) -> bool:
        """Leaves it unfinished; returns whether anything is kept, which is not before a step."""
        with suppress(OSError):  # of a line for which the disk has no room
            self._file.close()
        if self.found or not self._began:
            return True
        shutil.rmtree(self.folder, ignore_errors=True)
        return False


class Workers:
    """Threads of this process, or the workers of a cluster; see `workers`."""

    def __init__(self, executor: futures.Executor, share: Callable[[Any], Any], most: int):
        self._executor, self._share, self._most = executor, share, most

    def run(
        self,
        steps: Steps,
        do: Callable[..., Any],
        shared: Any,
        wanted: Sequence[tuple[str, tuple]],
        advance: Callable[[], None],
    ) -> list[Any]:
        """Does those of some steps that are not done.

        Args:
          steps: where they are noted.
          do: `(shared, *arguments)`, a function of a module; what it finds can be written as JSON.
          shared: what is sent to each worker once.
          wanted: the name and the arguments of each.
          advance: called for each step, those that were done too.

        Returns:
          What each found, in their order.
        """
        left = [one for one in wanted if one[0] not in steps.found]
        for _ in range(len(wanted) - len(left)):
            advance()
        if left:
            self._run(steps, do, self._share(shared), left, advance)
        return [steps.found[name] for name, _ in wanted]

    def _run(self, steps: Steps, do: Callable, shared: Any, left: list, advance: Callable) -> None:
        running: dict[futures.Future, str] = {}
        waiting = iter(left)
        try:
            while True:
                # Few at a time, for there may be millions.
                while len(running) < self._most and (one := next(waiting, None)):
                    running[self._executor.submit(do, shared, *one[1])] = one[0]
                if not running:
                    return
                ready, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
                for future in ready:
                    steps.done(running.pop(future), _result(future))
                    advance()
        finally:
            # Those that run write into the folder, which may be removed next.
            futures.wait([future for future in running if not future.cancel()])


def _result(future: futures.Future) -> Any:
    try:
        return future.result()
    except Exception as error:
        # By name, as it is of a library that may not be there.
        if isinstance(error, futures.CancelledError) or type(error).__name__ == "KilledWorker":
            raise ZooError("the cluster has lost its workers; start others") from None
        raise


@contextmanager
def workers(scheduler: str | None) -> Iterator[Workers]:
    """Threads, or the cluster of a dask.distributed scheduler.

    Args:
      scheduler: its address, such as `tcp://10.0.0.1:8786`; None for threads.

    Raises:
      ZooError: dask.distributed is missing, or no scheduler answers.
    """
    if scheduler is None:
        with futures.ThreadPoolExecutor(_THREADS) as executor:
            yield Workers(executor, lambda shared: shared, _THREADS)
        return
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ZooError(
            "a scheduler needs dask.distributed; "
            f"pip install 'denoising-zoo[{EXTRAS['distributed']}]'"
        ) from None
    try:
        client = Client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ZooError(
            f"no scheduler of dask.distributed answers at {scheduler} ({first_line(error)}); check "
            "the address"
        ) from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise ZooError(f"the scheduler at {scheduler} has no workers; start some")
        executor = client.get_executor(pure=False)
        try:
            yield Workers(executor, functools.partial(_scattered, client), 2 * threads)
        finally:
            with suppress(Exception):
                executor.shutdown(wait=False)


def _scattered(client: Any, shared: Any) -> Any:
    """What stands for an object that each worker of a cluster holds."""
    # In a list, for a tuple would be taken apart.
    (found,) = client.scatter([shared], broadcast=True, hash=False)
    return found
