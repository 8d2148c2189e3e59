"""Published figures of the test set of VoiceBank+DEMAND at 16 kHz: wide-band PESQ, STOI, SI-SDR.

Those of the noisy recordings are of the set itself. Those of models are of weights trained on its
training set, as their authors print them: GTCRN's, and of the streaming U-Nets those of
FastEnhancer-T, -B and -S, whose architecture they follow.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

_RECORDINGS = 824
_NAME = re.compile(r"p(232|257)_\d+")

METRICS = ("pesq", "stoi", "si_sdr")
"""In their order below; SI-SDR in dB."""

_FIGURES = {
    "noisy": (1.97, 0.921, 8.45),
    "gtcrn": (2.87, 0.940, 18.83),
    "stream-t": (2.99, 0.940, 18.6),
    "stream-b": (3.13, 0.945, 19.0),
    "stream-s": (3.19, 0.947, 19.2),
}


def is_test_set(names: Sequence[str]) -> bool:
    """Whether these recordings are that set: by their number, and their two speakers' names."""
    stems = {PurePosixPath(name).stem for name in names}
    return len(names) == len(stems) == _RECORDINGS and all(map(_NAME.fullmatch, stems))


def figures(model: str) -> dict[str, float] | None:
    """Metric -> published figure; None where none is known.

    Args:
      model: a registered name, or "noisy".
    """
    known = _FIGURES.get(model)
    return known and dict(zip(METRICS, known, strict=True))
