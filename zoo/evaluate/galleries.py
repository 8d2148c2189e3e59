"""Galleries of images side by side, to judge them by every pixel, and what sheets are made of."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from zoo import files
from zoo.data import pixels
from zoo.errors import ZooError
from zoo.evaluate.result import Level, Result

INK = "#1b1b1b"
FAINT = "#6b6b6b"

# All in pixels of the finished image.
_CELL = 288
_GAP = 12
_MARGIN = 24
_HEAD = 64
_CAPTION = 44
_FOOT = 30
# An image with a longer side is shown by a detail, and once small and whole. At 3x a detail's
# pixels are distinguishable, and 96 of them still show the object.
_WHOLE = 144
_DETAIL = 96


class Canvas:
    """An empty white image; positions count in pixels from its top left corner.

    Attributes:
      figure: matplotlib's.
      width: in pixels.
      height: in pixels.
    """

    def __init__(self, width: int, height: int):
        # Slow to import, and only needed where something is drawn. No pyplot: it keeps figures
        # alive and takes a display where there is one.
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
        FigureCanvasAgg(self.figure)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        color: str = INK,
        weight: str = "normal",
        across: str = "left",
    ) -> None:
        """Writes words whose top is at `y`, and whose `across` side is at `x`."""
        # Names may hold a dollar sign, which would start mathematics.
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            words,
            fontsize=size * 0.72,
            color=color,
            fontweight=weight,
            ha=across,
            va="top",
            parse_math=False,
        )

    def axes(self, x: float, y: float, width: float, height: float):
        """Matplotlib's axes in a box."""
        across, down = self.width, self.height
        return self.figure.add_axes(
            (x / across, 1 - (y + height) / down, width / across, height / down)
        )

    def write(self, path: str | os.PathLike) -> None:
        """Writes it as PNG, whole or not at all.

        Raises:
          ZooError: the file cannot be written.
        """
        png = io.BytesIO()
        # Without the program's name and version, equal images are equal files.
        self.figure.savefig(png, format="png", dpi=100, metadata={"Software": None})
        files.write(path, png.getvalue())


class Panel(NamedTuple):
    """One example of a row, as one method left it.

    Attributes:
      signal: an image (H, W, C), uint8, uint16 or float (clipped to [0, 1]), where C of 1 is shown
        gray; or an audio signal (T, C), float, of which the first channel is drawn.
      captions: scores in words, the main one first; empty for the clean example.
      merit: the main score, of which the best of a row is bold; or None.
    """

    signal: np.ndarray
    captions: Sequence[str] = ()
    merit: float | None = None


class Row(NamedTuple):
    """A name, and panels of one shape by their column's heading, the clean example first."""

    name: str
    panels: Mapping[str, Panel]

    @property
    def best(self) -> float | None:
        """The highest merit."""
        return max((p.merit for p in self.panels.values() if p.merit is not None), default=None)


class Drawn(NamedTuple):
    """An example that is drawn.

    Attributes:
      name: of the item.
      file: its file name, without a suffix.
      signals: method -> (..., C), "clean" the first.
    """

    name: str
    file: str
    signals: dict[str, np.ndarray]


class Sheet(NamedTuple):
    """The examples drawn at one level, and where.

    Attributes:
      folder: for files about all of them.
      outdir: for files of single ones.
      ending: of file names of this level, such as "25"; empty where there is one level.
      title: above a sheet.
      rows: the examples.
      shown: the methods for which there is room, in order.
      level: of the noise.
      result: the scores up to this level.
    """

    folder: Path
    outdir: Path
    ending: str
    title: str
    rows: list[Drawn]
    shown: list[str]
    level: Level
    result: Result

    def path(self, stem: str) -> Path:
        """The PNG of a stem at this level."""
        return self.folder / f"{stem}{self.ending and '_'}{self.ending}.png"

    def panels(self, captions: Mapping[str, str]) -> list[Row]:
        """The rows with the methods shown, and `Evaluator.captions` below them."""
        figures = {(s.level, s.example, s.method): s.figures for s in self.result.scores}

        def panel(row: Drawn, method: str) -> Panel:
            found = figures.get((self.level, row.name, method), {})
            known = {
                name: found[name] for name in captions if not np.isnan(found.get(name, np.nan))
            }
            words = [captions[name].format(value) for name, value in known.items()]
            return Panel(row.signals[method], words, known.get(self.result.modality.merit))

        return [Row(row.name, {m: panel(row, m) for m in self.shown}) for row in self.rows]


def gallery(
    path: str | os.PathLike,
    rows: Sequence[Row],
    *,
    title: str = "",
    comparable: bool = True,
    enlarge: float = 1.0,
) -> None:
    """Draws rows of images with their scores and writes them as PNG, whole or not at all.

    Pixels are repeated, never interpolated. Images with a side above 144 are shown by their
    `busiest` 96x96, the same in every column, with the whole image and the place in it in front.

    Args:
      path: the file; its folder exists.
      rows: at least one, all with the same headings.
      title: what is above the columns, such as the level of the noise.
      comparable: whether all of a row had the same noise; else none of it is the best.
      enlarge: factor for the text, for galleries that are shown reduced.

    Raises:
      ZooError: for no rows, or if the file cannot be written.
    """
    if not rows:
        raise ZooError("a gallery needs at least one image")
    drawn = [_draw(row) for row in rows]
    overview = any(whole is not None for whole, _ in drawn)
    headings = ["", *rows[0].panels] if overview else list(rows[0].panels)
    heights = [max(cell.shape[0] for cell in cells) for _, cells in drawn]
    head, caption, foot, line = (round(n * enlarge) for n in (_HEAD, _CAPTION, _FOOT, 17))
    width = 2 * _MARGIN + len(headings) * _CELL + (len(headings) - 1) * _GAP
    height = head + sum(heights) + len(rows) * caption + foot

    canvas = Canvas(width, height)

    def text(x, y, words, *, size, **style):
        canvas.text(x, y, words, size=size * enlarge, **style)

    def left(column):
        return _MARGIN + column * (_CELL + _GAP)

    text(_MARGIN, 12, title, size=17, weight="bold")
    for column, heading in enumerate(headings):
        text(left(column), head - round(22 * enlarge), heading, size=14, color=FAINT)
    top = head
    for row, (whole, cells), tall in zip(rows, drawn, heights, strict=True):
        shown = [whole, *cells] if overview else cells
        for column, cell in enumerate(shown):
            if cell is not None:
                # figimage copies pixels as they are, from the bottom left corner.
                canvas.figure.figimage(
                    cell, left(column), height - top - cell.shape[0], origin="upper"
                )
        below = top + tall + 6
        first = next(iter(row.panels.values())).signal
        size = f"{first.shape[1]} × {first.shape[0]}"
        under = top + shown[0].shape[0] + 6 if shown[0] is not None else below
        text(left(0), under, shorten(row.name, round(36 / enlarge)), size=13, weight="bold")
        text(left(0), under + line, size, size=12, color=FAINT)
        for column, panel in enumerate(row.panels.values(), start=int(overview)):
            best = comparable and panel.merit is not None and panel.merit == row.best
            for number, words in enumerate(panel.captions):
                style = {"size": 12, "color": FAINT} if number else {"size": 13}
                weight = "bold" if best and not number else "normal"
                text(left(column), below + line * number, words, weight=weight, **style)
        top += tall + caption
    best = "; the best is bold" if comparable else ""
    scored = any(panel.captions for row in rows for panel in row.panels.values())
    notes = [f"Details are {_DETAIL} pixels wide, enlarged {_CELL // _DETAIL} times."] * overview
    notes += [f"Scores are of the whole image{best}."] * scored
    text(_MARGIN, height - round(22 * enlarge), " ".join(notes), size=12, color=FAINT)
    canvas.write(path)


def _draw(row: Row) -> tuple[np.ndarray | None, list[np.ndarray]]:
    """The whole image with its frame, if it is too large for a cell, and every panel's cell."""
    eight_bits = (pixels.to_uint8(panel.signal) for panel in row.panels.values())
    panels = [pixels.to_channels(image, 3) for image in eight_bits]
    height, width = panels[0].shape[:2]
    longest = max(height, width)
    if longest <= _WHOLE:
        return None, [_enlarge(panel, _CELL // longest) for panel in panels]
    top, left = busiest(panels[0], _DETAIL)
    inside = np.s_[top : top + _DETAIL, left : left + _DETAIL]
    cells = [_enlarge(panel[inside], _CELL // _DETAIL) for panel in panels]
    scale = _CELL / longest
    small = (max(round(height * scale), 1), max(round(width * scale), 1))
    whole = Image.fromarray(pixels.resize(panels[0], small))
    corners = np.array([[left, top], [left + _DETAIL, top + _DETAIL]])
    first, last = (corners * scale).round().astype(int) - [[0, 0], [1, 1]]
    last = np.maximum(first, last)
    frame = ImageDraw.Draw(whole)
    frame.rectangle([*(first - 1), *(last + 1)], outline=(255, 255, 255))
    frame.rectangle([*first, *last], outline=(20, 20, 20))
    return np.asarray(whole), cells


def busiest(image: np.ndarray, side: int) -> tuple[int, int]:
    """Where the square of that side with the most to see begins, as (top, left).

    Judged by the mean absolute difference of two Gaussian blurs, of 1 and 4 pixels: finer texture,
    such as grass, is blurred away, and large plain areas, such as a coat against the sky, cancel.

    Args:
      image: (H, W, C), uint8.
      side: in pixels; a shorter image has its whole side taken.
    """
    from scipy import ndimage  # noqa: PLC0415 - slow to import, and training waits for this module

    gray = image.mean(axis=-1, dtype=np.float64) / 255
    detail = np.abs(ndimage.gaussian_filter(gray, 1) - ndimage.gaussian_filter(gray, 4))
    tall, wide = min(side, gray.shape[0]), min(side, gray.shape[1])
    # Sums over every square at once, from the sums over all rectangles that begin in the corner.
    corner = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    left, right = corner[:, :-wide], corner[:, wide:]
    sums = (right - left)[tall:] - (right - left)[:-tall]
    top, left = np.unravel_index(np.argmax(sums), sums.shape)
    return int(top), int(left)


def _enlarge(image: np.ndarray, times: int) -> np.ndarray:
    return image.repeat(times, axis=0).repeat(times, axis=1)


def shorten(name: str, most: int) -> str:
    """A name of at most so many letters, its middle left out."""
    if len(name) <= most:
        return name
    end = most * 2 // 5
    return f"{name[: most - end - 1]}\N{HORIZONTAL ELLIPSIS}{name[-end:]}"
