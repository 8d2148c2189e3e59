"""Figures of quality against throughput and against cost, and the scores they are drawn from."""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from harness import figure
from harness.figure import Row
from zoo import files
from zoo.errors import ZooError

# Of methods that are no models.
_OTHER = "#555555"


def read_scores(path: Path) -> list[dict[str, str]]:
    """Reads a `scores.csv` of `zoo score`.

    A column `megapixels_per_s`, put there by hand, tells how fast a method was that
    `benchmarks/throughput.py` cannot measure, such as BM3D.

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


def draw(stem: Path, rows: Sequence[Row], scores: Sequence[Row]) -> Iterator[Path]:
    """Draws PSNR against throughput and against cost, a figure for each data set and level.

    A method belongs to the model of its name; what `zoo score` adds to tell files of one model
    apart may follow. For each model the fastest row counts, of inference where there is one.

    Args:
      stem: the path of the images without `_psnr_DATA_LEVEL.png`.
      rows: of `benchmarks/throughput.py`, without those that failed.
      scores: from `read_scores`; those without a PSNR are left out, and it says which.

    Raises:
      ZooError: no model was both measured and scored, or a file cannot be written.
    """
    task = "infer" if any(row["task"] == "infer" for row in rows) else "train"
    fastest = {row["model"]: row for row in figure.fastest(rows, ("model",)) if row["task"] == task}
    colors = figure.colors(rows)
    found = []
    for score in scores:
        row = fastest.get(str(score["method"]).split(" ")[0]) or _by_hand(score)
        if not row:
            continue
        psnr = figure.number(score["psnr"])
        if math.isfinite(psnr):
            found.append((score["data"], score["level"], score["method"], psnr, row))
        else:
            which = f"{score['method']}, {score['data']}, {score['level']}"
            figure.leave_out(which, f"its psnr is {score['psnr']!r}")
    # A figure of what was brought by hand alone compares nothing.
    measured = {one[:2] for one in found if one[-1]["model"] in fastest}
    found = [one for one in found if one[:2] in measured]
    if not found:
        raise ZooError("no model in --scores has a PSNR and was measured; name them with --model")
    for data, level in dict.fromkeys(one[:2] for one in found):
        here = [one[2:] for one in found if one[:2] == (data, level)]
        noise = level if level == "paired" else f"sigma {level}"
        with figure.Panels(_PRICES, len(here)) as panels:
            for axes, price in panels:
                ends = [
                    (price.of(row), psnr, name, colors.get(row["model"], _OTHER))
                    for name, psnr, row in here
                    if math.isfinite(price.of(row))
                ]
                for x, y, _, color in ends:
                    axes.plot(x, y, "o", color=color, markersize=7, zorder=3)
                # To the better side of each price a front ends at the price, not before it.
                side, style = (-1, "steps-post") if price.low_is_good else (1, "steps-pre")
                front = [(side * x, y) for x, y in _front([(side * x, y) for x, y, *_ in ends])]
                axes.plot(
                    *zip(*sorted(front), strict=True),
                    color="#cccccc", linewidth=1.5, drawstyle=style, zorder=1,
                )  # fmt: skip
                figure.logarithmic(axes, "x")
                axes.margins(0.12)
                axes.set_xlabel(price.label)
                axes.set_ylabel("mean PSNR, dB")
                figure.heading(axes, task, rows, f"{data}, {noise}; ")
                figure.name_points(axes, ends)
            yield panels.save(Path(f"{stem}_psnr_{files.slug(f'{data}_{level}')}.png"))


class _Price(NamedTuple):
    """What quality is held against: what to write, how to read it off a row, which end is good."""

    label: str
    of: Callable[[Row], float]
    low_is_good: bool


def _by_hand(score: Row) -> Row | None:
    """What a score itself tells of the speed of its method, as a row."""
    speed = figure.number(score.get("megapixels_per_s"))
    return {"model": score["method"], "megapixels_per_s": speed} if speed > 0 else None


def _gmacs(row: Row) -> float:
    if "gmac_per_example" not in row:
        return math.nan
    height, width, _ = map(int, str(row["size"]).split("x"))
    return row["gmac_per_example"] * 256 * 256 / (height * width)


_PRICES = (
    _Price("megapixels a second", lambda row: row["megapixels_per_s"], low_is_good=False),
    _Price("GMACs for 256 by 256 pixels", _gmacs, low_is_good=True),
)


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points no other one beats in both, from slow to fast."""
    best = -math.inf
    front = []
    for x, y in sorted(points, reverse=True):
        if y > best:
            best = y
            front.append((x, y))
    return front[::-1]
