"""A figure of merit against the level of the noise, one line a method."""

import math
from collections.abc import Sequence
from pathlib import Path

from zoo import charts
from zoo.evaluate.baselines import BASELINES
from zoo.evaluate.score import PAIRED, Cell


def draw(path: Path, data: str, cells: Sequence[Cell]) -> None:
    """Draws the PSNR by sigma on one data set.

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
    chart = charts.level_chart(
        series,
        "sigma of the noise, of 255",
        "mean PSNR, dB",
        classical=["noisy", *BASELINES],
        title=f"{data}, {cells[0].pictures} pictures",
    )
    charts.write_png(path, [chart])
