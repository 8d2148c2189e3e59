"""From names and folders to the files of a benchmark."""

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import jax

from zoo import files
from zoo.data import sources
from zoo.data.sources import Source
from zoo.errors import ZooError
from zoo.evaluate import curves, tables
from zoo.evaluate import pictures as drawing
from zoo.evaluate.baselines import BASELINES, is_installed
from zoo.evaluate.canvas import is_exact
from zoo.evaluate.contenders import Contender, contenders
from zoo.evaluate.protocol import MULTIPLE, Protocol
from zoo.evaluate.score import PAIRED, level_names, score_models


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
    if "all" in baselines:
        everyone = [name for name in BASELINES if is_installed(name)]
        baselines = list(dict.fromkeys([*everyone, *(n for n in baselines if n != "all")]))
    entered = contenders(models, level_names(sigmas, paired=bool(pairs)))
    data = _data(folders, pairs, pictures)
    facts = _facts(entered, data, folders, pairs, baselines, protocol, limit)
    # Those of an earlier run would pass for this one's.
    for old in [*outdir.glob("gallery_*.png"), *outdir.glob("psnr_*.png")]:
        old.unlink()

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
        keep=lambda scores: tables.write(outdir, scores, facts),
        progress=progress,
    )
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
        name = files.expanded(folder).resolve().name or "root"
        if name in data:
            raise ZooError(f"two folders are called {name}; name each once, or rename one")
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
        targets = (picture.target for picture in source)
        gray = all((target == target[..., :1]).all() for target in targets)
        pictures = "gray" if gray else "color"
    return sources.load(kind, channels=1 if pictures == "gray" else 3, **everything)["test"]


def _facts(
    entered: Sequence[Contender],
    data: Mapping[str, Source],
    folders: Sequence[str],
    pairs: tuple[str, str] | None,
    baselines: Sequence[str],
    protocol: Protocol,
    limit: int | None,
) -> dict[str, dict[str, str] | str]:
    """What else the figures rest on, for the head of the table."""
    sets = {}
    for folder, (name, source) in zip(folders, data.items(), strict=True):
        own = is_exact(source, protocol.shapes)
        sets[name] = ", ".join(
            (
                f"{len(source)} in {folder}",
                "grey" if source.channels == 1 else "colour",
                "at their own sizes" if own else f"padded to multiples of {MULTIPLE}",
                *([f"only the first {limit}"] if limit is not None and limit < len(source) else []),
                *([f"noisy {pairs[0]}, clean {pairs[1]}"] if pairs else []),
            )
        )
    models = {one.label: str(one) for one in entered}
    told = "estimated from each picture" if pairs else "the true sigma"
    facts: dict[str, dict[str, str] | str] = {"data": sets, "models": models}
    if baselines:
        facts["baselines"] = f"told {told}"
    if {"nlm", "tv"} & set(baselines):
        facts["nlm and tv"] = "choose their strength by the PSNR they reach, in their favour"
    facts["versions"] = versions()
    return facts


def versions() -> str:
    """What the figures were made with, in one line."""
    return (
        f"zoo {metadata.version('denoising-zoo')}, jax {jax.__version__}, "
        f"Python {platform.python_version()}, {jax.devices()[0].device_kind}"
    )
