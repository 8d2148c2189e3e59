"""Scores a model and the baselines on pictures, and writes tables, pictures and a gallery."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo import files
from zoo.data import file_kinds, image_files
from zoo.data.sources import Example
from zoo.errors import ZooError, unknown
from zoo.evaluate import means, naming, tables
from zoo.evaluate import pictures as drawing
from zoo.evaluate.baselines import BASELINES
from zoo.evaluate.draw import Noise
from zoo.evaluate.means import Column, Means
from zoo.evaluate.measure import Apply, Measured, measure
from zoo.evaluate.protocol import Protocol

_COLUMNS = {
    "psnr": Column("PSNR", 2, higher=True),
    "ssim": Column("SSIM", 4, higher=True),
    "mse": Column("MSE", 6, higher=False),
    "mae": Column("MAE", 5, higher=False),
}
METRICS = tuple(_COLUMNS)
_GALLERY_ROWS = 5


class Score(NamedTuple):
    """The scores of one method on one picture at one level; units as in `compare`."""

    level: str
    picture: str
    method: str
    psnr: float
    ssim: float
    mse: float
    mae: float


class Result(NamedTuple):
    """What an evaluation found.

    Attributes:
      scores: one for each level, picture and method.
      summary: method -> metric -> mean over all pictures and levels; None if not finite.
      by_level: level -> method -> metric -> mean over all pictures.
      protocol: the choices behind the figures.
      paired: whether the pictures brought their own noise.
    """

    scores: list[Score]
    summary: Means
    by_level: dict[str, Means]
    protocol: Protocol
    paired: bool

    def table(self) -> str:
        """The means as aligned text, the best of each column marked by an asterisk.

        One block for each level and, for several, one for their mean; the protocol underneath.
        """
        blocks = [means.table(found, level, _COLUMNS) for level, found in self.by_level.items()]
        if len(blocks) > 1:
            blocks.append(means.table(self.summary, "mean", _COLUMNS))
        return "\n\n".join([*blocks, self.protocol.line(paired=self.paired)])


def evaluate(
    apply: Apply,
    pictures: Sequence[Example],
    *,
    levels: Mapping[str, Noise | None],
    outdir: str | os.PathLike,
    gallery: str | os.PathLike | None = None,
    heading: str = "{}",
    protocol: Protocol | None = None,
    baselines: Sequence[str] = ("nlm", "wavelet", "tv"),
    level_is_sigma: bool = False,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Denoises pictures at every level by the model and the baselines, and scores them all.

    Written under `outdir`, each file whole or not at all: `per_image.csv`; `summary.json` and
    `summary.csv`, the means over all pictures and levels; `by_level.json`; `protocol.json`; and
    the model's pictures as `denoised/<name>.png`, or `denoised/<level>/<name>.png` for several
    levels. Means that are infinite or undefined are null in JSON and empty in `summary.csv`;
    `per_image.csv` says inf and nan.

    Args:
      apply: `(noisy (B, H, W, C), level (B,)) -> (B, H, W, C)`, float32. Called as it is, so that
        it can cut tiles: jit it, with the parameters among its arguments. B is 1 for photographs
        (sides above 362), up to 64 for small pictures of one shape that follow each other.
      pictures: what to score on; each is looked up once a level.
      levels: for each printable label, such as "25", the noise. Pictures that bring their own
        input ignore it; theirs is None, with any one label.
      outdir: the folder, made if missing.
      gallery: the file of the gallery, `outdir/gallery.png` if None; for several levels the label
        is added, as in `gallery_25.png`.
      heading: what stands above a gallery, with `{}` for the level's label, such as
        "gaussian, sigma = {} / 255".
      protocol: the choices; the defaults if None.
      baselines: names of `zoo.evaluate.baselines.BASELINES`. They are slow, of the order of a
        second a photograph.
      level_is_sigma: whether the level that the samplers return is the standard deviation of white
        noise, as for `gaussian`, and is told to the baselines. They estimate it otherwise, and
        always for paired data.
      limit: only the first so many pictures, for every method; None for all.
      progress: called with the number of pictures done and to do, over all levels.

    Returns:
      The scores and their means, of "model", "noisy" (the input, clipped and rounded as an output
      is) and the baselines.

    Raises:
      ZooError: for no pictures or levels, an unknown baseline, shapes that do not agree, an output
        of the model that is not finite, or a file that cannot be written.
    """
    protocol = protocol or Protocol()
    outdir = Path(outdir)
    gallery = Path(gallery) if gallery is not None else outdir / "gallery.png"
    count = len(pictures) if limit is None else min(limit, len(pictures))
    _check(count, levels, baselines)
    samples = drawing.spread(count, _GALLERY_ROWS)
    several = len(levels) > 1

    scores: list[Score] = []
    for number, (label, noise) in enumerate(levels.items()):
        folder = outdir / "denoised" / files.slug(label) if several else outdir / "denoised"
        files.make_folder(folder)
        used: Counter[str] = Counter()
        rows, done = [], 0
        measured = measure(
            {"model": apply},
            pictures,
            noise,
            count=count,
            protocol=protocol,
            wanted=METRICS,
            baselines=baselines,
            level_is_sigma=level_is_sigma,
        )
        for part in measured:
            for place, picture in enumerate(part.group.pictures):
                for method, values in part.scores.items():
                    figures = (float(values[metric][place]) for metric in METRICS)
                    scores.append(Score(label, picture.name, method, *figures))
                name = naming.unique(picture.name, used, file_kinds.IMAGE_SUFFIXES)
                image_files.write(folder / f"{name}.png", part.integers("model", place))
                if part.group.places[place] in samples:
                    rows.append(_row(part, place))
            done += len(part.group.pictures)
            if progress:
                progress(number * count + done, len(levels) * count)
        place = gallery.with_stem(f"{gallery.stem}_{files.slug(label)}") if several else gallery
        files.make_folder(place.parent)
        drawing.gallery(place, rows, title=heading.format(label))

    result = Result(
        scores,
        _means(scores),
        {label: _means([s for s in scores if s.level == label]) for label in levels},
        protocol,
        paired=all(noise is None for noise in levels.values()),
    )
    facts = {
        "levels": list(levels),
        "pictures": count,
        "limit": limit,
        "sigma_of_baselines": "the level" if level_is_sigma else "estimated from each picture",
        "oracle": "nlm and tv choose their strength by the PSNR they reach, in their favour",
    }
    _write_tables(outdir, result, facts)
    return result


def mean_psnr(
    apply: Apply,
    pictures: Sequence[Example],
    *,
    levels: Mapping[str, Noise | None],
    protocol: Protocol | None = None,
    limit: int | None = None,
) -> float:
    """The figure `evaluate` gives for the model's PSNR, without the baselines and the files.

    Arguments and errors as for `evaluate`; the noise is the same too.

    Returns:
      The mean over all pictures and levels, in dB; inf if any picture came out perfect.
    """
    protocol = protocol or Protocol()
    count = len(pictures) if limit is None else min(limit, len(pictures))
    _check(count, levels, ())
    found = []
    for noise in levels.values():
        measured = measure(
            {"model": apply},
            pictures,
            noise,
            count=count,
            protocol=protocol,
            wanted=("psnr",),
            noisy_too=False,
        )
        for part in measured:
            found.extend(part.scores["model"]["psnr"])
    return float(np.mean(found))


def _check(count: int, levels: Mapping[str, Noise | None], baselines: Sequence[str]) -> None:
    if count < 1:
        raise ZooError("there is no picture to evaluate on; check the data and the limit")
    if not levels:
        raise ZooError("there is no noise level to evaluate at; name at least one")
    if len({files.slug(label) for label in levels}) < len(levels):
        raise ZooError(f"two levels would share a file name: {', '.join(levels)}; rename one")
    for name in baselines:
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)


def _row(part: Measured, place: int) -> drawing.Row:
    picture = part.group.pictures[place]
    panels = {"clean": drawing.Panel(picture.target)}
    for heading, method in (("noisy", "noisy"), ("model", "model"), ("non-local means", "nlm")):
        if method in part.finished:
            figures = (float(part.scores[method][metric][place]) for metric in ("psnr", "ssim"))
            panels[heading] = drawing.Panel(part.pixels(method, place), *figures)
    return drawing.Row(picture.name, panels)


def _means(scores: Sequence[Score]) -> Means:
    """Method -> metric -> mean, None where it is not finite."""
    by_method: dict[str, list[Score]] = {}
    for score in scores:
        by_method.setdefault(score.method, []).append(score)
    return {
        method: {
            metric: means.finite(np.mean([getattr(score, metric) for score in mine]))
            for metric in METRICS
        }
        for method, mine in by_method.items()
    }


def _write_tables(outdir: Path, result: Result, facts: Mapping[str, object]) -> None:
    means.write(
        outdir,
        protocol={**result.protocol.choices(paired=result.paired), **facts},
        summary=result.summary,
        by_level=result.by_level,
        metrics=METRICS,
    )
    text = tables.csv_text(Score._fields, result.scores)
    files.write(outdir / "per_image.csv", text.encode())
