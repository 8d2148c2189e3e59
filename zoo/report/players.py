"""What there is to hear: a few recordings by each method, with players."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.report import media, single
from zoo.report.markup import Markup, element
from zoo.report.numbers import fixed
from zoo.report.run import Run, levels


class _Piece(NamedTuple):
    """A recording at a level: its name and method -> file."""

    level: str
    name: str
    wavs: dict[str, Path]


def players(run: Run, room: media.Room, notes: list[str]) -> dict[str, list[Markup]]:
    """Level -> rows of players, one row a recording, as many as there is room for.

    Args:
      run: the run.
      room: what they may take; what they do is taken from it.
      notes: gets what had to be left out.
    """
    pieces = _pieces(run)
    figures = single.values(run, "si_sdr")
    by_slug = {
        (files.slug(level), files.slug(form)): found
        for (level, name), found in figures.items()
        for form in (name, str(Path(name).with_suffix("")))
    }
    shown: dict[str, list[Markup]] = {}
    left_out = 0
    for piece in pieces:
        count = sum(media.length(path) for path in piece.wavs.values())
        if not room.take(count):
            left_out += 1
            continue
        score = by_slug.get((files.slug(piece.level), piece.name), {})
        shown.setdefault(piece.level, []).append(_row(piece, score))
    if left_out:
        notes.append(
            f"{left_out} of {len(pieces)} sets of wavs are left out to keep this page small; all "
            "are in eval/listen/."
        )
    return shown


def _pieces(run: Run) -> list[_Piece]:
    """All there are: the first recording at every level, then the second."""
    folder = run.workdir / "eval" / "listen"
    methods = ["clean", "noisy", *(name for name in run.summary if name != "noisy")]
    slugs = {files.slug(name): name for name in methods}
    named = {files.slug(label): label for label in levels(run)}
    order = {label: at for at, label in enumerate(named.values())}
    by_level: dict[str, dict[str, dict[str, Path]]] = {}
    for path in sorted(folder.glob("*/*.wav")):
        fitting = [slug for slug in slugs if path.stem.endswith(f"_{slug}")]
        slug = max(fitting, key=len, default=path.stem.rpartition("_")[2])
        level = named.get(path.parent.name, path.parent.name)
        name = path.stem.removesuffix(f"_{slug}")
        by_level.setdefault(level, {}).setdefault(name, {})[slugs.get(slug, slug)] = path
    pieces = []
    for level, names in by_level.items():
        for number, (name, wavs) in enumerate(names.items()):
            known = [method for method in methods if method in wavs]
            told = [*known, *(method for method in wavs if method not in known)]
            pieces.append((number, order.get(level, len(order)), level, name, told, wavs))
    pieces.sort(key=lambda one: one[:4])
    return [
        _Piece(level, name, {m: wavs[m] for m in told}) for _, _, level, name, told, wavs in pieces
    ]


def _row(piece: _Piece, score: Mapping[str, float]) -> Markup:
    cards = []
    for method, path in piece.wavs.items():
        uri = media.sound(path)
        figure = f"{fixed(score[method], 1)} dB" if method in score else None
        label = element("figcaption", method, element("span", figure) if figure else None)
        player = (
            element("audio", src=uri, controls=True, preload="metadata", aria_label=method)
            if uri
            else element("p", "not readable", class_="note")
        )
        look = "player ours" if method == "model" else "player"
        cards.append(element("figure", label, player, class_=look))
    heading = element("h4", piece.name)
    return element("div", heading, element("div", cards, class_="players"), class_="piece")
