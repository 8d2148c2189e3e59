"""Line charts as inline SVG, coloured by the page's style."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from zoo.report.axes import Axis, linear, logarithmic
from zoo.report.markup import Markup, element
from zoo.report.numbers import short

_WIDE, _NARROW, _HEIGHT = 440, 340, 252
_LEFT, _TOP, _BOTTOM = 46, 12, 40
# The room of a letter; letters of the wide ones grow on a narrow screen.
_LETTER, _LARGE = 7.0, 8.4
_LINE = 14.0
_LONGEST = 18


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
      name: what it is, written at its right end if the chart names its lines.
      points: (x, y); those that are not finite, or not positive on a logarithmic axis, break it.
      look: class names of the style: a colour "c0" to "c7", and "faint", "dashed", "dots".
    """

    name: str
    points: Sequence[tuple[float, float]]
    look: str


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    across: str,
    up: str,
    log: bool = False,
    named: bool = False,
    ticks: Sequence[float] | None = None,
    narrow: bool = False,
) -> Markup | None:
    """Draws lines as a figure with a caption.

    Args:
      title: the caption.
      lines: what to draw; the later above the earlier.
      across: what x is.
      up: what y is.
      log: whether y is logarithmic.
      named: whether lines are named at their right ends; a legend does it otherwise.
      ticks: where x has ticks; round numbers if None.
      narrow: whether three stand in a row, so that its letters must not shrink.

    Returns:
      The figure, or None if there is no point to draw.
    """
    lines = [Line(line.name, _drawable(line.points, log), line.look) for line in lines]
    every = [p for line in lines for p in line.points if p is not None]
    if not every:
        return None
    rooms = [_letters(line.name) for line in lines] if named else [1]
    right = 16 + (max(rooms) * (_LETTER if narrow else _LARGE) if named else 0)
    across_all = [x for x, _ in every]
    x_axis = linear(across_all, tight=True)
    if ticks is not None:
        x_axis = x_axis._replace(ticks=tuple(ticks))
    elif all(float(x).is_integer() for x in across_all):
        x_axis = x_axis._replace(ticks=tuple(t for t in x_axis.ticks if t.is_integer()))
    heights = [y for _, y in every]
    y_axis = logarithmic(heights) if log else linear(heights)
    width = _NARROW if narrow else _WIDE
    box = _Box(_LEFT, _TOP, width - right, _HEIGHT - _BOTTOM)
    drawn = [_grid(box, x_axis, y_axis), _title(box, across)]
    drawn += [_line(box, x_axis, y_axis, line) for line in lines]
    if named:
        drawn.append(_names(box, y_axis, lines))
    svg = element(
        "svg",
        drawn,
        viewBox=f"0 0 {width} {_HEIGHT}",
        role="img",
        aria_label=f"{title}: {up} against {across}. {_in_words(lines)}",
    )
    legend = None if named or len(lines) < 2 else _legend(lines)
    return element(
        "figure",
        element("figcaption", title, legend),
        svg,
        class_="chart" if narrow else "chart large",
    )


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def x(self, place: float) -> float:
        return round(self.left + place * (self.right - self.left), 1)

    def y(self, place: float) -> float:
        return round(self.bottom - place * (self.bottom - self.top), 1)


def _drawable(points: Sequence[tuple[float, float]], log: bool) -> list[tuple[float, float] | None]:
    """The points, None for those that cannot be drawn."""
    return [
        (x, y) if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log) else None
        for x, y in points
    ]


def _grid(box: _Box, x_axis: Axis, y_axis: Axis) -> list[Markup]:
    drawn = []
    for tick in y_axis.ticks:
        y = box.y(y_axis.place(tick))
        drawn.append(element("line", x1=box.left, x2=box.right, y1=y, y2=y, class_="grid"))
        drawn.append(_label(short(tick), box.left - 7, y + 4, "end"))
    # Labels that would touch are left out, as those of uneven levels do.
    free = -math.inf
    for tick in x_axis.ticks:
        x = box.x(x_axis.place(tick))
        half = len(short(tick)) * _LETTER / 2
        drawn.append(element("line", x1=x, x2=x, y1=box.bottom, y2=box.bottom + 4, class_="tick"))
        if x - half > free:
            drawn.append(_label(short(tick), x, box.bottom + 17, "middle"))
            free = x + half + 4
    drawn.append(
        element("line", x1=box.left, x2=box.right, y1=box.bottom, y2=box.bottom, class_="axis")
    )
    return drawn


def _title(box: _Box, across: str) -> Markup:
    text = f"{across} \N{RIGHTWARDS ARROW}"
    return element("text", text, x=box.right, y=box.bottom + 33, text_anchor="end", class_="title")


def _label(text: str, x: float, y: float, anchor: str) -> Markup:
    return element("text", text, x=round(x, 1), y=round(y, 1), text_anchor=anchor)


def _line(box: _Box, x_axis: Axis, y_axis: Axis, line: Line) -> list[Markup]:
    path, pen, dots = [], "M", []
    for point in line.points:
        if point is None:
            pen = "M"
            continue
        x, y = box.x(x_axis.place(point[0])), box.y(y_axis.place(point[1]))
        path.append(f"{pen}{x:g} {y:g}")
        pen = "L"
        if "dots" in line.look:
            told = element("title", f"{line.name}, {short(point[0])}: {point[1]:.4g}")
            dots.append(element("circle", told, cx=x, cy=y, r=3, class_=line.look))
    return [element("path", d="".join(path), class_=f"line {line.look}"), *dots]


def _names(box: _Box, y_axis: Axis, lines: Sequence[Line]) -> list[Markup]:
    """The lines' names at their right ends, moved apart where they would touch."""
    ends = []
    for line in lines:
        last = next((p for p in reversed(line.points) if p is not None), None)
        if last is not None:
            ends.append((box.y(y_axis.place(last[1])), line))
    ends.sort(key=lambda end: end[0])
    places = _apart([height for height, _ in ends], _LINE, box.top, box.bottom)
    return [
        element(
            "text", _cut(line.name), x=box.right + 9, y=round(y + 4, 1), class_=f"name {line.look}"
        )
        for y, (_, line) in zip(places, ends, strict=True)
    ]


def _apart(heights: Sequence[float], least: float, top: float, bottom: float) -> list[float]:
    """Rising heights moved as little as keeps them apart, and inside where there is room."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + least) if placed else max(height, top))
    limit = max(bottom, top + least * (len(heights) - 1))
    for at in reversed(range(len(placed))):
        placed[at] = min(placed[at], limit)
        limit = placed[at] - least
    return placed


def _legend(lines: Sequence[Line]) -> Markup:
    shown = [line for line in lines if line.name]
    keys = [element("span", element("i", class_=f"key {line.look}"), line.name) for line in shown]
    return element("span", keys, class_="legend")


def _in_words(lines: Sequence[Line]) -> str:
    told = []
    for line in lines:
        ends = [p for p in line.points if p is not None]
        if line.name and ends:
            told.append(f"{line.name} from {ends[0][1]:.4g} to {ends[-1][1]:.4g}")
    return "; ".join(told)


def _letters(name: str) -> int:
    return len(_cut(name))


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
