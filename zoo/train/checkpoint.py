"""Checkpoints: orbax, and the checksums that it lacks.

A checkpoint counts only once its manifest, the SHA-256 of each of its files, is stored next to it;
the manifest is written after orbax has committed. Whatever does not match is moved to `damaged/`,
never deleted.

In a run of several processes all save and all restore, as orbax wants it, in one folder that they
share. The state is the same in all of them, so the first one writes it, looks after the manifests,
and what the folder holds does not depend on how many there were.
"""

import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo import files
from zoo.errors import ZooError
from zoo.train.distributed import agree, is_first, means_lost, meet, text_from_first

# Seconds in which the threads of a save that failed find that they have failed, too.
_GRACE = 1.0


class Checkpoints:
    """The checkpoints of one run.

    Args:
      directory: where they live; made if missing.
      keep: how many of the latest to keep.
      warn: called with one line when a checkpoint is set aside.

    Attributes:
      latest: the step of the newest good checkpoint, or None.

    Raises:
      ZooError: another process does not see the folder.
    """

    def __init__(self, directory: Path, *, keep: int, warn: Callable[[str], None] = print):
        self._orbax = _orbax()
        # Orbax wants one path from all.
        self._directory = Path(text_from_first(str(directory.absolute())))
        self._keep = keep
        self._warn = warn
        found = None
        if is_first():
            directory.mkdir(parents=True, exist_ok=True)
            _drop_unfinished(directory)
            self._set_aside_damaged()
            found = max(_steps(directory), default=None)
        found = text_from_first("" if found is None else str(found))
        self.latest: int | None = int(found) if found else None
        self._check_shared(self._directory)

    def save(self, step: int, tree: Any) -> None:
        """Writes a tree of numpy arrays as the checkpoint of a step; a step already saved stays.

        Raises:
          ZooError: it cannot be written, as on a full disk.
        """
        if self.latest is not None and step <= self.latest:
            return
        try:
            with _quietly():
                self._orbax.save_checkpointables(self._directory / str(step), {"state": tree})
            self.latest = step
            if is_first():
                manifest = json.dumps(_checksums(self._directory / str(step)))
                files.write(_manifest(self._directory, step), manifest.encode(), durable=True)
        except Exception as error:  # orbax and tensorstore raise what they like
            if means_lost(error):
                raise
            if is_first():
                # What the disk has no room for need not fill it.
                _drop_unfinished(self._directory)
            reason = "no space left" if "space" in str(error).lower() else type(error).__name__
            raise ZooError(
                f"checkpoint {step} cannot be written to {self._directory} ({reason}); "
                "fix that, and the same command goes on from the one before"
            ) from None
        if is_first():
            self._drop_old()
        # Hashing may take longer than the others' next step would wait.
        meet()

    def restore(self, like: Any) -> Any:
        """Reads the latest checkpoint.

        Args:
          like: a tree of numpy arrays with the saved structure, shapes and dtypes.

        Raises:
          ZooError: another process does not see it.
        """
        path = self._directory / str(self.latest)
        self._check_shared(path)
        return self._orbax.load_checkpointables(path, {"state": like})["state"]

    def _drop_old(self) -> None:
        for old in sorted(_steps(self._directory))[: -self._keep]:
            # The manifest first: a checkpoint half removed must not count.
            _manifest(self._directory, old).unlink(missing_ok=True)
            shutil.rmtree(self._directory / str(old), ignore_errors=True)

    def _check_shared(self, folder: Path) -> None:
        if agree(int(not folder.is_dir())):
            raise ZooError(
                f"not every process sees {folder}; put --workdir on a folder that all hosts share"
            )

    def _set_aside_damaged(self) -> None:
        # The newest good one is what a run needs; older ones are looked at when it is their turn.
        for step in sorted(_steps(self._directory), reverse=True):
            problem = _problem(self._directory, step)
            if problem is None:
                return
            aside = self._directory / "damaged" / str(step)
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            os.replace(self._directory / str(step), aside)
            manifest = _manifest(self._directory, step)
            if manifest.exists():
                os.replace(manifest, aside.with_suffix(".json"))
            self._warn(f"checkpoint {step} is damaged ({problem}); moved to {aside}")


def _orbax():
    from orbax.checkpoint import v1  # noqa: PLC0415 - an extra

    return v1


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps every thread of orbax from logging a failure, in addition to the one error it raises.

    The standard error stays open to all others: a process that is lost meanwhile says so there.
    """
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    level = logger.level

    def hook_quietly(error) -> None:
        # By tensorstore's threads, which call back when all is over.
        if "Event loop is closed" not in str(error.exc_value):
            hook(error)

    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = hook_quietly
    try:
        yield
    except Exception:
        time.sleep(_GRACE)
        raise
    finally:
        sys.unraisablehook = hook
        logger.setLevel(level)


def _drop_unfinished(directory: Path) -> None:
    for unfinished in directory.glob("*.orbax-checkpoint-tmp*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def newest(directory: Path) -> int | None:
    """The step of the newest good checkpoint of a folder, in which a run may be at work."""
    steps = sorted(_steps(directory), reverse=True) if directory.is_dir() else ()
    return next((step for step in steps if _problem(directory, step) is None), None)


def read_saved(directory: Path) -> tuple[int, Any]:
    """The newest good checkpoint of a folder, without knowing what was saved there.

    The folder stays as it is, for a run may be at work in it.

    Returns:
      Its step, and the tree that was saved, containers of other kinds as dictionaries and lists.

    Raises:
      ZooError: there is none.
    """
    step = newest(directory)
    if step is None:
        raise ZooError(f"{directory} has no whole checkpoint yet; wait for the run's first one")
    return step, _orbax().load_checkpointables((directory / str(step)).absolute())["state"]


def _steps(directory: Path) -> list[int]:
    return [int(p.name) for p in directory.iterdir() if p.is_dir() and p.name.isdigit()]


def _manifest(directory: Path, step: int) -> Path:
    return directory / f"{step}.json"


def _problem(directory: Path, step: int) -> str | None:
    try:
        expected = json.loads(_manifest(directory, step).read_text())
        found = _checksums(directory / str(step))
        names = sorted(expected.keys() | found.keys())
    except FileNotFoundError:
        return "it was not finished"
    # Not JSON, or of another shape.
    except (ValueError, RecursionError, AttributeError):
        return "its manifest cannot be read"
    return next(
        (f"{n} is not what was written" for n in names if expected.get(n) != found.get(n)), None
    )


def _checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
