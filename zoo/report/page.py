"""The page, put together and written."""

import os
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.errors import ZooError
from zoo.report import facts, media
from zoo.report.curves import curves
from zoo.report.gallery import pictures
from zoo.report.markup import Markup, element
from zoo.report.players import players
from zoo.report.run import Run, read
from zoo.report.scores import in_level, scores
from zoo.report.script import SCRIPT
from zoo.report.single import singles
from zoo.report.style import STYLE

LIMIT = 20_000_000
"""The most bytes a page may have."""

# Nothing may be fetched from anywhere, not even by what a file slips in.
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


class Written(NamedTuple):
    """What was written.

    Attributes:
      path: the page.
      size: its bytes.
      notes: what is not in it, and why.
    """

    path: Path
    size: int
    notes: list[str]


def write(
    workdir: str | os.PathLike, path: str | os.PathLike | None = None, *, limit: int = LIMIT
) -> Written:
    """Writes the report of a run, one HTML file that needs no other.

    Args:
      workdir: of the run, which may be at work.
      path: the page, ending in .html; `report.html` in the workdir if None. One that is there is
        replaced.
      limit: the most bytes it may have; pictures are scaled down and wavs left out for it.

    Raises:
      ZooError: no workdir, a damaged file in it, or a page that cannot be written.
    """
    path = Path(workdir) / "report.html" if path is None else Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ZooError(f"{path} is no name of a page; end it in .html")
    run = read(workdir)
    text, notes = page(run, limit=limit)
    data = text.encode("utf-8", "replace")
    files.write(path, data)
    return Written(path, len(data), notes)


def page(run: Run, *, limit: int = LIMIT) -> tuple[str, list[str]]:
    """The page of a run, and what is not in it."""
    missing, notes = _missing(run), []
    before = [facts.head(run), scores(run), curves(run)]
    after = [singles(run), facts.facts(run)]
    room = media.Room(limit - sum(len(str(part).encode()) for part in [*before, *after]) - 50_000)
    # Sound is larger than pictures are; it takes what they leave.
    half = media.Room(room.left // 2)
    seen = pictures(run, half, notes)
    room.left -= room.left // 2 - half.left
    heard = players(run, room, notes)
    gallery = _gallery(run, seen, heard, notes)
    body = [before[0], _notes(missing), *before[1:], gallery, *after]
    return _document(facts.title(run), body), [*missing, *notes]


def _document(title: str, body: list[Markup | None]) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", f"{title}: report of a run"),
        element("style", Markup(STYLE)),
    )
    foot = element("footer", element("p", "Written by zoo report from the files of the workdir."))
    script = element("script", Markup(SCRIPT))
    whole = element("html", head, element("body", element("main", body, foot), script), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def _missing(run: Run) -> list[str]:
    """What a run leaves at its end and this one has not yet."""
    notes = []
    if not run.steps:
        notes.append("No step is logged yet, so there are no curves.")
    if not run.record:
        notes.append("There are no weights yet: model, device, commit and versions are theirs.")
    if not run.summary:
        notes.append("There are no test scores yet; the run's command with --mode=eval makes them.")
    return notes


def _notes(notes: list[str]) -> Markup | None:
    if not notes:
        return None
    return element("aside", [element("p", note) for note in notes], aria_label="What is missing")


def _gallery(
    run: Run,
    seen: dict[str, list[Markup]],
    heard: dict[str, list[Markup]],
    notes: list[str],
) -> Markup | None:
    """Sheets and players, level by level; the script turns the levels into tabs."""
    labels = list(dict.fromkeys([*seen, *heard]))
    if not labels and not notes:
        return None
    panes = []
    for label in labels:
        listen = None
        if label in heard:
            note = (
                "SI-SDR beside each name. Start another player of a row while one plays: it goes "
                "on at the same place."
            )
            listen = [
                element("h4", "Listen", class_="listen"),
                element("p", note, class_="note"),
                heard[label],
            ]
        heading = in_level(run, label) if label else "Gallery"
        panes.append(element("div", element("h3", heading), seen.get(label), listen, class_="pane"))
    title = "See and hear" if heard else "Spectrograms" if run.sound else "Gallery"
    told = element("p", " ".join(notes), class_="note") if notes else None
    return element("section", element("h2", title), told, panes, id="gallery", class_="tabbed")
