"""The means of an evaluation, method by method: as an aligned table, as json and as csv."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo import files
from zoo.evaluate import tables

Means = dict[str, dict[str, float | None]]
"""Method -> metric -> mean, None where it is not finite."""


class Column(NamedTuple):
    """How a metric is shown.

    Attributes:
      heading: above its figures.
      digits: after the point.
      higher: whether more is better.
    """

    heading: str
    digits: int
    higher: bool


def finite(value: float) -> float | None:
    """The value, or None where JSON has no word for it."""
    return float(value) if np.isfinite(value) else None


def table(means: Means, heading: str, columns: Mapping[str, Column]) -> str:
    """Aligned text, the best of each column marked by an asterisk.

    Args:
      means: what to show.
      heading: above the methods' names.
      columns: the metrics, each a key of every method.
    """
    wide = max(len(name) for name in [heading, *means])
    lines = [heading.ljust(wide) + "".join(c.heading.rjust(12) for c in columns.values())]
    best = {}
    for metric, column in columns.items():
        values = [row[metric] for row in means.values() if row[metric] is not None]
        best[metric] = (max if column.higher else min)(values, default=None)
    for method, row in means.items():
        line = method.ljust(wide)
        for metric, column in columns.items():
            value = row[metric]
            cell = "-" if value is None else f"{value:.{column.digits}f}"
            mark = "*" if value is not None and value == best[metric] else " "
            line += f"{cell}{mark}".rjust(12)
        lines.append(line.rstrip())
    return "\n".join(lines)


def write(
    outdir: Path,
    *,
    protocol: Mapping[str, object],
    summary: Means,
    by_level: Mapping[str, Means],
    metrics: Sequence[str],
) -> None:
    """Writes `protocol.json`, `summary.json`, `summary.csv` and `by_level.json`.

    Raises:
      ZooError: a file cannot be written.
    """
    for name, value in (("protocol", protocol), ("summary", summary), ("by_level", by_level)):
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
        files.write(outdir / f"{name}.json", text.encode())
    rows = [(method, *row.values()) for method, row in summary.items()]
    files.write(outdir / "summary.csv", tables.csv_text(("method", *metrics), rows).encode())
