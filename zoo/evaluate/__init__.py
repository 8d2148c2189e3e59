"""Scores a denoiser against classical baselines, every choice named, and draws what it did.

Pictures are scored here, recordings in `zoo.evaluate.recordings`.
"""

from zoo.evaluate.draw import NumpyGaussian
from zoo.evaluate.measure import compare
from zoo.evaluate.protocol import PUBLISHED, Protocol
from zoo.evaluate.run import Result, evaluate, mean_psnr

__all__ = ["PUBLISHED", "NumpyGaussian", "Protocol", "Result", "compare", "evaluate", "mean_psnr"]
