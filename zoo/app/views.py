"""Pieces of the page as HTML; all text in them is escaped."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

# Where Gradio serves files from.
_FILES = "gradio_api/file="


def url(path: Path) -> str:
    """The address of a file, relative to the page."""
    return _FILES + quote(path.as_posix())


def say(text: str, kind: str = "soft") -> str:
    """A line under a button; `kind` is "soft" or "error"."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="zoo-say zoo-{kind}" role="{role}">{escape(text)}</p>' if text else ""


def progress(share: float, before: int) -> str:
    """A bar, or who is served first.

    Args:
      share: what is done, 0 to 1.
      before: jobs that are done before.
    """
    if before:
        count = "One job" if before == 1 else f"{before} jobs"
        return say(f"Waiting. {count} of others before yours.")
    percent = round(100 * share)
    if not percent:
        # Compiling comes before the first tile and tells nothing.
        return moving("Getting ready")
    return (
        f'<div class="zoo-bar" role="progressbar" aria-valuenow="{percent}" '
        f'aria-valuemin="0" aria-valuemax="100"><i style="width:{percent}%"></i></div>'
        f"{say(f'Denoising, {percent} %')}"
    )


def moving(text: str) -> str:
    """A bar that goes to and fro, for what takes a time that nobody knows."""
    bar = '<div class="zoo-bar zoo-moving" role="progressbar"><i></i></div>'
    return f"{bar}{say(text)}"


def facts(pairs: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> str:
    """Names and values side by side, and notes below."""
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs
    )
    told = say("; ".join(notes)) if notes else ""
    return f'<dl class="zoo-facts">{cells}</dl>{told}'


def below(*pieces: str) -> str:
    """Pieces one below the other, those that are empty left out."""
    return f'<div class="zoo-after">{"".join(piece for piece in pieces if piece)}</div>'


def download(path: Path) -> str:
    """A link that saves a file; it looks like a button."""
    return (
        f'<a class="zoo-download" href="{url(path)}" download="{escape(path.name)}">'
        f"Download <span>{escape(path.name)}</span></a>"
    )


def picture(path: Path, text: str) -> str:
    """A picture before anything was done, with a line on it."""
    return (
        f'<figure class="zoo-look"><img src="{url(path)}" alt="{escape(text)}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def players(named: Sequence[tuple[str, Path]]) -> str:
    """Players one below the other; see `SCRIPT` for how they go together."""
    rows = "".join(
        f'<div class="zoo-player"><b>{escape(name)}</b>'
        f'<audio controls preload="metadata" src="{url(path)}"></audio></div>'
        for name, path in named
    )
    return f'<div class="zoo-players">{rows}</div>'


def table(rows: Sequence[Sequence[str]]) -> str:
    """A heading and rows, the first cell of each its name."""
    head, *body = rows
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head[1:])
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in body
    )
    return f'<table class="zoo-scores"><thead><tr><td></td>{cells}</tr></thead>{lines}</table>'


SCRIPT = """<script>
// Of players in one group the one that starts goes on from where the other stopped.
document.addEventListener("play", (event) => {
  const group = event.target.closest && event.target.closest(".zoo-players");
  if (!group) return;
  for (const other of document.querySelectorAll("audio")) {
    if (other === event.target || other.paused) continue;
    other.pause();
    if (group.contains(other)) event.target.currentTime = other.currentTime;
  }
}, true);
</script>"""
"""For the head of the page."""
