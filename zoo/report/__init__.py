"""A report of a training run as one web page, made by `report.html` from the workdir's files."""

import os
from pathlib import Path
from typing import NamedTuple

from zoo import charts, files
from zoo.errors import ZooError
from zoo.report import embedded_media, run_facts, score_tables
from zoo.report.run_files import Run, read

LIMIT = 20_000_000
"""Largest size of a page, in bytes."""


class Written(NamedTuple):
    """A page that was written.

    Attributes:
      path: the file.
      size: in bytes.
      notes: parts that are missing in it, and why.
    """

    path: Path
    size: int
    notes: list[str]


def write(
    workdir: str | os.PathLike, path: str | os.PathLike | None = None, *, limit: int = LIMIT
) -> Written:
    """Writes the report of a run, one HTML file that needs no other file and no network.

    Args:
      workdir: of the run, which may be in progress.
      path: the page, ending in .html; `report.html` in the workdir if None. An existing one is
        replaced.
      limit: largest size in bytes; images are compressed and audio files left out to keep to it.

    Raises:
      ZooError: there is no workdir, a file in it is damaged, or the page cannot be written.
    """
    path = Path(workdir) / "report.html" if path is None else Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ZooError(f"{path} is not the name of a web page; end it in .html")
    run = read(workdir)
    missing = [note for _, note in run_facts.missing(run)]
    # The page without media shows how much room they have.
    bare = len(_render(run, missing, [], []).encode("utf-8", "replace"))
    panes, notes = embedded_media.panes(run, limit - bare - 50_000)
    data = _render(run, missing, panes, notes).encode("utf-8", "replace")
    files.write(path, data)
    return Written(path, len(data), [*missing, *notes])


def _render(
    run: Run, missing: list[str], panes: list[embedded_media.Pane], notes: list[str]
) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415, slow
    from markupsafe import Markup  # noqa: PLC0415, comes with it

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fixed"] = run_facts.fixed
    environment.filters["text"] = run_facts.text

    def drawn(some: list[charts.Chart], width: int = 440) -> list[tuple[str, Markup]]:
        svgs = [(chart.up, charts.svg(chart, width=width)) for chart in some]
        return [(caption, Markup(svg)) for caption, svg in svgs if svg]

    merit = score_tables.column(run.metric).heading
    rates = [
        charts.trace(run.steps, "learning_rate", "Learning rate", exact=True),
        charts.trace(run.steps, "grad_norm", "Gradient norm"),
    ]
    by_level = score_tables.level_charts(run)
    return environment.get_template("report.html").render(
        run=run,
        facts=run_facts,
        tables=score_tables,
        missing=missing,
        panes=panes,
        notes=notes,
        curves=drawn(charts.training_charts(run.steps, run.metric, merit)),
        rates=drawn(rates),
        # Three in a row are narrower, and their letters must not shrink.
        by_level=drawn(by_level, 340 if len(by_level) > 2 else 440),
    )
