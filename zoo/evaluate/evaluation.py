"""One evaluation for every modality and caller: the end of a training, `--mode=eval`, `zoo score`.

`evaluate` writes below its folder, each file whole or not at all:

* `per_image.csv` or `per_recording.csv`: every figure, one row for each level, example and method.
* `summary.json`, `summary.csv`: method -> metric -> mean over all examples and levels.
* `by_level.json`: the same for each level, by the level's label. Means that are infinite or
  undefined are null in JSON and empty in csv.
* `protocol.json`: every choice behind the figures.
* `denoised/`: the first model's outputs, in a folder of each level where there are several.
* a gallery of images for each level; of audio `spectrograms`, `waveforms` and, in `listen/`, the
  outputs of all methods for a few audio signals, one gain for all of them.
* `curves_<metric>.png`: the means by level, where there are several.
* `manifest.json`: which file is of which level, example and method, so that nobody has to parse
  file names; see `zoo.evaluate.read_manifest`.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from zoo import charts, files
from zoo.errors import ZooError
from zoo.evaluate import audio_evaluator, image_evaluator  # noqa: F401 - they register themselves
from zoo.evaluate.degrade import Noise
from zoo.evaluate.galleries import Drawn, Sheet
from zoo.evaluate.measure import (
    Evaluator,
    check_baselines,
    evaluator_class,
    measure,
    modality_of,
)
from zoo.evaluate.protocol import Protocol
from zoo.evaluate.result import (
    Apply,
    File,
    Level,
    Means,
    Result,
    Score,
    mean_scores,
    rank,
    write,
)
from zoo.metrics import main_metric
from zoo.metrics.perceptual import Pool

# More columns than so many models, and what they are compared with, do not fit a screen.
_SHOWN_MODELS = 4

Models = Mapping[str, Apply] | Callable[[Level], Mapping[str, Apply]]


def evaluate(
    models: Models,
    source: Sequence,
    *,
    levels: Mapping[Level, Noise | None],
    outdir: str | os.PathLike,
    noise: Sequence | None = None,
    protocol: Protocol | None = None,
    baselines: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    title: str = "",
    sheets: str | os.PathLike | None = "",
    denoised: bool = True,
    sigma_known: bool = False,
    limit: int | None = None,
    keep: Callable[[Result], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Denoises a set at every level by models and baselines, and scores them all.

    Args:
      models: the models by name, `(noisy (B, ..., C), level (B,)) -> (B, ..., C)`, float32; or a
        function that gives those of a level. They are called as they are, so that they can cut
        tiles: jit them, with the parameters among their arguments. B is 1 for photographs (sides
        above 362), up to 64 for small images, up to 16 for audio of multiples of 2 s.
      source: what to score on, a `zoo.data.sources.Source` or any sequence of examples; its
        modality decides all that follows. Each file is decoded once, as far as 1 GiB goes.
      levels: for each level the noise, a sampler of `zoo.noise` or a `NumpyGaussian`; None for
        audio, which is mixed at an SNR of the level, and for examples that bring their own noise,
        which have one level without a number, such as `REAL`.
      outdir: the folder, made if missing; see the module for what is written. Outputs of an earlier
        evaluation in it are removed.
      noise: signals to mix in; None for those of `source.noise`, if it has them.
      protocol: the choices; the defaults of the modality if None.
      baselines: names of classical methods; None for the usual ones.
      metrics: names; None for the usual ones. Those whose package is missing are left out, with a
        note.
      title: what stands before the level above galleries.
      sheets: the folder for galleries; `outdir` if empty. None draws nothing, curves included.
      denoised: whether the first model's outputs are written.
      sigma_known: as for `Evaluator`.
      limit: only the first so many examples, for every method; None for all.
      keep: called with the result so far after every level.
      progress: called with the number of items done and to do, over all levels.

    Returns:
      The scores and their means, of the models, "noisy" (the input) and the baselines.

    Raises:
      ZooError: there is nothing to score, an unknown name, shapes that do not agree, an output that
        is not finite, or a file that cannot be read or written.
    """
    modality = modality_of(source)
    kind = evaluator_class(modality)
    evaluator = kind(
        modality, source, noise=noise, protocol=protocol, limit=limit, sigma_known=sigma_known
    )
    baselines = evaluator.usual_baselines if baselines is None else tuple(baselines)
    check_baselines(baselines, evaluator.baselines)
    labels = [level.label for level in levels]
    if len({*map(files.slug, labels)}) < len(labels):
        raise ZooError(f"two levels would share a file name: {', '.join(labels)}; rename one")
    notes = evaluator.prepare(levels)
    wanted, missing = evaluator.available(metrics)
    models_at = models if callable(models) else lambda level: models
    names = list(models_at(next(iter(levels))))
    _check_names(names, baselines)

    outdir = Path(outdir)
    folder = None if sheets is None else Path(sheets or outdir)
    several = len(levels) > 1
    endings = {level: files.slug(level.label) if several else "" for level in levels}
    _clear(outdir, folder, evaluator)
    denoised_folders = [outdir / "denoised" / endings[level] for level in levels if denoised]
    for place in (outdir, folder or outdir, *denoised_folders):
        files.make_folder(place)

    order = {piece.key: number for number, piece in enumerate(evaluator.pieces)}
    stems = _file_names(evaluator)
    samples = _spread(evaluator) if folder else set()
    written: list[File] = []
    scores: list[Score] = []
    by_level: dict[Level, Means] = {}
    reasons: dict[str, dict] = {}
    done, total = 0, len(order) * len(levels)
    judged = sum(bool(metric.package) for metric in wanted)
    skip = {"skip_undefined": evaluator.skip_undefined}
    with Pool(total * (len(names) + 1 + len(baselines)) * judged) as pool:
        for level, noise_of_level in levels.items():
            own, rows = {}, {}
            for part in measure(
                models_at(level),
                evaluator,
                level,
                noise_of_level,
                metrics=wanted,
                baselines=baselines,
                pool=pool,
            ):
                for at, item in enumerate(part.group.items):
                    key = item.piece.key
                    own[key] = [
                        Score(level, item.name, method, {m: found[at] for m, found in row.items()})
                        for method, row in part.scores.items()
                    ]
                    if denoised and names:
                        path = outdir / "denoised" / endings[level] / stems[key]
                        path = evaluator.write(path, part, names[0], at)
                        written.append(File(path, "denoised", level, item.name, names[0]))
                    if key in samples:
                        # Copies: a slice would keep its whole batch.
                        methods = ("clean", "noisy", *names, *baselines)
                        signals = {method: part.output(method, at).copy() for method in methods}
                        rows[key] = Drawn(item.name, stems[key], signals)
                for (metric, at, method), reason in part.reasons.items():
                    name = part.group.items[at].name
                    reasons.setdefault(metric, {}).setdefault((level, name), (method, reason))
                done += len(part.group.items)
                if progress:
                    progress(done, total)
            of_level = [score for key in sorted(own, key=order.get) for score in own[key]]
            scores += of_level
            by_level[level] = mean_scores(of_level, wanted, **skip)
            result = Result(
                modality,
                list(scores),
                mean_scores(scores, wanted, **skip),
                dict(by_level),
                evaluator.protocol,
                wanted,
                evaluator.count,
                [*missing, *notes, *_undefined_notes(reasons, done)],
                evaluator.paired,
            )
            if rows:
                sheet = Sheet(
                    folder,
                    outdir,
                    endings[level],
                    f"{title}, {level}" if title else str(level),
                    [rows[key] for key in sorted(rows, key=order.get)],
                    _shown(names, baselines, by_level[level], modality.merit),
                    level,
                    result,
                )
                written += evaluator.draw(sheet)
            if keep:
                keep(result)
    if folder:
        written += _draw_curves(outdir, result, ["noisy", *baselines])
    write(outdir, result, evaluator.facts(outdir), written, names, baselines, limit)
    return result


def mean_merit(
    apply: Apply,
    source: Sequence,
    *,
    levels: Mapping[Level, Noise | None],
    noise: Sequence | None = None,
    protocol: Protocol | None = None,
    limit: int | None = None,
) -> float:
    """The mean of the modality's main metric, as `evaluate` computes it, without anything else.

    Arguments and errors as for `evaluate`; the noise is the same too.

    Returns:
      The mean over all examples and levels; inf if any figure is.
    """
    modality = modality_of(source)
    kind = evaluator_class(modality)
    evaluator = kind(modality, source, noise=noise, protocol=protocol, limit=limit)
    evaluator.prepare(levels)
    metric = main_metric(modality)
    found = []
    for level, sampler in levels.items():
        for part in measure(
            {"model": apply}, evaluator, level, sampler, metrics=(metric,), with_noisy=False
        ):
            found += part.scores["model"][metric.name]
    return float(np.mean(found))


def _check_names(names: Sequence[str], baselines: Sequence[str]) -> None:
    for name in names:
        if name in ("clean", "noisy"):
            raise ZooError(f"a model cannot be called {name}, which stands for the data; rename it")
        if name in baselines:
            raise ZooError(f"two rows would be called {name}; name each method once")


def _clear(outdir: Path, folder: Path | None, evaluator: Evaluator) -> None:
    """Removes the outputs of an earlier evaluation, which would pass for this one's."""
    for old in ("denoised", "listen"):
        shutil.rmtree(outdir / old, ignore_errors=True)
    for path in outdir.glob("curves_*.png") if folder else ():
        path.unlink()
    for stem in evaluator.sheets if folder else ():
        for path in folder.glob(f"{stem}*.png"):
            path.unlink()


def _file_names(evaluator: Evaluator) -> dict[tuple, str]:
    """Unique file names of the pieces, without a suffix, by their keys."""
    used: Counter[str] = Counter()
    found = {}
    for piece in evaluator.pieces:
        path = Path(piece.name)
        known = path.suffix.lower() in evaluator.suffixes
        slug = stem = files.slug(str(path.with_suffix("")) if known else piece.name)
        while stem in used:
            used[slug] += 1
            stem = f"{slug}_{used[slug]}"
        used[stem] += 1
        found[piece.key] = stem
    return found


def _spread(evaluator: Evaluator) -> set[tuple]:
    """The keys of the pieces that are drawn, evenly spread from first to last."""
    last = len(evaluator.pieces) - 1
    places = np.linspace(0, last, min(evaluator.rows, last + 1)).round().astype(int)
    return {evaluator.pieces[at].key for at in places}


def _undefined_notes(reasons: Mapping[str, Mapping], total: int) -> list[str]:
    notes = []
    for metric, cases in reasons.items():
        (_, name), (method, reason) = next(iter(cases.items()))
        notes.append(
            f"no {metric.upper()} for {len(cases)} of {total} mixtures, left out "
            f"of every method's mean; {method} of {name}: {reason}"
        )
    return notes


def _shown(
    names: Sequence[str], baselines: Sequence[str], means: Mapping, metric: str
) -> list[str]:
    """The methods on a sheet: the models and the best baseline, or all baselines by themselves."""
    compared = sorted(baselines, key=lambda name: rank(means[name].get(metric)))
    compared = compared[-1:] if names else baselines
    return ["clean", "noisy", *names[:_SHOWN_MODELS], *compared]


def _draw_curves(outdir: Path, result: Result, classical: Sequence[str]) -> list[File]:
    """Draws each metric by level, one line for each method, where there are several levels."""
    levels = [level for level in result.by_level if level.value is not None]
    if len({level.value for level in levels}) < 2:
        return []
    drawn = []
    for metric in result.metrics:
        series: dict[str, list[tuple[float, float]]] = {}
        for level in levels:
            for method, row in result.by_level[level].items():
                if row[metric.name] is not None and not (metric.gain_of and method == "noisy"):
                    series.setdefault(method, []).append((level.value, row[metric.name]))
        if not series:
            continue
        chart = charts.level_chart(
            series,
            levels[0].axis,
            f"mean {metric.heading}",
            classical=classical,
            title=result.modality.count(result.count),
        )
        path = outdir / f"curves_{metric.name}.png"
        charts.write_png(path, [chart])
        drawn.append(File(path, "curves"))
    return drawn
