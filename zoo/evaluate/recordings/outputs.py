"""What an evaluation of recordings leaves: tables, wavs to hear, pictures to see."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zoo import charts, files
from zoo.data import audio_writing
from zoo.evaluate import means, tables
from zoo.evaluate.recordings import drawing, figures
from zoo.evaluate.recordings.pieces import Piece
from zoo.evaluate.recordings.protocol import LOUDEST
from zoo.evaluate.recordings.result import Result

# More columns would not fit a screen.
_DRAWN_MODELS = 2


def write_tables(outdir: Path, result: Result, facts: Mapping[str, object]) -> None:
    """Writes every figure, their means, and the choices behind them."""
    means.write(
        outdir,
        protocol={**result.protocol.choices(), **facts},
        summary=result.summary,
        by_level=result.by_level,
        metrics=result.metrics,
    )
    rows = [(*score[:3], *score.figures.values()) for score in result.scores]
    text = tables.csv_text(("level", "recording", "method", *result.metrics), rows)
    files.write(outdir / "per_recording.csv", text.encode())


def write_listening(
    outdir: Path,
    level: str,
    heard: Mapping[Piece, Mapping[str, np.ndarray]],
    names: Mapping[Piece, str],
    sample_rate: int,
    gains: dict[str, float],
) -> None:
    """Writes what each method made of some recordings, for the ear; see `write_wavs`."""
    for piece, signals in heard.items():
        wavs = {
            f"listen/{files.slug(level)}/{names[piece]}_{files.slug(method)}.wav": signal
            for method, signal in signals.items()
        }
        write_wavs(outdir, wavs, sample_rate, gains)


def write_wavs(
    outdir: Path, wavs: Mapping[str, np.ndarray], sample_rate: int, gains: dict[str, float]
) -> None:
    """Writes recordings with one gain for all, 1 unless one would clip; keeps those below 1."""
    peak = max(float(np.abs(signal).max()) for signal in wavs.values())
    gain = LOUDEST / max(peak, LOUDEST)
    for place, signal in wavs.items():
        audio_writing.write(outdir / place, signal * np.float32(gain), sample_rate)
        if gain < 1:
            gains[place] = gain


def draw_rows(
    outdir: Path,
    level: str,
    title: str,
    heard: Mapping[Piece, Mapping[str, np.ndarray]],
    result: Result,
    models: Sequence[str],
    baselines: Sequence[str],
) -> None:
    """Clean, noisy, the first models and the classical method of the highest mean SI-SDR."""
    found = result.by_level[level]

    def quality(name):
        mean = found[name].get("si_sdr")
        return -np.inf if mean is None else mean

    best = sorted(baselines, key=quality)[-1:]
    methods = ["noisy", *models[:_DRAWN_MODELS], *best]
    by_key = {(s.recording, s.method): s.figures for s in result.scores if s.level == level}
    rows = []
    for piece in sorted(heard):
        panels = {"clean": drawing.Panel(heard[piece]["clean"])}
        for method in methods:
            values = by_key[piece.name, method]
            panels[method] = drawing.Panel(
                heard[piece][method], _told(values), values.get("si_sdr")
            )
        rows.append(drawing.Row(piece.name, panels))
    rate = result.protocol.sample_rate
    for kind, draw in (("spectrograms", drawing.spectrograms), ("waveforms", drawing.waveforms)):
        draw(outdir / f"{kind}_{files.slug(level)}.png", rows, sample_rate=rate, title=title)


def _told(values: Mapping[str, float]) -> list[str]:
    """The scores that stand below a picture."""
    words = {"si_sdr": "SI-SDR {:.1f} dB", "pesq": "PESQ {:.2f}", "stoi": "STOI {:.2f}"}
    return [
        w.format(values[name]) for name, w in words.items() if np.isfinite(values.get(name, np.nan))
    ]


def draw_curves(
    outdir: Path,
    levels: Mapping[str, float | None],
    result: Result,
    classical: Sequence[str],
    count: int,
) -> None:
    """Draws each metric by level, one line a method, where there are several levels."""
    for old in outdir.glob("curves_*.png"):
        old.unlink()
    if len(levels) < 2:
        return
    for name in result.metrics:
        series: dict[str, list[tuple[float, float]]] = {}
        for level, found in result.by_level.items():
            for method, row in found.items():
                if row[name] is not None and (name, method) != ("si_sdr_gain", "noisy"):
                    series.setdefault(method, []).append((float(levels[level]), row[name]))
        if series:
            chart = charts.level_chart(
                series,
                "SNR of the mixture, dB",
                f"mean {figures.COLUMNS[name].heading}",
                classical=classical,
                title=f"{count} recordings",
            )
            charts.write_png(outdir / f"curves_{name}.png", [chart])
