"""From names and folders of recordings to the files of a benchmark."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zoo import files
from zoo.errors import ZooError, unknown
from zoo.evaluate.benchmark import versions
from zoo.evaluate.contenders import Contender, contenders
from zoo.evaluate.recordings import folders as sets
from zoo.evaluate.recordings import published, report
from zoo.evaluate.recordings.protocol import RecordingProtocol
from zoo.evaluate.recordings.result import METRICS
from zoo.evaluate.recordings.run import BASELINES, evaluate_recordings
from zoo.evaluate.score import PAIRED
from zoo.models import model_spec


def run(
    models: Sequence[str],
    folders: Sequence[str],
    *,
    outdir: Path,
    noises: str | None,
    snrs: Sequence[float],
    pairs: tuple[str, str] | None,
    seed: int,
    metrics: Sequence[str],
    baselines: Sequence[str],
    limit: int | None,
    progress: Callable[[str, int, int], None] | None,
) -> str:
    """Scores models on folders of recordings, and writes tables, curves, pictures and wavs.

    Under `outdir`: `table.md` and `scores.csv`, after every set, and for each set a folder of its
    name with what `evaluate_recordings` writes.

    Args:
      models: as `contenders.contenders` reads them; all of recordings, of one sample rate.
      folders: the data sets, each called after its last part; of one with a sub-folder `test` only
        that is scored.
      outdir: an existing folder.
      noises: the folder of noise recordings to mix in; None with `pairs`.
      snrs: of the mixtures, in dB; of no meaning with `pairs`.
      pairs: sub-folders of each folder with the noisy and the clean recordings of equal names, or
        None to mix in noise.
      seed: as `RecordingProtocol.seed`.
      metrics: of `METRICS`.
      baselines: of `BASELINES`, or `"all"`; one that is among the models is left to them.
      limit: as for `evaluate_recordings`.
      progress: called with a set, and the recordings done and to do, over all levels.

    Returns:
      The tables as Markdown.

    Raises:
      ZooError: as `evaluate_recordings`, and for folders that cannot be read or would be written
        into.
    """
    for text in models:
        if "{sigma}" in text:
            raise ZooError(f"{text}: one file serves all levels; write it without {{sigma}}")
    levels = _levels(snrs, pairs)
    entered = contenders(models, list(levels))
    baselines = _baselines(entered, baselines)
    _check(entered, baselines, metrics, limit)
    rate = _rate(entered, baselines)
    data = sets.named(folders, pairs, rate)
    noise = None if pairs else sets.mixed_in(noises, rate)
    sets.check_apart(outdir, data, noise)
    protocol = RecordingProtocol(seed=seed, sample_rate=rate)
    facts = _facts(entered, data, noise, protocol, limit)
    denoisers = {one.label: one.load(next(iter(levels))) for one in entered}
    names = {"noisy": "noisy"} | {one.label: one.facts.name for one in entered}
    found: dict[str, report.Found] = {}
    for name, one in data.items():
        count = min(len(one.source), limit or len(one.source))
        if progress:
            progress(name, 0, count * len(levels))
        result = evaluate_recordings(
            denoisers,
            one.source,
            levels=levels,
            noise=None if noise is None else noise.source,
            outdir=outdir / files.slug(name),
            protocol=protocol,
            baselines=baselines,
            metrics=metrics,
            heading=_heading(name, pairs),
            limit=limit,
            progress=progress and (lambda done, todo, name=name: progress(name, done, todo)),
        )
        known = bool(pairs) and published.is_test_set(one.source.names[:count])
        found[name] = report.Found(result, count, known)
        text = report.markdown(found, facts, names)
        files.write(outdir / "table.md", text.encode())
        files.write(outdir / "scores.csv", report.csv(found, names).encode())
    return text


def _levels(snrs: Sequence[float], pairs: tuple[str, str] | None) -> dict[str, float | None]:
    if pairs:
        return {PAIRED: None}
    if not snrs:
        raise ZooError("there is no level to score at; name one with --snr")
    return {f"{snr + 0.0:g} dB": float(snr) for snr in snrs}


def _heading(name: str, pairs: tuple[str, str] | None) -> str:
    name = name.replace("{", "{{").replace("}", "}}")
    return f"{name}, their own noise" if pairs else f"{name}, SNR {{}}"


def _baselines(entered: Sequence[Contender], baselines: Sequence[str]) -> list[str]:
    if "all" in baselines:
        baselines = [*BASELINES, *(name for name in baselines if name != "all")]
    bare = {one.label for one in entered if one.file is None}
    return [name for name in dict.fromkeys(baselines) if name not in bare]


def _check(
    entered: Sequence[Contender],
    baselines: Sequence[str],
    metrics: Sequence[str],
    limit: int | None,
) -> None:
    for kind, given, known in (("baseline", baselines, BASELINES), ("metric", metrics, METRICS)):
        for name in given:
            if name not in known:
                raise unknown(kind, name, known)
    if not metrics:
        raise ZooError("there is no metric to score by; name one with --metrics")
    if not entered and not baselines:
        raise ZooError("there is nothing to score; name a model or a baseline")
    if limit is not None and limit < 1:
        raise ZooError("there are no recordings to score on; check the data and the limit")
    labels = [one.label for one in entered]
    for label in labels:
        if labels.count(label) > 1 or label in (*baselines, "noisy", "clean"):
            raise ZooError(f"two rows would be called {label}; name each model once")


def _rate(entered: Sequence[Contender], baselines: Sequence[str]) -> int:
    """The sample rate that all of them are made for."""
    facts = {one.label: one.facts for one in entered} | {
        name: model_spec(name) for name in baselines
    }
    rates = {one.sample_rate: label for label, one in facts.items()}
    if len(rates) > 1:
        told = " and ".join(f"{label} takes {rate} Hz" for rate, label in rates.items())
        raise ZooError(f"{told}; score them one after the other")
    return next(iter(rates))


def _facts(
    entered: Sequence[Contender],
    data: Mapping[str, sets.Folder],
    noise: sets.Folder | None,
    protocol: RecordingProtocol,
    limit: int | None,
) -> list[tuple[str, object]]:
    """Every choice, and what else the figures rest on, for the head of the table."""
    facts: list[tuple[str, object]] = [*protocol.choices().items()]
    form = f"mono at {protocol.sample_rate} Hz, resampled where the files are not"
    for name, one in data.items():
        first = [f"only the first {limit}"] if limit and limit < len(one.source) else []
        facts.append((name, ", ".join([one.told, form, *first])))
    if noise is not None:
        facts.append(("noises", noise.told))
    return [*facts, *((one.label, str(one)) for one in entered), ("versions", versions())]
