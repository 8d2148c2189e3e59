"""The benchmark `zoo score`: models and baselines on whole data sets, as the literature has it.

For every set `evaluate` writes a folder below `--out`; `table.md`, `scores.csv` and `scores.json`
have the means of all sets.
"""

import dataclasses
import functools
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax

from zoo import files
from zoo.errors import ZooError
from zoo.evaluate.baselines import is_installed
from zoo.evaluate.benchmark_sets import Sets, TestSet
from zoo.evaluate.contenders import Contender, contenders
from zoo.evaluate.evaluation import evaluate
from zoo.evaluate.measure import check_baselines, evaluator_class
from zoo.evaluate.published_figures import AUDIO_METRICS, AUDIO_NOTE, published
from zoo.evaluate.result import REAL, Level, Result, csv_text, markdown_table, rank
from zoo.modality import AUDIO, IMAGE, Metric


class Found(NamedTuple):
    """The outcome on one set.

    Attributes:
      result: of the evaluation.
      published: (level, method) -> metric -> published figure.
    """

    result: Result
    published: dict[tuple[Level, str], dict[str, float]]


def run(
    models: Sequence[str],
    folders: Sequence[str],
    sets: Sets,
    *,
    outdir: Path,
    levels: Sequence[float],
    metrics: Sequence[str],
    baselines: Sequence[str],
    limit: int | None = None,
    galleries: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> str:
    """Scores models on folders, and writes tables and, for each set, what `evaluate` writes.

    Args:
      models: as `contenders.contenders` reads them.
      folders: the data sets, each called after its last part.
      sets: how they are read.
      outdir: an existing folder.
      levels: of the noise: sigmas of 255 for images, SNRs in dB for audio.
      metrics: names; the main metric is always among them.
      baselines: names, or `"all"`; one that is among the models is left to them.
      limit: only the first so many examples of each set; None for all.
      galleries: whether galleries and curves are drawn.
      progress: called with a set, and the examples done and to do, over all levels.

    Returns:
      The tables as Markdown.

    Raises:
      ZooError: there is nothing to score, a name is unknown or twice there, or a model fits no set.
    """
    modality = sets.modality
    for text in models if modality is not IMAGE else ():
        if "{sigma}" in text:
            raise ZooError(f"{text}: one file serves all levels; write it without {{sigma}}")
    levels = sets.levels(levels)
    metrics = [*metrics, modality.merit]
    entered = contenders(models, [level.label for level in levels])
    baselines = _baselines(entered, baselines, evaluator_class(modality).baselines)
    modality.choose(metrics)
    data = sets.load(_named(folders), entered, baselines)
    _check_apart(outdir, [*data.values(), *filter(None, [sets.noises])], data, sets.denoised)
    names = {"noisy": "noisy"} | {one.label: one.facts.name for one in entered}
    heads = _heads(sets, data, entered, baselines, limit)
    found: dict[str, Found] = {}
    for name, test in data.items():
        fitting = [one for one in entered if not sets.refusal(one, name, test)]

        def keep(result: Result, name=name, test=test) -> None:
            found[name] = Found(result, _published(name, test, result, names))
            _write(outdir, found, heads, sets)

        evaluate(
            lambda level, fitting=fitting: {one.label: one.load(level.label) for one in fitting},
            test.source,
            levels={level: sets.noise(level) for level in levels},
            noise=sets.noises and sets.noises.source,
            outdir=outdir / files.slug(name),
            sheets="" if galleries else None,
            denoised=sets.denoised,
            protocol=sets.protocol,
            baselines=baselines,
            metrics=metrics,
            title=name,
            limit=limit,
            sigma_known=True,
            keep=keep,
            progress=progress and functools.partial(progress, name),
        )
    return markdown(found, heads)


def _named(folders: Sequence[str]) -> dict[str, str]:
    """The folders by the last part of their path."""
    named: dict[str, str] = {}
    for folder in folders:
        name = files.expanded(folder).resolve().name or "root"
        # Those of one file name would write over each other.
        if files.slug(name) in map(files.slug, named):
            raise ZooError(f"two folders are called {name}; name each once, or rename one")
        named[name] = folder
    return named


def _baselines(
    entered: Sequence[Contender], baselines: Sequence[str], known: Mapping[str, Any]
) -> list[str]:
    """The baselines without those that are among the models; all rows have names of their own."""
    if "all" in baselines:
        everyone = [name for name in known if is_installed(name)]
        baselines = [*everyone, *(name for name in baselines if name != "all")]
    bare = {one.label for one in entered if one.file is None}
    baselines = [name for name in dict.fromkeys(baselines) if name not in bare]
    check_baselines(baselines, known)
    if not entered and not baselines:
        raise ZooError("there is nothing to score; name a model or a baseline")
    labels = [one.label for one in entered]
    for label in labels:
        if labels.count(label) > 1 or label in (*baselines, "noisy", "clean"):
            raise ZooError(f"two rows would be called {label}; name each model once")
    return baselines


def _check_apart(
    outdir: Path, read: Sequence[TestSet], names: Sequence[str], denoised: bool
) -> None:
    """Compares the folders that are written, one for each set, with those that are read.

    Outputs of an earlier run are removed from what is written; denoised files among those that are
    read would be scored the next time.

    Raises:
      ZooError: one lies in the other.
    """
    for folder in [path.resolve() for one in read for path in one.read]:
        for name in names:
            written = (outdir / files.slug(name)).resolve()
            inside = denoised and written.is_relative_to(folder)
            if inside or folder.is_relative_to(written):
                raise ZooError(
                    f"{written} would be written and {folder} read; choose another --out"
                )


def _published(
    data: str, test: TestSet, result: Result, names: Mapping[str, str]
) -> dict[tuple[Level, str], dict[str, float]]:
    scored = list(test.source.names[: result.count])
    return {
        (level, method): published(
            data, scored, test.channels, level, result.protocol, names.get(method, method)
        )
        for level, means in result.by_level.items()
        for method in means
    }


def versions() -> str:
    """The versions that the figures were made with, in one line."""
    return (
        f"zoo {metadata.version('denoising-zoo')}, jax {jax.__version__}, "
        f"Python {platform.python_version()}, {jax.devices()[0].device_kind}"
    )


def _heads(
    sets: Sets,
    data: Mapping[str, TestSet],
    entered: Sequence[Contender],
    baselines: Sequence[str],
    limit: int | None,
) -> dict[str, Any]:
    """Every choice, and what else the figures rest on, for the head of the table."""
    data_lines, left_out = {}, []
    for name, test in data.items():
        part = f", only the first {limit}" if limit and limit < len(test.source) else ""
        data_lines[name] = test.summary + part
        reasons = {one.label: sets.refusal(one, name, test) for one in entered}
        left_out += [f"{label} {reason}" for label, reason in reasons.items() if reason]
    ignored = sorted({name for test in data.values() for name in test.source.ignored})
    if ignored:
        left_out.append(f"{len(ignored)} other files, as {ignored[0]}")
    return {
        "protocol": sets.protocol.choices(paired=bool(sets.pairs)),
        "data": data_lines,
        "models": {one.label: str(one) for one in entered},
        **sets.facts(baselines),
        "versions": versions(),
        "left out": left_out,
    }


def markdown(found: Mapping[str, Found], heads: Mapping[str, Any]) -> str:
    """The whole benchmark as Markdown: every choice, then a table for each set and metric.

    Beside a figure whose published one is known are that and the difference, as in
    `29.23 (29.23, +0.00)`.

    Args:
      found: by set.
      heads: the choices and facts for the head.
    """
    lines = ["## Protocol", ""]
    for name, value in heads.items():
        several = value if isinstance(value, Mapping | list) else [value]
        pairs = several.items() if isinstance(several, Mapping) else [(name, x) for x in several]
        lines += [f"- {key}: {x if isinstance(x, str) else json.dumps(x)}" for key, x in pairs]
    if any(known for one in found.values() for known in one.published.values()):
        lines.append("- published figures: in brackets, with our difference from them")
    for name, (result, known) in found.items():
        lines += ["", f"## {name}, {result.modality.count(result.count)}"]
        for metric in result.metrics:
            lines += ["", *_table(result, known, metric)]
        lines += [line for note in result.notes for line in ("", note)]
        if result.modality is AUDIO and any(known.values()):
            lines += ["", AUDIO_NOTE]
    return "\n".join(lines) + "\n"


def _table(result: Result, known: Mapping, metric: Metric) -> list[str]:
    several = len(result.by_level) > 1
    levels = [
        one.label if one.value is None else f"{one.name} {one.label}" for one in result.by_level
    ]
    rows = [[metric.heading, *levels, *(["mean"] if several else [])]]
    merit = result.modality.merit
    for method in sorted(result.summary, key=lambda name: rank(result.summary[name].get(merit))):
        cells = []
        for level, means in result.by_level.items():
            value, other = means[method][metric.name], known[level, method].get(metric.name)
            cell = metric.text(value)
            if other is not None:
                apart = "" if value is None else f", {value - other:+.{metric.digits}f}"
                cell += f" ({metric.text(other)}{apart})"
            cells.append(cell)
        mean = [metric.text(result.summary[method][metric.name])] if several else []
        rows.append([method, *cells, *mean])
    return markdown_table(rows)


def _write(folder: Path, found: Mapping[str, Found], heads: Mapping[str, Any], sets: Sets) -> None:
    """Writes `table.md`, `scores.csv` and `scores.json`, each whole or not at all."""
    choices = {f"protocol_{k}": v for k, v in dataclasses.asdict(sets.protocol).items()}
    if sets.pairs:
        choices |= {"protocol_seed": "", "protocol_noise": REAL.label}
    cells, extra = [], []
    for name, (result, known) in found.items():
        beside = AUDIO_METRICS if sets.modality is AUDIO else ("psnr",)
        for level, means in result.by_level.items():
            for method, row in means.items():
                others = {m: known[level, method].get(m) for m in beside if m in row}
                apart = {
                    m: None if other is None or row[m] is None else row[m] - other
                    for m, other in others.items()
                }
                cell = {"data": name, "level": level.label, "method": method}
                cell |= {f"{sets.modality.item}s": result.count, **row}
                cell |= {f"published_{m}": other for m, other in others.items()}
                cells.append(cell | {f"difference_{m}": x for m, x in apart.items()})
                extra.append({"value": level.value, "unit": level.unit})
    rows = [(*cell.values(), *choices.values()) for cell in cells]
    whole = {**heads, "scores": [cell | more for cell, more in zip(cells, extra, strict=True)]}
    for file, text in (
        ("table.md", markdown(found, heads)),
        ("scores.csv", csv_text((*cells[0], *choices), rows)),
        ("scores.json", json.dumps(whole, indent=2, allow_nan=False) + "\n"),
    ):
        files.write(folder / file, text.encode())
