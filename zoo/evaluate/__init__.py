"""Evaluation of denoisers against classical baselines, every choice named.

One `evaluate` serves images, audio and any other modality; see `zoo.evaluate.evaluation`.
"""

from zoo.evaluate.degrade import NumpyGaussian
from zoo.evaluate.evaluation import evaluate, mean_merit
from zoo.evaluate.image_evaluator import compare
from zoo.evaluate.protocol import PUBLISHED, AudioProtocol, ImageProtocol, Protocol
from zoo.evaluate.result import (
    REAL,
    Level,
    Result,
    Score,
    level_from_label,
    levels_of,
    read_manifest,
)

__all__ = [
    "PUBLISHED",
    "REAL",
    "AudioProtocol",
    "ImageProtocol",
    "Level",
    "NumpyGaussian",
    "Protocol",
    "Result",
    "Score",
    "compare",
    "evaluate",
    "level_from_label",
    "levels_of",
    "mean_merit",
    "read_manifest",
]
