"""The way from an image's values to those that networks are trained on, and back.

Networks are trained on images that fill [0, 1]. A microscope's 16 bits that end at 226, a star
field, floats of any unit: each is brought there by an offset and a gain, and its result brought
back. The gain is a power of two of white, so that an image which fills its type is left as it is,
and one of half the values comes out with half the values, exactly.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from zoo.errors import ZooError
from zoo.inference.even_noise import NONE, Noise, fit, middle, named
from zoo.stabilize import Rician

# Percent: what lies beyond is a star, a hot or a dead pixel.
_OUTER = 0.1
# Values looked at for them, and crops of so many pixels a side for the noise.
_VALUES = 2**20
_CROPS, _SIDE = 4, 128
# Deviations of the noise between those percentiles and the image below it.
_TAIL = 3.0
# So far beyond a power of two still counts as that power: 256 fits into 255.
_SLACK = 1.02
# The level beyond which an image is not spread further.
_LOUD = 56 / 255
# Floats up to it are of white 1, and noise.
_NOISY_WHITE = 1.5
# Of the brightest value: values below minus it are more than noise around black.
_SIGNED = 0.05
# An image far from black, of a noise so faint, that fills no more than a part of its range.
_FAINT, _PART = 2 / 255, 1 / 4
# Of a range's width: values so far beyond it, or all so close together, are of other light or
# another unit; and a share of values that is no longer that of highlights.
_BEYOND, _CLOSE, _MUCH = 0.1, 0.01, 0.25
# Of 8 and 16 bits, signed or not, and of all others.
_WHITES = (255.0, 127.0, 65535.0, 32767.0, 1.0)
# The offset is a multiple of the range's such part.
_STEPS = 16


class Spread(NamedTuple):
    """What an image's values span.

    Attributes:
      least: the lowest value, but for a thousandth of them.
      most: the highest, likewise.
      ends: the lowest and the highest of all.
      noise: roughly the standard deviation of its noise; texture counts as such.
    """

    least: float
    most: float
    ends: tuple[float, float]
    noise: float


class Look(NamedTuple):
    """What the scale of images is chosen by, of one of them.

    Attributes:
      dtype: of its values.
      spread: what they span.
      evened: its noise, where that is to be made even; else None.
    """

    dtype: np.dtype
    spread: Spread
    evened: Noise | None = None


class Scale(NamedTuple):
    """Values of an image, and what a model sees of them.

    Attributes:
      low: the value that the model sees as 0.
      high: the one that it sees as 1.
      white: the value that levels are a share of: the largest of 8 and 16 bits; of others 1, or
        the width of the range where values are beyond 1.
      closed: the most that the model may give of integers, which is 1 where no value is beyond
        `low` and `high`, or somewhat more; 0 where it may give anything.
      noise: what is made even by a transformation before the model, or None.
      dim: what all is divided by besides, so that noise is no louder than a model was trained on.
    """

    low: float
    high: float
    white: float
    closed: float = 0.0
    noise: Noise | None = None
    dim: float = 1.0

    def plain(self, dtype: np.dtype) -> bool:
        """Whether a model sees just the share of white that the values of a dtype are."""
        whole = dtype.kind == "u" and dtype.itemsize <= 2
        alike = self.low == 0 and self.high == (_white(dtype) if whole else 1)
        return alike and not self.noise and self.dim == 1

    @property
    def usual(self) -> bool:
        """Whether the range is all of a type, which for floats and wide integers is 0 to 1."""
        # The white of floats grows with their range, so that it alone says nothing.
        return self.low == 0 and self.high == self.white and self.white in _WHITES

    @property
    def seen(self) -> float:
        """What the model sees of a difference of white; of noise made even levels are seen ones."""
        return 1.0 if self.noise else self.white / (self.high - self.low)

    @property
    def level(self) -> float | None:
        """Of noise made even the deviation in what the model sees; None of other noise."""
        return 1 / (self._ends[1] * self.dim) if self.noise else None

    def enter(self, values: np.ndarray) -> np.ndarray:
        """What the model sees of values, float32."""
        wide = values.astype(np.float64)
        low, width = self._ends
        if self.noise:
            wide = self.noise.forward(wide)
        return ((wide - low) / (width * self.dim)).astype(np.float32)

    def leave(self, seen: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The values of what a model gave, in a dtype: integers rounded and clipped."""
        if self.plain(dtype):
            return _plain(seen, dtype)
        wide = seen.astype(np.float64) * self.dim
        if self.closed and dtype.kind in "iu":
            wide = np.clip(wide, 0, self.closed)
        low, width = self._ends
        wide = wide * width + low
        if self.noise:
            wide = self.noise.inverse(wide)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            # The largest of 64 bits is no float.
            most = limits.max if dtype.itemsize < 8 else np.nextafter(float(limits.max), 0)
            wide = np.clip(np.rint(wide), limits.min, most)
        return wide.astype(dtype)

    @property
    def wide(self) -> bool:
        """Whether the model sees the two ends as two values."""
        return self._ends[1] > 0

    @property
    def _ends(self) -> tuple[float, float]:
        """What becomes 0, and how much more becomes 1; transformed where noise is."""
        ends = np.float64([self.low, self.high])
        low, high = self.noise.forward(ends) if self.noise else ends
        return float(low), float(high - low)


def _plain(seen: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if seen.dtype.kind == "u" or dtype.kind != "u":
        return seen
    most = np.float32(np.iinfo(dtype).max)
    return np.rint(np.clip(seen, 0, 1) * most).astype(dtype)


def check_range(given: Sequence[float]) -> tuple[float, float]:
    """A range as the user gave it.

    Raises:
      ZooError: it is no two numbers, the lower first.
    """
    given = tuple(given) if isinstance(given, list) else given
    try:
        low, high = (float(value) for value in given)
    except (TypeError, ValueError, OverflowError):
        low, high = math.nan, math.nan
    if not (low < high and math.isfinite(high - low)):
        raise ZooError(
            f"range={given!r} is not the values of black and of white, the lower first; give two "
            "such as 0 and 4095, or leave it out"
        )
    return low, high


def spread(image: np.ndarray) -> Spread:
    """Looks at some of an image's values, those that are finite.

    Args:
      image: (H, W, C), without alpha.
    """
    values = _some(image)
    if not values.size:
        return Spread(0.0, 0.0, (0.0, 0.0), 0.0)
    least, most = np.percentile(values, (_OUTER, 100 - _OUTER), method="nearest")
    # Of floats those that are looked at will do: only integers are ever held within.
    every = image if image.dtype.kind in "iu" else values
    ends = float(every.min()), float(every.max())
    return Spread(float(least), float(most), ends, _noise(image))


def misfit(image: np.ndarray, scale: Scale) -> str:
    """In what way an image's values are not those of a range; empty where they are.

    Args:
      image: (H, W, C), without alpha.
      scale: of the range.
    """
    values, width = _some(image), scale.high - scale.low
    if not values.size:
        return ""
    beyond = np.abs(values - (scale.low + width / 2)) > (0.5 + _BEYOND) * width
    if beyond.mean() > _MUCH:
        return f"{beyond.mean():.0%} of the values lie beyond"
    least, most = np.percentile(values, (_OUTER, 100 - _OUTER))
    return "the values fill hardly any of" if 0 < most - least < _CLOSE * width else ""


def find(
    images: Iterable[np.ndarray],
    limits: Sequence[float] | None = None,
    *,
    stabilize: str | Noise | None = None,
    trained: Callable[[np.dtype], tuple[float, float] | None] = lambda dtype: None,
) -> dict[np.dtype, Scale]:
    """The scale of an image, or the one scale of several.

    Args:
      images: (H, W, C) each, without alpha.
      limits: the values of black and of white; None chooses them.
      stabilize: the noise that is to be made even, of `zoo.inference.even_noise.check`, or its
        kind, which has it estimated.
      trained: the limits of a dtype that a model has learned with, noise and all, which are those
        of its images then, linear or not; None for others.

    Returns:
      By the dtype of the images, of which there is one as a rule.

    Raises:
      ZooError: the limits are no range, or images whose noise is to be made even hold values that
        such have not.
    """
    if limits is not None:
        limits = check_range(limits)
    options = {"stabilize": stabilize, "trained": trained}
    return settle((look(image, limits, **options) for image in images), limits, **options)


def look(
    image: np.ndarray,
    limits: Sequence[float] | None = None,
    *,
    stabilize: str | Noise | None = None,
    trained: Callable[[np.dtype], tuple[float, float] | None] = lambda dtype: None,
) -> Look:
    """What `find` sees of an image; for the arguments see there."""
    found = None
    if stabilize not in (None, NONE) and (limits is not None or trained(image.dtype) is None):
        black = limits[0] if limits else None
        found = fit(image, stabilize, black) if isinstance(stabilize, str) else stabilize
    return Look(image.dtype, spread(image), found)


def settle(
    looks: Iterable[Look],
    limits: Sequence[float] | None = None,
    *,
    stabilize: str | Noise | None = None,
    trained: Callable[[np.dtype], tuple[float, float] | None] = lambda dtype: None,
) -> dict[np.dtype, Scale]:
    """The scales that `find` gives for images, from the looks at them; for the rest see there."""
    if limits is not None:
        limits = check_range(limits)
    evened = stabilize not in (None, NONE)
    found: dict[np.dtype, list[Look]] = {}
    for one in looks:
        found.setdefault(one.dtype, []).append(one)
    scales = {}
    for dtype, looked in found.items():
        known = None if limits else trained(dtype)
        every = [one.spread for one in looked]
        own = limits or known
        scale = scale_of_range(own, dtype) if own else _choose(every, dtype, signed=not evened)
        if evened and not known:
            _check_evened(every, stabilize, limits[0] if limits else 0.0)
        least, most = min(one.ends[0] for one in every), max(one.ends[1] for one in every)
        share = max((most - scale.low) / (scale.high - scale.low), 1.0)
        closed = share if least >= scale.low and share <= _SLACK else 0.0
        noise = middle([one.evened for one in looked])
        scales[dtype] = scale._replace(noise=noise, closed=closed)
        if noise and not scales[dtype].wide:
            raise ZooError(
                f"all of the range {scale.low:.6g} to {scale.high:.6g} lies below the values of "
                f"the noise to stabilize, {named(noise)}; give another range= or other figures"
            )
    return scales


def _check_evened(every: Sequence[Spread], stabilize: str | Noise, black: float) -> None:
    """Refuses images that have no such noise: no transformation fits, and none would be removed."""
    least, most = min(one.least for one in every), max(one.most for one in every)
    if stabilize == "rician" or isinstance(stabilize, Rician):
        if least < 0:
            raise ZooError(
                f"Rician noise is of magnitudes, and the image has values down to {least:.6g}; "
                "leave out stabilize="
            )
        return
    named = isinstance(stabilize, str)
    black = black if named else stabilize.offset
    if most < black:
        remedy = "give range=(black, white)" if named else "give another offset"
        raise ZooError(
            f"photons make values above black, {black:g}, and those of the image lie below; "
            f"{remedy}"
        )


def _some(image: np.ndarray) -> np.ndarray:
    """Some of the values, those that are finite, float64."""
    step = max(1, math.isqrt(image.size // _VALUES))
    values = image[::step, ::step].astype(np.float64)
    return values[np.isfinite(values)]


def _choose(every: Sequence[Spread], dtype: np.dtype, *, signed: bool) -> Scale:
    noise = float(np.median([one.noise for one in every]))
    least, most = min(one.least for one in every), max(one.most for one in every)
    tail = min(_TAIL * noise, (most - least) / 2)
    inner = most - tail
    below = least + tail
    # So noisy an image is not spread until its noise fills the range.
    top = max(inner, min(noise / _LOUD, most))
    white = _white(dtype)
    if signed and below < -_SIGNED * max(top, 0.0):
        return scale_of_range(_around(below, max(top, 0.0)), dtype)
    if top <= 0:
        return scale_of_range((0.0, white), dtype)
    high = _rounded(top, white)
    faint = dtype != np.uint8 and 0 < noise < _FAINT * high
    if signed and faint and most - least < _PART * high:
        return scale_of_range(_around(below, max(inner, below + noise / _LOUD)), dtype)
    scale = scale_of_range((0.0, high), dtype)
    return scale._replace(white=white) if inner <= _NOISY_WHITE * white else scale


def scale_of_range(limits: tuple[float, float], dtype: np.dtype) -> Scale:
    """The scale of a range; see `check_range`."""
    low, high = limits
    whole = dtype.kind in "iu" and dtype.itemsize <= 2
    return Scale(low, high, _white(dtype) if whole else max(1.0, high - min(low, 0.0)))


def _around(least: float, most: float) -> tuple[float, float]:
    """A range that holds two values, from a multiple of a part of it on."""
    width = _rounded(max(most - least, np.finfo(np.float64).tiny), 1.0)
    while True:
        step = width / _STEPS
        low = math.floor(least / step) * step
        if most <= low + width * _SLACK:
            return low, low + width
        width *= 2


def _rounded(value: float, white: float) -> float:
    """White, times the least power of two that reaches a positive value, or nearly."""
    share, power = math.frexp(value / (white * _SLACK))
    return math.ldexp(white, power - (share == 0.5))


def _white(dtype: np.dtype) -> float:
    """The largest value of 8 and 16 bits; wider integers are as floats, whose white is 1."""
    narrow = dtype.kind in "iu" and dtype.itemsize <= 2
    return float(np.iinfo(dtype).max) if narrow else 1.0


def _noise(image: np.ndarray) -> float:
    """The median of the finest diagonal details, over crops."""
    found = []
    for top in _starts(image.shape[0]):
        for left in _starts(image.shape[1]):
            crop = image[top : top + _SIDE, left : left + _SIDE].astype(np.float64)
            crop = crop[: len(crop) // 2 * 2, : crop.shape[1] // 2 * 2]
            with np.errstate(invalid="ignore"):
                detail = crop[::2, ::2] - crop[1::2, ::2] - crop[::2, 1::2] + crop[1::2, 1::2]
            found.append(np.abs(detail[np.isfinite(detail)]) / 2)
    every = np.concatenate(found)
    return float(np.median(every)) / 0.6744897501960817 if every.size else 0.0


def _starts(length: int) -> list[int]:
    spare = max(length - _SIDE, 0)
    return sorted({number * spare // (_CROPS - 1) for number in range(_CROPS)})
