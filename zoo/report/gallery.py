"""What there is to see: a sheet of pictures for each level."""

from pathlib import Path

from zoo import files
from zoo.report import media
from zoo.report.markup import Markup, element
from zoo.report.run import Run, levels
from zoo.report.scores import in_level

# A run of sound leaves two kinds of sheets, one of pictures a single one.
_SOUND = {"spectrograms": "Spectrograms", "waveforms": "Waveforms"}


def sheets(run: Run) -> dict[str, list[tuple[str, Path]]]:
    """Level -> (what it shows, the file); "" for what belongs to no level of the tables."""
    found: dict[str, list[tuple[str, Path]]] = {}
    kinds = _SOUND if run.sound else {"gallery": "Gallery"}
    folder = run.workdir / "eval" if run.sound else run.workdir
    named = {files.slug(label): label for label in levels(run)}
    only = next(iter(named.values())) if len(named) == 1 else ""
    for kind, title in kinds.items():
        for path in sorted(folder.glob(f"{kind}*.png")):
            rest = path.stem.removeprefix(kind).removeprefix("_")
            found.setdefault(named.get(rest, rest or only), []).append((title, path))
    order = [label for label in named.values() if label in found]
    return {label: found[label] for label in [*order, *(x for x in found if x not in order)]}


def pictures(run: Run, room: media.Room, notes: list[str]) -> dict[str, list[Markup]]:
    """Level -> its sheets, as figures; smaller ones where the page has not the room.

    Args:
      run: the run.
      room: what they may take; what they do is taken from it.
      notes: gets what had to be left out or made smaller.
    """
    found = sheets(run)
    every = [path for some in found.values() for _, path in some]
    whole = sum(media.length(path) for path in every)
    small = whole > room.left
    if small:
        notes.append("The sheets of pictures are compressed (WebP) to keep this page small.")
    shown: dict[str, list[Markup]] = {}
    broken, left_out = [], []
    for label, some in found.items():
        for title, path in some:
            picture = media.picture(path, small=small)
            if picture is None:
                broken.append(path.name)
            elif not room.take(len(picture.uri)):
                left_out.append(path.name)
            else:
                shown.setdefault(label, []).append(_figure(run, label, title, picture))
    if broken:
        notes.append(f"Not readable, and so not shown: {', '.join(broken)}.")
    if left_out:
        notes.append(f"Left out to keep this page small: {', '.join(left_out)}.")
    return shown


def _figure(run: Run, label: str, title: str, picture: media.Picture) -> Markup:
    at = f", {in_level(run, label)}" if label else ""
    shows = (
        "of a few test recordings, clean, noisy and by each method"
        if run.sound
        else "details of a few test pictures, clean, noisy and denoised"
    )
    image = element(
        "img",
        src=picture.uri,
        width=picture.width,
        height=picture.height,
        alt=f"{title} {shows}{at}",
    )
    frame = element("div", image, class_="sheet", tabindex="0")
    caption = element("figcaption", title) if run.sound else None
    return element("figure", caption, frame)
