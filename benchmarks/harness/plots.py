"""Pictures of throughput: against batch size, as a roofline, and against quality."""

import csv
import io
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo import files
from zoo.errors import ZooError

Row = Mapping[str, object]

# Paul Tol's bright scheme, which the colour-blind can tell apart, then its vibrant one.
_COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#b8a02e", "#3a9fc2", "#aa3377", "#ee7733", "#009988",
    "#cc3311", "#555555",
)  # fmt: skip
_FAINT = "#8a8a8a"
_ROOF = "#555555"
# Behind words among lines.
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}
_TITLES = {"train": "training", "infer": "inference"}


def batches(path: Path, rows: Sequence[Row]) -> Path:
    """Draws megapixels a second against the batch, a line a model, a panel a task.

    Args:
      path: the PNG.
      rows: of `benchmarks/throughput.py`, without those that failed.

    Raises:
      ZooError: the file cannot be written.
    """
    labels = _labels(rows)
    colours = _colours(rows)
    with _Panels(_tasks(rows), len(set(labels.values()))) as panels:
        for axes, task in panels:
            ends = []
            mine = [row for row in rows if row["task"] == task]
            for name in dict.fromkeys(labels[_key(row)] for row in mine):
                line = {
                    row["batch"]: row["megapixels_per_s"]
                    for row in mine
                    if labels[_key(row)] == name
                }
                points = sorted(line.items())
                colour = colours[next(r["model"] for r in mine if labels[_key(r)] == name)]
                axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4)
                ends.append((*points[-1], name, colour))
            sizes = sorted({row["batch"] for row in mine})
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            _logarithmic(axes, "y")
            axes.set_xlabel("batch")
            axes.set_ylabel("megapixels a second")
            _heading(axes, task, rows)
            _name(axes, ends)
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
      The PNG; None where XLA told the cost of no row. Rows without one are left out, and it says
      which.

    Raises:
      ZooError: the file cannot be written.
    """
    labels, colours = _labels(rows), _colours(rows)
    rows = _fastest([row for row in rows if _has_cost(row, path)])
    if not rows:
        return None
    ridge = 1e3 * peak / bandwidth
    intensities = [row["gflop_per_step"] / row["gbyte_per_step"] for row in rows]
    left, right = min([ridge / 4, *intensities]) / 1.6, max([ridge * 4, *intensities]) * 1.6
    # And the level roof's.
    names = 1 + max(sum(row["task"] == task for row in rows) for task in _tasks(rows))
    with _Panels(_tasks(rows), names) as panels:
        for axes, task in panels:
            axes.plot(
                (left, ridge, right),
                (left * bandwidth / 1e3, peak, peak),
                color=_FAINT,
                linewidth=1.5,
            )
            _logarithmic(axes, "x")
            _logarithmic(axes, "y")
            ends = [(right, peak, f"matmul peak, {_round(peak)} TFLOP/s", _ROOF)]
            for row in rows:
                if row["task"] != task:
                    continue
                x = row["gflop_per_step"] / row["gbyte_per_step"]
                y = row["tflop_per_s"]
                axes.plot(x, y, "o", color=colours[row["model"]], markersize=6, zorder=5)
                ends.append((x, y, labels[_key(row)], colours[row["model"]]))
            speeds = [row["tflop_per_s"] for row in rows]
            lowest = min([peak / 20, *speeds]) / 2
            axes.set_xlim(left, right)
            axes.set_ylim(lowest, max([peak, *speeds]) * 1.6)
            foot = max(left, 1e3 * lowest / bandwidth)
            told = f"memory, {_round(bandwidth)} GB/s"
            _along_slope(axes, (foot, ridge), bandwidth / 1e3, told, [end[:2] for end in ends])
            axes.set_xlabel("floating-point operations a byte read or written")
            axes.set_ylabel("TFLOP/s achieved")
            _heading(axes, task, rows)
            _name(axes, ends)
        return panels.save(path)


def read_scores(path: Path) -> list[dict[str, str]]:
    """Reads a `scores.csv` of `zoo score`.

    Raises:
      ZooError: it cannot be read, or has other columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise ZooError(f"cannot read {path}: {why}; name a scores.csv of `zoo score`") from None
    missing = {"data", "level", "method", "psnr"} - set(rows[0] if rows else ())
    if missing:
        raise ZooError(
            f"{path} has no {', '.join(sorted(missing))}; name a scores.csv of `zoo score`"
        )
    return rows


def quality(stem: Path, rows: Sequence[Row], scores: Sequence[Row]) -> Iterator[Path]:
    """Draws PSNR against throughput and against cost, a picture for each data set and level.

    A method belongs to the model of its name; what `zoo score` adds to tell files of one model
    apart may follow. For each model the fastest row counts, of inference where there is one.

    Args:
      stem: the path of the pictures without `_psnr_DATA_LEVEL.png`.
      rows: of `benchmarks/throughput.py`, without those that failed.
      scores: from `read_scores`; those without a PSNR are left out, and it says which.

    Raises:
      ZooError: no model was both measured and scored, or a file cannot be written.
    """
    task = "infer" if any(row["task"] == "infer" for row in rows) else "train"
    fastest = {row["model"]: row for row in _fastest(rows, ("model",)) if row["task"] == task}
    colours = _colours(rows)
    found = []
    for score in scores:
        row = fastest.get(str(score["method"]).split(" ")[0])
        if not row:
            continue
        psnr = _number(score["psnr"])
        if math.isfinite(psnr):
            found.append((score["data"], score["level"], score["method"], psnr, row))
        else:
            which = f"{score['method']}, {score['data']}, {score['level']}"
            _leave_out(which, f"its psnr is {score['psnr']!r}")
    if not found:
        raise ZooError("no model in --scores has a PSNR and was measured; name them with --model")
    for data, level in dict.fromkeys(one[:2] for one in found):
        here = [one[2:] for one in found if one[:2] == (data, level)]
        noise = level if level == "paired" else f"sigma {level}"
        with _Panels(_PRICES, len(here)) as panels:
            for axes, price in panels:
                ends = [
                    (price.of(row), psnr, name, colours[row["model"]]) for name, psnr, row in here
                ]
                for x, y, _, colour in ends:
                    axes.plot(x, y, "o", color=colour, markersize=7, zorder=3)
                # To the better side of each price a front ends at the price, not before it.
                side, style = (-1, "steps-post") if price.low_is_good else (1, "steps-pre")
                front = [(side * x, y) for x, y in _front([(side * x, y) for x, y, *_ in ends])]
                axes.plot(
                    *zip(*sorted(front), strict=True),
                    color="#cccccc", linewidth=1.5, drawstyle=style, zorder=1,
                )  # fmt: skip
                _logarithmic(axes, "x")
                axes.margins(0.12)
                axes.set_xlabel(price.label)
                axes.set_ylabel("mean PSNR, dB")
                _heading(axes, task, rows, f"{data}, {noise}; ")
                _name(axes, ends)
            yield panels.save(Path(f"{stem}_psnr_{files.slug(f'{data}_{level}')}.png"))


class _Price(NamedTuple):
    """What quality is held against: what to write, how to read it off a row, which end is good."""

    label: str
    of: Callable[[Row], float]
    low_is_good: bool


def _gmacs(row: Row) -> float:
    height, width, _ = map(int, str(row["size"]).split("x"))
    return row["gmac_per_example"] * 256 * 256 / (height * width)


_PRICES = (
    _Price("megapixels a second", lambda row: row["megapixels_per_s"], low_is_good=False),
    _Price("GMACs for 256 by 256 pixels", _gmacs, low_is_good=True),
)


class _Panels:
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

    def __enter__(self) -> "_Panels":
        return self

    def __exit__(self, *_: object) -> None:
        self._figure.clear()

    def __iter__(self) -> Iterator:
        return iter(self._panels)

    def save(self, path: Path) -> Path:
        png = io.BytesIO()
        self._figure.savefig(png, format="png", metadata={"Software": None})
        files.write(path, png.getvalue())
        return path


def _tasks(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["task"] for row in rows))


def _key(row: Row) -> tuple:
    return row["model"], row["size"], row["batch"]


def _labels(rows: Sequence[Row]) -> dict[tuple, str]:
    """The name of each row's model, with the size where a model has several."""
    sizes: dict[object, set] = {}
    for row in rows:
        sizes.setdefault(row["model"], set()).add(row["size"])
    return {
        _key(row): f"{row['model']} {row['size']}"
        if len(sizes[row["model"]]) > 1
        else str(row["model"])
        for row in rows
    }


def _fastest(rows: Sequence[Row], by: Sequence[str] = ("model", "size")) -> list[Row]:
    """Of the rows of one task that agree in these columns, the fastest."""
    found: dict[tuple, Row] = {}
    for row in sorted(rows, key=lambda row: row["megapixels_per_s"]):
        found[row["task"], *(row[name] for name in by)] = row
    return [row for row in rows if any(row is one for one in found.values())]


def _colours(rows: Sequence[Row]) -> dict[object, str]:
    """A colour a family, so that variants of one look related."""
    names = sorted({str(row["model"]) for row in rows})
    families = list(dict.fromkeys(name.split("-")[0] for name in names))
    # Few enough models have a colour each.
    keys = names if len(names) <= len(_COLOURS) else families
    colours = dict(zip(keys, itertools.cycle(_COLOURS), strict=False))
    return {name: colours.get(name) or colours[name.split("-")[0]] for name in names}


def _logarithmic(axes, which: str) -> None:
    """A logarithmic axis whose ticks are plain numbers, 2 and 5 between the powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def _heading(axes, task: str, rows: Sequence[Row], before: str = "") -> None:
    axes.set_title(f"{before}{_TITLES[task]}", loc="left", fontweight="bold", fontsize=11)
    sizes = list(dict.fromkeys(row["size"].rsplit("x", 1)[0] for row in rows))
    told = [rows[0]["device"], rows[0]["dtype"], sizes[0] if len(sizes) == 1 else ""]
    axes.set_title(", ".join(filter(None, told)), loc="right", fontsize=8, color="#555555")
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _round(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points no other one beats in both, from slow to fast."""
    best = -math.inf
    front = []
    for x, y in sorted(points, reverse=True):
        if y > best:
            best = y
            front.append((x, y))
    return front[::-1]


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
    costs = [_number(row[name]) for name in ("gflop_per_step", "gbyte_per_step", "tflop_per_s")]
    good = all(0 < cost < math.inf for cost in costs)
    if not good:
        which = f"{row['model']} {row['task']} {row['size']} batch {row['batch']}"
        _leave_out(which, f"its cost is not known, and {path.name} cannot show it")
    return good


def _number(value: object) -> float:
    """A value as a float; NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _leave_out(which: str, why: str) -> None:
    print(f"left out: {which}; {why}", file=sys.stderr)


def _name(axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names points in a column at the right, each joined to its point.

    Args:
      axes: whose scales and limits are final.
      ends: (x, y, name, colour) of each.
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
        x, y, name, colour = ends[n]
        axes.annotate(
            name, (x, y), xytext=(1.03, height), textcoords="axes fraction", color=colour,
            fontsize=8.5, va="center", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.6,
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
