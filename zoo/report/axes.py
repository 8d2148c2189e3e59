"""Where the ticks of an axis stand."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Axis(NamedTuple):
    """The range of a chart's axis and its ticks, in the units of what is drawn.

    Attributes:
      low: where it begins.
      high: where it ends; above `low`.
      ticks: rising, within the range.
      log: whether it is logarithmic.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def place(self, value: float) -> float:
        """How far along a value lies, from 0 to 1 and clipped to it."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return min(max((value - low) / (high - low), 0.0), 1.0)


def linear(values: Sequence[float], *, tight: bool = False, count: int = 5) -> Axis:
    """An axis for finite values, with about so many round ticks.

    Args:
      values: at least one.
      tight: whether it ends where the values do, not at a tick.
      count: of ticks.
    """
    low, high = min(values), max(values)
    if low == high:
        pad = abs(low) * 0.05 or 1.0
        low, high = low - pad, high + pad
    step = _round_step((high - low) / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [float(number * step) for number in range(first, last + 1)]
    if not tight:
        low, high = ticks[0], ticks[-1]
    slack = 1e-9 * (high - low)
    return Axis(low, high, tuple(t for t in ticks if low - slack <= t <= high + slack))


def logarithmic(values: Sequence[float]) -> Axis:
    """An axis for positive, finite values: 1, 2, 5 a decade, only powers of ten for many.

    Args:
      values: at least one.
    """
    low, high = min(values) / 1.05, max(values) * 1.05
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**power for power in decades for digit in digits]
        within = [tick for tick in ticks if low <= tick <= high]
        if len(within) <= 6:
            break
    within = within[:: max(1, math.ceil(len(within) / 8))]
    if len(within) < 2:
        # Less than a factor of two: the round numbers of a straight axis are on this one too.
        within = [tick for tick in linear([low, high], count=4).ticks if low <= tick <= high]
    return Axis(low, high, tuple(within), log=True)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= step * 0.999)
