"""The core of every evaluation: corrupt, denoise, finish, compare, in batches on the device."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo import estimate, metrics
from zoo.data import pixels
from zoo.data.sources import Example
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

_LEAST_TO_ESTIMATE = 16


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
        # The whole batch, which jax then keeps: one transfer for all its pictures.
        return np.asarray(self.finished[method])[place, :height, :width]

    def integers(self, method: str, place: int) -> np.ndarray:
        """A method's picture in its target's depth, for a file."""
        picture = self.pixels(method, place)
        eight = self.group.pictures[place].target.dtype == np.uint8
        return pixels.to_uint8(picture) if eight else pixels.to_uint16(picture)


def measure(
    models: Mapping[str, Apply],
    pictures: Sequence[Example],
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
        B is 1 for photographs (above 362x362), up to 64 for small pictures of one canvas.
      pictures: what to score on; each is looked up once, and more often where `protocol.shapes`
        is not "exact".
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
    exact = is_exact(pictures, protocol.shapes)
    for group in groups(pictures, count, exact=exact):
        _check_group(group, protocol)
        target, sizes = jax.device_put(
            (group.lay([picture.target for picture in group.pictures]), group.sizes)
        )
        noisy, level = jax.device_put(_corrupt(noise, protocol, group, target))
        compare_with = functools.partial(
            _finish_and_compare, target, sizes=sizes, protocol=protocol, wanted=tuple(wanted)
        )
        scores, finished = {}, {}
        for name, apply in models.items():
            output = jnp.asarray(apply(noisy, level), jnp.float32)
            if output.shape != noisy.shape:
                raise ZooError(f"{name} turned pictures of {noisy.shape} into {output.shape}")
            finished[name], scores[name] = compare_with(output)
        if noisy_too:
            finished["noisy"], scores["noisy"] = compare_with(noisy)
        told = level_is_sigma and group.pictures[0].input is None
        for name in baselines:
            sigmas = np.asarray(level) if told else None
            output = _baseline(name, group, np.asarray(noisy), sigmas)
            finished[name], scores[name] = compare_with(output)
        yield Measured(group, _fetch(scores, group), finished)


def compare(
    target: np.ndarray, denoised: np.ndarray, protocol: Protocol, wanted: Sequence[str]
) -> dict[str, float]:
    """Scores one picture.

    Args:
      target: (H, W, C), uint8 or uint16.
      denoised: (H, W, C): float, to be finished as the protocol says, or of the target's dtype.
      protocol: the choices.
      wanted: which of `METRICS`.

    Returns:
      The figures: "psnr" in dB, inf for identical pictures; "ssim", NaN where a side is below 11,
      and "ms_ssim", where one is below 176; "mse" and "mae" in signal units.

    Raises:
      ZooError: if the shapes or dtypes do not fit, the border leaves nothing, or `denoised` is not
        finite.
    """
    if target.shape != denoised.shape:
        raise ZooError(f"the target is {target.shape}, its denoised picture {denoised.shape}")
    if target.dtype not in (np.uint8, np.uint16) or (
        denoised.dtype.kind != "f" and denoised.dtype != target.dtype
    ):
        raise ZooError(
            f"the target is {target.dtype} and its denoised picture {denoised.dtype}; give a "
            "target of uint8 or uint16, and a float or the same"
        )
    _check_border(target.shape[:2], protocol, "the picture")
    sizes = np.array([target.shape[:2]], np.int32)
    if denoised.dtype.kind == "f":
        denoised = denoised.astype(np.float32, copy=False)
    if not np.isfinite(denoised).all():
        raise ZooError("the denoised picture is not finite; mend what computed it")
    _, scores = _finish_and_compare(
        target[None], denoised[None], sizes=sizes, protocol=protocol, wanted=tuple(wanted)
    )
    return {name: float(value[0]) for name, value in scores.items() if name != "finite"}


def _check_group(group: Group, protocol: Protocol) -> None:
    for picture in group.pictures:
        _check_border(picture.target.shape[:2], protocol, picture.name)
        if picture.input is not None and picture.input.shape != picture.target.shape:
            raise ZooError(
                f"{picture.name}: the input is {picture.input.shape}, "
                f"its target {picture.target.shape}; mend the pair"
            )


def _check_border(size: tuple[int, int], protocol: Protocol, name: str) -> None:
    if 2 * protocol.border >= min(size):
        raise ZooError(
            f"a border of {protocol.border} leaves nothing of {name}, {size[0]}x{size[1]}; "
            "take a smaller one"
        )


def _corrupt(
    noise: Noise | None, protocol: Protocol, group: Group, target: jax.Array
) -> tuple[np.ndarray | jax.Array, np.ndarray | jax.Array]:
    """The noisy pictures on their canvas and the level that the models are told."""
    first = group.pictures[0]
    if first.input is not None:
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
        noisy, level = degrade(noise, protocol.seed, group.index, _to_float(target))
    if protocol.noisy != "float":
        noisy = _to_float(_finish(noisy, target.dtype, protocol.noisy))
    if protocol.level == "estimated":
        level = _estimate(noisy, group)
    return noisy, level


_estimate_sigma = jax.jit(estimate.estimate_sigma_smooth)


def _estimate(noisy: jax.Array, group: Group) -> jax.Array:
    for picture in group.pictures:
        if min(picture.target.shape[:2]) < _LEAST_TO_ESTIMATE:
            raise ZooError(
                f"{picture.name} is too small to estimate its noise level from; sides are "
                f"{_LEAST_TO_ESTIMATE} or more: leave it out, or tell the models the known level"
            )
    return _estimate_sigma(noisy)


def _baseline(name: str, group: Group, noisy: np.ndarray, sigmas: np.ndarray | None) -> np.ndarray:
    outputs = []
    for place, picture in enumerate(group.pictures):
        clean = pixels.to_float(picture.target)
        height, width = clean.shape[:2]
        inside = np.ascontiguousarray(noisy[place, :height, :width])
        sigma = None if sigmas is None else float(sigmas[place])
        outputs.append(BASELINES[name](inside, sigma, clean))
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
    if protocol.channels == "y" and clean.shape[-1] == 3:
        clean, output = (_luma(x, most, protocol.output == "round") for x in (clean, output))
    spread = _spread(clean, sizes) if protocol.data_range == "picture" else most
    edge, (height, width) = protocol.border, clean.shape[1:3]
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
