"""The figures of a benchmark of recordings as text and csv, the published ones beside ours."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zoo.evaluate import tables
from zoo.evaluate.recordings import figures, published
from zoo.evaluate.recordings.result import Result


class Found(NamedTuple):
    """What was found on a set.

    Attributes:
      result: all of it.
      count: how many recordings were scored.
      known: whether the published figures are of this set.
    """

    result: Result
    count: int
    known: bool


def markdown(
    found: Mapping[str, Found], facts: Sequence[tuple[str, object]], names: Mapping[str, str]
) -> str:
    """The whole benchmark as Markdown: every choice, then the means on each set.

    Args:
      found: by set.
      facts: the head: names of choices, and what each comes to.
      names: label -> registered model, by which published figures are found.
    """
    lines = ["## Protocol", ""]
    for name, told in facts:
        lines.append(f"- {name}: {told if isinstance(told, str) else json.dumps(told)}")
    for name, (result, count, known) in found.items():
        number = "1 recording" if count == 1 else f"{count} recordings"
        lines += ["", f"## {name}, {number}", "", "```text", result.table(), "```"]
        if known:
            lines += ["", *_beside(result, names)]
    return "\n".join(lines) + "\n"


def _beside(result: Result, names: Mapping[str, str]) -> list[str]:
    """Ours beside the published figures, as a table."""
    columns = {name: figures.COLUMNS[name] for name in published.METRICS if name in result.metrics}
    rows = [["published, difference", *(column.heading for column in columns.values())]]
    for method, means in result.summary.items():
        theirs = published.figures(names.get(method, ""))
        if theirs is None:
            continue
        cells = []
        for metric, column in columns.items():
            ours, digits = means[metric], column.digits
            told = f"{theirs[metric]:.{digits}f}"
            if ours is not None:
                told = f"{ours:.{digits}f} ({told}, {ours - theirs[metric]:+.{digits}f})"
            cells.append(told)
        rows.append([method, *cells])
    return [
        *_rows(rows),
        "",
        "Published: of weights trained on the training set of VoiceBank+DEMAND; of stream-t, -b "
        "and -s those of FastEnhancer-T, -B and -S.",
    ]


def csv(found: Mapping[str, Found], names: Mapping[str, str]) -> str:
    """The same as csv, a row for each set, level and method."""
    metrics = next(iter(found.values())).result.metrics
    beside = [name for name in published.METRICS if name in metrics]
    header = ("data", "level", "method", "recordings", *metrics)
    rows = []
    for name, (result, count, known) in found.items():
        for level, methods in result.by_level.items():
            for method, means in methods.items():
                theirs = (known and published.figures(names.get(method, ""))) or {}
                ours = ["" if means[metric] is None else means[metric] for metric in metrics]
                told = [theirs.get(metric, "") for metric in beside]
                rows.append((name, level, method, count, *ours, *told))
    return tables.csv_text((*header, *(f"published_{name}" for name in beside)), rows)


def _rows(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, the first row its head."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines
