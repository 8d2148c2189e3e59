"""A benchmark's figures as text, csv and json."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo import files
from zoo.evaluate import published
from zoo.evaluate.score import PAIRED, Cell, Scores

_HEADINGS = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "mse": "MSE",
    "mae": "MAE",
}
_DIGITS = {"psnr": 2, "ssim": 4, "ms_ssim": 4, "mse": 6, "mae": 5}


def markdown(scores: Scores, facts: Mapping[str, object]) -> str:
    """The whole benchmark as Markdown: every choice, then a table for each set and metric.

    Beside a figure whose published one is known stand that and the difference, as in
    `29.23 (29.23, +0.00)`.

    Args:
      scores: what was found.
      facts: more to say at the head: models, versions.
    """
    lines = ["## Protocol", ""]
    lines += [
        f"- {name}: {told}" for name, told in scores.protocol.choices(paired=scores.paired).items()
    ]
    for name, told in facts.items():
        if isinstance(told, Mapping):
            lines += [f"- {key}: {value}" for key, value in told.items()]
        else:
            lines.append(f"- {name}: {told}")
    apart = [] if scores.paired else published.differing(scores.protocol)
    if apart:
        lines.append(f"- published figures: not shown, for they differ in {' and '.join(apart)}")
    elif any(cell.published is not None for cell in scores.cells):
        lines.append("- published figures: in brackets, with the difference of ours from them")
    lines += [f"- left out: {why}" for why in scores.left_out]
    for data in dict.fromkeys(cell.data for cell in scores.cells):
        cells = [cell for cell in scores.cells if cell.data == data]
        lines += ["", f"## {data}, {_number(cells[0].pictures)}"]
        for metric in scores.metrics:
            lines += ["", *_table(cells, metric)]
    return "\n".join(lines) + "\n"


def write(folder: Path, scores: Scores, facts: Mapping[str, object]) -> None:
    """Writes `table.md`, `scores.csv`, `per_image.csv` and `scores.json`, each whole or not at all.

    Raises:
      ZooError: a file cannot be written.
    """
    for name, text in (
        ("table.md", markdown(scores, facts)),
        ("scores.csv", _scores_csv(scores)),
        ("per_image.csv", _rows_csv(scores)),
        ("scores.json", _json(scores, facts)),
    ):
        files.write(folder / name, text.encode())


def _number(pictures: int) -> str:
    return "1 picture" if pictures == 1 else f"{pictures} pictures"


def _table(cells: Sequence[Cell], metric: str) -> list[str]:
    levels = list(dict.fromkeys(cell.level for cell in cells))
    methods = sorted(
        dict.fromkeys(cell.method for cell in cells), key=lambda m: _mean_psnr(cells, m)
    )
    at = {(cell.method, cell.level): cell for cell in cells}
    heading = [level if level == PAIRED else f"sigma {level}" for level in levels]
    table = [[_HEADINGS[metric], *heading]]
    table += [
        [method, *(_text(at[method, level], metric) for level in levels)] for method in methods
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines


def _mean_psnr(cells: Sequence[Cell], method: str) -> float:
    values = [cell.means["psnr"] for cell in cells if cell.method == method]
    mean = sum(values) / len(values)
    return -math.inf if math.isnan(mean) else mean


def _text(cell: Cell, metric: str) -> str:
    value = cell.means[metric]
    text = f"{value:.{_DIGITS[metric]}f}" if math.isfinite(value) else "-"
    if metric == "psnr" and cell.published is not None:
        text += f" ({cell.published:.2f}, {cell.difference:+.2f})"
    return text


def _scores_csv(scores: Scores) -> str:
    choices = dataclasses.asdict(scores.protocol)
    if scores.paired:
        choices |= {"seed": "", "noise": PAIRED}
    figures = ("data", "level", "method", "pictures", *scores.metrics)
    header = (*figures, "published_psnr", "difference", *(f"protocol_{name}" for name in choices))
    rows = [
        (
            cell.data,
            cell.level,
            cell.method,
            cell.pictures,
            *(cell.means[metric] for metric in scores.metrics),
            "" if cell.published is None else f"{cell.published:.2f}",
            "" if cell.difference is None else f"{cell.difference:+.4f}",
            *choices.values(),
        )
        for cell in scores.cells
    ]
    return csv_text(header, rows)


def _rows_csv(scores: Scores) -> str:
    header = ("data", "level", "picture", "method", *scores.metrics)
    return csv_text(header, [(*row[:4], *row.figures) for row in scores.rows])


def csv_text(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """Rows below their header, as csv; floats to six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    return text.getvalue()


def _json(scores: Scores, facts: Mapping[str, object]) -> str:
    cells = [
        {
            "data": cell.data,
            "level": cell.level,
            "method": cell.method,
            "pictures": cell.pictures,
            **{m: v if math.isfinite(v) else None for m, v in cell.means.items()},
            "published_psnr": cell.published,
            "difference": cell.difference,
        }
        for cell in scores.cells
    ]
    whole = {
        "protocol": scores.protocol.choices(paired=scores.paired),
        **facts,
        "left out": scores.left_out,
        "scores": cells,
    }
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"
