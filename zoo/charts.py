"""Line charts of training and of scores, as PNG files and as SVG for a web page."""

import html
import io
import itertools
import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo import files

# Paul Tol's bright scheme, which color-blind readers can tell apart, then its vibrant one.
COLORS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#009988",
    "#cc3311", "#33bbee",
)  # fmt: skip
GRAY = "#8a8a8a"
_INK, _GRID = "#555555", "#e6e6e6"
# In an SVG each color is a variable, which the style sheet of the page sets for light and dark.
_VARIABLES = {
    **{color: f"var(--c{number})" for number, color in enumerate(COLORS)},
    GRAY: "var(--gray)",
    _INK: "var(--soft)",
    _GRID: "var(--rule)",
}
_LONGEST = 24
# More points than a chart has pixels only make a page heavy.
_MOST_POINTS = 400


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
      name: for the legend; "" for a line without one.
      points: (x, y); values that are not finite, or not positive on a logarithmic axis, are gaps.
      color: `GRAY` or one of `COLORS`.
      look: keyword arguments of `matplotlib.axes.Axes.plot`, such as `marker` and `alpha`.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: str = COLORS[0]
    look: Mapping[str, object] = {}


class Chart(NamedTuple):
    """Lines on one pair of axes.

    Attributes:
      lines: later ones cover earlier ones.
      across: label of the x axis.
      up: label of the y axis.
      title: heading; "" for none.
      log: whether the y axis is logarithmic.
      ticks: positions on the x axis; round numbers if None.
      beside: whether the legend is at the right of the axes, in the order of the lines there.
    """

    lines: Sequence[Line]
    across: str
    up: str
    title: str = ""
    log: bool = False
    ticks: Sequence[float] | None = None
    beside: bool = False


def training_charts(rows: Sequence[Mapping[str, float]], metric: str, label: str) -> list[Chart]:
    """Charts of the loss and of the figure of merit, in training and validation.

    Args:
      rows: of `metrics.jsonl`: "step" and the figures logged at that step.
      metric: key of the figure of merit, such as "psnr".
      label: its name and unit, such as "PSNR, dB".
    """
    loss = trace(rows, "loss", "Training loss")
    if not any(metric in row for row in rows):
        # A run without clean images.
        metric, label = "loss", "Loss"
    merit = trace(rows, metric, label, name="training crops")
    validated = f"validation_{metric}"
    points = [(row["step"], row[validated]) for row in rows if validated in row]
    marks = {"marker": "o", "markersize": 4}
    validation = Line("validation", points, COLORS[6], marks)
    merit = merit._replace(lines=[*merit.lines, validation])
    return [merit] if metric == "loss" else [loss, merit]


def trace(
    rows: Sequence[Mapping[str, float]],
    key: str,
    label: str,
    *,
    name: str = "",
    exact: bool = False,
) -> Chart:
    """Chart of one logged figure by step: every step pale, a running mean over it.

    The y axis is logarithmic for positive figures with noise that are not in decibels.

    Args:
      rows: of `metrics.jsonl`.
      key: of the figure.
      label: its name and unit.
      name: of the mean, for a legend.
      exact: whether the figure has no noise, so that it is drawn without a mean.
    """
    points = [(row["step"], row[key]) for row in rows if math.isfinite(row.get(key, math.nan))]
    if exact:
        return Chart([Line(name, _thinned(points))], "step", label)
    values = [value for _, value in points]
    means = zip((step for step, _ in points), _running_mean(values), strict=True)
    pale = Line("", _thinned(points), look={"alpha": 0.3, "linewidth": 0.8})
    log = not label.endswith("dB") and min(values, default=0) > 0
    return Chart([pale, Line(name, _thinned([*means]))], "step", label, log=log)


def level_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    across: str,
    up: str,
    *,
    classical: Collection[str],
    title: str = "",
) -> Chart:
    """Chart of a figure of merit by level of the noise, one line per method.

    Args:
      series: method -> (level, figure); the first is on top and in the first color.
      across: what the levels are, with their unit.
      up: what the figures are, with their unit.
      classical: methods drawn in gray and dashed.
      title: heading.
    """
    marks = {"marker": "o", "markersize": 4}
    gray = marks | {"linestyle": "--", "linewidth": 1.2}
    colors = itertools.cycle(COLORS)
    lines = [
        Line(name, sorted(points), GRAY, gray)
        if name in classical
        else Line(name, sorted(points), next(colors), marks)
        for name, points in series.items()
    ]
    ticks = sorted({level for points in series.values() for level, _ in points})
    return Chart(lines[::-1], across, up, title, ticks=ticks, beside=True)


def write_png(
    path: Path, charts: Sequence[Chart], *, size: tuple[float, float] = (8, 5), dpi: int = 150
) -> None:
    """Draws charts side by side as a PNG file.

    Args:
      path: the file.
      charts: at least one.
      size: of the whole, (width, height) in inches.
      dpi: pixels per inch.

    Raises:
      ZooError: the file cannot be written.
    """
    png = io.BytesIO()
    _draw(charts, size, png, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    files.write(path, png.getvalue())


def svg(chart: Chart, *, width: int = 440, height: int = 250) -> str | None:
    """A chart as an inline `<svg>` element, all text escaped; None if it has no point to draw.

    It has no label at the y axis; a caption takes its place.

    Colors are the variables `--c0`, `--c1` and so on, `--gray`, `--soft` (text) and `--rule` (grid)
    of the page's style sheet; letters have the font of the page.

    Args:
      chart: what to draw.
      width: of the view box, in pixels.
      height: as `width`.
    """
    if not any(_has_point(line.points, chart.log) for line in chart.lines):
        return None
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    # The label of the y axis is for the caption, where it takes no width.
    shown = chart._replace(up="")
    _draw([shown], (width / 72, height / 72), out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    # A rule of a style sheet inside an SVG would apply to the whole page.
    body = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>", "", body, flags=re.S)
    body = re.sub(r"font-family: [^;\"]*", "font-family: inherit", body)
    # Several charts on a page would have the same ids.
    body = re.sub(r'<g id="([\w.]+)_\d+"', r'<g class="\1"', body)
    body = re.sub(
        r"(fill|stroke): (#[0-9a-f]{6})",
        lambda found: f"{found[1]}: {_VARIABLES.get(found[2], found[2])}",
        body,
    )
    label = html.escape(_in_words(chart))
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{body}'.strip()


def short(value: float, _: object = None) -> str:
    """A number for the tick of an axis: 5000 is 5k, 0.0001 is 1e-4."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e7):
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    elif abs(value) >= 1e6:
        text = f"{value / 1e6:g}M"
    elif abs(value) >= 1e4 or (abs(value) >= 1e3 and value % 100 == 0):
        text = f"{value / 1e3:g}k"
    else:
        text = f"{value:.6g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _in_words(chart: Chart) -> str:
    """A description of the lines for readers who cannot see them."""
    ends = []
    for line in chart.lines:
        points = [point for point in line.points if _is_drawable(point, chart.log)]
        if points and (line.name or len(chart.lines) == 1):
            ends.append(f"{line.name} from {points[0][1]:.4g} to {points[-1][1]:.4g}".strip())
    return f"{chart.up} against {chart.across}: {'; '.join(ends)}"


def _draw(charts: Sequence[Chart], size: tuple[float, float], out, **options) -> None:
    # Slow to import, and only needed where something is drawn.
    import matplotlib  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    fixed = {
        "svg.fonttype": "none",
        "svg.hashsalt": "zoo",
        "font.size": 11,
        "axes.edgecolor": GRAY,
        **{f"{part}.color": GRAY for part in ("xtick", "ytick")},
        **{f"{part}.labelcolor": _INK for part in ("axes", "xtick", "ytick", "legend")},
    }
    with matplotlib.rc_context(fixed), warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes.
        warnings.simplefilter("ignore")
        figure = Figure(size, layout="constrained")
        places = figure.subplots(1, len(charts), squeeze=False)[0]
        for axes, chart in zip(places, charts, strict=True):
            _fill(axes, chart)
        figure.savefig(out, **options)


def _fill(axes, chart: Chart) -> None:
    axes.grid(color=_GRID, linewidth=0.8, clip_on=False, axis="both" if chart.beside else "y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(chart.across, parse_math=False)
    axes.set_ylabel(chart.up, parse_math=False)
    axes.set_title(chart.title, loc="left", fontweight="bold", parse_math=False)
    for line in chart.lines:
        points = [p if _is_drawable(p, chart.log) else (p[0], math.nan) for p in line.points]
        # Nothing lies outside the axes, and an SVG without clip paths is smaller.
        look = {"linewidth": 1.75, "clip_on": False, **line.look}
        axes.plot(*zip(*points, strict=True) if points else ([], []), color=line.color, **look)
    _scale(axes, chart)
    named = [
        (drawn, line.name[:_LONGEST] + "\N{HORIZONTAL ELLIPSIS}" * (len(line.name) > _LONGEST))
        for drawn, line in zip(axes.lines, chart.lines, strict=True)
        if line.name
    ]
    if chart.beside:
        # The legend has the order of the lines at the right.
        named.sort(key=lambda one: -np.nan_to_num(one[0].get_ydata()[-1:]).sum())
    if len(named) > 1:
        place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if chart.beside else {}
        legend = axes.legend(*zip(*named, strict=True), frameon=False, **place)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _scale(axes, chart: Chart) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator  # noqa: PLC0415

    if chart.ticks is not None:
        axes.set_xticks(chart.ticks)
    elif all(float(x).is_integer() for line in chart.lines for x, _ in line.points):
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    linear = MaxNLocator(6, steps=(1, 2, 2.5, 5, 10))
    if chart.log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        decades = math.log10(high / low)
        logarithmic = LogLocator(10, (1, 2, 5) if decades < 2 else (1,))
        # Less than a decade may hold no power of ten: the round numbers of a linear axis do.
        axes.yaxis.set_major_locator(linear if decades < 1 else logarithmic)
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(linear)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(short)


def _is_drawable(point: tuple[float, float], log: bool) -> bool:
    return all(map(math.isfinite, point)) and (point[1] > 0 or not log)


def _has_point(points: Sequence[tuple[float, float]], log: bool) -> bool:
    return any(_is_drawable(point, log) for point in points)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The least and the greatest of every stretch, so that no spike is lost."""
    if len(points) <= _MOST_POINTS:
        return points
    values = np.array([value for _, value in points])
    stretches = np.array_split(np.arange(len(points)), _MOST_POINTS // 2)
    ends = {s[pick(values[s])] for s in stretches for pick in (np.argmin, np.argmax)}
    return [points[at] for at in sorted(ends)]


def _running_mean(values: Sequence[float]) -> list[float]:
    """An exponential mean over about a fiftieth of the values, corrected for its start."""
    keep = 1.0 - 1.0 / max(1.0, len(values) / 50)

    def step(state: tuple[float, float], value: float) -> tuple[float, float]:
        return keep * state[0] + (1 - keep) * value, keep * state[1] + (1 - keep)

    states = itertools.accumulate(values, step, initial=(0.0, 0.0))
    return [mean / weight for mean, weight in itertools.islice(states, 1, None)]
