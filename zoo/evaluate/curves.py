"""A figure of merit against the level of the noise, one line a method."""

import io
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from zoo import files
from zoo.evaluate.baselines import BASELINES
from zoo.evaluate.score import PAIRED, Cell

# Paul Tol's bright scheme, which the colour-blind can tell apart, then its vibrant one.
_COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#009988",
    "#cc3311", "#33bbee",
)  # fmt: skip
_FAINT = "#8a8a8a"


def draw(path: Path, data: str, cells: Sequence[Cell]) -> None:
    """Draws the PSNR by sigma on one data set, as `lines` does.

    Nothing is drawn for fewer than two levels.

    Args:
      path: the file.
      data: the set, for the heading.
      cells: its cells, at every level.

    Raises:
      ZooError: the file cannot be written.
    """
    cells = [c for c in cells if c.level != PAIRED and math.isfinite(c.means["psnr"])]
    if len({cell.level for cell in cells}) < 2:
        return
    series: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        series.setdefault(cell.method, []).append((float(cell.level), cell.means["psnr"]))
    lines(
        path,
        series,
        classical=["noisy", *BASELINES],
        across="sigma of the noise, of 255",
        up="mean PSNR, dB",
        title=f"{data}, {cells[0].pictures} pictures",
    )


def lines(
    path: Path,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    classical: Collection[str],
    across: str,
    up: str,
    title: str,
) -> None:
    """Draws one line a method, named at its right end, as PNG.

    Args:
      path: the file.
      series: method -> (level, figure), finite, at one level or more.
      classical: the methods that are drawn in grey; the others have a colour each.
      across: what the levels are.
      up: what the figures are.
      title: above it all.

    Raises:
      ZooError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, 5), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.12, 0.66, 0.76))
    ends = []
    colours = itertools.cycle(_COLOURS)
    for method, points in series.items():
        mine = sorted(points)
        grey = method in classical
        colour = _FAINT if grey else next(colours)
        axes.plot(
            *zip(*mine, strict=True),
            color=colour,
            linewidth=1.2 if grey else 2,
            linestyle="--" if grey else "-",
            marker="o",
            markersize=4,
        )
        ends.append((mine[-1][1], method, colour))
    low, high = axes.get_ylim()
    levels = sorted({level for points in series.values() for level, _ in points})
    for height, (value, method, colour) in zip(
        _apart([end[0] for end in sorted(ends)], (high - low) / 24), sorted(ends), strict=True
    ):
        axes.annotate(
            method,
            (levels[-1], value),
            xytext=(1.03, (height - low) / (high - low)),
            textcoords="axes fraction",
            color=colour,
            fontsize=9,
            va="center",
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5},
        )
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_xticks(levels)
    axes.set_title(title, loc="left", fontweight="bold", parse_math=False)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    files.write(path, png.getvalue())


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Rising heights moved up as far as it takes to keep them apart."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + least) if placed else height)
    return placed
