"""Test scores: means by level, charts against the level, and a row per image or audio file."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from zoo import charts, modality
from zoo.modality import Metric
from zoo.report.run_files import Run

# Drawn against the level, where measured.
_DRAWN = ("psnr", "ssim", "si_sdr_gain", "pesq", "stoi")
# More rows would make the page slow.
_MOST_ROWS = 3000


class Cell(NamedTuple):
    """One figure of a table.

    Attributes:
      value: None if it was not measured.
      digits: after the point.
      best: whether none beside it is better.
    """

    value: float | None
    digits: int
    best: bool


class Singles(NamedTuple):
    """Scores of single images or audio.

    Attributes:
      columns: headings of the cells: methods, then further metrics of the model.
      rows: (level, name, cells).
      count: of all rows, of which `rows` may be the first part.
    """

    columns: list[str]
    rows: list[tuple[str, str, list[Cell]]]
    count: int


def column(name: str) -> Metric:
    """Heading, digits and direction of a metric; an unknown one goes by its own name."""
    unknown = Metric(name=name, function=None, heading=name, digits=4, higher=True)
    kinds = map(modality.get, modality.names())
    return next((one.metrics[name] for one in kinds if name in one.metrics), unknown)


def level_name(run: Run, label: str) -> str:
    """A level with its quantity and unit, such as "SNR 5 dB"."""
    if not label:
        return "Gallery"
    level = run.level(label)
    return label if level.value is None else str(level).replace("-", "\N{MINUS SIGN}")


def test_set(run: Run) -> str:
    """One sentence on what was scored."""
    known = (run.protocol.get(key) for key in (f"{run.modality.item}s", "pictures"))
    count = next((number for number in known if number), None)
    first = "The first " if run.protocol.get("limit") else ""
    subject = first + run.modality.count(count) if count else "The test set"
    levels = run.levels
    at = f" at {len(levels)} noise levels" if len(levels) > 1 else ""
    if len(levels) == 1:
        at = f" at {level_name(run, levels[0])}"
    return f"{subject}{at}; all methods get the same noise."


def metrics(run: Run) -> list[str]:
    """Every metric of any method, in the order of the files."""
    return list(dict.fromkeys(metric for row in run.summary.values() for metric in row))


def means(run: Run) -> dict[str, dict[str, list[Cell]]]:
    """By level and for the mean of all: method -> a cell for each of `metrics`."""
    blocks = {level_name(run, label): by_method for label, by_method in run.by_level.items()}
    if len(blocks) != 1:
        blocks["mean of all levels" if blocks else "mean"] = run.summary
    found = {}
    for heading, by_method in blocks.items():
        rows = by_method.values()
        columns = [_cells(name, [row.get(name) for row in rows]) for name in metrics(run)]
        found[heading] = dict(zip(by_method, zip(*columns, strict=True), strict=True))
    return found


def level_charts(run: Run) -> list[charts.Chart]:
    """A chart for each main metric, if there are several levels and all are numbers."""
    levels = {label: run.level(label) for label in run.by_level}
    at = {label: level.value for label, level in levels.items()}
    if None in at.values() or len(set(at.values())) < 2:
        return []
    measured = metrics(run)
    # The first is on top.
    methods = sorted(run.summary, key=lambda method: method != "model")
    found = []
    for metric in [name for name in _DRAWN if name in measured] or [run.metric]:
        series = {
            method: [
                (at[label], by_method[method][metric])
                for label, by_method in run.by_level.items()
                if by_method.get(method, {}).get(metric) is not None
            ]
            for method in methods
        }
        up = column(metric).heading.replace("gain", "SI-SDR gain")
        across = next(iter(levels.values())).axis
        found.append(charts.level_chart(series, across, up, classical=["noisy"]))
    return found


def singles(run: Run) -> Singles:
    """The figure of merit of every method, and further metrics of the model."""
    methods = list(dict.fromkeys(row["method"] for row in run.scores))
    others = [name for name in run.scores[0] if name in ("ssim", "stoi", "pesq")]
    columns = [*methods, *(f"{column(name).heading} of model" for name in others)]
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in run.scores:
        found.setdefault((row["level"], run.example(row)), {})[row["method"]] = row
    rows = []
    for (level, name), by_method in list(found.items())[:_MOST_ROWS]:
        cells = _cells(run.metric, [value(by_method.get(m), run.metric) for m in methods])
        model = by_method.get("model")
        cells += [Cell(value(model, other), column(other).digits, False) for other in others]
        rows.append((level, name, cells))
    return Singles(columns, rows, len(found))


def value(row: Mapping[str, str] | None, metric: str) -> float | None:
    """A figure of a row of scores; None if there is none."""
    try:
        return float(row[metric]) if row else None
    except (KeyError, ValueError):
        return None


def _cells(metric: str, values: list[float | None]) -> list[Cell]:
    shown = column(metric)
    known = [value for value in values if value is not None and not math.isnan(value)]
    best = (max if shown.higher else min)(known, default=None)
    return [Cell(v, shown.digits, v is not None and v == best) for v in values]
