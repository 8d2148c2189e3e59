"""What the benchmarks' figures share: panels, axes, colors, and names that do not overlap."""

import io
import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo import files

Row = Mapping[str, object]

# Paul Tol's bright scheme, which the color-blind can distinguish, then its vibrant one.
_COLORS = (
    "#4477aa", "#ee6677", "#228833", "#b8a02e", "#3a9fc2", "#aa3377", "#ee7733", "#009988",
    "#cc3311", "#555555",
)  # fmt: skip
_TITLES = {"train": "training", "infer": "inference"}


class Panels:
    """A figure of panels side by side, each with room for so many names at its right."""

    def __init__(self, tasks: Sequence[Any], names: int):
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        height = max(5.0, 1.4 + 0.19 * names)
        self._figure = Figure(figsize=(8 * len(tasks), height), dpi=150, facecolor="white")
        FigureCanvasAgg(self._figure)
        share = 1 / len(tasks)
        self._panels = [
            (
                self._figure.add_axes(
                    (share * (n + 0.1), 0.65 / height, share * 0.6, 1 - 1.2 / height)
                ),
                task,
            )
            for n, task in enumerate(tasks)
        ]

    def __enter__(self) -> "Panels":
        return self

    def __exit__(self, *_: object) -> None:
        self._figure.clear()

    def __iter__(self) -> Iterator:
        return iter(self._panels)

    def save(self, path: Path) -> Path:
        """Writes the figure as a PNG, whole or not at all."""
        png = io.BytesIO()
        self._figure.savefig(png, format="png", metadata={"Software": None})
        files.write(path, png.getvalue())
        return path


def tasks(rows: Sequence[Row]) -> list[str]:
    """What was measured, training or inference, in order."""
    return list(dict.fromkeys(row["task"] for row in rows))


def key(row: Row) -> tuple:
    """What tells rows of one task apart."""
    return row["model"], row["size"], row["batch"]


def labels(rows: Sequence[Row]) -> dict[tuple, str]:
    """The name of each row's model, with the size where a model has several."""
    sizes: dict[object, set] = {}
    for row in rows:
        sizes.setdefault(row["model"], set()).add(row["size"])
    return {
        key(row): f"{row['model']} {row['size']}"
        if len(sizes[row["model"]]) > 1
        else str(row["model"])
        for row in rows
    }


def fastest(rows: Sequence[Row], by: Sequence[str] = ("model", "size")) -> list[Row]:
    """Of the rows of one task that agree in these columns, the fastest."""
    found: dict[tuple, Row] = {}
    for row in sorted(rows, key=lambda row: row["megapixels_per_s"]):
        found[row["task"], *(row[name] for name in by)] = row
    return [row for row in rows if any(row is one for one in found.values())]


def colors(rows: Sequence[Row]) -> dict[object, str]:
    """A color a family, so that variants of one look related."""
    names = sorted({str(row["model"]) for row in rows})
    families = list(dict.fromkeys(name.split("-")[0] for name in names))
    # Few enough models have a color each.
    keys = names if len(names) <= len(_COLORS) else families
    colors = dict(zip(keys, itertools.cycle(_COLORS), strict=False))
    return {name: colors.get(name) or colors[name.split("-")[0]] for name in names}


def logarithmic(axes, which: str) -> None:
    """A logarithmic axis whose ticks are plain numbers, 2 and 5 between the powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def heading(axes, task: str, rows: Sequence[Row], before: str = "") -> None:
    """Says at the top what was measured on what, and clears the frame."""
    axes.set_title(f"{before}{_TITLES[task]}", loc="left", fontweight="bold", fontsize=11)
    sizes = list(dict.fromkeys(row["size"].rsplit("x", 1)[0] for row in rows))
    facts = [rows[0]["device"], rows[0]["dtype"], sizes[0] if len(sizes) == 1 else ""]
    axes.set_title(", ".join(filter(None, facts)), loc="right", fontsize=8, color="#555555")
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def number(value: object) -> float:
    """A value as a float; NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def leave_out(which: str, why: str) -> None:
    """Reports what no figure shows."""
    print(f"left out: {which}; {why}", file=sys.stderr)


def name_points(axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names points in a column at the right, each joined to its point.

    Args:
      axes: whose scales and limits are final.
      ends: (x, y, name, color) of each.
    """
    if not ends:
        return
    # To ask for the limits settles them.
    axes.get_xlim(), axes.get_ylim()
    figure = axes.figure
    inches = axes.get_position().height * figure.get_figheight()
    places = axes.transAxes.inverted().transform(
        axes.transData.transform([(x, y) for x, y, *_ in ends])
    )
    order = sorted(range(len(ends)), key=lambda n: places[n][1])
    heights = _apart([float(places[n][1]) for n in order], min(0.17 / inches, 1.0 / len(ends)))
    for n, height in zip(order, heights, strict=True):
        x, y, name, color = ends[n]
        axes.annotate(
            name, (x, y), xytext=(1.03, height), textcoords="axes fraction", color=color,
            fontsize=8.5, va="center", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": color, "linewidth": 0.6, "alpha": 0.6,
                "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 0,
            },
        )  # fmt: skip


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Rising heights moved as little as keeps them `least` apart, and within [0, 1] if they fit.

    Those that would touch form a block about their mean, and blocks that would touch merge.
    """
    blocks: list[list[float]] = []
    for height in heights:
        blocks.append([height])
        while len(blocks) > 1 and _foot(blocks[-1], least) < _foot(blocks[-2], least) + least * len(
            blocks[-2]
        ):
            last = blocks.pop()
            blocks[-1] += last
    return [_foot(block, least) + n * least for block in blocks for n in range(len(block))]


def _foot(block: Sequence[float], least: float) -> float:
    """The lowest place of a block that is centred on its mean as far as [0, 1] allows."""
    length = least * (len(block) - 1)
    return max(0.0, min(sum(block) / len(block) - length / 2, 1.0 - length))
