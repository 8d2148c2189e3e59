"""Results of an evaluation: noise levels, scores, their means, and the tables and files of them."""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from zoo import files
from zoo.errors import ZooError
from zoo.modality import Metric, Modality

Apply = Callable[[jax.Array, jax.Array], jax.Array]
"""A denoiser: `(noisy (B, ..., C), level (B,)) -> (B, ..., C)`, float32."""

Means = dict[str, dict[str, float | None]]
"""Method -> metric -> mean, None where it is not finite."""


@dataclasses.dataclass(frozen=True)
class Level:
    """A noise level, which stays a number from the command line to the report.

    Attributes:
      value: in `unit`; None where no number is known, as for noisy files of a camera.
      unit: `"1/255"` or `"1"` of the signal's range, `"dB"`, or the unit of the noise op.
      name: what the number is, such as `"sigma"` or `"SNR"`; of a level without a number the noise.
    """

    value: float | None
    unit: str = ""
    name: str = ""

    @property
    def label(self) -> str:
        """Its key in tables, file names and JSON, such as "25", "5 dB" or "real"."""
        if self.value is None:
            return self.name
        # Adding 0 turns -0 into 0.
        return f"{self.value + 0.0:g}{' dB' if self.unit == 'dB' else ''}"

    def __str__(self) -> str:
        """The level as a phrase, such as "sigma 25/255", "SNR 5 dB" or "real noise"."""
        if self.value is None:
            return f"{self.name} noise"
        scale = "/255" if self.unit == "1/255" else ""
        return f"{self.name or 'level'} {self.label}{scale}"

    @property
    def axis(self) -> str:
        """The label of an axis of such levels."""
        of = "mixture" if self.unit == "dB" else "noise"
        unit = f", {self.unit}" if self.unit not in ("", "1") else ""
        return f"{self.name or 'level'} of the {of}{unit}"

    def to_json(self) -> dict[str, Any]:
        """A mapping ready for JSON; `from_json` reads it."""
        return {"label": self.label, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, found: Any) -> "Level | None":
        """The level that `to_json` wrote; None for anything else, as in a damaged file."""
        if not isinstance(found, Mapping):
            return None
        value, unit, name = (found.get(key) for key in ("value", "unit", "name"))
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (value is None or is_number) or not (
            isinstance(unit, str) and isinstance(name, str)
        ):
            return None
        return cls(value, unit, name)


REAL = Level(None, name="real")
"""The level of examples that bring their own noise."""


def levels_of(metadata: Mapping[str, Any]) -> dict[str, Level]:
    """The levels of a weight file's scores by their labels, in rising order.

    Args:
      metadata: of the file; of earlier versions it has labels alone.
    """
    scores, known = metadata.get("scores") or {}, metadata.get("levels")
    known = known if isinstance(known, Mapping) else {}
    found = {}
    for by_level in (scores.get("test") or {}, *(scores.get("benchmark") or {}).values()):
        for label in by_level:
            found[label] = Level.from_json(known.get(label)) or level_from_label(label)
    order = sorted(found, key=lambda one: (found[one].value is None, found[one].value or 0.0))
    return {label: found[label] for label in order}


def level_from_label(label: str) -> Level:
    """The level of a label in files of earlier versions, which have no numbers."""
    try:
        return Level(float(label.removesuffix(" dB")))
    except ValueError:
        return Level(None, name=label)


class Score(NamedTuple):
    """The figures of one method on one example at one level.

    Attributes:
      level: of the noise.
      example: its name, and of a piece of a long signal where it begins.
      method: a model's name, "noisy" or a baseline.
      figures: metric -> value, inf and NaN where it is.
    """

    level: Level
    example: str
    method: str
    figures: dict[str, float]


class Result(NamedTuple):
    """The outcome of an evaluation.

    Attributes:
      modality: of the examples.
      scores: one for each level, example and method.
      summary: the means over all examples and levels.
      by_level: the means over all examples at each level.
      protocol: the choices behind the figures.
      metrics: which, in the order of tables.
      count: how many files were scored.
      notes: what was left out, and why, one line each.
      paired: whether the examples brought their own noise.
    """

    modality: Modality
    scores: list[Score]
    summary: Means
    by_level: dict[Level, Means]
    protocol: Any
    metrics: tuple[Metric, ...]
    count: int
    notes: list[str]
    paired: bool

    def table(self) -> str:
        """The means as aligned text, the best of each column marked by an asterisk.

        One block for each level and, for several, one for their mean; notes and protocol below.
        """
        blocks = [
            _block(means, level.label, self.metrics) for level, means in self.by_level.items()
        ]
        if len(blocks) > 1:
            blocks.append(_block(self.summary, "mean", self.metrics))
        below = [*self.notes, self.protocol.line(paired=self.paired)]
        return "\n\n".join([*blocks, "\n".join(below)])


def rank(mean: float | None) -> float:
    """A mean to sort by, unknown ones below all others."""
    return -np.inf if mean is None else mean


def mean_scores(
    scores: Sequence[Score], metrics: Sequence[Metric], *, skip_undefined: bool
) -> Means:
    """Method -> metric -> mean over examples.

    Args:
      scores: of any levels.
      metrics: which.
      skip_undefined: whether an example for which any method has no finite figure is left out of
        the means of all methods; otherwise such a mean is None.
    """
    names = [metric.name for metric in metrics]
    lost: dict[str, set] = {name: set() for name in names}
    if skip_undefined:
        for score in scores:
            for name in names:
                if not np.isfinite(score.figures[name]):
                    lost[name].add((score.level, score.example))
    means: Means = {}
    for method in dict.fromkeys(score.method for score in scores):
        own = [score for score in scores if score.method == method]
        means[method] = {}
        for name in names:
            values = [s.figures[name] for s in own if (s.level, s.example) not in lost[name]]
            with np.errstate(invalid="ignore"):
                mean = float(np.mean(values)) if values else np.nan
            means[method][name] = mean if np.isfinite(mean) else None
    return means


def _block(means: Means, heading: str, metrics: Sequence[Metric]) -> str:
    wide = max(len(name) for name in [heading, *means])
    lines = [heading.ljust(wide) + "".join(metric.heading.rjust(12) for metric in metrics)]
    best = {}
    for metric in metrics:
        values = [row[metric.name] for row in means.values() if row[metric.name] is not None]
        best[metric.name] = (max if metric.higher else min)(values, default=None)
    for method, row in means.items():
        line = method.ljust(wide)
        for metric in metrics:
            value = row[metric.name]
            mark = "*" if value is not None and value == best[metric.name] else " "
            line += f"{metric.text(value)}{mark}".rjust(12)
        lines.append(line.rstrip())
    return "\n".join(lines)


def csv_text(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """Rows below their header as csv; floats with six digits, None as an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    return text.getvalue()


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of an aligned Markdown table, the first row its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines


class File(NamedTuple):
    """A file that an evaluation wrote, as `manifest.json` lists it.

    Attributes:
      path: the file.
      kind: such as "denoised" or "gallery".
      level: of the noise; None for a file about several.
      example: its name; None for a file about several.
      method: as for `example`.
    """

    path: Path
    kind: str
    level: Level | None = None
    example: str | None = None
    method: str | None = None


def write(
    outdir: Path,
    result: Result,
    facts: Mapping[str, object],
    written: Sequence[File],
    names: Sequence[str],
    baselines: Sequence[str],
    limit: int | None,
) -> None:
    """Writes the scores, their means, the protocol and the manifest.

    Args:
      outdir: an existing folder.
      result: what to write.
      facts: further facts for `protocol.json`.
      written: the files of the manifest.
      names: of the models.
      baselines: of the baselines.
      limit: of the examples, as it was asked for.

    Raises:
      ZooError: a file cannot be written.
    """
    levels = [level.to_json() | {"text": str(level)} for level in result.by_level]
    protocol = {
        **result.protocol.choices(paired=result.paired),
        "levels": levels,
        f"{result.modality.item}s": result.count,
        "limit": limit,
        "metrics": {metric.name: metric.heading for metric in result.metrics},
        "notes": result.notes,
        **facts,
    }
    kinds = (
        {"noisy": "input"} | dict.fromkeys(names, "model") | dict.fromkeys(baselines, "baseline")
    )
    manifest = {
        "modality": result.modality.name,
        "merit": result.modality.merit,
        "levels": levels,
        "metrics": [
            {"name": m.name, "heading": m.heading, "digits": m.digits, "higher": m.higher}
            for m in result.metrics
        ],
        "methods": [{"name": name, "kind": kinds[name]} for name in result.summary],
        "files": [
            {
                "file": Path(os.path.relpath(file.path, outdir)).as_posix(),
                "kind": file.kind,
                "level": file.level and file.level.label,
                "example": file.example,
                "method": file.method,
            }
            for file in written
        ],
    }
    by_level = {level.label: means for level, means in result.by_level.items()}
    for name, value in (
        ("protocol", protocol),
        ("summary", result.summary),
        ("by_level", by_level),
        ("manifest", manifest),
    ):
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
        files.write(outdir / f"{name}.json", text.encode())
    metrics = [metric.name for metric in result.metrics]
    rows = [(method, *row.values()) for method, row in result.summary.items()]
    files.write(outdir / "summary.csv", csv_text(("method", *metrics), rows).encode())
    item = result.modality.item
    rows = [(s.level.label, s.example, s.method, *s.figures.values()) for s in result.scores]
    text = csv_text(("level", item, "method", *metrics), rows)
    files.write(outdir / f"per_{item}.csv", text.encode())


def read_manifest(folder: str | os.PathLike) -> dict[str, Any] | None:
    """The `manifest.json` of an evaluation; None where there is none, as of earlier versions.

    It is an object of

    * `modality`: `"image"`, `"audio"` or another.
    * `merit`: the metric that stands for all, such as `"psnr"`.
    * `levels`: in order, each with `label`, `value` (null where no number is known), `unit`
      (`"1/255"`, `"dB"`, ...), `name` (`"sigma"`, `"SNR"`, ...) and `text`, such as "sigma 25/255".
    * `metrics`: in order, each with `name`, `heading`, `digits` and `higher`.
    * `methods`: in order, each with `name` and `kind`: `"model"`, `"input"` or `"baseline"`.
    * `files`: each with `file`, its path from the folder of the manifest; `kind` (`"denoised"`,
      `"gallery"`, `"spectrograms"`, `"waveforms"`, `"listen"`, `"curves"`); and `level` (a label),
      `example` and `method`, null where the file is about several. The method `"clean"` is the
      target.

    Raises:
      ZooError: it is damaged.
    """
    path = Path(folder) / "manifest.json"
    if not os.path.lexists(path):
        return None
    try:
        found = json.loads(files.read(path).decode())
        for level in found["levels"]:
            if Level.from_json(level) is None or not isinstance(level["label"], str):
                raise ValueError(level)
        for file in found["files"]:
            texts = [
                file["file"],
                file["kind"],
                *(file[key] or "" for key in ("level", "example", "method")),
            ]
            if not all(isinstance(text, str) for text in texts):
                raise ValueError(file)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ZooError(f"{path} is damaged; evaluate again with --mode=eval") from None
    return found
