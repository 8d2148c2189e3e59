"""Scores a denoiser against classical baselines, every choice named, and draws what it did."""

from zoo.evaluate.protocol import Protocol, degrade, score
from zoo.evaluate.run import Result, evaluate, mean_psnr

__all__ = ["Protocol", "Result", "degrade", "evaluate", "mean_psnr", "score"]
