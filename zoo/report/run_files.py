"""The files that a run has left in its workdir so far."""

import csv
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo import files, modality, weights
from zoo.errors import ZooError
from zoo.evaluate import Level, level_from_label, read_manifest
from zoo.evaluate.result import Means
from zoo.modality import AUDIO, IMAGE, Modality

_WEIGHTS = "weights.safetensors"


class Run(NamedTuple):
    """A workdir's contents; a part that is not there yet is empty.

    Attributes:
      workdir: the folder.
      config: of `config.json`, or of the weight file's metadata.
      record: the weight file's metadata; see `zoo.weights.save`.
      parameters: their number in the weight file, None without one.
      steps: one row per step, in order, of `metrics.jsonl`.
      summary: method -> metric -> mean over all levels.
      by_level: level -> method -> metric -> mean.
      protocol: the choices behind the scores.
      scores: rows of `per_image.csv`, `per_recording.csv` or another kind's, by column.
      manifest: `eval/manifest.json`; empty for runs of earlier versions.
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
    manifest: dict[str, Any]

    @property
    def modality(self) -> Modality:
        """The kind of signal that the run denoises."""
        if (name := self.metadata("contract").get("modality")) in modality.names():
            return modality.get(name)
        # Of a run without weights so far: the kind whose main metric is in its files.
        kinds = [modality.get(name) for name in modality.names()]
        rows = (*self.steps[:1], *self.summary.values())
        return next((one for one in kinds if any(one.merit in row for row in rows)), IMAGE)

    @property
    def is_audio(self) -> bool:
        """Whether the run denoises audio."""
        return self.modality is AUDIO

    @property
    def noun(self) -> str:
        """The name of one example, such as "image" or "audio signal"."""
        return self.modality.noun

    @property
    def metric(self) -> str:
        """The figure of merit, such as "psnr" or "si_sdr"."""
        return self.modality.merit

    @property
    def levels(self) -> list[str]:
        """Labels of the noise levels of the test, in their order."""
        if self.manifest:
            return [level["label"] for level in self.manifest["levels"]]
        return list(self.by_level)

    def level(self, label: str) -> Level:
        """The noise level of a label."""
        known = {level["label"]: level for level in self.manifest.get("levels", ())}
        return Level.from_json(known.get(label)) or level_from_label(label)

    def files(self, *kinds: str) -> list[tuple[dict[str, str], Path]]:
        """The entries of the manifest of some kinds, each with its file, inside the workdir."""
        folder, root = self.workdir / "eval", self.workdir.resolve()
        found = [(one, folder / one["file"]) for one in self.manifest.get("files", ())]
        return [
            (one, Path(os.path.normpath(path)))
            for one, path in found
            if one["kind"] in kinds and path.is_file() and path.resolve().is_relative_to(root)
        ]

    def metadata(self, name: str) -> dict[str, Any]:
        """A part of the weight file's metadata, such as "versions"; empty if it has none."""
        return _dict(self.record.get(name))

    def section(self, name: str) -> dict[str, Any]:
        """A part of the config, such as "noise"; empty if it has none."""
        return _dict(self.config.get(name))

    def example(self, row: Mapping[str, str]) -> str:
        """The name of the example of a row of `scores`."""
        return row.get(self.modality.item) or row.get("picture", "")


class Wavs(NamedTuple):
    """One audio file at one level: its name, and method -> file."""

    level: str
    name: str
    files: dict[str, Path]


def read(workdir: str | os.PathLike) -> Run:
    """Reads a workdir, whose run may be in progress.

    Raises:
      ZooError: it is not a run's workdir, or a file of it is damaged.
    """
    workdir = Path(workdir)
    if not workdir.is_dir():
        raise ZooError(f"there is no workdir {workdir}; name the folder of a run, as runs/unet")
    weight_file = workdir / _WEIGHTS
    if not (workdir / "config.json").is_file() and not weight_file.is_file():
        raise ZooError(
            f"{workdir} is not the workdir of a run: it has no config.json; name one that a "
            "training made"
        )
    record, parameters = {}, None
    if weight_file.is_file():
        record = weights.read_record(weight_file)
        parameters = _count_parameters(weight_file)
    folder = workdir / "eval"
    summary = _json(folder / "summary.json")
    _check_means(folder / "summary.json", summary)
    by_level = _json(folder / "by_level.json")
    for means in by_level.values():
        _check_means(folder / "by_level.json", means)
    items = [modality.get(name).item for name in modality.names()]
    return Run(
        workdir,
        _json(workdir / "config.json") or _dict(record.get("config")),
        record,
        parameters,
        _steps(workdir / "metrics.jsonl"),
        summary,
        by_level,
        _json(folder / "protocol.json"),
        next(filter(None, (_rows(folder / f"per_{item}.csv") for item in items)), []),
        read_manifest(folder) or {},
    )


def sheets(run: Run) -> list[tuple[str, str, Path]]:
    """Images of test examples by several methods: (level, title, file) in the order of levels."""
    entries = run.files("gallery", "spectrograms", "waveforms")
    return [(one["level"] or "", one["kind"].capitalize(), path) for one, path in entries]


def wavs(run: Run) -> list[Wavs]:
    """Test audio by every method: the first file at all levels, then the second."""
    grouped: dict[tuple[str, str], dict[str, Path]] = {}
    for one, path in run.files("listen"):
        key = (one["example"] or "", one["level"] or "")
        grouped.setdefault(key, {})[one["method"] or ""] = path
    order = {label: at for at, label in enumerate(run.levels)}
    places = sorted(grouped, key=lambda key: (key[0], order.get(key[1], len(order))))
    return [Wavs(level, name, grouped[name, level]) for name, level in places]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _damaged(path: Path) -> ZooError:
    remedy = "evaluate again with --mode=eval" if path.parent.name == "eval" else "restore it"
    return ZooError(f"{path} is damaged; {remedy}")


def _text(path: Path) -> str | None:
    """The text of a file, None if there is no such file."""
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
    """The rows; a last line that a run has only half written is skipped."""
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


def _count_parameters(path: Path) -> int:
    """The parameters of a weight file; batch statistics are not among them."""
    import safetensors  # noqa: PLC0415, only weight files need it

    with safetensors.safe_open(path, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith("params/")]  # noqa: SIM118, no dict
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
