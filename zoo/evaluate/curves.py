"""PSNR against noise level, one picture a data set."""

import io
import itertools
import math
from collections.abc import Sequence
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
    """Draws one line a method, models in colour and the classical ones in grey, as PNG.

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
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, 5), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.12, 0.66, 0.76))
    ends = []
    colours = itertools.cycle(_COLOURS)
    for method in dict.fromkeys(cell.method for cell in cells):
        mine = sorted((float(c.level), c.means["psnr"]) for c in cells if c.method == method)
        classical = method in BASELINES or method == "noisy"
        colour = _FAINT if classical else next(colours)
        axes.plot(
            *zip(*mine, strict=True),
            color=colour,
            linewidth=1.2 if classical else 2,
            linestyle="--" if classical else "-",
            marker="o",
            markersize=4,
        )
        ends.append((mine[-1][1], method, colour))
    low, high = axes.get_ylim()
    right = max(float(cell.level) for cell in cells)
    for height, (psnr, method, colour) in zip(
        _apart([end[0] for end in sorted(ends)], (high - low) / 24), sorted(ends), strict=True
    ):
        axes.annotate(
            method,
            (right, psnr),
            xytext=(1.03, (height - low) / (high - low)),
            textcoords="axes fraction",
            color=colour,
            fontsize=9,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5},
        )
    axes.set_xlabel("sigma of the noise, of 255")
    axes.set_ylabel("mean PSNR, dB")
    axes.set_xticks(sorted({float(cell.level) for cell in cells}))
    axes.set_title(f"{data}, {cells[0].pictures} pictures", loc="left", fontweight="bold")
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
