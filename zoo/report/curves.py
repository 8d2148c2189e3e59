"""How the training went, step by step."""

import itertools
from collections.abc import Sequence

from zoo.report.charts import Line, chart
from zoo.report.markup import Markup, element
from zoo.report.run import Run

# More points than a chart has pixels would only make the page heavy.
_POINTS = 400


def curves(run: Run) -> Markup | None:
    """The charts of `metrics.jsonl`, or None if no step is logged yet."""
    rows = run.steps
    if not rows:
        return None
    metric, label = ("si_sdr", "SI-SDR, dB") if run.sound else ("psnr", "PSNR, dB")
    validation = [
        (row["step"], row[f"validation_{metric}"]) for row in rows if f"validation_{metric}" in row
    ]
    # A loss in decibels is below 0.
    below = any(row["loss"] < 0 for row in rows if "loss" in row)
    main = [
        _chart(rows, "loss", "Training loss", log=not below),
        chart(
            label,
            [
                *_both(rows, metric, "training crops"),
                Line("validation", validation, "c1 dots"),
            ],
            across="step",
            up=label,
        ),
    ]
    more = [
        _chart(rows, "learning_rate", "Learning rate", log=False, mean=False),
        _chart(rows, "grad_norm", "Norm of the gradient", log=True),
    ]
    hidden = None
    if any(more):
        summary = element("summary", "Learning rate and gradient")
        hidden = element("details", summary, element("div", more, class_="charts"))
    note = "Pale: every step, thinned out to the highest and lowest. Bold: their running mean."
    return element(
        "section",
        element("h2", "Training"),
        element("div", main, class_="charts"),
        element("p", note, class_="note") if len(rows) > 1 else None,
        hidden,
        id="training",
    )


def _chart(
    rows: Sequence[dict[str, float]], name: str, title: str, *, log: bool, mean: bool = True
) -> Markup | None:
    # What is known exactly needs no mean, which would only lag behind it.
    exact = [(row["step"], row[name]) for row in rows if name in row]
    lines = _both(rows, name, "") if mean else [Line("", _thinned(exact), "c0")]
    return chart(title, lines, across="step", up=title, log=log)


def _both(rows: Sequence[dict[str, float]], name: str, label: str) -> list[Line]:
    """A figure of each step, pale, and its running mean."""
    points = [(row["step"], row[name]) for row in rows if name in row]
    smooth = _smooth([value for _, value in points])
    mean = [(step, value) for (step, _), value in zip(points, smooth, strict=True)]
    return [Line("", _extremes(points), "c0 faint"), Line(label, _thinned(mean), "c0")]


def _smooth(values: Sequence[float]) -> list[float]:
    """An exponential mean over about a fiftieth of the curve, corrected for its start."""
    keep = 1.0 - 1.0 / max(1.0, len(values) / 50)
    found, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = keep * mean + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        found.append(mean / weight)
    return found


def _extremes(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lowest and the highest of every stretch, in their order: no spike is lost."""
    if len(points) <= _POINTS:
        return list(points)
    found = []
    for stretch in _stretches(points, _POINTS // 2):
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        found += sorted(ends)
    return found


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= _POINTS:
        return list(points)
    return [points[0], *(stretch[-1] for stretch in _stretches(points, _POINTS))]


def _stretches(
    points: Sequence[tuple[float, float]], count: int
) -> list[Sequence[tuple[float, float]]]:
    cuts = [number * len(points) // count for number in range(count + 1)]
    return [points[a:b] for a, b in itertools.pairwise(cuts) if b > a]
