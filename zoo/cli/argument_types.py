"""Types of arguments: what a user types, to numbers; argparse prints what they refuse."""

import argparse
import functools
import math
import re
from typing import TYPE_CHECKING

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.inference.even_noise import Noise


def share(text: str) -> float:
    """A share from 0 to 1."""
    return _number(text, 0, 1, "a number from 0 to 1")


def decibels(text: str) -> float:
    """Decibels from 0 to 200."""
    return _number(text, 0, 200, "a number of dB from 0 to 200")


def stretch(text: str) -> tuple[float, float]:
    """Two times, in seconds, as `0:00-0:01.5` or `3-4.5`."""
    ends = [functools.reduce(_in_seconds, end.split(":"), 0.0) for end in text.split("-")]
    if len(ends) != 2 or not 0 <= ends[0] < ends[1] < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a stretch of time, first its start, such as 0:00-0:01.5 or 3-4.5"
        )
    return ends[0], ends[1]


def _in_seconds(before: float, part: str) -> float:
    """Sixty times what came before and the next part of hours, minutes or seconds."""
    return 60 * before + (float(part) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", part) else math.nan)


def sigma(text: str) -> float | None:
    """A standard deviation in 1/255; None for the estimate."""
    if text == "auto":
        return None
    return _number(text, 1e-6, 255, "auto, or a number above 0 and up to 255")


def noise(text: str) -> "str | Noise":
    """Noise to make even, as `rician` or `poisson:2.1,3`."""
    # Here, so that `--help` need not wait for JAX.
    from zoo.inference import even_noise  # noqa: PLC0415

    try:
        return even_noise.parse(text)
    except ZooError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def finite(text: str) -> float:
    """Any number."""
    return _number(text, -math.inf, math.inf, "a number")


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high or math.isinf(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return number


def share_of(text: str) -> tuple[int, int]:
    """A share of some number of them, as `3/64`, the first being 1."""
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N, such as 3/64")
    return number, count


def whole(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)
