"""Spectrogram and waveform plots of audio, method by method."""

import os
from collections.abc import Sequence

import numpy as np

from zoo.errors import ZooError
from zoo.evaluate.galleries import FAINT, Canvas, Row, shorten
from zoo.spectral import hann

# All in pixels of the finished canvas.
_WIDE = 340
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


def draw(
    path: str | os.PathLike, rows: Sequence[Row], kind: str, *, sample_rate: int, title: str = ""
) -> None:
    """Draws rows of audio with their scores and writes them as PNG, whole or not at all.

    A signal of more than 4 s is shown by the 4 s with the most energy in the clean one, the same
    in every column. Decibels of spectrograms count down from the loudest point of the row's noisy
    panel; 70 of them are shown. Waveforms have the clean one on top: what sticks out in color
    differs from it.

    Args:
      path: the file; its folder exists.
      rows: at least one, all with the same headings, "clean" and "noisy" among them.
      kind: `"spectrograms"` or `"waveforms"`.
      sample_rate: in Hz.
      title: the heading, such as the level of the noise.

    Raises:
      ZooError: for no rows, or if the file cannot be written.
    """
    if not rows:
        raise ZooError("a gallery needs at least one audio signal")
    plot, tall, unit, note = _KINDS[kind]
    headings = list(rows[0].panels)
    width = 2 * _MARGIN + _AXIS + len(headings) * (_WIDE + _GAP) - _GAP
    height = _HEAD + len(rows) * (_NAME + tall + _BELOW) + _MARGIN
    canvas = Canvas(width, height)
    text = canvas.text

    def left(column):
        return _MARGIN + _AXIS + column * (_WIDE + _GAP)

    text(_MARGIN, 14, title, size=17, weight="bold")
    if kind == "spectrograms":
        _scale(canvas.axes(width - _MARGIN - 220, 16, 220, 9))
    for column, heading in enumerate(headings):
        text(left(column), _HEAD - 24, heading, size=14, color=FAINT)
    note += " Scores are of the whole signal; the best SI-SDR of a row is bold."
    text(_MARGIN, height - 24, note, size=12, color=FAINT)
    for row, top in zip(rows, range(_HEAD, height, _NAME + tall + _BELOW), strict=False):
        text(left(0), top + 4, shorten(row.name, 60), size=13, weight="bold")
        first = next(iter(row.panels.values())).signal[:, 0]
        length = int(_SECONDS * sample_rate)
        start = busiest(first, length)
        signals = {name: p.signal[start : start + length, 0] for name, p in row.panels.items()}
        begin, seconds = start / sample_rate, min(length, len(first)) / sample_rate
        for column, (heading, panel) in enumerate(row.panels.items()):
            axes = canvas.axes(left(column), top + _NAME, _WIDE, tall)
            plot(axes, signals, heading, begin, sample_rate)
            _faint(axes, "#b0b0b0")
            _whole_seconds(axes, begin, seconds)
            if column:
                axes.set_yticklabels([])
            elif unit:
                text(left(0) - 8, top + _NAME - 18, unit, size=12, color=FAINT, across="right")
            below = top + _NAME + tall + 22
            for number, words in enumerate([*panel.captions[:1], "   ".join(panel.captions[1:])]):
                best = panel.merit is not None and panel.merit == row.best
                style = {"color": FAINT} if number else {"weight": "bold" if best else "normal"}
                text(left(column) + 110 * number, below, words, size=12, **style)
    canvas.write(path)


def _spectrogram(axes, signals, heading: str, start: float, sample_rate: int) -> None:
    power = _decibels(signals[heading]) - _decibels(signals["noisy"]).max()
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


def _waveform(axes, signals, heading: str, start: float, sample_rate: int) -> None:
    most = max(np.abs(x).max() for x in signals.values()) or 1.0
    for name, color in {heading: _OTHER, "clean": _CLEAN}.items():
        times, low, high = _envelope(signals[name], sample_rate)
        axes.fill_between(times + start, low, high, color=color, linewidth=0)
    axes.set_xlim(start, start + len(signals["clean"]) / sample_rate)
    axes.set_ylim(-1.05 * most, 1.05 * most)
    top = float(f"{most:.1g}")
    top = top if top <= 1.05 * most else float(f"{most / 2:.1g}")
    axes.set_yticks([-top, 0, top], [f"{-top:g}", "0", f"{top:g}"])
    axes.spines[["top", "right"]].set_visible(False)


# What draws a panel, how tall it is, the unit of its axis, and the note below all.
_KINDS = {
    "spectrograms": (
        _spectrogram,
        200,
        "kHz",
        "0 dB is the loudest point of a row's noisy spectrogram.",
    ),
    "waveforms": (
        _waveform,
        110,
        "",
        "Black: clean. Orange, behind it: the noisy signal or an output.",
    ),
}


def _faint(axes, color: str) -> None:
    axes.tick_params(labelsize=8.5, colors=FAINT, length=3, pad=2)
    for spine in axes.spines.values():
        spine.set_color(color)


def busiest(clean: np.ndarray, length: int) -> int:
    """Where the stretch of that many samples with the most energy begins, (T,) given."""
    if len(clean) <= length:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(np.square(clean, dtype=np.float64))])
    return int(np.argmax(energy[length:] - energy[:-length]))


def _whole_seconds(axes, start: float, seconds: float) -> None:
    """Marks the time once a second, tenths in a short signal, and names the unit once."""
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
    _faint(axes, "none")


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
