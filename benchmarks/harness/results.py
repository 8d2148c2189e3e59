"""Rows in, files and tables out."""

import argparse
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.flags import duration
from harness.machine import versions
from zoo import files

Row = Mapping[str, object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags every script shares: how long to measure, and where the rows go."""
    parser.add_argument(
        "--seconds", type=duration, default=5.0, help="of measuring, for each row (default 5)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parents[1] / "results",
        help="folder of the csv and json (default benchmarks/results)",
    )


def write(name: str, rows: Sequence[Row], out: Path, context: str) -> Path:
    """Writes `NAME_CONTEXT.csv` and `.json`, each whole or not at all.

    Args:
      name: of the benchmark.
      rows: their keys are the columns, in the order in which they first occur.
      out: the folder; made where missing.
      context: what the figures hold for, such as `harness.machine.context()`.

    Returns:
      The csv. The json beside it holds the rows unrounded, and the versions once.

    Raises:
      ZooError: a file cannot be written.
    """
    files.make_folder(out)
    path = out / files.slug(f"{name}_{context}.csv")
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    files.write(path, text.getvalue().encode())
    whole = {
        "benchmark": name,
        "versions": versions(),
        "rows": [{key: plain(value) for key, value in row.items()} for row in rows],
    }
    data = json.dumps(whole, indent=2, allow_nan=False) + "\n"
    files.write(path.with_suffix(".json"), data.encode())
    return path


class Kept:
    """Rows that are in their files as soon as they are measured; use it in a `with`.

    However that ends, the rows of before stay, and their table is printed.

    Args:
      name: as for `write`.
      out: as for `write`.
      context: as for `write`.
      shown: the columns of the table; all by default, and no table where there are none.

    Attributes:
      rows: those added so far.
      path: the csv; None as long as there are no rows.
    """

    def __init__(self, name: str, out: Path, context: str, shown: Sequence[str] | None = None):
        self._where, self._shown = (name, out, context), shown
        self.rows: list[Row] = []
        self.path: Path | None = None

    def add(self, *rows: Row) -> None:
        """Adds rows and writes all.

        Raises:
          ZooError: a file cannot be written.
        """
        name, out, context = self._where
        self.rows += rows
        self.path = write(name, self.rows, out, context)

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_) -> None:
        if self.path is None:
            return
        if self._shown is None or self._shown:
            print(table(self.rows, self._shown), end="\n\n")
        print(f"written to {self.path}", flush=True)


def table(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """Rows as a Markdown table.

    Args:
      rows: as for `write`.
      columns: which to show; all by default.
    """
    columns = list(columns or _columns(rows))
    lines = [columns, *([_short(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def plain(value: object) -> object:
    """A value that JSON has: no NumPy scalars, no NaN."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: object) -> object:
    value = plain(value)
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def _short(value: object) -> str:
    value = plain(value)
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
