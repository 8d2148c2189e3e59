"""What a run has left in its workdir so far, read as files."""

import csv
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo import files, weights
from zoo.errors import ZooError
from zoo.evaluate.means import Means

_WEIGHTS = "weights.safetensors"


class Run(NamedTuple):
    """A workdir's contents; what is not there yet is empty.

    Attributes:
      workdir: the folder.
      config: of `config.json`, or of the weights' record.
      record: the weights' record; see `zoo.weights.save`.
      parameters: how many the weight file holds, None without one.
      steps: one row for each step, in order, of `metrics.jsonl`.
      summary: method -> metric -> mean over all levels.
      by_level: level -> method -> metric -> mean.
      protocol: the choices behind the figures.
      scores: the rows of `per_image.csv` or `per_recording.csv`, by column.
    """

    workdir: Path
    config: dict[str, Any]
    record: dict[str, Any]
    parameters: int | None
    steps: list[dict[str, float]]
    summary: Means
    by_level: dict[str, Means]
    protocol: dict[str, Any]
    scores: list[dict[str, str]]

    @property
    def sound(self) -> bool:
        """Whether it is of recordings, not of pictures."""
        modality = self.told("contract").get("modality")
        if modality:
            return modality == "audio"
        return any("si_sdr" in row for row in (*self.steps[:1], *self.summary.values()))

    def told(self, name: str) -> dict[str, Any]:
        """A part of the record, such as "versions"; empty if it has none."""
        return _dict(self.record.get(name))

    def section(self, name: str) -> dict[str, Any]:
        """A part of the config, such as "noise"; empty if it has none."""
        return _dict(self.config.get(name))


def read(workdir: str | os.PathLike) -> Run:
    """Reads a workdir; a run may be at work in it.

    Raises:
      ZooError: it is no run's workdir, or a file of it is damaged.
    """
    workdir = Path(workdir)
    if not workdir.is_dir():
        raise ZooError(f"there is no workdir {workdir}; name the folder of a run, as runs/unet")
    weight_file = workdir / _WEIGHTS
    if not (workdir / "config.json").is_file() and not weight_file.is_file():
        raise ZooError(
            f"{workdir} is no run's workdir, for it has no config.json; name one that main.py made"
        )
    record, parameters = {}, None
    if weight_file.is_file():
        record = weights.read_record(weight_file)
        parameters = _count(weight_file)
    folder = workdir / "eval"
    summary = _json(folder / "summary.json")
    by_level = _json(folder / "by_level.json")
    for name, level in (
        ("summary.json", summary),
        *(("by_level.json", v) for v in by_level.values()),
    ):
        _check_means(folder / name, level)
    return Run(
        workdir,
        _json(workdir / "config.json") or _dict(record.get("config")),
        record,
        parameters,
        _steps(workdir / "metrics.jsonl"),
        summary,
        by_level,
        _json(folder / "protocol.json"),
        _rows(folder / "per_image.csv") or _rows(folder / "per_recording.csv"),
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _damaged(path: Path) -> ZooError:
    remedy = "evaluate again with --mode=eval" if path.parent.name == "eval" else "mend it"
    return ZooError(f"{path} is damaged; {remedy}")


def _text(path: Path) -> str | None:
    """What a file says, None if there is none."""
    if not os.path.lexists(path):
        return None
    try:
        return files.read(path).decode()
    except UnicodeDecodeError:
        raise _damaged(path) from None


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


def _check_means(path: Path, means: Any) -> None:
    if not isinstance(means, dict):
        raise _damaged(path)
    for row in means.values():
        if not isinstance(row, dict) or not all(v is None or _is_number(v) for v in row.values()):
            raise _damaged(path)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _steps(path: Path) -> list[dict[str, float]]:
    """The rows; a last line that a run has just half written is passed over."""
    lines = (_text(path) or "").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            raise _damaged(path) from None
        if not isinstance(row, dict) or not _is_number(row.get("step")):
            raise _damaged(path)
        rows.append({name: value for name, value in row.items() if _is_number(value)})
    return rows


def _rows(path: Path) -> list[dict[str, str]]:
    lines = csv.DictReader((_text(path) or "").splitlines())
    try:
        rows = list(lines)
    except csv.Error:
        raise _damaged(path) from None
    if rows and not {"level", "method"} <= set(lines.fieldnames or ()):
        raise _damaged(path)
    if any(None in row or None in row.values() for row in rows):
        raise _damaged(path)
    return rows


def _count(path: Path) -> int:
    """The parameters of a weight file; statistics of batches are none."""
    import safetensors  # noqa: PLC0415, only weight files need it

    with safetensors.safe_open(path, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith("params/")]  # noqa: SIM118, no dict
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names)


def levels(run: Run) -> list[str]:
    """The labels of the levels it was scored at, in their order."""
    told = run.protocol.get("levels")
    return list(run.by_level) or (list(map(str, told)) if isinstance(told, (list, Mapping)) else [])
