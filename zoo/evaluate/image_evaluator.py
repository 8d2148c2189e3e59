"""Evaluation of images: the protocols of the literature, pixel by pixel."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from zoo import estimate
from zoo.data import file_kinds, image_files, pixels
from zoo.errors import ZooError
from zoo.evaluate import galleries
from zoo.evaluate.baselines import BASELINES
from zoo.evaluate.batching import Group, Piece, Size
from zoo.evaluate.degrade import Noise, NumpyGaussian
from zoo.evaluate.measure import (
    Evaluator,
    Measured,
    all_finite,
    evaluates,
    figures,
    inside_of,
)
from zoo.evaluate.protocol import FEW_SHAPES, MULTIPLE, ImageProtocol
from zoo.evaluate.result import File, Level
from zoo.modality import IMAGE, Metric, full_scale, to_float

# Of MATLAB's rgb2ycbcr, after ITU-R BT.601: Y = 16 + 65.481 R + 128.553 G + 24.966 B, of 255.
_LUMA = np.array([65.481, 128.553, 24.966], np.float32) / 255
_BLACK = 16 / 255

_LEAST_TO_ESTIMATE = 16

_estimate_sigma = jax.jit(estimate.estimate_sigma_smooth)
_to_float = jax.jit(to_float)


@evaluates(IMAGE)
class ImageEvaluator(Evaluator):
    """Evaluation of images, uint8 or uint16 on the host; see `ImageProtocol` for every choice."""

    protocols = ImageProtocol
    baselines = BASELINES
    usual_baselines = ("nlm", "wavelet", "tv")
    suffixes = file_kinds.IMAGE_SUFFIXES
    sheets = ("gallery",)
    captions: Mapping[str, str] = {"psnr": "{:.2f} dB", "ssim": "SSIM {:.3f}"}
    rows = 5

    def prepare(self, levels: Mapping[Level, Noise | None]) -> list[str]:
        """As `Evaluator.prepare`; each image is checked against the protocol."""
        self._multiple = 1 if is_exact(self.source, self.protocol.shapes) else MULTIPLE
        return super().prepare(levels)

    def cut(self, place: int) -> tuple[list[Piece], list[str]]:
        """As `Evaluator.cut`."""
        name, target, _ = self.source[place]
        _check_border(target.shape[:2], self.protocol, name)
        return super().cut(place)

    def canvas(self, size: Size) -> Size:
        """As `Evaluator.canvas`, as `ImageProtocol.shapes` says."""
        return tuple(side + -side % self._multiple for side in size)

    def degrade(
        self, group: Group, level: Level, noise: Noise | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """As `Evaluator.degrade`; then clips, rounds and estimates as the protocol says."""
        target, noisy, given = super().degrade(group, level, noise)
        if self.protocol.noisy != "float":
            noisy = _to_float(_finish(noisy, target.dtype, self.protocol.noisy))
        if self.protocol.level == "estimated":
            given = _estimated(noisy, group)
        return target, noisy, given

    def add_noise(
        self, group: Group, target: jax.Array, level: Level, noise: Noise | None
    ) -> tuple[jax.Array, jax.Array]:
        """As `Evaluator.add_noise`, or the noise of NumPy, made at each image's own size."""
        if not isinstance(noise, NumpyGaussian):
            return super().add_noise(group, target, level, noise)
        own = [to_float(item.target) for item in group.items]
        noisy = group.lay([noise.add(self.protocol.seed, image) for image in own])
        return jax.device_put((noisy, np.full(len(noisy), noise.sigma, np.float32)))

    def compare(
        self, output: jax.Array, target: jax.Array, sizes: jax.Array, metrics: tuple[Metric, ...]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The finished pixels, uint8 or uint16 where the protocol rounds, and the figures."""
        return _finish_and_compare(
            target, output, sizes=sizes, protocol=self.protocol, metrics=metrics
        )

    def baseline(self, name: str, group: Group, noisy: jax.Array, level: jax.Array) -> np.ndarray:
        """The output of a baseline of `BASELINES`, image by image on the host."""
        noisy = np.asarray(noisy)
        sigmas = np.asarray(level) if self.sigma_known and not group.paired else None
        outputs = []
        for at, item in enumerate(group.items):
            clean = to_float(self.center(item.target))
            height, width = clean.shape[:2]
            inside = np.ascontiguousarray(noisy[at, :height, :width])
            sigma = None if sigmas is None else float(sigmas[at])
            outputs.append(self.baselines[name](inside, sigma, clean))
        return group.lay(outputs)

    def write(self, path: Path, part: Measured, method: str, at: int) -> Path:
        """As PNG, in the depth of the target."""
        image = part.output(method, at)
        eight = part.group.items[at].target.dtype == np.uint8
        path = path.with_name(f"{path.name}.png")
        image_files.write(path, pixels.to_uint8(image) if eight else pixels.to_uint16(image))
        return path

    def draw(self, sheet: galleries.Sheet) -> Iterator[File]:
        """Draws `gallery.png`; see `galleries.gallery`."""
        path = sheet.path("gallery")
        galleries.gallery(path, sheet.panels(self.captions), title=sheet.title)
        yield File(path, "gallery", sheet.level)

    def facts(self, outdir: Path) -> dict[str, object]:
        """How the baselines get sigma."""
        oracle = "nlm and tv choose their strength by the PSNR they reach, in their favor"
        sigma = "the level" if self.sigma_known else "estimated from each image"
        return {"sigma_of_baselines": sigma, "oracle": oracle}


def is_exact(source: Sequence, shapes: str) -> bool:
    """Whether `ImageProtocol.shapes` leaves the images of a set at their own sizes.

    The whole set decides, however many of it are scored.
    """
    if shapes != "auto":
        return shapes == "exact"
    sizes = set()
    for image in source:
        sizes.add(image.target.shape[:2])
        if len(sizes) > FEW_SHAPES:
            return False
    return True


def compare(
    target: np.ndarray,
    denoised: np.ndarray,
    protocol: ImageProtocol,
    wanted: Sequence[str] | None = None,
) -> dict[str, float]:
    """Scores one image.

    Args:
      target: (H, W, C), uint8 or uint16.
      denoised: (H, W, C): float, to be finished as the protocol says, or of the target's dtype.
      protocol: the choices.
      wanted: which of `zoo.modality.IMAGE.metrics`; None for the usual ones.

    Returns:
      The figures: "psnr" in dB, inf for identical images; "ssim", NaN where a side is below 11,
      and "ms_ssim", where one is below 176; "mse" and "mae" in signal units.

    Raises:
      ZooError: if the shapes or dtypes do not fit, the border leaves nothing, or `denoised` is not
        finite.
    """
    if target.shape != denoised.shape:
        raise ZooError(f"the target is {target.shape}, its denoised image {denoised.shape}")
    if target.dtype not in IMAGE.dtypes or (
        denoised.dtype.kind != "f" and denoised.dtype != target.dtype
    ):
        raise ZooError(
            f"the target is {target.dtype} and its denoised image {denoised.dtype}; give a "
            "target of uint8 or uint16, and a float or the same"
        )
    _check_border(target.shape[:2], protocol, "the image")
    if denoised.dtype.kind == "f":
        denoised = denoised.astype(np.float32, copy=False)
    if not np.isfinite(denoised).all():
        raise ZooError("the denoised image is not finite; correct the code that computed it")
    _, scores = _finish_and_compare(
        target[None],
        denoised[None],
        sizes=np.array([target.shape[:2]], np.int32),
        protocol=protocol,
        metrics=IMAGE.choose(wanted),
    )
    return {name: float(value[0]) for name, value in scores.items() if name != "finite"}


def _check_border(size: Size, protocol: ImageProtocol, name: str) -> None:
    if 2 * protocol.border >= min(size):
        raise ZooError(
            f"a border of {protocol.border} leaves nothing of {name}, {size[0]}x{size[1]}; "
            "take a smaller one"
        )


def _estimated(noisy: jax.Array, group: Group) -> jax.Array:
    for item in group.items:
        if min(item.target.shape[:2]) < _LEAST_TO_ESTIMATE:
            raise ZooError(
                f"{item.name} is too small to estimate its noise level from; sides are "
                f"{_LEAST_TO_ESTIMATE} or more: leave it out, or give the models the known level"
            )
    return _estimate_sigma(noisy)


@functools.partial(jax.jit, static_argnames=("protocol", "metrics"))
def _finish_and_compare(
    target: jax.Array,
    denoised: jax.Array,
    *,
    sizes: jax.Array,
    protocol: ImageProtocol,
    metrics: tuple[Metric, ...],
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The finished pixels, and the figures of each image with whether they are "finite"."""
    finished = denoised
    if jnp.issubdtype(denoised.dtype, jnp.floating):
        finished = _finish(denoised, target.dtype, protocol.output)
    # In counts of the target's depth, which float32 holds exactly: equal images differ by 0.
    white = _white(target.dtype)
    clean, output = target.astype(jnp.float32), finished.astype(jnp.float32)
    if not jnp.issubdtype(finished.dtype, jnp.integer):
        output = output * white
    if protocol.channels == "y" and clean.shape[-1] == 3:
        clean, output = (_luma(x, white, protocol.output == "round") for x in (clean, output))
    spread = _spread(clean, sizes) if protocol.data_range == "image" else white
    edge, (height, width) = protocol.border, clean.shape[1:3]
    clean, output = (x[:, edge : height - edge, edge : width - edge] for x in (clean, output))
    scores = figures(output, clean, sizes - 2 * edge, metrics, data_range=spread, scale=white)
    return finished, scores | {"finite": all_finite(denoised, sizes)}


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


def _white(dtype: np.dtype) -> float:
    """The value of white: 255, 65535, or 1 for floats."""
    return float(full_scale(dtype)) if jnp.issubdtype(dtype, jnp.integer) else 1.0


def _luma(x: jax.Array, white: float, rounded: bool) -> jax.Array:
    """Y of color (B, H, W, 3) in counts, as counts (B, H, W, 1)."""
    y = jnp.einsum("bhwc,c->bhw", x, _LUMA, precision="highest")[..., None] + _BLACK * white
    return jnp.round(y) if rounded else y


def _spread(clean: jax.Array, sizes: jax.Array) -> jax.Array:
    """The distance from the darkest to the brightest value inside each image, (B,)."""
    inside = inside_of(sizes, clean.shape[1:3])[..., None]
    low = jnp.min(jnp.where(inside, clean, jnp.inf), axis=(1, 2, 3))
    high = jnp.max(jnp.where(inside, clean, -jnp.inf), axis=(1, 2, 3))
    return high - low
