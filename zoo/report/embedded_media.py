"""Images and audio as data URIs, as many as the page has room for."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.errors import ZooError
from zoo.report import score_tables
from zoo.report.run_files import Run, sheets, wavs

# Of a sheet that is compressed: its width in pixels, and its WebP quality.
_NARROW, _QUALITY = 1840, 85


class Sheet(NamedTuple):
    """An image of test examples.

    Attributes:
      title: its kind.
      uri: the data.
      width: in pixels.
      height: in pixels.
    """

    title: str
    uri: str
    width: int
    height: int


class Player(NamedTuple):
    """One method's version of an audio file.

    Attributes:
      method: its name.
      score: SI-SDR in dB, None if unknown.
      uri: the data, None if the file cannot be read.
    """

    method: str
    score: float | None
    uri: str | None


class Pane(NamedTuple):
    """Media of one noise level.

    Attributes:
      heading: the level.
      sheets: images.
      audio: name -> players.
    """

    heading: str
    sheets: list[Sheet]
    audio: dict[str, list[Player]]


def panes(run: Run, room: int) -> tuple[list[Pane], list[str]]:
    """The media of every level, and notes on those left out.

    Images get half of the room at most, audio files the rest.

    Args:
      run: the run.
      room: bytes that they may take; images are compressed and audio files left out to keep to it.
    """
    notes: list[str] = []
    shown: dict[str, Pane] = {}
    used = _add_sheets(run, room // 2, shown, notes)
    _add_players(run, room - used, shown, notes)
    order = [level for level in run.levels if level in shown]
    return [shown[level] for level in [*order, *(x for x in shown if x not in order)]], notes


def _add_sheets(run: Run, room: int, shown: dict[str, Pane], notes: list[str]) -> int:
    """Adds the images that fit; returns the bytes they take."""
    found = sheets(run)
    small = sum(_length(path) for _, _, path in found) > room
    if small:
        notes.append("The images are compressed (WebP) to keep this page small.")
    used, broken, left_out = 0, [], []
    for level, title, path in found:
        sheet = _sheet(title, path, small=small)
        if sheet is None:
            broken.append(path.name)
        elif used + len(sheet.uri) > room:
            left_out.append(path.name)
        else:
            used += len(sheet.uri)
            _pane(run, shown, level).sheets.append(sheet)
    if broken:
        notes.append(f"Not readable, and so not shown: {', '.join(broken)}.")
    if left_out:
        notes.append(f"Left out to keep this page small: {', '.join(left_out)}.")
    return used


def _add_players(run: Run, room: int, shown: dict[str, Pane], notes: list[str]) -> None:
    """Adds whole sets of players, one set per audio file and level, while they fit."""
    found = wavs(run)
    scores = {
        (row["level"], run.example(row), row["method"]): score_tables.value(row, "si_sdr")
        for row in run.scores
    }
    left_out = 0
    for level, name, places in found:
        size = sum(map(_length, places.values()))
        if size > room:
            left_out += 1
            continue
        room -= size
        _pane(run, shown, level).audio[name] = [
            Player(method, scores.get((level, name, method)), _wav(path))
            for method, path in places.items()
        ]
    if left_out:
        notes.append(
            f"{left_out} of {len(found)} sets of wavs are left out to keep this page small; all "
            "are in eval/listen/."
        )


def _pane(run: Run, shown: dict[str, Pane], level: str) -> Pane:
    return shown.setdefault(level, Pane(score_tables.level_name(run, level), [], {}))


def _length(path: Path) -> int:
    """Length of a file as a data URI, about; 0 if it is gone."""
    try:
        return (path.stat().st_size + 2) // 3 * 4 + 64
    except OSError:
        return 0


def _uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _sheet(title: str, path: Path, *, small: bool) -> Sheet | None:
    """A PNG as it is, or a WebP at most 1840 pixels wide; None if it cannot be read."""
    from PIL import Image  # noqa: PLC0415, only this needs it

    try:
        data = files.read(path)
        with Image.open(io.BytesIO(data)) as image:
            # A truncated file would be half an image.
            image.load()
            if not small:
                return Sheet(title, _uri(data, "image/png"), *image.size)
            width = min(image.width, _NARROW)
            height = max(1, round(image.height * width / image.width))
            shrunk = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            shrunk.save(out, "WEBP", quality=_QUALITY)
            return Sheet(title, _uri(out.getvalue(), "image/webp"), width, height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _wav(path: Path) -> str | None:
    try:
        data = files.read(path)
    except ZooError:
        return None
    is_wav = data[:4] == b"RIFF" and data[8:12] == b"WAVE"
    return _uri(data, "audio/wav") if is_wav else None
