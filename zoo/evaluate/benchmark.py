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
from zoo.data import pixels, sources
from zoo.data.sources import Source
from zoo.errors import ZooError
from zoo.evaluate.baselines import is_installed
from zoo.evaluate.batching import Decoded
from zoo.evaluate.contenders import Contender, contenders
from zoo.evaluate.degrade import Noise, NumpyGaussian
from zoo.evaluate.evaluation import evaluate
from zoo.evaluate.image_evaluator import is_exact
from zoo.evaluate.measure import check_baselines, evaluator_class
from zoo.evaluate.protocol import MULTIPLE, AudioProtocol, ImageProtocol
from zoo.evaluate.published_figures import AUDIO_METRICS, AUDIO_NOTE, differing, published
from zoo.evaluate.result import REAL, Level, Result, csv_text, markdown_table
from zoo.metrics import main_metric
from zoo.modality import AUDIO, IMAGE, Modality
from zoo.models import model_spec
from zoo.noise import make_sampler


class TestSet(NamedTuple):
    """A data set to score on.

    Attributes:
      source: its examples.
      summary: how many there are, where and in what form, for the head of a table.
      read: the folders that are read.
    """

    source: Source | Decoded
    summary: str
    read: tuple[Path, ...] = ()


class Found(NamedTuple):
    """The outcome on one set.

    Attributes:
      result: of the evaluation.
      published: (level, method) -> metric -> published figure.
    """

    result: Result
    published: dict[tuple[Level, str], dict[str, float]]


class ImageSets:
    """The side of a benchmark that is particular to images.

    Args:
      pairs: patterns of noisy and clean files, or None to add Gaussian noise.
      channels: `"gray"`, `"color"`, or `"auto"`: as the files of each folder are.
      protocol: the choices.
    """

    modality: Modality = IMAGE
    denoised = False
    noises = None

    def __init__(self, *, pairs: tuple[str, str] | None, channels: str, protocol: ImageProtocol):
        self._pairs = pairs
        self._channels = channels
        self.protocol = protocol

    def levels(self, sigmas: Sequence[float]) -> list[Level]:
        """The levels, without repetition."""
        if self._pairs:
            return [REAL]
        for sigma in sigmas:
            if not 0 <= sigma <= 255:
                raise ZooError(f"sigma {sigma:g} is not between 0 and 255")
        if not sigmas:
            raise ZooError("there is no level to score at; name one with --sigma")
        return list(dict.fromkeys(Level(float(sigma), "1/255", "sigma") for sigma in sigmas))

    def noise(self, level: Level) -> Noise | None:
        """The noise of a level; None for pairs."""
        if level.value is None:
            return None
        if self.protocol.noise == "numpy":
            return NumpyGaussian(level.value / 255)
        return _gaussian(level.value)

    def load(
        self, folders: Sequence[str], entered: Sequence[Contender], baselines: Sequence[str]
    ) -> dict[str, TestSet]:
        """The sets by name; see `_named`."""
        return {name: self._load(folder) for name, folder in _named(folders).items()}

    def fits(self, one: Contender, test: TestSet) -> bool:
        """Whether a model takes part in a set: if it has the same number of channels."""
        return one.facts.channels == test.source.channels

    def refusal(self, one: Contender, name: str, test: TestSet) -> str:
        """Why a model takes no part in a set."""
        own, other = (_in_words(n) for n in (one.facts.channels, test.source.channels))
        return f"{one.label} takes {own}, {name} has {other}"

    def check(self, entered: Sequence[Contender], data: Mapping[str, TestSet]) -> None:
        """Refuses a model that fits no set, or that would need an unknown level."""
        for one in entered:
            fitting = {name: test for name, test in data.items() if self.fits(one, test)}
            if not fitting:
                kinds = {_in_words(test.source.channels) for test in data.values()}
                raise ZooError(
                    f"{one.label} takes {_in_words(one.facts.channels)}, and {', '.join(data)} has "
                    f"{' and '.join(sorted(kinds))}; choose another model, or --images gray "
                    "or color"
                )
            if self._pairs and one.facts.takes_level and self.protocol.level == "known":
                raise ZooError(
                    f"{one.label} takes a noise level and that of {next(iter(fitting))} is not "
                    "known; choose --level estimated"
                )

    def facts(self, baselines: Sequence[str]) -> dict[str, str]:
        """What else the figures rest on, for the head of a table."""
        facts = {}
        if baselines:
            sigma = "estimated from each image" if self._pairs else "the true sigma"
            facts["baselines"] = f"given {sigma}"
        if {"nlm", "tv"} & set(baselines):
            facts["nlm and tv"] = "choose their strength by the PSNR they reach, in their favor"
        apart = [] if self._pairs else differing(self.protocol)
        if apart:
            facts["published figures"] = f"not shown, for they differ in {' and '.join(apart)}"
        return facts

    def _load(self, folder: str) -> TestSet:
        kind, options = "folder", {}
        if self._pairs:
            kind, options = "pairs", {"noisy": self._pairs[0], "clean": self._pairs[1]}
        everything = {"path": folder, "fractions": (0.0, 0.0, 1.0), **options}
        channels = 1 if self._channels == "gray" else 3
        source = Decoded(sources.load(kind, channels=channels, **everything)["test"])
        if not len(source):
            raise ZooError(f"{folder} has no images to test on; name a folder of them")
        if self._channels == "auto":
            targets = (image.target for image in source)
            if all((target == target[..., :1]).all() for target in targets):
                source = source.converted(lambda x: pixels.to_channels(x, 1), 1)
        own = is_exact(source, self.protocol.shapes)
        words = (
            f"{len(source)} in {folder}",
            "gray" if source.channels == 1 else "color",
            "at their own sizes" if own else f"padded to multiples of {MULTIPLE}",
            *([f"noisy {self._pairs[0]}, clean {self._pairs[1]}"] if self._pairs else []),
        )
        return TestSet(source, ", ".join(words), (files.expanded(folder),))


class AudioSets:
    """The side of a benchmark that is particular to audio.

    Args:
      pairs: sub-folders of each folder with the noisy and the clean recordings of equal names, or
        None to mix in noise.
      noises: the folder of noise recordings to mix in; None with `pairs`.
      protocol: the choices; its sample rate becomes that of the models.
    """

    modality: Modality = AUDIO
    denoised = True

    def __init__(
        self, *, pairs: tuple[str, str] | None, noises: str | None, protocol: AudioProtocol
    ):
        self._pairs = pairs
        self._folder = noises
        self.protocol = protocol
        self.noises: TestSet | None = None

    def levels(self, snrs: Sequence[float]) -> list[Level]:
        """The levels, without repetition."""
        if self._pairs:
            return [REAL]
        if not snrs:
            raise ZooError("there is no level to score at; name one with --snr")
        return list(dict.fromkeys(Level(float(snr), "dB", "SNR") for snr in snrs))

    def noise(self, level: Level) -> None:
        """Nothing: the noises are mixed in."""
        return

    def load(
        self, folders: Sequence[str], entered: Sequence[Contender], baselines: Sequence[str]
    ) -> dict[str, TestSet]:
        """The sets by name, each at the rate of the models; of a folder with a sub-folder `test`
        only that."""
        rate = _rate(entered, baselines)
        self.protocol = dataclasses.replace(self.protocol, sample_rate=rate)
        named = _named(folders)
        if self._pairs:
            data = {name: self._paired(folder) for name, folder in named.items()}
        else:
            data = {name: self._alone(folder, "--data") for name, folder in named.items()}
            if not self._folder:
                raise ZooError(
                    "there is no noise to mix in; name its folder with --noises, or two with "
                    "--pairs"
                )
            self.noises = self._alone(self._folder, "--noises")
        return data

    def fits(self, one: Contender, test: TestSet) -> bool:
        """Every model takes part in every set, which is resampled."""
        return True

    def check(self, entered: Sequence[Contender], data: Mapping[str, TestSet]) -> None:
        """Nothing to check: the rates agree."""

    def facts(self, baselines: Sequence[str]) -> dict[str, str]:
        """As `ImageSets.facts`."""
        return {} if self.noises is None else {"noises": self.noises.summary}

    def _alone(self, folder: str, option: str) -> TestSet:
        """A folder of clean recordings, or of noises."""
        root = _existing(folder, f"check {option}")
        source = self._source("recordings", root)
        if not len(source):
            raise ZooError(
                f"{folder} has other splits but no test; name the sub-folder to take with {option}"
            )
        read = root / "test" if (root / "test").is_dir() else root
        return TestSet(source, f"{len(source)} in {read}, {self._form}", (read,))

    def _paired(self, folder: str) -> TestSet:
        root = _existing(folder, "check --data")
        noisy, clean = self._pairs
        if (root / "test").is_dir() and not (root / noisy).is_dir():
            root = root / "test"
        remedy = "for audio --pairs names two folders below --data, the noisy and the clean one"
        read = tuple(_existing(root / one, remedy) for one in self._pairs)
        source = self._source("recording_pairs", root, test_noisy=noisy, test_clean=clean)
        summary = f"{len(source)} in {root}, noisy {noisy}, clean {clean}, {self._form}"
        return TestSet(source, summary, read)

    @property
    def _form(self) -> str:
        return f"mono at {self.protocol.sample_rate} Hz, resampled where the files are not"

    def _source(self, kind: str, root: Path, **options: str) -> Source:
        everything = {"path": str(root), "channels": 1, "sample_rate": self.protocol.sample_rate}
        return sources.load(kind, fractions=(0.0, 0.0, 1.0), **everything, **options)["test"]


def run(
    models: Sequence[str],
    folders: Sequence[str],
    sets: ImageSets | AudioSets,
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
    kind = evaluator_class(modality)
    if any("{sigma}" in text for text in models) and modality is not IMAGE:
        text = next(text for text in models if "{sigma}" in text)
        raise ZooError(f"{text}: one file serves all levels; write it without {{sigma}}")
    levels = sets.levels(levels)
    entered = contenders(models, [level.label for level in levels])
    baselines = _baselines(entered, baselines, kind.baselines)
    _check(modality, entered, baselines, metrics, limit)
    data = sets.load(folders, entered, baselines)
    sets.check(entered, data)
    _check_apart(outdir, [*data.values(), *filter(None, [sets.noises])], data, sets.denoised)
    names = {"noisy": "noisy"} | {one.label: one.facts.name for one in entered}
    heads = _heads(sets, data, entered, baselines, limit)
    found: dict[str, Found] = {}
    for name, test in data.items():
        fitting = [one for one in entered if sets.fits(one, test)]
        count = min(len(test.source), limit or len(test.source))

        def keep(result: Result, name=name, test=test, count=count) -> None:
            found[name] = Found(result, _published(name, test.source, count, result, names))
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
    if "all" in baselines:
        everyone = [name for name in known if is_installed(name)]
        baselines = [*everyone, *(name for name in baselines if name != "all")]
    bare = {one.label for one in entered if one.file is None}
    return [name for name in dict.fromkeys(baselines) if name not in bare]


def _check(
    modality: Modality,
    entered: Sequence[Contender],
    baselines: Sequence[str],
    metrics: Sequence[str],
    limit: int | None,
) -> None:
    check_baselines(baselines, evaluator_class(modality).baselines)
    if not modality.choose(metrics):
        raise ZooError("there is no metric to score by; name one with --metrics")
    if not entered and not baselines:
        raise ZooError("there is nothing to score; name a model or a baseline")
    if limit is not None and limit < 1:
        raise ZooError(f"there are no {modality.plural} to score on; check the data and the limit")
    labels = [one.label for one in entered]
    for label in labels:
        if labels.count(label) > 1 or label in (*baselines, "noisy", "clean"):
            raise ZooError(f"two rows would be called {label}; name each model once")


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


def _existing(folder: str | Path, remedy: str) -> Path:
    path = files.expanded(folder)
    if not path.is_dir():
        raise ZooError(f"there is no folder {path}; {remedy}")
    return path


def _rate(entered: Sequence[Contender], baselines: Sequence[str]) -> int:
    """The sample rate that all methods are made for."""
    specs = {one.label: one.facts for one in entered}
    specs |= {name: model_spec(name) for name in baselines}
    rates = {one.sample_rate: label for label, one in specs.items()}
    if len(rates) > 1:
        words = " and ".join(f"{label} takes {rate} Hz" for rate, label in rates.items())
        raise ZooError(f"{words}; score them one after the other")
    return next(iter(rates))


def _in_words(channels: int) -> str:
    kind = IMAGE.channels.get(channels)
    return f"{kind} images" if kind else f"images of {channels} channels"


@functools.cache
def _gaussian(sigma: float) -> Noise:
    """One for each level of all sets, because each is compiled."""
    return make_sampler("gaussian", sigma, unit="1/255")


def _published(
    data: str, source: Source, count: int, result: Result, names: Mapping[str, str]
) -> dict[tuple[Level, str], dict[str, float]]:
    known = {}
    scored = list(source.names[:count])
    for level, means in result.by_level.items():
        for method in means:
            model = names.get(method, method)
            known[level, method] = published(
                data, scored, source.channels, level, result.protocol, model
            )
    return known


def versions() -> str:
    """The versions that the figures were made with, in one line."""
    return (
        f"zoo {metadata.version('denoising-zoo')}, jax {jax.__version__}, "
        f"Python {platform.python_version()}, {jax.devices()[0].device_kind}"
    )


def _heads(
    sets: ImageSets | AudioSets,
    data: Mapping[str, TestSet],
    entered: Sequence[Contender],
    baselines: Sequence[str],
    limit: int | None,
) -> dict[str, Any]:
    """Every choice, and what else the figures rest on, for the head of the table."""
    data_lines = {}
    for name, test in data.items():
        first = [f"only the first {limit}"] if limit and limit < len(test.source) else []
        data_lines[name] = ", ".join([test.summary, *first])
    left_out = [
        sets.refusal(one, name, test)
        for name, test in data.items()
        for one in entered
        if not sets.fits(one, test)
    ]
    paired = sets.levels([0.0]) == [REAL]
    ignored = sorted({name for test in data.values() for name in test.source.ignored})
    if ignored:
        left_out.append(f"{len(ignored)} other files, as {ignored[0]}")
    return {
        "protocol": sets.protocol.choices(paired=paired),
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
        if isinstance(value, Mapping):
            lines += [f"- {key}: {_text(one)}" for key, one in value.items()]
        elif isinstance(value, list):
            lines += [f"- {name}: {one}" for one in value]
        else:
            lines.append(f"- {name}: {value}")
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


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _table(result: Result, known: Mapping, metric) -> list[str]:
    def merit(method: str) -> float:
        mean = result.summary[method].get(main_metric(result.modality).name)
        return -float("inf") if mean is None else mean

    several = len(result.by_level) > 1
    heading = [level.label if level.value is None else _heading(level) for level in result.by_level]
    rows = [[metric.heading, *heading, *(["mean"] if several else [])]]
    for method in sorted(result.summary, key=merit):
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


def _heading(level: Level) -> str:
    return f"{level.name} {level.label}"


def _write(folder: Path, found: Mapping[str, Found], heads: Mapping[str, Any], sets: Any) -> None:
    """Writes `table.md`, `scores.csv` and `scores.json`, each whole or not at all."""
    modality = sets.modality
    metrics = [metric.name for metric in next(iter(found.values())).result.metrics]
    beside = [n for n in (AUDIO_METRICS if modality is AUDIO else ("psnr",)) if n in metrics]
    choices = {f"protocol_{k}": v for k, v in dataclasses.asdict(sets.protocol).items()}
    paired = next(iter(found.values())).result.paired
    if paired:
        choices |= {"protocol_seed": "", "protocol_noise": REAL.label}
    header = (
        *("data", "level", "method", modality.plural, *metrics),
        *(f"published_{name}" for name in beside),
        *(f"difference_{name}" for name in beside),
        *choices,
    )
    rows, cells = [], []
    for name, (result, known) in found.items():
        for level, means in result.by_level.items():
            for method, row in means.items():
                others = [known[level, method].get(metric) for metric in beside]
                apart = [
                    None if other is None or row[metric] is None else row[metric] - other
                    for metric, other in zip(beside, others, strict=True)
                ]
                start = (name, level.label, method, result.count, *row.values(), *others, *apart)
                rows.append((*start, *choices.values()))
                cells.append(
                    dict(zip(header, start, strict=False))
                    | {"value": level.value, "unit": level.unit}
                )
    whole = json.dumps({**heads, "scores": cells}, indent=2, allow_nan=False) + "\n"
    for file, text in (
        ("table.md", markdown(found, heads)),
        ("scores.csv", csv_text(header, rows)),
        ("scores.json", whole),
    ):
        files.write(folder / file, text.encode())
