"""Two sides taking turns, so that neither meets a busier machine than the other."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

PAUSE = 0.2
"""Seconds between turns: threads that spin for more work have gone to sleep by then."""


class Pairs(NamedTuple):
    """What both sides took, pair by pair, in seconds.

    Attributes:
      ours: of each pair.
      theirs: of each pair.
    """

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """Their time over ours: above 1 where we are faster."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def row(self) -> dict[str, object]:
        """The columns of a result: both medians in ms, and the ratios' median and ends."""
        ratios = self.ratios
        return {
            "ours_ms": 1e3 * statistics.median(self.ours),
            "torch_ms": 1e3 * statistics.median(self.theirs),
            "speedup_median": statistics.median(ratios),
            "speedup_low": min(ratios),
            "speedup_high": max(ratios),
            "speedups": " ".join(f"{ratio:.3f}" for ratio in ratios),
        }


def take(ours: Callable[[], float], theirs: Callable[[], float], count: int) -> Pairs:
    """Lets both run in turn, A B, B A, A B, each blocked while the other runs; prints each pair.

    Args:
      ours: runs our turn and returns its seconds.
      theirs: runs the other's.
      count: pairs.
    """
    pairs = Pairs([], [])
    for i in range(count):
        turns = ((ours, pairs.ours), (theirs, pairs.theirs))
        for run, times in turns[:: -1 if i % 2 else 1]:
            times.append(run())
        mine, other, ratio = pairs.ours[-1], pairs.theirs[-1], pairs.ratios[-1]
        ms = f"{1e3 * mine:.2f} ms, PyTorch {1e3 * other:.2f} ms"
        print(f"  pair {i + 1}: {ms}, ratio {ratio:.3f}", flush=True)
    return pairs


def block(run: Callable[[], None], steps: int) -> float:
    """The median seconds of so many runs, after one that is not counted."""
    run()
    seconds = statistics.median(timed(run) for _ in range(steps))
    time.sleep(PAUSE)
    return seconds


def timed(run: Callable[[], object]) -> float:
    """The seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
