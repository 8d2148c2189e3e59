"""What the evaluation found: tables of means, and figures against the level of the noise."""

import math
from collections.abc import Iterable, Mapping

from zoo.evaluate.means import Column
from zoo.evaluate.recordings import figures
from zoo.report.charts import Line, chart
from zoo.report.markup import Markup, element, join
from zoo.report.numbers import fixed
from zoo.report.run import Run, levels

_COLUMNS = {
    "psnr": Column("PSNR, dB", 2, higher=True),
    "ssim": Column("SSIM", 4, higher=True),
    "mse": Column("MSE", 6, higher=False),
    "mae": Column("MAE", 5, higher=False),
    **figures.COLUMNS,
}
# Drawn against the level, where it was measured.
_DRAWN = ("psnr", "ssim", "si_sdr_gain", "pesq", "stoi")
_COLOURS = 7


def column(metric: str) -> Column:
    """How a metric is shown; one that is unknown here, as a newer zoo's, by its own name."""
    return _COLUMNS.get(metric, Column(metric, 4, higher=True))


def headline(run: Run) -> str:
    """The metric that stands for all."""
    return "si_sdr" if run.sound else "psnr"


def in_level(run: Run, label: str) -> str:
    """A level as one says it, such as "SNR 5 dB"."""
    try:
        value = fixed(float(label), 0) if float(label).is_integer() else label
    except ValueError:
        return label
    if run.sound:
        return f"SNR {value} dB"
    noise = run.section("noise")
    unit = f"/{str(noise['unit']).partition('/')[2]}" if "/" in str(noise.get("unit")) else ""
    name = "sigma" if noise.get("name") == "gaussian" else "level"
    return f"{name} {value}{unit}"


def scores(run: Run) -> Markup | None:
    """The tables and plots of `eval/`, or None if nothing is scored yet."""
    if not run.summary:
        return None
    return element(
        "section",
        element("h2", "Test scores"),
        element("p", _told(run), class_="lead"),
        _plots(run),
        _table(run),
        element("p", _protocol_line(run), class_="note"),
        _protocol(run),
        id="scores",
    )


def _told(run: Run) -> str:
    count = run.protocol.get("recordings", run.protocol.get("pictures"))
    kind = "recording" if run.sound else "picture"
    first = "The first " if run.protocol.get("limit") else ""
    what = f"{first}{count} {kind}{'s' if count != 1 else ''}" if count else "The test set"
    named = levels(run)
    at = f" at {len(named)} levels of noise" if len(named) > 1 else ""
    if len(named) == 1:
        at = f" at {in_level(run, named[0])}"
    return f"{what}{at}; every method gets the same noise."


def _metrics(means: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Every metric any method has, in the order of the files."""
    return list(dict.fromkeys(metric for row in means.values() for metric in row))


def _table(run: Run) -> Markup:
    """One table: a block of rows for each level, and one for their mean."""
    metrics = _metrics(run.summary)
    head = element(
        "thead",
        element(
            "tr",
            element("th", "Method", scope="col"),
            [element("th", _arrow(metric), scope="col", class_="number") for metric in metrics],
        ),
    )
    named = list(run.by_level.items())
    blocks = [_block(in_level(run, label), found, metrics) for label, found in named]
    if len(blocks) != 1:
        blocks.append(_block("mean of all levels" if blocks else "mean", run.summary, metrics))
    text = "Means over the test set, the best of each block in bold; arrows show which is better."
    note = element("p", text, class_="note", id="best")
    table = element(
        "table", head, blocks, class_="scores", aria_label="Test scores", aria_describedby="best"
    )
    return join([note, element("div", table, class_="wide", tabindex="0")])


def _arrow(metric: str) -> str:
    shown = column(metric)
    arrow = "\N{UPWARDS ARROW}" if shown.higher else "\N{DOWNWARDS ARROW}"
    return f"{shown.heading} {arrow}"


def _block(
    heading: str, means: Mapping[str, Mapping[str, float | None]], metrics: Iterable[str]
) -> Markup:
    metrics = list(metrics)
    best = {
        metric: _best(metric, [row.get(metric) for row in means.values()]) for metric in metrics
    }
    rows = [
        element(
            "tr", element("th", heading, scope="rowgroup", colspan=len(metrics) + 1), class_="level"
        )
    ]
    for method, row in means.items():
        cells = [_cell(row.get(metric), column(metric), best[metric]) for metric in metrics]
        look = "ours" if method == "model" else None
        rows.append(element("tr", element("th", method, scope="row"), cells, class_=look))
    return element("tbody", rows)


def _best(metric: str, values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return (max if column(metric).higher else min)(known, default=None)


def _cell(value: float | None, shown: Column, best: float | None) -> Markup:
    text = fixed(value, shown.digits)
    mark = value is not None and value == best
    return element("td", element("b", text) if mark else text, class_="number")


def _plots(run: Run) -> Markup | None:
    """A chart for each figure that is drawn, if there are several levels and all are numbers."""
    try:
        at = {label: float(label) for label in run.by_level}
    except ValueError:
        return None
    if len(set(at.values())) < 2:
        return None
    across = "SNR of the noisy recording, dB" if run.sound else _unit(run)
    measured = _metrics(run.summary)
    charts = []
    drawn = [metric for metric in _DRAWN if metric in measured]
    for metric in drawn:
        lines = []
        for look, method in _looks(run):
            points = sorted(
                (at[label], found[method][metric])
                for label, found in run.by_level.items()
                if found.get(method, {}).get(metric) is not None
            )
            lines.append(Line(method, points, f"{look} dots"))
        shown = column(metric).heading.replace("gain", "SI-SDR gain")
        title = f"{shown} by level of noise"
        ticks = sorted(set(at.values()))
        charts.append(
            chart(
                title,
                lines,
                across=across,
                up=shown,
                named=True,
                ticks=ticks,
                narrow=len(drawn) > 2,
            )
        )
    return element("div", charts, class_="charts")


def _unit(run: Run) -> str:
    noise = run.section("noise")
    unit = str(noise.get("unit", "1"))
    what = "sigma of the noise" if noise.get("name") == "gaussian" else "level of the noise"
    return what if unit == "1" else f"{what}, {unit}"


def _looks(run: Run) -> list[tuple[str, str]]:
    """Each method's look and name; ours comes last, so that it is drawn on top."""
    others = [method for method in run.summary if method not in ("model", "noisy")]
    looks = [("c7 dashed", "noisy")] if "noisy" in run.summary else []
    looks += [(f"c{1 + at % (_COLOURS - 1)}", method) for at, method in enumerate(others)]
    return [*looks, ("c0", "model")] if "model" in run.summary else looks


def _protocol_line(run: Run) -> str | None:
    notes = run.protocol.get("notes") or []
    return "; ".join(map(str, notes)) if isinstance(notes, list) and notes else None


def _protocol(run: Run) -> Markup | None:
    left_out = ("levels", "metrics", "notes")
    choices = {k: v for k, v in run.protocol.items() if k not in left_out and v not in (None, {})}
    if not choices:
        return None
    rows = [
        (element("dt", name), element("dd", _in_words(value))) for name, value in choices.items()
    ]
    summary = element("summary", "Protocol: every choice behind these figures")
    return element("details", summary, element("dl", rows, class_="pairs"))


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_in_words(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return str(value)
