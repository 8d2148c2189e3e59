"""The score of every single picture or recording."""

import math
from collections.abc import Sequence

from zoo.report import scores
from zoo.report.markup import Markup, element
from zoo.report.numbers import fixed
from zoo.report.run import Run

# A table that no browser should have to lay out.
_MOST = 3000


def singles(run: Run) -> Markup | None:
    """A table with a row for each picture and level, a column for each method.

    None if there are no single scores.
    """
    if not run.scores:
        return None
    kind = "recording" if run.sound else "picture"
    metric = scores.headline(run)
    methods = list(dict.fromkeys(row["method"] for row in run.scores))
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in run.scores:
        found.setdefault((row["level"], row.get(kind, "")), {})[row["method"]] = row
    others = [m for m in run.scores[0] if m in ("ssim", "stoi", "pesq")]
    several = len({level for level, _ in found}) > 1
    heading = scores.column(metric).heading
    told = [("Level", True)] if several else []
    told += [(kind.capitalize(), False)]
    told += [(method, True) for method in methods]
    told += [(f"{scores.column(other).heading} of model", True) for other in others]
    head = element("thead", element("tr", [_heading(*one) for one in told]))
    body = []
    for (level, name), by_method in list(found.items())[:_MOST]:
        cells = [element("td", level.replace("-", "\N{MINUS SIGN}"), class_="number")] * several
        cells.append(element("th", name, scope="row"))
        cells += _cells(metric, [_value(by_method.get(method), metric) for method in methods])
        cells += [_cell(_value(by_method.get("model"), m), m, best=False) for m in others]
        body.append(element("tr", cells))
    short = f" The first {_MOST} are shown." if len(found) > _MOST else ""
    word = "recordings" if run.sound else "pictures"
    summary = element("summary", f"Every single {kind}: {len(found)} rows")
    note = (
        f"{heading} of each method, the best in bold; a heading that is clicked sorts.{short} All "
        f"figures are in eval/per_{'recording' if run.sound else 'image'}.csv."
    )
    table = element("table", head, element("tbody", body), class_="sortable", aria_label=word)
    wide = element("div", table, class_="wide tall", tabindex="0")
    return element("details", summary, element("p", note, class_="note"), wide, id="singles")


def values(run: Run, metric: str) -> dict[tuple[str, str], dict[str, float]]:
    """(level, recording or picture) -> method -> value, of the single scores."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in run.scores:
        value = _value(row, metric)
        if value is not None:
            name = row.get("recording" if run.sound else "picture", "")
            found.setdefault((row["level"], name), {})[row["method"]] = value
    return found


def _heading(text: str, number: bool) -> Markup:
    return element("th", text, scope="col", class_="number" if number else None)


def _cells(metric: str, found: Sequence[float | None]) -> list[Markup]:
    known = [value for value in found if value is not None and not math.isnan(value)]
    best = (max if scores.column(metric).higher else min)(known, default=None)
    return [_cell(v, metric, best=v is not None and v == best) for v in found]


def _cell(value: float | None, metric: str, *, best: bool) -> Markup:
    text = fixed(value, scores.column(metric).digits)
    return element("td", element("b", text) if best else text, class_="number", data_value=value)


def _value(row: dict[str, str] | None, metric: str) -> float | None:
    try:
        return float(row[metric]) if row else None
    except (KeyError, ValueError):
        return None
