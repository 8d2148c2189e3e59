"""Scores denoisers of recordings on mixtures that are the same for all, and shows what they did."""

from zoo.evaluate.recordings.measure import Apply
from zoo.evaluate.recordings.protocol import RecordingProtocol
from zoo.evaluate.recordings.result import METRICS, Result, Score
from zoo.evaluate.recordings.run import BASELINES, evaluate_recordings, mean_si_sdr

__all__ = [
    "BASELINES",
    "METRICS",
    "Apply",
    "RecordingProtocol",
    "Result",
    "Score",
    "evaluate_recordings",
    "mean_si_sdr",
]
