"""Spectrogram and waveform plots of a few recordings, method by method."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from zoo.errors import ZooError
from zoo.evaluate.galleries import FAINT, Canvas, shorten
from zoo.spectral import hann

# All in pixels of the finished canvas.
_WIDE = 340
_TALL = {"spectrogram": 200, "waveform": 110}
_GAP = 14
_MARGIN = 24
_AXIS = 34
_HEAD = 78
_NAME = 26
_BELOW = 52

# A second of speech then has 85 pixels, in which its harmonics and pauses are still distinct.
_SECONDS = 4.0
_SIZE = 512
_DEPTH = 70

_CLEAN = "#1b1b1b"
_OTHER = "#ee7733"


class Panel(NamedTuple):
    """One recording of a row.

    Attributes:
      signal: (T, C), float, of which the first channel is drawn.
      scores: the captions below it, the si_sdr first, as text by metric; empty for the clean one.
      si_sdr: in dB, or None; the best of a row is bold.
    """

    signal: np.ndarray
    scores: Sequence[str] = ()
    si_sdr: float | None = None


class Row(NamedTuple):
    """A name, and panels of one length by their heading, among them clean, the first, and noisy."""

    name: str
    panels: Mapping[str, Panel]


def spectrograms(
    path: str | os.PathLike, rows: Sequence[Row], *, sample_rate: int, title: str = ""
) -> None:
    """Draws rows of spectrograms with their scores and writes them as PNG, whole or not at all.

    A recording of more than 4 s is shown by the 4 s with the most energy in the clean one, the same
    in every column. Decibels count down from the loudest point of the row's noisy panel, or of the
    clean one if there is no noisy one; 70 of them are shown.

    Args:
      path: the file; its folder exists.
      rows: at least one, all with the same headings.
      sample_rate: in Hz.
      title: the heading, such as the level of the noise.

    Raises:
      ZooError: for no rows, or if the file cannot be written.
    """

    def draw(axes, signals, heading, start):
        loudest = _decibels(signals["noisy"]).max()
        power = _decibels(signals[heading]) - loudest
        seconds = len(signals[heading]) / sample_rate
        axes.imshow(
            power.T,
            origin="lower",
            aspect="auto",
            extent=(start, start + seconds, 0, sample_rate / 2000),
            cmap="magma",
            vmin=-_DEPTH,
            vmax=0,
            # More columns than pixels: averaged, so that thin lines do not come and go.
            interpolation="antialiased",
        )
        step = 2 if sample_rate >= 12000 else 1
        axes.set_yticks(np.arange(0, sample_rate / 2000 + 0.01, max(step, sample_rate // 8000)))

    _figure(
        path,
        rows,
        "spectrogram",
        draw,
        sample_rate=sample_rate,
        title=title,
        unit="kHz",
        note="0 dB is the loudest point of a row's noisy spectrogram. "
        "Scores are of the whole recording; the best SI-SDR of a row is bold.",
    )


def waveforms(
    path: str | os.PathLike, rows: Sequence[Row], *, sample_rate: int, title: str = ""
) -> None:
    """Draws rows of waveforms, each with the clean one on top; as `spectrograms` otherwise.

    What sticks out in color differs from the clean recording.
    """

    def draw(axes, signals, heading, start):
        most = max(np.abs(x).max() for x in signals.values()) or 1.0
        times, low, high = _envelope(signals[heading], sample_rate)
        if heading != "clean":
            axes.fill_between(times + start, low, high, color=_OTHER, linewidth=0)
        times, low, high = _envelope(signals["clean"], sample_rate)
        axes.fill_between(times + start, low, high, color=_CLEAN, linewidth=0)
        axes.set_xlim(start, start + len(signals["clean"]) / sample_rate)
        axes.set_ylim(-1.05 * most, 1.05 * most)
        top = float(f"{most:.1g}")
        top = top if top <= 1.05 * most else float(f"{most / 2:.1g}")
        axes.set_yticks([-top, 0, top], [f"{-top:g}", "0", f"{top:g}"])
        axes.spines[["top", "right"]].set_visible(False)

    _figure(
        path,
        rows,
        "waveform",
        draw,
        sample_rate=sample_rate,
        title=title,
        unit="",
        note="Black: clean. Orange, behind it: the noisy recording or an output. "
        "Scores are of the whole recording; the best SI-SDR of a row is bold.",
    )


def busiest(clean: np.ndarray, length: int) -> int:
    """Where the stretch of that many samples with the most energy begins, (T,) given."""
    if len(clean) <= length:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(np.square(clean, dtype=np.float64))])
    return int(np.argmax(energy[length:] - energy[:-length]))


def _figure(
    path: str | os.PathLike,
    rows: Sequence[Row],
    kind: str,
    draw: Callable,
    *,
    sample_rate: int,
    title: str,
    unit: str,
    note: str,
) -> None:
    if not rows:
        raise ZooError("a gallery needs at least one recording")
    headings, tall = list(rows[0].panels), _TALL[kind]
    width = 2 * _MARGIN + _AXIS + len(headings) * (_WIDE + _GAP) - _GAP
    height = _HEAD + len(rows) * (_NAME + tall + _BELOW) + _MARGIN
    canvas = Canvas(width, height)
    text = canvas.text

    def left(column):
        return _MARGIN + _AXIS + column * (_WIDE + _GAP)

    text(_MARGIN, 14, title, size=17, weight="bold")
    if kind == "spectrogram":
        _scale(canvas.axes(width - _MARGIN - 220, 16, 220, 9))
    for column, heading in enumerate(headings):
        text(left(column), _HEAD - 24, heading, size=14, color=FAINT)
    text(_MARGIN, height - 24, note, size=12, color=FAINT)
    for row, top in zip(rows, range(_HEAD, height, _NAME + tall + _BELOW), strict=False):
        text(left(0), top + 4, shorten(row.name, 60), size=13, weight="bold")
        first = next(iter(row.panels.values())).signal[:, 0]
        length = int(_SECONDS * sample_rate)
        start = busiest(first, length)
        signals = {name: p.signal[start : start + length, 0] for name, p in row.panels.items()}
        best = max((p.si_sdr for p in row.panels.values() if p.si_sdr is not None), default=None)
        for column, (heading, panel) in enumerate(row.panels.items()):
            axes = canvas.axes(left(column), top + _NAME, _WIDE, tall)
            draw(axes, signals, heading, start / sample_rate)
            axes.tick_params(labelsize=8.5, colors=FAINT, length=3, pad=2)
            for spine in axes.spines.values():
                spine.set_color("#b0b0b0")
            _whole_seconds(axes, start / sample_rate, len(signals[heading]) / sample_rate)
            if column:
                axes.set_yticklabels([])
            elif unit:
                text(left(0) - 8, top + _NAME - 18, unit, size=12, color=FAINT, across="right")
            below = top + _NAME + tall
            if panel.scores:
                weight = "bold" if panel.si_sdr is not None and panel.si_sdr == best else "normal"
                text(left(column), below + 22, panel.scores[0], size=12, weight=weight)
                rest = "   ".join(panel.scores[1:])
                text(left(column) + 110, below + 22, rest, size=12, color=FAINT)
    canvas.write(path)


def _whole_seconds(axes, start: float, seconds: float) -> None:
    """Marks the time once a second, tenths in a short recording, and names the unit once."""
    step = 1.0 if seconds >= 2 else 0.1 if seconds >= 0.2 else seconds / 2
    ticks = np.arange(np.ceil(start / step - 1e-6), (start + seconds) / step + 1e-6) * step + 0.0
    # The last mark's name would touch the next column's first.
    ticks = ticks[ticks <= start + seconds - 0.03 * seconds]
    names = [f"{tick:.3g}" for tick in ticks]
    axes.set_xticks(ticks, [*names[:-1], f"{names[-1]} s"] if names else [])


def _scale(axes) -> None:
    """The one color bar of the canvas."""
    axes.imshow(
        np.linspace(-_DEPTH, 0, 256)[None],
        extent=(-_DEPTH, 0, 0, 1),
        aspect="auto",
        cmap="magma",
        vmin=-_DEPTH,
        vmax=0,
    )
    axes.set_yticks([])
    ticks = [-_DEPTH, -50, -25, 0]
    axes.set_xticks(ticks, [*(f"{tick}" for tick in ticks[:-1]), "0 dB"])
    axes.tick_params(labelsize=8.5, colors=FAINT, length=3, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _decibels(signal: np.ndarray) -> np.ndarray:
    """Power by frame and frequency in dB, (frames, 257), never below -120."""
    hop = _SIZE // 8
    padded = np.pad(signal.astype(np.float64), _SIZE // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[::hop]
    spectrum = np.fft.rfft(frames * hann(_SIZE)) / (_SIZE / 4)
    return 20 * np.log10(np.maximum(np.abs(spectrum), 1e-6))


def _envelope(signal: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in seconds, and the lowest and highest sample around each."""
    size = max(len(signal) // (2 * _WIDE), 1)
    parts = np.arange(0, len(signal), size)
    low, high = (f.reduceat(signal, parts) for f in (np.minimum, np.maximum))
    return (parts + size / 2) / sample_rate, low, high
