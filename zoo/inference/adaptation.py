"""Adaptation of a denoiser to the noise of one image, or of an instrument, without clean data.

Cameras, microscopes and telescopes make noise that grows with the light and that no network was
trained on. A curve maps the values to such whose noise is even, a network trained on Gaussian
noise denoises those, and the inverse curve leads back. The curve alone is learned, of the noisy
image itself: some pixels are hidden from the network, which has to predict them from the others.

Sources: Herbreteau, Unser, "Noise2VST: Self-Supervised Image Denoising via Variance-Stabilizing
Transformations" (ICCV 2025) for the curve and its training; Krull, Buchholz, Jug, "Noise2Void"
(CVPR 2019) for the hidden pixels.
"""

import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util
from jax.typing import ArrayLike, DTypeLike

from zoo import weights
from zoo.errors import ZooError
from zoo.inference import image_canvas, value_scale
from zoo.inference.denoising import denoise
from zoo.inference.image_denoiser import DEFAULTS
from zoo.inference.linear_light import crops
from zoo.inference.value_scale import Scale
from zoo.models import create_model, list_models, spec_of, variable_shapes
from zoo.models.layers import Dtype
from zoo.resolve import Resolved, resolve

LEVEL = 25 / 255
"""The standard deviation that the noise has after the curve, of the curve's own unit."""

_KNOTS = 128
# The least step between knots, so that there is an inverse.
_LEAST = 1e-6
# The highest level that the default networks were trained on; louder noise is made fainter.
_LOUDEST = 55 / 255
_KEY = "adapted"


@dataclasses.dataclass(frozen=True)
class Adapted:
    """A denoiser adapted to an instrument; `zoo.adapt` makes one.

    It is used as a function of an image, or anywhere a model is taken:
    `zoo.denoise_file(src, dst, adapted.model, range=adapted.range, linear=False)`.

    Attributes:
      model: the adapted module, an `AdaptedDenoiser`, with its variables.
      range: the values of an image that the module sees as 0 and as 1, which are those the curve
        begins and ends with. Other images must be brought there alike, since noise depends on the
        values themselves.
    """

    model: Resolved
    range: tuple[float, float]

    def __call__(
        self,
        image: ArrayLike,
        *,
        strength: float = 1.0,
        tile: int | None = None,
        overlap: int | None = None,
        ensemble: bool = False,
        dtype: DTypeLike | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Denoises an image: the one that the curve was fitted to, or another of the instrument.

        Args:
          image: (H, W) or (H, W, C) as `zoo.denoise` takes it, in the units of the fitted one.
          strength, tile, overlap, ensemble, dtype, progress: as of `zoo.denoise`.

        Returns:
          The clean estimate, shape and dtype of the image.

        Raises:
          ZooError: as `zoo.denoise`.
        """
        return denoise(
            image,
            self.model,
            range=self.range,
            strength=strength,
            tile=tile,
            overlap=overlap,
            ensemble=ensemble,
            dtype=dtype,
            progress=progress,
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes a file for `load_adapted` and `zoo denoise --adapted`, whole or not at all.

        Of weights that come with the zoo it holds their name, and is of 1 KB; others it holds
        itself.

        Args:
          path: the `.safetensors` file; one that is there is replaced.

        Raises:
          ZooError: the file cannot be written, or the network is a module that was given as such,
            which no file can name.
        """
        record = self.model.metadata
        if record is None:
            raise ZooError(
                f"{self.model.label} is of a module that no file can name; register it, or adapt "
                "a weight file"
            )
        variables = dict(self.model.variables)
        if record[_KEY]["base"]:
            variables = {"params": {k: v for k, v in variables["params"].items() if k != "base"}}
        weights.save(path, variables, dict(record))


def adapt(
    image: ArrayLike | Sequence[ArrayLike],
    model: str | os.PathLike | nn.Module | Resolved | None = None,
    *,
    variables: Mapping | None = None,
    steps: int = 300,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Adapts a denoiser to the noise of an image, without a clean one.

    For noise that is independent from pixel to pixel, of a strength that depends on the value
    alone: photons and their counting, read noise, also beyond a tone curve. Noise that is smeared
    over neighbors, as by JPEG or by resizing, is not removed.

    Args:
      image: (H, W) or (H, W, C) as `zoo.denoise` takes it, integers or floats of any range; or
        several of one instrument, such as the pages of a file. Alpha is ignored, and so are values
        that are not finite.
      model: a network that takes a noise level, in any form of `zoo.denoise`; None takes
        "unet-gray" or "unet-color". It stays as it is.
      variables: those of a registered model or a module; None with weights.
      steps: of Adam, at least 0; after none the curve is that of a measurement of the noise. On
        three confocal images 1000 steps changed the PSNR of 300 by at most 0.01 dB.
      seed: of the crops and the hidden pixels; the same one gives the same result.
      progress: called with the steps that are done and with all.

    Returns:
      The adapted denoiser.

    Raises:
      ZooError: it is no such image or one of less than 16 pixels a side, the model is unknown,
        takes no level or only images of one size, or an option is out of range.
    """
    for name, value in (("steps", steps), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ZooError(f"{name}={value!r} is not a whole number, at least 0")
    several = isinstance(image, list | tuple) and all(np.ndim(one) > 1 for one in image)
    if several and not image:
        raise ZooError("there is no image to adapt to; give at least one")
    pages = [image_canvas.canvas(one) for one in (image if several else [image])]
    if model is None and variables is not None:
        raise ZooError("variables are given without their model; name it too")
    if model is None:
        # A gray network takes the channels of a color image too, one by one.
        model = DEFAULTS[min(page.source.shape[-1] for page in pages)]
    base = resolve(model, variables, modality="image")
    check_adaptable(base)
    bank = _Bank([(page.source, page.seen) for page in pages], base.specification.channels)
    module = AdaptedDenoiser(base.module)
    fitted = _initial(bank)
    fitted = _fit(module, base.variables, fitted, bank, int(steps), int(seed), progress)
    merged = _merged(fitted, base.variables)
    label = f"{base.label}, adapted"
    record = _record(base, bank.range, int(steps), int(seed))
    return Adapted(Resolved(module, merged, spec_of(module), label, record), bank.range)


def adapt_file(
    src: str | os.PathLike,
    model: str | os.PathLike | nn.Module | Resolved | None = None,
    *,
    steps: int = 300,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Adapts a denoiser to the noise of an image file, to all pages or to some of a large one.

    Args:
      src: the file.
      model, steps, seed, progress: as of `adapt`.

    Raises:
      ZooError: the file is missing, damaged or no image; or as `adapt`.
    """
    # Here, since its libraries are heavy.
    from zoo.data import image_files  # noqa: PLC0415

    pages = image_files.read_pages(src)
    first = next(iter(pages)).image
    most = max(1, _HELD // first.size)
    step = -(-len(pages) // most)
    kept = [page.image for page in itertools.islice(pages, 0, None, step)]
    return adapt(kept, model, steps=steps, seed=seed, progress=progress)


def load_adapted(path: str | os.PathLike) -> Adapted:
    """Reads what `Adapted.save` wrote.

    Args:
      path: the file.

    Raises:
      ZooError: there is no such file, it is damaged or no adaptation, or it names weights that do
        not come with this zoo.
    """
    record = weights.read_record(weights.find(path))
    entry = record.get(_KEY)
    if not _is_entry(entry):
        raise ZooError(
            f"{path} is no adaptation, but weights of {record['model']}; give what Adapted.save "
            "or zoo denoise --save-adapted wrote"
        )
    name = entry["base"]
    if name and name not in weights.list_weights():
        raise ZooError(
            f"{path} adapts {name}, which this zoo does not bring; install one that does"
        )
    base = resolve(name) if name else None
    module = AdaptedDenoiser(base.module if base else weights.read_model(path)[0])
    shapes = variable_shapes(module, spec_of(module))
    if base:
        shapes = {key: shape for key, shape in shapes.items() if "/base/" not in key}
    variables = traverse_util.unflatten_dict(weights.read_variables(path, shapes), sep="/")
    if base:
        variables = _merged(variables["params"], base.variables)
    label = os.fspath(path)
    found = Resolved(module, jax.device_put(variables), spec_of(module), label, record)
    return Adapted(found, value_scale.check_range(entry["range"]))


class AdaptedDenoiser(nn.Module):
    """A network for Gaussian noise, between a curve and its inverse.

    Values from 0 to 1, and beyond along straight lines, become by a curve of 128 knots such whose
    noise has one standard deviation everywhere, of which the network is given the level.

    Attributes:
      base: the network, a denoiser that takes a level.
      dtype: of the network's computation; None leaves it to the network. The curve is computed in
        float32.
    """

    base: nn.Module
    dtype: Dtype | None = None

    takes_level = False
    channels = property(lambda self: spec_of(self.base).channels)
    size = property(lambda self: spec_of(self.base).size)
    multiple = property(lambda self: spec_of(self.base).multiple)
    locality = property(lambda self: spec_of(self.base).locality)
    reach = property(lambda self: spec_of(self.base).reach)
    stride = property(lambda self: spec_of(self.base).stride)
    margin = property(lambda self: spec_of(self.base).margin)
    canvas = property(lambda self: spec_of(self.base).canvas)

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        level: jax.Array | float | None = None,
        *,
        train: bool = False,
        hidden: jax.Array | None = None,
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C), any float dtype.
          level: ignored: the level is one of the curve's.
          train: whether batch norm of the network uses the statistics of this batch.
          hidden: (1, H, W, C) of booleans: values in whose place the network sees the mean of the
            four neighbors; None hides none.

        Returns:
          The clean estimate, shape and dtype of `x`.
        """
        slopes = self.param(
            "slopes", nn.initializers.constant(-math.log(_KNOTS - 1)), (_KNOTS - 1,)
        )
        line = self.param("line", nn.initializers.zeros, (2,))
        knots, noise = curve_of(slopes)
        seen = stabilize(x.astype(jnp.float32), knots)
        if hidden is not None:
            seen = jnp.where(hidden, _neighbors(seen), seen)
        base = self.base
        if self.dtype is not None and not self.is_initializing():
            # Another module on the same variables, which Flax binds to the field alone.
            inner = {name: values["base"] for name, values in self.variables.items()}
            base = functools.partial(base.clone(dtype=self.dtype, parent=None).apply, inner)
        clean = base(seen, jnp.broadcast_to(noise, x.shape[:1]), train=train).astype(jnp.float32)
        # The inverse of a curve is not that of its mean; the line makes up for most of it.
        return (restore(clean, knots) + line[0] * clean + line[1]).astype(x.dtype)


def curve_of(slopes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The curve of some parameters, and the level of the noise after it.

    The curve is brought to [0, 1], and its noise with it, since that is what networks are trained
    on. The ends of the curve decide, and not those of an image, so that all tiles and all images
    of an instrument are alike. Noise beyond the training is made fainter with all else.

    Args:
      slopes: (127,), logarithms of the steps between knots.

    Returns:
      `(knots, level)`: (128,), ascending from 0, and a scalar; float32.
    """
    steps = jnp.exp(slopes) + _LEAST
    knots = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
    width = jnp.maximum(knots[-1], LEVEL / _LOUDEST)
    return knots / width, LEVEL / width


def stabilize(x: jax.Array, knots: jax.Array) -> jax.Array:
    """The curve at values: between knots, which lie evenly over [0, 1], and beyond, it is straight.

    Args:
      x: any shape.
      knots: (n,), ascending, the curve at each knot.
    """
    last = knots.shape[0] - 1
    at = x * last
    before = jnp.clip(jnp.floor(at), 0, last - 1)
    number = before.astype(jnp.int32)
    return knots[number] + (at - before) * (knots[number + 1] - knots[number])


def restore(y: jax.Array, knots: jax.Array) -> jax.Array:
    """The inverse of `stabilize`.

    Args:
      y: any shape.
      knots: (n,), ascending.
    """
    last = knots.shape[0] - 1
    number = jnp.clip(jnp.searchsorted(knots, y, side="right") - 1, 0, last - 1)
    share = (y - knots[number]) / (knots[number + 1] - knots[number])
    return (number.astype(jnp.float32) + share) / last


def _neighbors(x: jax.Array) -> jax.Array:
    """The mean of the four neighbors of each pixel."""
    wide = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    across = wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    return (wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + across) / 4


# Values that a fit to a file holds in memory.
_HELD = 2**26
# Of pages that are looked at for their noise.
_MEASURED = 16
# Sides of crops, of which each is a program, and how many of the longest ones make a batch.
_SIDES, _BATCH = (64, 32, 16), 4
# Steps from one progress to the next.
_PART = 25
# Every such pixel along each axis is hidden.
_APART = 4
_RATE, _FALL = 2e-2, 0.1


class _Bank:
    """The images that a curve is fitted to.

    Args:
      pages: (H, W, C) each, as they are, and with values in the place of those that are not finite.
      channels: that the network takes.
    """

    def __init__(self, pages: Iterable[tuple[np.ndarray, np.ndarray]], channels: int):
        pages = list(pages)
        count = max(source.shape[-1] for source, _ in pages)
        # Of one channel more than once the hidden pixels would show in the others.
        pages = [page for page in pages if page[0].shape[-1] == count or channels == 1]
        if channels not in (1, count) and count != 1:
            raise ZooError(f"the model takes images of {channels} channels, got {count}")
        shortest = max(min(source.shape[:2]) for source, _ in pages)
        if shortest < _SIDES[-1]:
            raise ZooError(
                f"an image of {shortest} pixels a side is too small to adapt to; "
                f"give one of {_SIDES[-1]} at least"
            )
        self.side = next(side for side in _SIDES if side <= shortest)
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
        step = -(-len(self._pages) // _MEASURED)
        with np.errstate(invalid="ignore"):
            return [
                self._scale.enter(crop)
                for source, _ in self._pages[::step]
                for crop in crops(source)
            ]

    def batch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Crops (N, side, side, C), flipped and turned, and which of their values are known."""
        count = _BATCH * (_SIDES[0] // self.side) ** 2
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


def _initial(bank: _Bank) -> dict[str, jax.Array]:
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
    middles = (np.arange(_KNOTS - 1) + 0.5) / (_KNOTS - 1)
    logs = np.interp(middles, places, np.log(np.maximum(found, _FAINTEST)))
    padded = np.pad(logs, _SMOOTH // 2, mode="edge")
    logs = np.convolve(padded, np.full(_SMOOTH, 1 / _SMOOTH), "valid")
    slopes = math.log(LEVEL / (_KNOTS - 1)) - logs
    return {"slopes": jnp.asarray(slopes, jnp.float32), "line": jnp.zeros(2)}


def _fit(
    module: AdaptedDenoiser,
    frozen: Mapping,
    fitted: dict[str, jax.Array],
    bank: _Bank,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, jax.Array]:
    state = (fitted, _ADAM.init(fitted))
    rng = np.random.default_rng(seed)
    # The loss in units of the noise: Adam takes gradients for nothing that are too small.
    unit = np.float32(LEVEL * np.exp(-np.mean(fitted["slopes"])) / (_KNOTS - 1))
    for number in range(steps):
        rate = np.float32(_RATE * _FALL ** (3 * number // steps))
        hidden = rng.integers((_APART, _APART, bank.channels), size=3, dtype=np.int32)
        state = _step(module, frozen, state, *bank.batch(rng), hidden, rate, unit)
        if (number + 1) % _PART == 0 or number + 1 == steps:
            # Waited for, so that Ctrl-C is heard soon, and an accelerator's queue stays short.
            jax.block_until_ready(state)
            if progress is not None:
                progress(number + 1, steps)
    return state[0]


_ADAM = optax.scale_by_adam()


# A step is a program, and not the body of a `lax.scan`: on a CPU the convolutions of a loop are
# slower, and such a step took 0.44 s instead of 0.037 s.
@functools.partial(jax.jit, static_argnames="module")
def _step(module, frozen, state, x, known, hidden, rate, unit):
    """A step of Adam: of the mean squared error at the hidden pixels."""
    fitted, moments = state
    gradients = jax.grad(_loss)(fitted, module, frozen, x, known, hidden, unit)
    # optax is not written for strict promotion.
    with jax.numpy_dtype_promotion("standard"):
        updates, moments = _ADAM.update(gradients, moments)
    return jax.tree.map(lambda value, update: value - rate * update, fitted, updates), moments


def _loss(fitted, module, frozen, x, known, hidden, unit):
    *_, height, width, channels = x.shape
    rows = jnp.arange(height) % _APART == hidden[0]
    columns = jnp.arange(width) % _APART == hidden[1]
    places = rows[:, None, None] & columns[None, :, None]
    places = (places & (jnp.arange(channels) == hidden[2])[None, None, :])[None]
    wide = jnp.broadcast_to(x, (*x.shape[:-1], module.channels))
    y = module.apply(_merged(fitted, frozen), wide, hidden=places)
    if channels < module.channels:
        y = y.mean(-1, keepdims=True)
    counted = places & known
    error = jnp.where(counted, (y - x) / unit, 0)
    return jnp.sum(jnp.square(error)) / jnp.maximum(counted.sum(), 1).astype(jnp.float32)


def _merged(fitted: Mapping, frozen: Mapping) -> dict[str, Any]:
    """The variables of an `AdaptedDenoiser`."""
    inner = {collection: {"base": values} for collection, values in frozen.items()}
    return inner | {"params": {**inner.get("params", {}), **fitted}}


def check_adaptable(base: Resolved) -> None:
    """Refuses a model that cannot be adapted.

    Raises:
      ZooError: it takes no level, or no crops of 64 pixels.
    """
    facts = base.specification
    if not facts.takes_level:
        raise ZooError(
            f"{base.label} takes no noise level, so it cannot be adapted; choose one that does, "
            "such as unet-gray or unet-color"
        )
    if facts.size or _SIDES[-1] % facts.multiple:
        what = "x".join(map(str, facts.size)) if facts.size else f"multiples of {facts.multiple}"
        raise ZooError(f"{base.label} takes images of {what} pixels only; choose another model")


def _record(
    base: Resolved, limits: tuple[float, float], steps: int, seed: int
) -> dict[str, Any] | None:
    """What the file of an adaptation says; None where it could not name the network."""
    shipped = base.label in weights.list_weights()
    known = base.metadata or {}
    name, options = known.get("model"), known.get("options", {})
    if name is None:
        # NAME=FILE of published weights, or a registered model beside its variables.
        name = base.label.partition("=")[0]
        if name not in list_models() or create_model(name) != base.module:
            return None
    entry = {
        "base": base.label if shipped else None,
        "range": list(limits),
        "steps": steps,
        "seed": seed,
    }
    kept = {key: known[key] for key in ("noise", "license") if key in known}
    return {"model": name, "options": dict(options), **kept, _KEY: entry}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("range"), list):
        return False
    return isinstance(entry.get("base"), str | None)
