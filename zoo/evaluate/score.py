"""The benchmark: models and baselines on whole data sets, as the literature tabulates them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo import noise as noises
from zoo.data.sources import Source
from zoo.errors import ZooError, unknown
from zoo.evaluate import pictures as drawing
from zoo.evaluate import published
from zoo.evaluate.baselines import BASELINES
from zoo.evaluate.contenders import Contender
from zoo.evaluate.draw import Noise, NumpyGaussian
from zoo.evaluate.measure import Measured, measure
from zoo.evaluate.protocol import METRICS, PUBLISHED, Protocol

PAIRED = "real"
"""The level's label where the pictures bring their own noise."""

_GALLERY_ROWS = 3


class Row(NamedTuple):
    """The scores of one method on one picture at one level; figures in the order asked for."""

    data: str
    level: str
    picture: str
    method: str
    figures: tuple[float, ...]


class Cell(NamedTuple):
    """The means of one method on one data set at one level.

    Attributes:
      data: the set.
      level: its label: sigma of 255, or `PAIRED`.
      method: a contender's label, a baseline, or "noisy".
      pictures: how many.
      means: metric -> mean over the pictures, NaN or inf where it is.
      published: the published PSNR in dB, or None.
    """

    data: str
    level: str
    method: str
    pictures: int
    means: dict[str, float]
    published: float | None

    @property
    def difference(self) -> float | None:
        """Measured less published PSNR, in dB."""
        return None if self.published is None else self.means["psnr"] - self.published


class Scores(NamedTuple):
    """What a benchmark found.

    Attributes:
      cells: one for each set, level and method.
      rows: one for each picture too.
      protocol: the choices behind the figures.
      metrics: which, in the order of `Row.figures`.
      left_out: what was not scored, and why.
    """

    cells: list[Cell]
    rows: list[Row]
    protocol: Protocol
    metrics: tuple[str, ...]
    left_out: list[str]


def score_models(
    contenders: Sequence[Contender],
    data: Mapping[str, Source],
    *,
    sigmas: Sequence[float] = (15, 25, 50),
    protocol: Protocol = PUBLISHED,
    metrics: Sequence[str] = ("psnr", "ssim"),
    baselines: Sequence[str] = ("nlm", "wavelet", "tv"),
    limit: int | None = None,
    gallery: Callable[[str, str, list[drawing.Row]], None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Scores:
    """Scores every contender that fits, and the baselines, on every set at every level.

    Args:
      contenders: the models; one takes part in the sets of its own number of channels.
      data: the sets by name; pairs bring their own noise, and the levels do not matter to them.
      sigmas: of the Gaussian noise, of 255.
      protocol: the choices.
      metrics: of `METRICS`; "psnr" is always among them.
      baselines: of `BASELINES`.
      limit: only the first so many pictures of each set; None for all.
      gallery: called with a set, a level and the rows to draw.
      progress: called with a set and level, and the pictures done and to do.

    Raises:
      ZooError: there is nothing to score, a name is unknown or twice there, a contender fits no
        set, or a file of weights or a picture cannot be read.
    """
    metrics = tuple(m for m in METRICS if m == "psnr" or m in metrics)
    _check(contenders, data, sigmas, baselines, metrics)
    cells: list[Cell] = []
    rows: list[Row] = []
    left_out = [
        f"{one.label} takes {one.facts.channels} channels, {name} has {source.channels}"
        for name, source in data.items()
        for one in contenders
        if one.facts.channels != source.channels
    ]
    for name, source in data.items():
        count = len(source) if limit is None else min(limit, len(source))
        fitting = [one for one in contenders if one.facts.channels == source.channels]
        for level, noise in _levels(source, sigmas, protocol).items():
            measured = measure(
                {one.label: one.load(level) for one in fitting},
                source,
                noise,
                count=count,
                protocol=protocol,
                wanted=metrics,
                baselines=baselines,
                level_is_sigma=True,
            )
            found: list[Row] = []
            drawn: list[drawing.Row] = []
            samples = _samples(count) if gallery else set()
            for part in measured:
                found.extend(_rows(name, level, part, metrics))
                for place in range(len(part.group.pictures)):
                    if part.group.start + place in samples:
                        drawn.append(_drawn(part, place))
                if progress:
                    done = part.group.start + len(part.group.pictures)
                    progress(f"{name}, {level}", done, count)
            if gallery:
                gallery(name, level, drawn)
            rows.extend(found)
            cells.extend(_cells(found, metrics, count, protocol, fitting))
    return Scores(cells, rows, protocol, metrics, left_out)


def _check(contenders, data, sigmas, baselines, metrics) -> None:
    if not data:
        raise ZooError("there are no pictures to score on; name a folder with --data")
    if not contenders and not baselines:
        raise ZooError("there is nothing to score; name a model or a baseline")
    for name in baselines:
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)
    for sigma in sigmas:
        if not 0 <= sigma <= 255:
            raise ZooError(f"sigma {sigma:g} is not between 0 and 255")
    labels = [one.label for one in contenders]
    for label in labels:
        if labels.count(label) > 1 or label in BASELINES or label == "noisy":
            raise ZooError(f"two rows would be called {label}; rename a file or its folder")
    for one in contenders:
        channels = {source.channels for source in data.values()}
        if one.facts.channels not in channels:
            raise ZooError(
                f"{one.label} takes pictures of {one.facts.channels} channels, and those of "
                f"{', '.join(data)} have {', '.join(map(str, channels))}; choose another model, or "
                "--pictures=gray or color"
            )


def _levels(source: Source, sigmas: Sequence[float], protocol: Protocol) -> dict[str, Noise | None]:
    if source[0].input is not None:
        return {PAIRED: None}
    if not sigmas:
        raise ZooError("there is no level to score at; name one with --sigma")
    if protocol.noise == "numpy":
        return {f"{sigma:g}": NumpyGaussian(sigma / 255) for sigma in sigmas}
    return {f"{sigma:g}": noises.make_sampler("gaussian", sigma, unit="1/255") for sigma in sigmas}


def _samples(count: int) -> set[int]:
    return set(np.linspace(0, count - 1, min(_GALLERY_ROWS, count)).round().astype(int).tolist())


def _rows(data: str, level: str, part: Measured, metrics: Sequence[str]) -> list[Row]:
    return [
        Row(
            data,
            level,
            picture.name,
            method,
            tuple(float(values[metric][place]) for metric in metrics),
        )
        for place, picture in enumerate(part.group.pictures)
        for method, values in part.scores.items()
    ]


def _drawn(part: Measured, place: int) -> drawing.Row:
    picture = part.group.pictures[place]
    panels = {"clean": drawing.Panel(picture.target)}
    for method in ["noisy", *(name for name in part.finished if name != "noisy")]:
        psnr = float(part.scores[method]["psnr"][place])
        panels[method] = drawing.Panel(part.pixels(method, place), psnr)
    return drawing.Row(picture.name, panels)


def _cells(
    rows: Sequence[Row],
    metrics: tuple[str, ...],
    count: int,
    protocol: Protocol,
    contenders: Sequence[Contender],
) -> list[Cell]:
    comparable = not published.differing(protocol)
    models = {one.label: one.facts.name for one in contenders}
    cells = []
    for method in dict.fromkeys(row.method for row in rows):
        mine = [row for row in rows if row.method == method]
        data, level = mine[0][:2]
        known = None
        if comparable and level != PAIRED:
            known = published.psnr(data, count, float(level), models.get(method, method))
        figures = np.array([row.figures for row in mine], np.float64)
        with np.errstate(invalid="ignore"):
            means = dict(zip(metrics, figures.mean(axis=0).tolist(), strict=True))
        cells.append(Cell(data, level, method, count, means, known))
    return cells


def folder_name(path: str | os.PathLike) -> str:
    """What a data set is called in tables: its folder."""
    return Path(path).resolve().name
