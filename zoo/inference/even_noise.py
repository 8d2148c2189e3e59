"""Noise that depends on the signal, made even before a model and undone after it: which it is."""

import math
from collections.abc import Sequence

import jax
import numpy as np

from zoo.errors import ZooError, unknown
from zoo.estimate import estimate_poisson_gaussian, estimate_rician_sigma
from zoo.stabilize import PoissonGaussian, Rician

Noise = PoissonGaussian | Rician
"""Noise that can be made even, with its figures."""

KINDS = {"poisson": PoissonGaussian, "rician": Rician}
"""The kinds by name."""

NONE = "none"
"""The name for noise that is even already."""

# Pixels up to which the whole image is looked at.
_WHOLE = 2**20
# Else so many crops along each axis, of so many pixels a side.
_CROPS = 4
_SIDE = 256
# Percent of the values that may lie below that of no light.
_OUTER = 0.1
_LEAST = 16
_fit = jax.jit(estimate_poisson_gaussian, static_argnames="offset")


def crops(image: np.ndarray) -> list[np.ndarray]:
    """An image (H, W, C), or crops of a large one."""
    height, width, _ = image.shape
    if height * width <= _WHOLE:
        return [image]
    return [
        image[rows, columns]
        for rows in _spread(height, width)
        for columns in _spread(width, height)
    ]


def check_size(image: np.ndarray, remedy: str) -> None:
    """Refuses an image (H, W, C) of so few pixels that estimates have nothing to go by.

    Raises:
      ZooError: a side is shorter than 16 pixels; the error ends in the remedy.
    """
    height, width, _ = image.shape
    if min(height, width) < _LEAST:
        raise ZooError(
            f"an image of {height}x{width} pixels is too small to estimate its noise from; {remedy}"
        )


def fill_missing(crop: np.ndarray) -> np.ndarray:
    """The lowest value in the place of those that are not finite: estimates leave such out."""
    known = np.isfinite(crop)
    if known.all():
        return crop
    return np.where(known, crop, crop[known].min() if known.any() else 0).astype(crop.dtype)


def crop_column(image: np.ndarray) -> np.ndarray:
    """The crops one below the other, but for some at the edges, float64."""
    every = np.concatenate(crops(image))
    # A program for each size would take longer than all the rest.
    every = every[tuple(_inner(length) for length in every.shape[:2])]
    return fill_missing(every.astype(np.float64))


def _inner(length: int) -> slice:
    """The middle of an axis, of a length that many images have."""
    spare = length % (64 if length >= 512 else 16)
    return slice(spare // 2, length - (spare - spare // 2))


def _spread(length: int, other: int) -> list[slice]:
    """Places of crops along an axis; longer ones where the other axis is short."""
    side = min(length, max(_SIDE, _SIDE**2 // other))
    count = min(_CROPS, -(-length // side))
    starts = np.linspace(0, length - side, count).astype(int) if count > 1 else [0]
    return [slice(int(start), int(start) + side) for start in starts]


def check(given: str | Noise | None) -> str | Noise | None:
    """The noise to make even, as the user gave it.

    Raises:
      ZooError: it is no name of a kind and no noise, or a figure of it is out of range.
    """
    if given is None or (isinstance(given, str) and given in (*KINDS, NONE)):
        return given
    if isinstance(given, str):
        raise unknown("noise to stabilize", given, (*KINDS, NONE))
    if not isinstance(given, Noise):
        raise ZooError(
            f"stabilize={given!r} is none of {', '.join((*KINDS, NONE))} and no "
            "zoo.stabilize.PoissonGaussian or Rician; give one of them"
        )
    for name, value in given._asdict().items():
        least = -math.inf if name == "offset" else 0.0
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (least <= number < math.inf) or (number == 0 and name in ("gain", "sigma")):
            bound = {"offset": "a number", "read": "a number, at least 0"}
            raise ZooError(
                f"{name}={value!r} of the noise to stabilize is not "
                f"{bound.get(name, 'a number above 0')}, in the values of the image"
            )
    return type(given)(*map(float, given))


def parse(text: str) -> str | Noise:
    """Noise of a command line: a name, or a name and its figures, as `poisson:2.1,3`.

    Raises:
      ZooError: as `check`, or there are too many figures or none after the colon.
    """
    name, colon, figures = text.partition(":")
    if not colon or name not in KINDS:
        return check(text)
    try:
        return check(KINDS[name](*map(float, figures.split(","))))
    except ZooError:
        raise
    except (TypeError, ValueError):
        names = ",".join(KINDS[name]._fields).upper()
        raise ZooError(
            f"{text} is not {name}:{names}, numbers in the values of the image"
        ) from None


def gain_and_read(image: np.ndarray, black: float, *, offset: bool = False) -> tuple[float, float]:
    """The line of the noise's variance: its slope, and what it is at black.

    Args:
      image: (H, W, C), both sides at least 16.
      black: the value of no light.
      offset: whether that may be higher; see `zoo.estimate.estimate_poisson_gaussian`.
    """
    found = crop_column(image) - black
    # To about 1, which its sums in single precision want.
    unit = float(np.abs(found).max()) or 1.0
    found = _fit((found / unit).astype(np.float32), offset=offset)
    gain, read = map(float, found)
    return gain * unit, read * unit**2


def kind_of(noise: Noise) -> str:
    """The name of the kind of a noise."""
    return next(name for name, kind in KINDS.items() if isinstance(noise, kind))


def named(noise: Noise) -> str:
    """The kind of a noise and its figures in words."""
    figures = (f"{key} {value:.3g}" for key, value in noise._asdict().items())
    return f"{kind_of(noise)} {', '.join(figures)}"


def fit(image: np.ndarray, kind: str, black: float | None) -> Noise | None:
    """The noise of an image, by its kind.

    Args:
      image: (H, W, C).
      kind: "poisson", whose variance is a line of the value, or "rician".
      black: the value of no light; None for 0, or above where the line of the variance says so.

    Returns:
      The noise; None where it does not grow with the light, or is none.

    Raises:
      ZooError: a side is shorter than 16 pixels.
    """
    check_size(image, "give its figures by stabilize=")
    if kind == "rician":
        # As of crops whose median is taken elsewhere, air and flesh together.
        found = crop_column(image)
        unit = float(np.abs(found).max()) or 1.0
        sigma = float(estimate_rician_sigma((found / unit).astype(np.float32))) * unit
        return Rician(sigma) if sigma > 0 else None
    # No more than the least value, but for outliers, can be the value of no light.
    least = float(np.nanpercentile(crop_column(image), _OUTER)) if black is None else 0.0
    gain, variance = gain_and_read(image, black or 0.0, offset=least > 0)
    if gain <= 0:
        return None
    if variance < 0:
        return PoissonGaussian(gain, 0.0, min(-variance / gain, least))
    return PoissonGaussian(gain, math.sqrt(variance), black or 0.0)


def middle(found: Sequence[Noise | None]) -> Noise | None:
    """The noise of several images of one instrument: the median of each of its figures."""
    known = [one for one in found if one]
    if not known:
        return None
    return type(known[0])(*(float(np.median(values)) for values in zip(*known, strict=True)))
