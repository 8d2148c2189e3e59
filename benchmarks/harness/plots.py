"""Figures of throughput: against batch size, and as a roofline."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness import figure
from harness.figure import Row

_FAINT = "#8a8a8a"
_ROOF = "#555555"
# Behind words among lines.
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}


def batches(path: Path, rows: Sequence[Row]) -> Path:
    """Draws megapixels a second against the batch, a line a model, a panel a task.

    Args:
      path: the PNG.
      rows: of `benchmarks/throughput.py`, without those that failed.

    Raises:
      ZooError: the file cannot be written.
    """
    labels = figure.labels(rows)
    colors = figure.colors(rows)
    with figure.Panels(figure.tasks(rows), len(set(labels.values()))) as panels:
        for axes, task in panels:
            ends = []
            mine = [row for row in rows if row["task"] == task]
            for name in dict.fromkeys(labels[figure.key(row)] for row in mine):
                line = {
                    row["batch"]: row["megapixels_per_s"]
                    for row in mine
                    if labels[figure.key(row)] == name
                }
                points = sorted(line.items())
                color = colors[next(r["model"] for r in mine if labels[figure.key(r)] == name)]
                axes.plot(*zip(*points, strict=True), color=color, marker="o", markersize=4)
                ends.append((*points[-1], name, color))
            sizes = sorted({row["batch"] for row in mine})
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            figure.logarithmic(axes, "y")
            axes.set_xlabel("batch")
            axes.set_ylabel("megapixels a second")
            figure.heading(axes, task, rows)
            figure.name_points(axes, ends)
        return panels.save(path)


def roofline(path: Path, rows: Sequence[Row], peak: float, bandwidth: float) -> Path | None:
    """Draws the achieved speed of each model below what the machine allows.

    A program that reads and writes much for what it computes is bound by the memory, the slanted
    roof; another one by the arithmetic, the level roof. Of several batches the fastest counts.

    Args:
      path: the PNG.
      rows: of `benchmarks/throughput.py`, without those that failed.
      peak: the measured matmul speed, in TFLOP/s.
      bandwidth: the measured memory bandwidth, in gigabytes a second.

    Returns:
      The PNG; None where XLA states the cost of no row. Rows without one are left out, and it says
      which.

    Raises:
      ZooError: the file cannot be written.
    """
    labels, colors = figure.labels(rows), figure.colors(rows)
    rows = figure.fastest([row for row in rows if _has_cost(row, path)])
    if not rows:
        return None
    ridge = 1e3 * peak / bandwidth
    intensities = [row["gflop_per_step"] / row["gbyte_per_step"] for row in rows]
    left, right = min([ridge / 4, *intensities]) / 1.6, max([ridge * 4, *intensities]) * 1.6
    # And the level roof's.
    names = 1 + max(sum(row["task"] == task for row in rows) for task in figure.tasks(rows))
    with figure.Panels(figure.tasks(rows), names) as panels:
        for axes, task in panels:
            axes.plot(
                (left, ridge, right),
                (left * bandwidth / 1e3, peak, peak),
                color=_FAINT,
                linewidth=1.5,
            )
            figure.logarithmic(axes, "x")
            figure.logarithmic(axes, "y")
            ends = [(right, peak, f"matmul peak, {_round(peak)} TFLOP/s", _ROOF)]
            for row in rows:
                if row["task"] != task:
                    continue
                x = row["gflop_per_step"] / row["gbyte_per_step"]
                y = row["tflop_per_s"]
                axes.plot(x, y, "o", color=colors[row["model"]], markersize=6, zorder=5)
                ends.append((x, y, labels[figure.key(row)], colors[row["model"]]))
            speeds = [row["tflop_per_s"] for row in rows]
            lowest = min([peak / 20, *speeds]) / 2
            axes.set_xlim(left, right)
            axes.set_ylim(lowest, max([peak, *speeds]) * 1.6)
            foot = max(left, 1e3 * lowest / bandwidth)
            label = f"memory, {_round(bandwidth)} GB/s"
            _along_slope(axes, (foot, ridge), bandwidth / 1e3, label, [end[:2] for end in ends])
            axes.set_xlabel("floating-point operations a byte read or written")
            axes.set_ylabel("TFLOP/s achieved")
            figure.heading(axes, task, rows)
            figure.name_points(axes, ends)
        return panels.save(path)


def _round(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _along_slope(
    axes,
    ends: tuple[float, float],
    slope: float,
    text: str,
    points: Sequence[tuple[float, float]],
) -> None:
    """Writes along the slanted roof, where no point is: in the middle of what is seen, if it can.

    Args:
      axes: whose scales and limits are final.
      ends: the lowest and the highest x of the roof that are seen.
      slope: y over x of the roof.
      text: what to write.
      points: (x, y) of what must stay free; a line joins each to the right edge.
    """
    pixels, height = axes.figure.dpi / 72, 8
    length = 0.6 * height * len(text)
    (x0, y0), (x1, y1) = axes.transData.transform([(x, slope * x) for x in ends])
    angle = math.atan2(y1 - y0, x1 - x0)
    # Points and lines as they lie along the roof from its foot, and above it.
    taken = [
        (x, y)
        for left, y in axes.transData.transform(points)
        for x in np.linspace(left, max(left, x1), 50)
    ]
    along, across = _turned(np.subtract(taken, (x0, y0)), -angle) / pixels
    room = math.hypot(x1 - x0, y1 - y0) / pixels - length

    def free(place: tuple[float, float]) -> float:
        """The nearest that anything comes to the text at (along, above)."""
        aside = np.abs(along - place[0]) - length / 2
        above = np.abs(across - place[1] - height / 2) - height / 2
        return float(np.hypot(np.maximum(aside, 0), np.maximum(above, 0)).min())

    shares = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9)
    places = [(length / 2 + room * share, above) for above in (6, 16, 26) for share in shares]
    place = next((place for place in places if free(place) > 6), max(places, key=free))
    x, y = (x0, y0) + place[0] * pixels * np.array([math.cos(angle), math.sin(angle)])
    axes.annotate(
        text, (x, y), xycoords="figure pixels", fontsize=height, textcoords="offset points",
        xytext=(-place[1] * math.sin(angle), place[1] * math.cos(angle)),
        rotation=math.degrees(angle), rotation_mode="anchor", color=_ROOF,
        ha="center", bbox=_BOX, zorder=4,
    )  # fmt: skip


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """(n, 2) points turned about the origin, as (2, n)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]]) @ np.transpose(points)


def _has_cost(row: Row, path: Path) -> bool:
    costs = [
        figure.number(row[name]) for name in ("gflop_per_step", "gbyte_per_step", "tflop_per_s")
    ]
    good = all(0 < cost < math.inf for cost in costs)
    if not good:
        which = f"{row['model']} {row['task']} {row['size']} batch {row['batch']}"
        figure.leave_out(which, f"its cost is not known, and {path.name} cannot show it")
    return good
