"""The folder of a run: its config, its lock and the files it writes."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_collections import ConfigDict

from zoo import files
from zoo.errors import ZooError
from zoo.train.config import check_same, to_plain
from zoo.train.distributed import is_first

WEIGHTS = "weights.safetensors"


@contextmanager
def opened(path: str | os.PathLike, config: ConfigDict) -> Iterator[Path]:
    """Makes or enters a run's folder, and keeps other runs out of it meanwhile.

    Of several processes only the first one does; the others leave the folder alone.

    Args:
      path: the folder.
      config: the run's; it must agree with an earlier run there in all that changes the result, if
        that one has saved anything.

    Raises:
      ZooError: the folder cannot be written, holds something else, or belongs to another run.
    """
    workdir = Path(path)
    if not is_first():
        yield workdir
        return
    settings = workdir / "config.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        strangers = [p.name for p in workdir.iterdir() if not _ours(p.name)]
        if strangers and not settings.exists():
            raise ZooError(
                f"{workdir} holds files that no run wrote ({strangers[0]}, ...); "
                "choose an empty or a new --workdir"
            )
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
        if settings.exists() and has_saved(workdir):
            check_same(config, json.loads(settings.read_text()))
        files.write(settings, json.dumps(to_plain(config), indent=2).encode(), durable=True)
        yield workdir


def has_saved(path: str | os.PathLike) -> bool:
    """Whether an earlier run has left a checkpoint in its folder."""
    return any(Path(path).glob("checkpoints/*"))


def _ours(name: str) -> bool:
    """Whether a run that got no further than its config may have left a file of this name."""
    return name == ".lock" or name.startswith(".config.json.")
