"""The folder of a run: its config, its lock and the files it writes."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from zoo import files
from zoo.errors import ZooError
from zoo.train.checkpoint import newest
from zoo.train.config import check_same, differing, to_plain
from zoo.train.distributed import is_first

WEIGHTS = "weights.safetensors"
CHECKPOINTS = "checkpoints"
_CONFIG = "config.json"
# Beside the keys of the config: what changed on the way, oldest first.
_CHANGES = "resumed_with"


@contextmanager
def opened(
    path: str | os.PathLike, config: ConfigDict, changed: Sequence[str] = ()
) -> Iterator[Path]:
    """Makes or enters a run's folder, and keeps other runs out of it meanwhile.

    Of several processes only the first one does; the others leave the folder alone.

    Args:
      path: the folder.
      config: the run's; it must agree with an earlier run there in all that changes the result, if
        that one has saved anything.
      changed: keys that may differ all the same; the earlier values are kept, see `changes`.

    Raises:
      ZooError: the folder cannot be written, holds something else, or belongs to another run.
    """
    workdir = Path(path)
    if not is_first():
        yield workdir
        return
    settings = workdir / _CONFIG
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        strangers = [p.name for p in workdir.iterdir() if not _ours(p.name)]
        if strangers and not settings.exists():
            raise ZooError(
                f"{workdir} holds files that no run wrote ({strangers[0]}, ...); "
                "choose an empty or a new --workdir"
            )
        # A pipe in its place would wait for a reader for ever.
        for place in (workdir / ".lock", settings):
            if place.exists():
                files.regular(place)
        lock = (workdir / ".lock").open("w")
    except OSError as error:
        raise ZooError(
            f"the workdir {workdir} cannot be written ({error.strerror}); choose another --workdir"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ZooError(f"another run is at work in {workdir}; wait, or kill it") from None
        # A mistake in the config, found before the first checkpoint, must not bind the next try.
        history = []
        if settings.exists() and has_saved(workdir):
            earlier, history = _read(settings)
            check_same(config, earlier, changed)
            now = differing(config, earlier, free=())
            found = [one for one in now if one.partition(" ")[0] in changed]
            if found:
                step = newest(workdir / CHECKPOINTS) or 0
                history = [*history, {"step": step, "changed": found}]
        # In one file, so that a kill cannot part the new values from the tale of them.
        told = to_plain(config) | ({_CHANGES: history} if history else {})
        files.write(settings, json.dumps(told, indent=2).encode(), durable=True)
        yield workdir


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The config of the run in a workdir, as `to_plain` gave it.

    Raises:
      ZooError: there is none, or it is damaged.
    """
    return _read(Path(path) / _CONFIG)[0]


def changes(path: str | os.PathLike) -> list[dict[str, Any]]:
    """What a run changed on its way: from which `step` on, and what was `changed`, in words."""
    return _read(Path(path) / _CONFIG)[1]


def _read(settings: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        found = json.loads(settings.read_text(encoding="utf-8"))
        history = [*found.pop(_CHANGES, [])]
    except OSError as error:
        raise ZooError(
            f"cannot read {settings}: {error.strerror}; name the workdir of a run"
        ) from None
    # Of what a disk or an editor left.
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise ZooError(
            f"{settings} is damaged; put it back from a copy, or choose another --workdir"
        ) from None
    return found, history


def has_saved(path: str | os.PathLike) -> bool:
    """Whether an earlier run has left a checkpoint in its folder."""
    return any(Path(path).glob(f"{CHECKPOINTS}/*"))


def _ours(name: str) -> bool:
    """Whether a run that got no further than its config may have left a file of this name."""
    return name == ".lock" or name.startswith(".config.json.")
