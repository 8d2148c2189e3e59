"""The noise level of an image, given or estimated in flat memory, and a model's input from it."""

import math
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from zoo.errors import ZooError
from zoo.estimate import estimate_sigma_smooth
from zoo.inference.even_noise import check_size, crops, fill_missing
from zoo.inference.value_scale import Scale
from zoo.models import ModelSpec

# ITU-R BT.601.
_LUMA = np.float32([0.299, 0.587, 0.114])
# Of noise fainter than the first nothing is taken, of the second all: the networks that come with
# the zoo leave marks of 0.1/255 on an image of none, two pixels apart.
_SILENT, _AUDIBLE = 0.25 / 255, 1.25 / 255
# From such a level on it is worth to look whether it is a regular pattern's.
_LOUD = 3 / 255
# Side of the parts that are looked at for one, and the median of its powers over their mean.
_BLOCK, _REGULAR = 64, 1 / 4
# Percent of the frequencies that no pattern fills.
_QUIET = 5
# What they have of the median's power at least where it is noise.
_FOLDED = 0.4


class ModelLevel(NamedTuple):
    """The noise level that a model is given, and how its output is used.

    Attributes:
      level: in what the model sees; None where it takes none.
      of_image: the noise of the image, as a share of white; None likewise.
      share: how much of the model's change is made, 0 to 1.
      dim: what the image is divided by, so that its noise is no louder than in the training.
      notes: short sentences on what a user may not expect.
    """

    level: float | None
    of_image: float | None
    share: float
    dim: float = 1.0
    notes: tuple[str, ...] = ()


def check_level(level: ArrayLike) -> float:
    """A level as the user gave it.

    Raises:
      ZooError: it is no number above 0 and at most 1.
    """
    try:
        value = float(level) if np.ndim(level) == 0 else math.nan
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value <= 1:
        raise ZooError(
            f"level={level!r} is not the noise's standard deviation in signal units, above 0 and "
            "at most 1; write 25 / 255, or None to estimate it"
        )
    return value


def model_level(
    image: np.ndarray,
    scale: Scale,
    level: float | None,
    specification: ModelSpec,
    trained: float | None,
    *,
    part_of_larger: bool = False,
) -> ModelLevel:
    """The level to give a model for an image.

    Args:
      image: (H, W, C), without alpha.
      scale: what the model sees of it.
      level: as a share of white, or None to estimate it.
      specification: of the model.
      trained: the highest level it was trained on, or None.
      part_of_larger: whether the image is a part of a larger one, so that it is not looked whether
        it is drawn.

    Raises:
      ZooError: the image is too small to estimate a level from.
    """
    if not specification.takes_level:
        clean = not part_of_larger and is_drawn(image)
        notes = ("it has no noise: left as it is",) if clean else ()
        return ModelLevel(None, None, 0.0 if clean else 1.0, notes=notes)
    if level is None:
        seen = scale.level
        if seen is None:
            seen = estimate_level(image, scale, luma=specification.channels != 1)
        level = seen / scale.seen
    else:
        seen = level * scale.seen
    share = float(np.clip((seen - _SILENT) / (_AUDIBLE - _SILENT), 0, 1)) ** 2
    if trained is None or seen <= trained:
        return ModelLevel(seen, level, share)
    most = 255 * trained / scale.seen
    note = (
        f"beyond the training of the weights, up to sigma {most:.4g}: they see the image "
        f"{seen / trained:.2g} times darker"
    )
    return ModelLevel(trained, level, share, seen / trained, (note,))


def estimate_level(image: np.ndarray, scale: Scale | None = None, *, luma: bool = True) -> float:
    """Estimates the level from the image, but for some at its edges, or crops of a large one.

    Of the crops' estimates the median counts, of those above 0: a clipped sky has none. A regular
    pattern, such as a halftone, is no noise.

    Args:
      image: (H, W, C), integers or floats, without alpha.
      scale: what a model sees of it; None takes it as it is.
      luma: whether noise of the luma counts as that of channels of their own; see `_estimate`.

    Returns:
      The standard deviation of the noise in what the model sees, or in signal units, at least 0.

    Raises:
      ZooError: a side is shorter than 16 pixels.
    """
    check_size(image, "give level=..., in signal units")
    if is_drawn(image):
        return 0.0
    seen = [_seen(crop, scale) for crop in crops(image)]
    found = [_estimate(crop, luma=luma) for crop in seen]
    level = float(np.median([one for one in found if one > 0] or [0.0]))
    return level if level < _LOUD else min(level, _irregular(seen, level))


def _seen(crop: np.ndarray, scale: Scale | None) -> np.ndarray:
    crop = fill_missing(crop)
    if scale and not scale.plain(crop.dtype):
        return scale.enter(crop)
    most = np.iinfo(crop.dtype).max if crop.dtype.kind in "iu" else 1
    return crop.astype(np.float32) / np.float32(most)


def _estimate(x: np.ndarray, *, luma: bool) -> float:
    """The level of independent noise in each channel, from the channels or from the luma.

    JPEG, video and demosaicing smooth color, so that channels judged one by one look cleaner than
    a network trained on independent noise must be given: what is left is noise of the luma.
    """
    # By NumPy: a program for each size of images would take longer to compile than a network.
    found = float(estimate_sigma_smooth(x))
    if luma and x.shape[-1] == _LUMA.size:
        bright = estimate_sigma_smooth((x @ _LUMA)[..., None]) / np.linalg.norm(_LUMA)
        found = max(found, float(bright))
    return found


def _irregular(found: list[np.ndarray], level: float) -> float:
    """What of a level is noise: a regular pattern has its power in few frequencies, noise in all.

    Args:
      found: crops (H, W, C).
      level: that they seem to have.

    Returns:
      The level itself, unless most parts of the crops that have so much are regular; then that of
      the quietest frequencies.
    """
    side = min(_BLOCK, *found[0].shape[:2])
    window = np.hanning(side + 2)[1:-1]
    window = np.float32(np.outer(window, window))
    places = np.abs(np.fft.fftfreq(side)) >= 1 / 4
    powers = []
    for crop in found:
        rows, columns = (length // side for length in crop.shape[:2])
        cut = crop[: rows * side, : columns * side].reshape(rows, side, columns, side, -1)
        blocks = np.moveaxis(cut, (0, 2, 4), (0, 1, 2)).reshape(-1, side, side)
        power = np.abs(np.fft.fft2(blocks * window)) ** 2 / np.sum(window**2)
        powers.append(power[:, places][:, :, places].reshape(len(blocks), -1))
    power = np.concatenate(powers)
    mean, middle = power.mean(-1), np.median(power, -1) / math.log(2)
    active = mean >= level**2 / 64
    if not active.any() or np.median(middle[active] / mean[active]) > _REGULAR:
        return level
    # Where the pattern has nothing the noise is by itself; but patterns fold, and reach anywhere.
    quiet, usual = np.percentile(power[active].mean(0), (_QUIET, 50))
    return float(np.sqrt(quiet)) if quiet >= _FOLDED * usual else 0.0


# Parts of so many pixels a side, and how many of them along each axis are looked at.
_SIDE, _PARTS = 16, 64
# JPEG fills squares of so many pixels with one value.
_SQUARE = 8
# Shares of a part that is flat, and of the parts that are drawn.
_FLAT, _MOST = 0.1, 0.5
# In steps of 8 bits: how far from a plane a drawn gradient is.
_STEP = 1.0
# Noise has more values than black and white text or a halftone.
_VALUES = 8
# Values that are looked at together for them.
_BAND = 2**24


def is_drawn(image: np.ndarray) -> bool:
    """Whether most of what is to be seen in an image has no noise at all.

    All of it is drawn where it has very few values. Else a part of it counts as drawn where some
    3x3 pixels are equal, next to others that are not, or where all lie in a plane. The pixels are
    looked for where squares of JPEG meet, which may be of one value each. Parts of black or of
    white alone do not count: that is what overexposure makes.

    Args:
      image: (H, W, C), without alpha; only those of 8 bits are judged.
    """
    height, width, _ = image.shape
    if min(height, width) < _SIDE:
        return False
    if image.dtype != np.uint8 or _few_values(image):
        return image.dtype == np.uint8
    drawn, counted = 0, 0
    for top in _places(height):
        band = image[top : top + _SIDE]
        parts = np.stack([band[:, left : left + _SIDE] for left in _places(width)])
        flat = parts.reshape(len(parts), -1)
        least, most = flat.min(-1), flat.max(-1)
        parts = parts[(least < most) | ((least > 0) & (least < 255))]
        counted += len(parts)
        drawn += int(_are_drawn(parts).sum())
    return counted > 0 and drawn > _MOST * counted


def _few_values(image: np.ndarray) -> bool:
    """Whether an image has no more values than noise of any level leaves."""
    height, *others = image.shape
    rows = max(1, _BAND // math.prod(others))
    found: set[int] = set()
    # Of most images the first rows decide.
    bands = (slice(top, top + rows) for top in range(0, height, rows))
    for band in (slice(_SIDE), *bands):
        found.update(np.unique(image[band]).tolist())
        if len(found) > _VALUES:
            return False
    return True


def _places(length: int) -> np.ndarray:
    """Half a square from where squares begin, so that they meet in the middle of a part."""
    spare = (length - _SIDE) // _SQUARE
    starts = np.unique(np.linspace(0, spare, min(_PARTS, spare + 1)).astype(int)) * _SQUARE
    return np.minimum(starts + _SQUARE // 2, length - _SIDE)


def _are_drawn(parts: np.ndarray) -> np.ndarray:
    """Of each of the parts (n, side, side, C)."""
    parts = parts.astype(np.int16)
    inner = slice(1, -1)
    equal = np.ones((len(parts), _SIDE - 2, _SIDE - 2), bool)
    for down in range(3):
        for right in range(3):
            moved = parts[:, down : down + _SIDE - 2, right : right + _SIDE - 2]
            equal &= (moved == parts[:, inner, inner]).all(-1)
    # Rows and columns beside those where squares meet.
    flat = (equal[:, _MEETING].mean((1, 2)) + equal[:, :, _MEETING].mean((1, 2))) / 2
    bends = [np.abs(np.diff(parts, 2, axis=axis)).max((1, 2, 3)) for axis in (1, 2)]
    return (flat >= _FLAT) | (np.maximum(*bends) <= _STEP)


_MEETING = slice(_SQUARE // 2 - 2, _SQUARE // 2)
