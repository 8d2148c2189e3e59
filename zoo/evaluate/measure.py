"""The core of every evaluation: corrupt, denoise, finish, compare, in batches on the device."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo import estimate, metrics
from zoo.data import pixels
from zoo.data.sources import Picture
from zoo.errors import ZooError
from zoo.evaluate.baselines import BASELINES
from zoo.evaluate.canvas import Group, groups, is_exact
from zoo.evaluate.draw import Noise, NumpyGaussian, degrade
from zoo.evaluate.protocol import Protocol

Apply = Callable[[jax.Array, jax.Array], jax.Array]
"""`(noisy (B, H, W, C), level (B,)) -> (B, H, W, C)`, float32."""

# Of MATLAB's rgb2ycbcr, after ITU-R BT.601: Y = 16 + 65.481 R + 128.553 G + 24.966 B, of 255.
_LUMA = np.array([65.481, 128.553, 24.966], np.float32) / 255
_BLACK = 16 / 255


class Measured(NamedTuple):
    """What came of one group of pictures.

    Attributes:
      group: the pictures.
      scores: method -> metric -> (B,), float64; units as in `compare`.
      finished: method -> (B, *canvas, C): its pixels as they were scored, uint8 or uint16, or
        float32 where the protocol does not round. They stay on the device until looked at.
    """

    group: Group
    scores: dict[str, dict[str, np.ndarray]]
    finished: dict[str, jax.Array]

    def pixels(self, method: str, place: int) -> np.ndarray:
        """A method's picture as it was scored, (H, W, C)."""
        height, width = self.group.sizes[place]
        return np.asarray(self.finished[method][place, :height, :width])

    def integers(self, method: str, place: int) -> np.ndarray:
        """A method's picture in its target's depth, for a file."""
        picture = self.pixels(method, place)
        eight = self.group.pictures[place].target.dtype == np.uint8
        return pixels.to_uint8(picture) if eight else pixels.to_uint16(picture)


def measure(
    models: Mapping[str, Apply],
    pictures: Sequence[Picture],
    noise: Noise | None,
    *,
    count: int,
    protocol: Protocol,
    wanted: Sequence[str],
    baselines: Sequence[str] = (),
    level_is_sigma: bool = False,
    noisy_too: bool = True,
) -> Iterator[Measured]:
    """Scores methods on the first `count` pictures at one level of noise.

    Args:
      models: by name; called as they are, so jit them, with the parameters among their arguments.
        B is 1 for photographs (above 362x362), up to 64 for small pictures of one size.
      pictures: what to score on; each is looked up once, and once more where `protocol.shapes` is
        "auto".
      noise: what corrupts them; None for pictures that bring their own input.
      count: how many of them.
      protocol: the choices.
      wanted: which of `METRICS`.
      baselines: names of `BASELINES`, run on the host after the models.
      level_is_sigma: whether the baselines are told the level, as that of white noise.
      noisy_too: whether the noisy picture is scored as the method "noisy".

    Raises:
      ZooError: a picture or a model's output does not fit, or an output is not finite.
    """
    exact = is_exact(pictures, count, protocol.shapes)
    full: dict[tuple, int] = {}
    for group in groups(pictures, count, exact=exact):
        target = group.lay([picture.target for picture in group.pictures])
        noisy, level = _corrupt(noise, protocol, group, target)
        kind = target.shape[1:]
        # The last batch of a size is filled up: a smaller one would be compiled once more.
        missing = full.setdefault(kind, len(target)) - len(target)
        fill = functools.partial(_fill, missing=missing)
        sizes = fill(group.sizes)
        compare_with = functools.partial(
            _finish_and_compare, fill(target), sizes=sizes, protocol=protocol, wanted=tuple(wanted)
        )
        filled, told = fill(noisy), fill(level)
        scores, finished = {}, {}
        for name, apply in models.items():
            output = jnp.asarray(apply(filled, told), jnp.float32)
            if output.shape != filled.shape:
                raise ZooError(f"{name} turned pictures of {filled.shape} into {output.shape}")
            finished[name], scores[name] = compare_with(output)
        if noisy_too:
            finished["noisy"], scores["noisy"] = compare_with(filled)
        told_too = level_is_sigma and group.pictures[0].input is None
        for name in baselines:
            sigmas = np.asarray(level) if told_too else [None] * len(target)
            output = _baseline(name, group, np.asarray(noisy), sigmas)
            finished[name], scores[name] = compare_with(fill(output))
        yield Measured(group, _fetch(scores, group), finished)


def compare(
    target: np.ndarray, denoised: np.ndarray, protocol: Protocol, wanted: Sequence[str]
) -> dict[str, float]:
    """Scores one picture.

    Args:
      target: (H, W, C), uint8, uint16, or float in [0, 1].
      denoised: (H, W, C): float, to be finished as the protocol says, or integers as they are.
      protocol: the choices.
      wanted: which of `METRICS`.

    Returns:
      The figures: "psnr" in dB, inf for identical pictures; "ssim", NaN where a side is below 11,
      and "ms_ssim", where one is below 176; "mse" and "mae" in signal units.

    Raises:
      ZooError: if the shapes differ, the border leaves nothing, or `denoised` is not finite.
    """
    if target.shape != denoised.shape:
        raise ZooError(f"the target is {target.shape}, its denoised picture {denoised.shape}")
    sizes = np.array([target.shape[:2]], np.int32)
    if denoised.dtype.kind == "f":
        denoised = denoised.astype(np.float32, copy=False)
    if not np.isfinite(denoised).all():
        raise ZooError("the denoised picture is not finite; mend what computed it")
    _, scores = _finish_and_compare(
        target[None], denoised[None], sizes=sizes, protocol=protocol, wanted=tuple(wanted)
    )
    return {name: float(value[0]) for name, value in scores.items() if name != "finite"}


def _corrupt(
    noise: Noise | None, protocol: Protocol, group: Group, target: np.ndarray
) -> tuple[np.ndarray | jax.Array, np.ndarray | jax.Array]:
    """The noisy pictures on their canvas and the level that the models are told."""
    first = group.pictures[0]
    clean = pixels.to_float(target)
    if first.input is not None:
        for picture in group.pictures:
            if picture.input.shape != picture.target.shape:
                raise ZooError(
                    f"{picture.name}: the input is {picture.input.shape}, "
                    f"its target {picture.target.shape}; mend the pair"
                )
        noisy = pixels.to_float(group.lay([picture.input for picture in group.pictures]))
        # As in training: no level is known, and 0 stands for it.
        level = np.zeros(len(noisy), np.float32)
    elif noise is None:
        raise ZooError(f"{first.name} brings no input of its own; name a noise to add")
    elif isinstance(noise, NumpyGaussian):
        own = [pixels.to_float(picture.target) for picture in group.pictures]
        noisy = group.lay([noise.add(protocol.seed, picture) for picture in own])
        level = np.full(len(noisy), noise.sigma, np.float32)
    else:
        index = np.arange(group.start, group.start + len(target))
        noisy, level = degrade(noise, protocol.seed, index, clean)
    if protocol.noisy != "float":
        noisy = _finish(noisy, target.dtype, protocol.noisy)
        noisy = noisy if noisy.dtype == np.float32 else _to_float(noisy)
    if protocol.level == "estimated":
        level = _estimate(noisy)
    return noisy, level


_estimate = jax.jit(estimate.estimate_sigma_smooth)


def _fill(array: np.ndarray | jax.Array, missing: int) -> np.ndarray | jax.Array:
    if missing <= 0:
        return array
    where = [(0, missing)] + [(0, 0)] * (array.ndim - 1)
    return (jnp if isinstance(array, jax.Array) else np).pad(array, where, mode="edge")


def _baseline(
    name: str, group: Group, noisy: np.ndarray, sigmas: Sequence[float | None]
) -> np.ndarray:
    outputs = []
    for picture, size, one, sigma in zip(group.pictures, group.sizes, noisy, sigmas, strict=True):
        inside = np.ascontiguousarray(one[: size[0], : size[1]])
        clean = pixels.to_float(picture.target)
        told = None if sigma is None else float(sigma)
        outputs.append(BASELINES[name](inside, told, clean))
    return group.lay(outputs)


@functools.partial(jax.jit, static_argnames=("protocol", "wanted"))
def _finish_and_compare(
    target: jax.Array,
    denoised: jax.Array,
    *,
    sizes: jax.Array,
    protocol: Protocol,
    wanted: tuple[str, ...],
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The finished pixels, and the figures of each picture with whether they are "finite"."""
    finished = denoised
    if jnp.issubdtype(denoised.dtype, jnp.floating):
        finished = _finish(denoised, target.dtype, protocol.output)
    # In counts of the target's depth, which float32 holds exactly: equal pictures differ by 0.
    most = _most(target.dtype)
    clean, output = target.astype(jnp.float32), finished.astype(jnp.float32)
    if not jnp.issubdtype(finished.dtype, jnp.integer):
        output = output * most
    spread = _spread(clean, sizes) if protocol.data_range == "picture" else most
    if protocol.channels == "y" and clean.shape[-1] == 3:
        clean, output = (_luma(x, most, protocol.output == "round") for x in (clean, output))
    edge, (height, width) = protocol.border, clean.shape[1:3]
    if 2 * edge >= min(height, width):
        raise ZooError(f"a border of {edge} leaves nothing of a {height}x{width} picture")
    sizes = sizes - 2 * edge
    clean, output = (x[:, edge : height - edge, edge : width - edge] for x in (clean, output))
    scores = {
        name: _metric(name, clean, output, data_range=spread, most=most, size=sizes)
        for name in wanted
    }
    scores["finite"] = jnp.all(jnp.isfinite(denoised), axis=(1, 2, 3))
    return finished, scores


def _metric(
    name: str,
    clean: jax.Array,
    output: jax.Array,
    *,
    data_range: jax.Array | float,
    most: float,
    size: jax.Array,
) -> jax.Array:
    if name == "mse":
        return metrics.mse(clean, output, size=size) / most**2
    if name == "mae":
        return metrics.mae(clean, output, size=size) / most
    short = min(clean.shape[1:3])
    if name == "psnr":
        return metrics.psnr(clean, output, data_range=data_range, size=size)
    scales = len(metrics.MS_SSIM_WEIGHTS)
    least = metrics.WINDOW * (2 ** (scales - 1) if name == "ms_ssim" else 1)
    if short < least:
        return jnp.full(clean.shape[:1], jnp.nan)
    if name == "ssim":
        return metrics.ssim(clean, output, data_range=data_range, size=size)
    return metrics.ms_ssim(clean, output, data_range=data_range, scales=scales, size=size)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _finish(x: jax.Array, depth: np.dtype, how: str) -> jax.Array:
    """Clips and rounds as `how` says, to integers where it rounds.

    In float32, as the published scripts do.
    """
    if how == "float":
        return x
    x = jnp.clip(x, 0, 1)
    if how == "clip":
        return x
    kind = jnp.uint8 if depth == np.uint8 else jnp.uint16
    return jnp.round(x * jnp.iinfo(kind).max).astype(kind)


@jax.jit
def _to_float(x: jax.Array) -> jax.Array:
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(jnp.float32)
    return x.astype(jnp.float32) / np.float32(jnp.iinfo(x.dtype).max)


def _most(dtype: np.dtype) -> float:
    """What white is: 255, 65535, or 1 for floats."""
    return float(jnp.iinfo(dtype).max) if jnp.issubdtype(dtype, jnp.integer) else 1.0


def _luma(x: jax.Array, most: float, rounded: bool) -> jax.Array:
    """Y of colour (B, H, W, 3) in counts, as counts (B, H, W, 1)."""
    y = jnp.einsum("bhwc,c->bhw", x, _LUMA, precision="highest")[..., None] + _BLACK * most
    return jnp.round(y) if rounded else y


def _spread(clean: jax.Array, sizes: jax.Array) -> jax.Array:
    """The distance from the darkest to the brightest value inside each picture, (B,)."""
    rows = jnp.arange(clean.shape[1])[None] < sizes[:, :1]
    columns = jnp.arange(clean.shape[2])[None] < sizes[:, 1:]
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    low = jnp.min(jnp.where(inside, clean, jnp.inf), axis=(1, 2, 3))
    high = jnp.max(jnp.where(inside, clean, -jnp.inf), axis=(1, 2, 3))
    return high - low


def _fetch(scores: dict, group: Group) -> dict[str, dict[str, np.ndarray]]:
    """The figures on the host, without those of what filled a batch up."""
    number = len(group.pictures)
    fetched = jax.device_get(scores)
    for method, values in fetched.items():
        for picture, good in zip(group.pictures, values["finite"][:number], strict=True):
            if not good:
                raise ZooError(
                    f"the output of {method} for {picture.name} is not finite; if it diverged in "
                    "training, take an earlier checkpoint or a lower learning rate"
                )
    # In the order of `scores`: what jax hands back is sorted by name.
    return {
        method: {
            metric: np.asarray(fetched[method][metric][:number], np.float64)
            for metric in values
            if metric != "finite"
        }
        for method, values in scores.items()
    }
