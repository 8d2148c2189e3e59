"""Published figures of well-known test sets, for comparison.

Images: PSNRs for Gaussian noise of sigma 15, 25 and 50 (of 255), in dB. Gray: the tables in the
repositories of SwinIR, SCUNet and DPIR, which agree where they overlap. Color: the same, Restormer
as MMagic re-ran it. Color DnCNN is the blind network, gray DnCNN one network for each level. CBM3D
on Kodak24 at 25 is 32.15 in some papers and 31.68 in others.

Audio: the test set of VoiceBank+DEMAND at 16 kHz: wide-band PESQ, STOI, SI-SDR. The figures of the
noisy signals are of the set itself. Those of models are of weights trained on its training set,
as their authors print them: GTCRN's, and for the streaming U-Nets those of FastEnhancer-T, -B and
-S, whose architecture they follow.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from zoo.evaluate.protocol import PUBLISHED, ImageProtocol, Protocol
from zoo.evaluate.result import Level

SIGMAS = (15, 25, 50)

# How many images a set has, and how many channels those of its table have.
_SETS = {
    "set12": (12, 1),
    "bsd68": (68, 1),
    "urban100": (100, 1),
    "cbsd68": (68, 3),
    "kodak24": (24, 3),
    "mcmaster": (18, 3),
}

_PSNR = {
    "set12": {
        "bm3d": (32.37, 29.97, 26.72),
        "dncnn-gray": (32.86, 30.44, 27.18),
        "ffdnet-gray": (32.75, 30.43, 27.32),
        "drunet-gray": (33.25, 30.94, 27.90),
        "swinir-gray": (33.36, 31.01, 27.91),
        "scunet-gray": (33.43, 31.09, 28.04),
    },
    "bsd68": {
        "bm3d": (31.08, 28.57, 25.60),
        "dncnn-gray": (31.73, 29.23, 26.23),
        "ffdnet-gray": (31.63, 29.19, 26.29),
        "drunet-gray": (31.91, 29.48, 26.59),
        "swinir-gray": (31.97, 29.50, 26.58),
        "scunet-gray": (31.99, 29.55, 26.67),
    },
    "urban100": {
        "bm3d": (32.35, 29.70, 25.95),
        "dncnn-gray": (32.64, 29.95, 26.26),
        "ffdnet-gray": (32.40, 29.90, 26.50),
        "drunet-gray": (33.44, 31.11, 27.96),
        "swinir-gray": (33.70, 31.30, 27.98),
        "scunet-gray": (33.88, 31.58, 28.56),
    },
    "cbsd68": {
        "bm3d": (33.52, 30.71, 27.38),
        "dncnn-color-blind": (33.90, 31.24, 27.95),
        "ffdnet-color": (33.87, 31.21, 27.96),
        "drunet-color": (34.30, 31.69, 28.51),
        "swinir-color": (34.42, 31.78, 28.56),
        "scunet-color": (34.40, 31.79, 28.61),
        "restormer-color": (34.35, 31.75, 28.56),
    },
    "kodak24": {
        "bm3d": (34.28, 32.15, 28.46),
        "dncnn-color-blind": (34.60, 32.14, 28.95),
        "ffdnet-color": (34.63, 32.13, 28.98),
        "drunet-color": (35.31, 32.89, 29.86),
        "swinir-color": (35.34, 32.89, 29.79),
        "scunet-color": (35.34, 32.92, 29.87),
        "restormer-color": (35.49, 33.05, 30.01),
    },
    "mcmaster": {
        "bm3d": (34.06, 31.66, 28.51),
        "dncnn-color-blind": (33.45, 31.52, 28.62),
        "ffdnet-color": (34.66, 32.35, 29.18),
        "drunet-color": (35.40, 33.14, 30.08),
        "swinir-color": (35.61, 33.20, 30.22),
        "scunet-color": (35.60, 33.34, 30.29),
        "restormer-color": (35.61, 33.33, 30.26),
    },
}

# Other random numbers move the mean of a set by about 0.01 dB; these choices move it by more.
_DECISIVE = ("noisy", "output", "channels", "border", "data_range", "level")

_RECORDINGS = 824
_NAME = re.compile(r"p(232|257)_\d+")

AUDIO_METRICS = ("pesq", "stoi", "si_sdr")
"""The metrics of `_FIGURES`, in order; SI-SDR in dB."""

_FIGURES = {
    "noisy": (1.97, 0.921, 8.45),
    "gtcrn": (2.87, 0.940, 18.83),
    "stream-t": (2.99, 0.940, 18.6),
    "stream-b": (3.13, 0.945, 19.0),
    "stream-s": (3.19, 0.947, 19.2),
}

AUDIO_NOTE = (
    "Published: of weights trained on the training set of VoiceBank+DEMAND; of stream-t, -b and -s "
    "those of FastEnhancer-T, -B and -S."
)


def published(
    data: str,
    names: Sequence[str],
    channels: int,
    level: Level,
    protocol: Protocol,
    model: str,
) -> dict[str, float]:
    """The published figures by metric; empty where none is known or comparable.

    Args:
      data: a data set's name; case, spaces and signs do not count.
      names: of the examples that were scored: part of a set has no published figures.
      channels: of the examples as they were scored.
      level: of the noise.
      protocol: by which they were scored.
      model: a registered model, a baseline or "noisy".
    """
    if isinstance(protocol, ImageProtocol):
        if level.unit != "1/255" or differing(protocol):
            return {}
        known = psnr(data, len(names), channels, level.value, model)
        return {} if known is None else {"psnr": known}
    return (level.value is None and is_voicebank(names) and voicebank(model)) or {}


def psnr(data: str, count: int, channels: int, sigma: float, method: str) -> float | None:
    """The published PSNR in dB; None where none is known.

    Args:
      data: as for `published`.
      count: how many images were scored.
      channels: as for `published`.
      sigma: of 255.
      method: a registered model or a baseline.
    """
    name = re.sub(r"[^a-z0-9]", "", data.lower())
    if _SETS.get(name) != (count, channels) or sigma not in SIGMAS:
        return None
    figures = _PSNR[name].get(method)
    return figures and figures[SIGMAS.index(sigma)]


def differing(protocol: ImageProtocol) -> list[str]:
    """The choices by which figures of a protocol cannot be compared with the published ones."""
    return [n for n in _DECISIVE if getattr(protocol, n) != getattr(PUBLISHED, n)]


def is_voicebank(names: Sequence[str]) -> bool:
    """Whether signals are that test set: by their number, and their two speakers' names."""
    stems = {PurePosixPath(name).stem for name in names}
    return len(names) == len(stems) == _RECORDINGS and all(map(_NAME.fullmatch, stems))


def voicebank(model: str) -> dict[str, float] | None:
    """Metric -> published figure on VoiceBank+DEMAND; None where none is known.

    Args:
      model: a registered name, or "noisy".
    """
    known = _FIGURES.get(model)
    return known and dict(zip(AUDIO_METRICS, known, strict=True))
