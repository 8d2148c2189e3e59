"""The folder of a run: its config, its lock, and which keys may change when the run goes on."""

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from zoo import files
from zoo.errors import ZooError
from zoo.train.checkpoint import newest
from zoo.train.config import flatten, to_plain
from zoo.train.distributed import is_first
from zoo.train.value_ranges import Ranges

WEIGHTS = "weights.safetensors"
CHECKPOINTS = "checkpoints"
_CONFIG = "config.json"
_RANGES = "ranges.json"
# Stored with the keys of the config: changes on the way, oldest first.
_CHANGES = "resumed_with"

# Keys that may differ when a run goes on: its length, devices, logs and evaluation. Of these only a
# new end changes the remaining steps, through the learning-rate schedule.
_FREE = (
    "name",
    "parallel",
    "train.steps",
    "train.epochs",
    "data.workers",
    "data.natural",
    "log.every",
    "checkpoint.every",
    "checkpoint.keep",
    "validation.every",
    "eval.levels",
    "eval.baselines",
    "eval.published",
    "eval.limit",
)

# Keys that --resume-with may change: they change the remaining steps, but neither the structure of
# the state nor the validation score.
_ON_THE_WAY = re.compile(
    r"optimizer\.(learning_rate|warmup|schedule(_options(\..+)?)?)|train\.(batch_size|ema_decay)"
)


@contextmanager
def opened(
    path: str | os.PathLike, config: ConfigDict, changed: Sequence[str] = ()
) -> Iterator[Path]:
    """Creates or enters a run's folder and locks it against other runs.

    Of several processes only the first one does so.

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
        foreign = [p.name for p in workdir.iterdir() if not _is_own(p.name)]
        if foreign and not settings.exists():
            raise ZooError(
                f"{workdir} holds files of no run ({foreign[0]}, ...); "
                "choose an empty or a new --workdir"
            )
        # Opening a pipe would wait forever for a reader.
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
        # A mistake found before the first checkpoint must not bind the next try.
        history = []
        if settings.exists() and has_saved(workdir):
            earlier, history = _read(settings)
            check_same(config, earlier, changed)
            now = differing(config, earlier, free=())
            found = [one for one in now if one.partition(" ")[0] in changed]
            if found:
                step = newest(workdir / CHECKPOINTS) or 0
                history = [*history, {"step": step, "changed": found}]
        # In one file, so that a kill cannot separate the new values from their history.
        plain = to_plain(config) | ({_CHANGES: history} if history else {})
        files.write(settings, json.dumps(plain, indent=2).encode(), durable=True)
        yield workdir


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The config of the run in a workdir, as `to_plain` gave it.

    Raises:
      ZooError: there is none, or it is damaged.
    """
    return _read(Path(path) / _CONFIG)[0]


def changes(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Changes of a run on its way: the `step` of each, and the values that were `changed`."""
    return _read(Path(path) / _CONFIG)[1]


def _read(settings: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        found = json.loads(settings.read_text(encoding="utf-8"))
        history = [*found.pop(_CHANGES, [])]
    except OSError as error:
        raise ZooError(
            f"cannot read {settings}: {error.strerror}; name the workdir of a run"
        ) from None
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise ZooError(
            f"{settings} is damaged; put it back from a copy, or choose another --workdir"
        ) from None
    return found, history


def keep_ranges(path: str | os.PathLike | None, found: Ranges) -> None:
    """Writes the ranges of a run's noisy images, for `ranges`; nothing without a workdir.

    When the run goes on they stay those it began with, for there may be more images by then.
    """
    if path is not None and found.by_dtype and is_first():
        files.write(Path(path) / _RANGES, json.dumps(found.by_dtype).encode(), durable=True)


def ranges(path: str | os.PathLike | None) -> Ranges | None:
    """What `keep_ranges` wrote; None before the first checkpoint, and where there is no such file.

    Raises:
      ZooError: it is damaged.
    """
    place = None if path is None else Path(path) / _RANGES
    if place is None or not has_saved(path) or not place.exists():
        return None
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        return Ranges({name: (float(low), float(high)) for name, (low, high) in found.items()})
    except (OSError, ValueError, RecursionError, AttributeError, TypeError):
        raise ZooError(
            f"{place} is damaged; put it back from a copy, or choose another --workdir"
        ) from None


def has_saved(path: str | os.PathLike) -> bool:
    """Whether an earlier run has left a checkpoint in its folder."""
    return any(Path(path).glob(f"{CHECKPOINTS}/*"))


def _is_own(name: str) -> bool:
    """Whether a run that was killed before it wrote its config may have left such a file."""
    return name == ".lock" or name.startswith(".config.json.")


def check_same(config: ConfigDict, earlier: dict, changed: Iterable[str] = ()) -> None:
    """Checks that a run may go on in a workdir with another config than it began with.

    Args:
      config: of the run that goes on.
      earlier: the workdir's config, as `to_plain` gave it.
      changed: keys that may differ, in addition to those that do not change the result.

    Raises:
      ZooError: names the keys that differ.
    """
    found = differing(config, earlier, free={*_FREE, *changed})
    if found:
        keys = [one.partition(" ")[0] for one in found]
        ways = [f"--resume-with {key}=VALUE" for key in keys if _ON_THE_WAY.fullmatch(key)]
        on = f", or change them on the way by {' '.join(ways)}" if ways else ""
        raise ZooError(
            f"the workdir belongs to another run: {', '.join(found)} differ; "
            f"choose another --workdir, or the earlier settings{on}"
        )


def check_changeable(keys: Iterable[str]) -> None:
    """Checks that `--resume-with` may change these keys.

    Raises:
      ZooError: names the key and those that can be.
    """
    for key in keys:
        if key in _FREE:
            raise ZooError(f"{key} needs no --resume-with; set it by --{key}=VALUE")
        if not _ON_THE_WAY.fullmatch(key):
            raise ZooError(
                f"{key} cannot change in a run that goes on, only the optimizer's learning_rate, "
                "schedule, schedule_options and warmup, and batch_size and ema_decay of train can; "
                "begin another run, with the weights of this one as train.start"
            )


def differing(config: ConfigDict, earlier: dict, free: Iterable[str] = _FREE) -> list[str]:
    """The keys whose values differ, each with both values, except those in `free`.

    By default those keys are free that do not change the result of a run.
    """
    now, then = flatten(to_plain(config)), flatten(earlier)
    return [
        f"{key} ({then.get(key)!r}, now {now.get(key)!r})"
        for key in sorted(now.keys() | then.keys())
        # Empty options and none are the same.
        if (now.get(key) or None) != (then.get(key) or None) and key not in free
    ]
