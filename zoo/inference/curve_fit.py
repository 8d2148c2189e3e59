"""Fitting a noise curve to images without clean ones, by pixels that are hidden from the network.

The curve begins as a measurement of the noise by brightness, and Adam refines it. Where a line is
all there is to the variance, as of Gaussian noise and of photons, its curve is known without a fit.

References:
  Herbreteau, Unser, "Noise2VST", ICCV 2025, for the curve and its training.
  Krull, Buchholz, Jug, "Noise2Void", CVPR 2019, for the hidden pixels.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zoo.errors import ZooError
from zoo.inference import value_scale
from zoo.inference.even_noise import crops, gain_and_read
from zoo.inference.noise_curve import KNOTS, LEVEL, AdaptedDenoiser, merged
from zoo.inference.value_scale import Scale

# Of pages that are looked at for their noise.
_MEASURED = 16
# Sides of crops, of which each is a program, and how many of the longest ones make a batch.
SIDES, _BATCH = (64, 32, 16), 4
# Steps from one progress to the next.
_PART = 25
# Every such pixel along each axis is hidden.
_APART = 4
_RATE, _FALL = 2e-2, 0.1


class Bank:
    """The images that a curve is fitted to.

    Args:
      pages: (H, W, C) each, as they are, and with values in the place of those that are not finite.
      channels: that the network takes.
    """

    def __init__(self, pages: Iterable[tuple[np.ndarray, np.ndarray]], channels: int):
        pages = list(pages)
        depths = {
            "floats" if source.dtype.kind == "f" else source.dtype.name for source, _ in pages
        }
        if len(depths) > 1:
            raise ZooError(
                f"the images are of several depths ({', '.join(sorted(depths))}), whose values and "
                "noise differ; adapt to those of one depth"
            )
        count = max(source.shape[-1] for source, _ in pages)
        # Of one channel more than once the hidden pixels would show in the others.
        pages = [page for page in pages if page[0].shape[-1] == count or channels == 1]
        if channels not in (1, count) and count != 1:
            raise ZooError(f"the model takes images of {channels} channels, got {count}")
        shortest = max(min(source.shape[:2]) for source, _ in pages)
        if shortest < SIDES[-1]:
            raise ZooError(
                f"an image with a side below {SIDES[-1]} pixels is too small to adapt to, and this "
                f"one has {shortest}; give a larger one"
            )
        self.side = next(side for side in SIDES if side <= shortest)
        pages = [page for page in pages if min(page[0].shape[:2]) >= self.side]
        self.range = _range([source for source, _ in pages])
        self._scale = Scale(*self.range, white=1.0)
        if channels == 1:
            split = [np.moveaxis(np.stack(page), -1, 0)[..., None] for page in pages]
            pages = [tuple(plane) for page in split for plane in page]
        self._pages = pages
        self.channels = pages[0][0].shape[-1]
        areas = np.array([source.shape[0] * source.shape[1] for source, _ in pages], float)
        self._shares = areas / areas.sum()

    def parts(self) -> list[np.ndarray]:
        """Crops (H, W, C) of some of the images, in what the network sees, NaN where unknown."""
        with np.errstate(invalid="ignore"):
            return [self._scale.enter(crop) for source in self._some for crop in crops(source)]

    def lines(self) -> list[tuple[float, float]]:
        """Of the variance in some of the images, in what the network sees: its slope, and at 0."""
        low, high = self.range
        lines = [gain_and_read(source, low) for source in self._some]
        return [(slope / (high - low), least / (high - low) ** 2) for slope, least in lines]

    @property
    def _some(self) -> list[np.ndarray]:
        step = -(-len(self._pages) // _MEASURED)
        return [source for source, _ in self._pages[::step]]

    def batch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Crops (N, side, side, C), flipped and turned, and which of their values are known."""
        count = _BATCH * (SIDES[0] // self.side) ** 2
        x = np.empty((count, self.side, self.side, self.channels), np.float32)
        known = np.empty(x.shape, bool)
        for i in range(count):
            source, seen = self._pages[rng.choice(len(self._pages), p=self._shares)]
            top, left = (int(rng.integers(n - self.side + 1)) for n in source.shape[:2])
            place = np.s_[top : top + self.side, left : left + self.side]
            turns, flip = int(rng.integers(4)), int(rng.integers(2))
            for target, values in (
                (x, self._scale.enter(seen[place])),
                (known, np.isfinite(source[place])),
            ):
                turned = np.rot90(values, turns)
                target[i] = turned[::-1] if flip else turned
        return x, known


_NARROW = 1e-5


def _range(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """The values where the curve begins and ends: all but a thousandth at each end lie between."""
    spreads = [value_scale.spread(image) for image in images]
    low, high = min(one.least for one in spreads), max(one.most for one in spreads)
    if low == high:
        low = min(one.ends[0] for one in spreads)
        high = max(one.ends[1] for one in spreads)
    # So narrow a range around one value that nothing is seen to change it.
    return (low, high) if low < high else (low, low + _NARROW * max(1.0, abs(low)))


# Of 2x2 pixels so many a bin and more, in so many bins of brightness.
_FEW, _BINS = 32, 32
# The share of the details that counts, for the largest are edges; and the mean of the magnitudes
# of a normal distribution within it.
_INNER, _INNER_MEAN = 0.8, 0.5586
# Of noise fainter than this, of the range, the curve is as of this.
_FAINTEST = 1e-3
# Knots over which a measured curve is smoothed.
_SMOOTH = 17
# Between which the deviations measured are of those of a line: clipping takes some away, texture
# adds some. By trial they hold photographs whose noise is of such a kind, and leave out those that
# are clipped much, and micrographs, to which a fit does good.
_LESS, _MORE = 0.6, 2.0
# The variance by white that a line may gain: of fewer photons, 50, the inverse of a curve is far
# from that of its mean, for which a fit makes up and a line does not.
_STEEPEST = 1 / 50
_MIDDLES = (np.arange(KNOTS - 1) + 0.5) / (KNOTS - 1)


def measured_curve(bank: Bank) -> dict[str, jax.Array]:
    """The curve by a measurement: as steep as the noise there is faint.

    With it the fit needs a fraction of the steps that it takes from a straight one.
    """
    bright, details = [], []
    for part in bank.parts():
        height, width = (length // 2 * 2 for length in part.shape[:2])
        a, b, c, d = (
            part[i:height:2, j:width:2].astype(np.float64) for i in (0, 1) for j in (0, 1)
        )
        detail = a - b - c + d
        there = np.isfinite(detail)
        bright.append(((a + b + c + d) / 4)[there])
        details.append(np.abs(detail[there]) / 2)
    bright, details = np.concatenate(bright), np.concatenate(details)
    numbers = np.clip(bright * _BINS, 0, _BINS - 1).astype(int)
    places, found = [], []
    for number in range(_BINS):
        inside = np.sort(details[numbers == number])
        if len(inside) >= _FEW:
            places.append((number + 0.5) / _BINS)
            found.append(inside[: int(_INNER * len(inside))].mean() / _INNER_MEAN)
    if not found:
        places, found = [0.5], [details.mean() / math.sqrt(2 / math.pi) if len(details) else 0.0]
    logs = np.interp(_MIDDLES, places, np.log(np.maximum(found, _FAINTEST)))
    padded = np.pad(logs, _SMOOTH // 2, mode="edge")
    return _curve_for(np.exp(np.convolve(padded, np.full(_SMOOTH, 1 / _SMOOTH), "valid")))


def line_curve(bank: Bank, measured: dict[str, jax.Array]) -> dict[str, jax.Array] | None:
    """The curve of noise whose variance is a line of the value, where it is.

    The variance is measured in smooth places only, so that texture does not count. On photographs
    of such noise the curve is up to 1.6 dB better than one that is fitted, for a prediction of
    hidden pixels takes too much for noise.

    Args:
      bank: the images.
      measured: of `measured_curve`, which the line is held against: in each brightness it has found
        the noise and some texture, and can hardly have found less than the noise.

    Returns:
      The curve; None where the noise is of another kind, or is none.
    """
    slope, least = np.median(bank.lines(), axis=0)
    deviations = np.sqrt(slope * _MIDDLES + least)
    if deviations.min() < _FAINTEST or slope > _STEEPEST:
        return None
    found = LEVEL / (KNOTS - 1) / np.exp(np.asarray(measured["slopes"], np.float64))
    ratios = found / deviations
    return _curve_for(deviations) if ratios.min() > _LESS and ratios.max() < _MORE else None


def _curve_for(deviations: np.ndarray) -> dict[str, jax.Array]:
    """The curve that makes noise of these standard deviations, between knots, even."""
    slopes = math.log(LEVEL / (KNOTS - 1)) - np.log(deviations)
    return {"slopes": jnp.asarray(slopes, jnp.float32), "line": jnp.zeros(2)}


def fit_curve(
    module: AdaptedDenoiser,
    frozen: Mapping,
    fitted: dict[str, jax.Array],
    bank: Bank,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, jax.Array]:
    """Fits the curve of an `AdaptedDenoiser` to the images.

    Args:
      module: the denoiser.
      frozen: the variables of its network.
      fitted: where the curve begins, of `measured_curve`.
      bank: the images.
      steps: of Adam.
      seed: of the crops and the hidden pixels.
      progress: called with the steps that are done and with all.

    Returns:
      The parameters of the curve.
    """
    state = (fitted, ADAM.init(fitted))
    rng = np.random.default_rng(seed)
    # The loss in units of the noise: Adam takes gradients for nothing that are too small.
    unit = np.float32(LEVEL * np.exp(-np.mean(fitted["slopes"])) / (KNOTS - 1))
    for number in range(steps):
        rate = np.float32(_RATE * _FALL ** (3 * number // steps))
        hidden = rng.integers((_APART, _APART, bank.channels), size=3, dtype=np.int32)
        state = adam_step(_loss, module, state, rate, frozen, *bank.batch(rng), hidden, unit)
        if (number + 1) % _PART == 0 or number + 1 == steps:
            # Waited for, so that Ctrl-C is heard soon, and an accelerator's queue stays short.
            jax.block_until_ready(state)
            if progress is not None:
                progress(number + 1, steps)
    return state[0]


ADAM = optax.scale_by_adam()


# A step is a program, and not the body of a `lax.scan`: on a CPU the convolutions of a loop are
# slower, and such a step took 0.44 s instead of 0.037 s.
@functools.partial(jax.jit, static_argnums=(0, 1))
def adam_step(loss, setup, state, rate, *others):
    """A step of Adam on `loss(params, setup, *others)`, compiled for each loss and setup."""
    params, moments = state
    gradients = jax.grad(loss)(params, setup, *others)
    # optax is not written for strict promotion.
    with jax.numpy_dtype_promotion("standard"):
        updates, moments = ADAM.update(gradients, moments)
    return jax.tree.map(lambda value, update: value - rate * update, params, updates), moments


def _loss(fitted, module, frozen, x, known, hidden, unit):
    """The mean squared error at the hidden pixels."""
    *_, height, width, channels = x.shape
    rows = jnp.arange(height) % _APART == hidden[0]
    columns = jnp.arange(width) % _APART == hidden[1]
    places = rows[:, None, None] & columns[None, :, None]
    places = (places & (jnp.arange(channels) == hidden[2])[None, None, :])[None]
    wide = jnp.broadcast_to(x, (*x.shape[:-1], module.channels))
    y = module.apply(merged(fitted, frozen), wide, hidden=places)
    if channels < module.channels:
        y = y.mean(-1, keepdims=True)
    counted = places & known
    error = jnp.where(counted, (y - x) / unit, 0)
    return jnp.sum(jnp.square(error)) / jnp.maximum(counted.sum(), 1).astype(jnp.float32)
