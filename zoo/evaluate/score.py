"""The benchmark: models and baselines on whole data sets, as the literature tabulates them."""

import functools
from collections.abc import Callable, Mapping, Sequence
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
      paired: whether the pictures bring their own noise.
    """

    cells: list[Cell]
    rows: list[Row]
    protocol: Protocol
    metrics: tuple[str, ...]
    left_out: list[str]
    paired: bool


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
    keep: Callable[[Scores], None] | None = None,
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
      keep: called with what is found so far: before the first picture and after every level.
      progress: called with a set and level, and the pictures done and to do.

    Raises:
      ZooError: there is nothing to score, a name is unknown or twice there, a contender fits no
        set or needs a level that is not known, or a file cannot be read.
    """
    _check(contenders, data, sigmas, protocol, baselines, metrics, limit)
    metrics = tuple(m for m in METRICS if m == "psnr" or m in metrics)
    left_out = [
        f"{one.label} takes {_channels(one.facts.channels)}, {name} has "
        f"{_channels(source.channels)}"
        for name, source in data.items()
        for one in contenders
        if one.facts.channels != source.channels
    ]
    paired = all(source[0].input is not None for source in data.values())
    scores = Scores([], [], protocol, metrics, left_out, paired)
    if keep:
        keep(scores)
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
            done = 0
            drawn: dict[int, drawing.Row] = {}
            samples = drawing.spread(count, _GALLERY_ROWS) if gallery else set()
            for part in measured:
                found.extend(_rows(name, level, part, metrics))
                for place, number in enumerate(part.group.places):
                    if number in samples:
                        drawn[number] = _drawn(part, place)
                done += len(part.group.pictures)
                if progress:
                    progress(f"{name}, {level}", done, count)
            if gallery:
                gallery(name, level, [drawn[number] for number in sorted(drawn)])
            scores.rows.extend(found)
            comparable = level != PAIRED and not published.differing(protocol)
            for method, means in _means(found, metrics).items():
                model = {one.label: one.facts.name for one in fitting}.get(method, method)
                known = None
                if comparable:
                    known = published.psnr(name, count, source.channels, float(level), model)
                scores.cells.append(Cell(name, level, method, count, means, known))
            if keep:
                keep(scores)
    return scores


def level_names(sigmas: Sequence[float], *, paired: bool) -> list[str]:
    """The labels of the levels, without repetition."""
    return [PAIRED] if paired else list(dict.fromkeys(f"{sigma + 0.0:g}" for sigma in sigmas))


def _channels(number: int) -> str:
    return {1: "grey pictures", 3: "colour pictures"}.get(number, f"pictures of {number} channels")


def _check(contenders, data, sigmas, protocol, baselines, metrics, limit) -> None:
    if not data or not all(map(len, data.values())) or (limit is not None and limit < 1):
        raise ZooError("there are no pictures to score on; check the data and the limit")
    if not contenders and not baselines:
        raise ZooError("there is nothing to score; name a model or a baseline")
    for kind, names, known in (("baseline", baselines, BASELINES), ("metric", metrics, METRICS)):
        for name in names:
            if name not in known:
                raise unknown(kind, name, known)
    for sigma in sigmas:
        if not 0 <= sigma <= 255:
            raise ZooError(f"sigma {sigma:g} is not between 0 and 255")
    labels = [one.label for one in contenders]
    for label in labels:
        if labels.count(label) > 1 or label in BASELINES or label == "noisy":
            raise ZooError(f"two rows would be called {label}; name each model once")
    for one in contenders:
        sets = {name: s for name, s in data.items() if s.channels == one.facts.channels}
        if not sets:
            kinds = {_channels(source.channels) for source in data.values()}
            raise ZooError(
                f"{one.label} takes {_channels(one.facts.channels)}, and {', '.join(data)} has "
                f"{' and '.join(sorted(kinds))}; choose another model, or --pictures gray or color"
            )
        paired = [name for name, source in sets.items() if source[0].input is not None]
        if paired and one.facts.takes_level and protocol.level == "known":
            raise ZooError(
                f"{one.label} takes a noise level and that of {paired[0]} is not known; "
                "choose --level estimated"
            )


def _levels(source: Source, sigmas: Sequence[float], protocol: Protocol) -> dict[str, Noise | None]:
    paired = source[0].input is not None
    names = level_names(sigmas, paired=paired)
    if paired:
        return dict.fromkeys(names)
    if not names:
        raise ZooError("there is no level to score at; name one with --sigma")
    if protocol.noise == "numpy":
        return {name: NumpyGaussian(float(name) / 255) for name in names}
    return {name: _sampler(float(name)) for name in names}


@functools.cache
def _sampler(sigma: float) -> Noise:
    """One a level for all sets, because each is compiled."""
    return noises.make_sampler("gaussian", sigma, unit="1/255")


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


def _means(rows: Sequence[Row], metrics: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Method -> metric -> mean."""
    means = {}
    for method in dict.fromkeys(row.method for row in rows):
        figures = np.array([row.figures for row in rows if row.method == method], np.float64)
        with np.errstate(invalid="ignore"):
            means[method] = dict(zip(metrics, figures.mean(axis=0).tolist(), strict=True))
    return means
