"""The clock: compilation apart, then single steps."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Times(NamedTuple):
    """What `measure` found.

    Attributes:
      compile_s: seconds the first run took beyond a usual one.
      steps: (n,) seconds of single runs.
    """

    compile_s: float
    steps: np.ndarray

    @property
    def p10(self) -> float:
        """Seconds that one run in ten stays below."""
        return float(np.percentile(self.steps, 10))

    @property
    def median(self) -> float:
        """Seconds of the middle run."""
        return float(np.median(self.steps))

    @property
    def p90(self) -> float:
        """Seconds that nine runs in ten stay below."""
        return float(np.percentile(self.steps, 90))

    @property
    def p99(self) -> float:
        """Seconds that all runs but one in a hundred stay below."""
        return float(np.percentile(self.steps, 99))


def measure(run: Callable[[], object], seconds: float, *, least: int = 5) -> Times:
    """Times single runs, after one that compiles and one that warms up.

    Args:
      run: does one step and returns when its results are there.
      seconds: about how long to measure.
      least: runs to time even when they take longer.
    """
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    run()
    steps: list[float] = []
    start = time.perf_counter()
    while len(steps) < least or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        steps.append(time.perf_counter() - before)
    return Times(max(first - float(np.median(steps)), 0.0), np.array(steps))
