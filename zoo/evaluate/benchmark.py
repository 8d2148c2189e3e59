"""From names and folders to the files of a benchmark."""

import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import jax

from zoo import files
from zoo.data import sources
from zoo.data.sources import Source
from zoo.errors import ZooError, unknown
from zoo.evaluate import curves, tables
from zoo.evaluate import pictures as drawing
from zoo.evaluate.baselines import BASELINES, is_installed
from zoo.evaluate.contenders import Contender, contenders, digest
from zoo.evaluate.protocol import METRICS, Protocol
from zoo.evaluate.score import PAIRED, Scores, score_models


def run(
    models: Sequence[str],
    folders: Sequence[str],
    *,
    outdir: Path,
    sigmas: Sequence[float],
    pairs: tuple[str, str] | None,
    pictures: str,
    protocol: Protocol,
    metrics: Sequence[str],
    baselines: Sequence[str],
    limit: int | None,
    galleries: bool,
    progress: Callable[[str, int, int], None] | None,
) -> str:
    """Scores models on folders, and writes tables, galleries and curves.

    Args:
      models: as `contenders.contenders` reads them.
      folders: the data sets, each called after its last part.
      outdir: an existing folder.
      sigmas: of the noise, of 255.
      pairs: patterns of noisy and clean files, or None to add noise.
      pictures: `"gray"`, `"color"`, or `"auto"`: as the files of each folder are.
      protocol: the choices.
      metrics: of `METRICS`.
      baselines: of `BASELINES`, or `"all"`.
      limit: as for `score_models`.
      galleries: whether pictures are drawn.
      progress: as for `score_models`.

    Returns:
      The tables as Markdown.

    Raises:
      ZooError: as `score_models`, and for folders that cannot be read.
    """
    for name in metrics:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    if "all" in baselines:
        baselines = [name for name in BASELINES if is_installed(name)]
    entered = contenders(models)
    data = _data(folders, pairs, pictures)

    def draw(name: str, level: str, rows: list[drawing.Row]) -> None:
        noise = "their own noise" if level == PAIRED else f"Gaussian noise, sigma = {level} / 255"
        path = outdir / f"gallery_{files.slug(name)}_{files.slug(level)}.png"
        drawing.gallery(path, rows, title=f"{name}, {noise}")

    scores = score_models(
        entered,
        data,
        sigmas=sigmas,
        protocol=protocol,
        metrics=metrics,
        baselines=baselines,
        limit=limit,
        gallery=draw if galleries else None,
        progress=progress,
    )
    facts = _facts(entered, scores)
    tables.write(outdir, scores, facts)
    if galleries:
        for name in data:
            cells = [cell for cell in scores.cells if cell.data == name]
            curves.draw(outdir / f"psnr_{files.slug(name)}.png", name, cells)
    return tables.markdown(scores, facts)


def _data(
    folders: Sequence[str], pairs: tuple[str, str] | None, pictures: str
) -> dict[str, Source]:
    data: dict[str, Source] = {}
    for folder in folders:
        name = Path(folder).expanduser().resolve().name
        if name in data:
            raise ZooError(f"two folders are called {name}; rename one")
        data[name] = _source(folder, pairs, pictures)
    return data


def _source(folder: str, pairs: tuple[str, str] | None, pictures: str) -> Source:
    kind, options = "folder", {}
    if pairs:
        kind, options = "pairs", {"noisy": pairs[0], "clean": pairs[1]}
    everything = {"path": folder, "fractions": (0.0, 0.0, 1.0), **options}
    source = sources.load(kind, channels=3, **everything)["test"]
    if not len(source):
        raise ZooError(f"{folder} has no pictures to test on; name a folder of them")
    if pictures == "auto":
        first = source[0].target
        gray = (first == first[..., :1]).all()
        pictures = "gray" if gray else "color"
    return sources.load(kind, channels=1 if pictures == "gray" else 3, **everything)["test"]


def _facts(entered: Sequence[Contender], scores: Scores) -> dict[str, object]:
    levels = dict.fromkeys(cell.level for cell in scores.cells)
    models = {}
    for one in entered:
        paths = sorted({one.file(level) for level in levels})
        # A level that a model took no part in has no file.
        sums = {str(path): f"SHA-256 {digest(path)}" for path in paths if path.is_file()}
        models[one.label] = {"model": one.facts.name, **sums}
    return {
        "models": models,
        "baselines": "nlm and tv choose their strength by the PSNR they reach, in their favour",
        "versions": f"zoo {metadata.version('denoising-zoo')}, jax {jax.__version__}, "
        f"Python {platform.python_version()}, {jax.devices()[0].device_kind}",
    }
