"""Appearance of the page: theme, style sheet, and pieces of HTML, in which all text is escaped."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

CSS = Path(__file__).with_name("app.css")
"""The style sheet that adds to the theme."""

SCRIPT = """<script>
// A player that starts continues where the other player of its group stopped.
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
"""Of the head of the page."""

_FONT = [
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Arial",
    "sans-serif",
]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
# The path from which Gradio serves files.
_FILES = "gradio_api/file="


def theme():
    """Gradio's theme in the colors of the report and the fonts of the system."""
    import gradio as gr  # noqa: PLC0415, only the page needs it

    accent = gr.themes.Color(
        *("#eaf1f8", "#d5e3f1", "#abc8e3", "#81acd5", "#4c87bd", "#1f5f99"),
        *("#1f5f99", "#1a5083", "#15416b", "#103253", "#0b233b"),
    )
    gray = gr.themes.Color(
        *("#fbfaf8", "#f3f1ed", "#e4e1db", "#cfccc5", "#a09d97", "#6a6762"),
        *("#4d4a46", "#34373b", "#25282b", "#1e2023", "#161719"),
    )
    made = gr.themes.Base(
        primary_hue=accent,
        secondary_hue=accent,
        neutral_hue=gray,
        font=_FONT,
        font_mono=_MONO,
        radius_size=gr.themes.sizes.radius_md,
    )
    return made.set(
        body_background_fill="#fbfaf8",
        body_background_fill_dark="#161719",
        body_text_color="#1d1c1a",
        body_text_color_dark="#e8e6e1",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1e2023",
        block_border_width="1px",
        block_border_color="#e4e1db",
        block_border_color_dark="#34373b",
        block_label_text_color="#6a6762",
        block_label_text_color_dark="#a09d97",
        block_title_text_weight="500",
        button_primary_background_fill="#1f5f99",
        button_primary_background_fill_hover="#1a5083",
        button_primary_background_fill_dark="#79b4ea",
        button_primary_background_fill_hover_dark="#93c3ef",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#161719",
        button_secondary_background_fill="#f3f1ed",
        button_secondary_background_fill_dark="#25282b",
        slider_color="#1f5f99",
        slider_color_dark="#79b4ea",
        input_background_fill="#fbfaf8",
        input_background_fill_dark="#161719",
    )


def url(path: Path) -> str:
    """Address of a file, relative to the page."""
    return _FILES + quote(path.as_posix())


def say(text: str, kind: str = "soft") -> str:
    """A line below a button; `kind` is "soft" or "error"."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="zoo-say zoo-{kind}" role="{role}">{escape(text)}</p>' if text else ""


def progress(share: float, before: int) -> str:
    """A progress bar, or the number of jobs ahead in the queue.

    Args:
      share: how much is done, 0 to 1.
      before: jobs ahead.
    """
    if before:
        count = "One job" if before == 1 else f"{before} jobs"
        return say(f"Waiting. {count} of others before yours.")
    percent = round(100 * share)
    if not percent:
        # The model compiles before the first tile, without progress.
        return moving("Getting ready")
    return (
        f'<div class="zoo-bar" role="progressbar" aria-valuenow="{percent}" '
        f'aria-valuemin="0" aria-valuemax="100"><i style="width:{percent}%"></i></div>'
        f"{say(f'Denoising, {percent} %')}"
    )


def moving(text: str) -> str:
    """A bar that moves back and forth, for work of unknown duration."""
    bar = '<div class="zoo-bar zoo-moving" role="progressbar"><i></i></div>'
    return f"{bar}{say(text)}"


def facts(pairs: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> str:
    """Names and values side by side, and notes below."""
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs
    )
    line = say("; ".join(notes)) if notes else ""
    return f'<dl class="zoo-facts">{cells}</dl>{line}'


def below(*pieces: str) -> str:
    """Pieces one below the other, without empty ones."""
    return f'<div class="zoo-after">{"".join(piece for piece in pieces if piece)}</div>'


def download(path: Path) -> str:
    """A link, in the shape of a button, that saves a file."""
    return (
        f'<a class="zoo-download" href="{url(path)}" download="{escape(path.name)}">'
        f"Download <span>{escape(path.name)}</span></a>"
    )


def image(path: Path, text: str) -> str:
    """An image with a caption."""
    return (
        f'<figure class="zoo-look"><img src="{url(path)}" alt="{escape(text)}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def players(named: Sequence[tuple[str, Path]]) -> str:
    """Audio players one below the other, synchronized by `SCRIPT`."""
    rows = "".join(
        f'<div class="zoo-player"><b>{escape(name)}</b>'
        f'<audio controls preload="metadata" src="{url(path)}"></audio></div>'
        for name, path in named
    )
    return f'<div class="zoo-players">{rows}</div>'


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is the heading, the first cell of a row its name."""
    head, *body = rows
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head[1:])
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in body
    )
    return f'<table class="zoo-scores"><thead><tr><td></td>{cells}</tr></thead>{lines}</table>'
