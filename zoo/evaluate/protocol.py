"""Every choice behind a score, named.

Papers differ in whether noisy pixels are clipped, whether the output is rounded, which channels
count and what seeds the noise, and each choice moves the PSNR by more than the methods compared do.
The defaults are those that KAIR, DPIR, SwinIR and Restormer share, but for the random numbers
themselves, which are JAX's and not NumPy's.
"""

import dataclasses
import functools
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from zoo import metrics
from zoo.data import pixels
from zoo.errors import ZooError

Sampler = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""`(key, clean (H, W, C)) -> (noisy (H, W, C), level ())`, all float32 in signal units."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is free to choose; the rest stands in `choices`.

    Attributes:
      seed: of the noise, from 0 to 2**31 - 1.
      border: how many pixels at each edge do not count, 0 or more.
    """

    seed: int = 0
    border: int = 0

    def __post_init__(self):
        if not 0 <= self.seed < 2**31:
            raise ZooError(f"seed must be from 0 to {2**31 - 1}, not {self.seed}")
        if self.border < 0:
            raise ZooError(f"border must be 0 or more, not {self.border}")

    def choices(self) -> dict[str, str | int | float]:
        """Every choice by its name, ready for JSON."""
        return {
            "seed": self.seed,
            "noise": "one fixed draw a picture, clipped only if the noise's own options say so, "
            "the same pixels for every method; paired pictures bring theirs",
            "noise_key": "jax.random.fold_in(jax.random.key(seed), picture index), at every level",
            "output": "clipped to [0, 1], rounded to the target's depth: 8 bits, or 16",
            "data_range": 1.0,
            "border": self.border,
            "psnr": "over all channels together, dB; infinite for identical pictures",
            "ssim": "Wang 2004: 11x11 Gaussian, sigma 1.5, valid region, mean over channels; "
            "undefined for sides below 11",
            "mean": "over the scores of the pictures; null if any of them is infinite or undefined",
        }

    def to_json(self) -> str:
        """The choices as a JSON object."""
        return json.dumps(self.choices(), indent=2)

    def __str__(self) -> str:
        """The choices in one line, for under a table."""
        return (
            f"noise seed {self.seed}, not clipped here; output clipped and rounded to the target's "
            f"depth; all channels together, range 1, border {self.border}; mean over pictures"
        )


@functools.partial(jax.jit, static_argnums=0)
def degrade(
    sampler: Sampler, seed: int, index: jax.Array, clean: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Corrupts pictures, each as its number and the seed alone decide.

    Neither the level nor the other pictures enter the key, so that a figure can be repeated on one
    picture at one level, and levels differ by the strength of one and the same draw.

    Args:
      sampler: `(key, x) -> (noisy, level)` for one picture, as `zoo.noise.compose` makes it.
      seed: `Protocol.seed`.
      index: (B,) integers, each picture's place in the whole set.
      clean: (B, H, W, C), float32 in [0, 1].

    Returns:
      noisy (B, H, W, C), float32, not clipped; level (B,), float32 in signal units.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), index)
    return jax.vmap(sampler)(keys, clean)


def quantise(denoised: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Clips to [0, 1] and rounds to the target's depth.

    Args:
      denoised: (..., H, W, C), float.
      target: an array of the depth: uint8, or anything else for 16 bits.

    Returns:
      (..., H, W, C), uint8 or uint16: the pixels of the file that is written.
    """
    return pixels.to_uint8(denoised) if target.dtype == np.uint8 else pixels.to_uint16(denoised)


def score_batch(
    target: np.ndarray, denoised: np.ndarray, protocol: Protocol
) -> dict[str, np.ndarray]:
    """Scores pictures of one shape, each by itself.

    Args:
      target: (B, H, W, C), uint8 or uint16, or float in [0, 1].
      denoised: (B, H, W, C): float, to be clipped and rounded here, or already `quantise`d.
      protocol: the choices.

    Returns:
      "psnr" (dB), "ssim", "mse" and "mae" (signal units), each (B,). `psnr` is inf for identical
      pictures, `ssim` NaN where a side is below 11.

    Raises:
      ZooError: if the shapes differ, the border leaves nothing, or an output is NaN.
    """
    if target.shape != denoised.shape:
        raise ZooError(f"the target is {target.shape}, its denoised picture {denoised.shape}")
    if denoised.dtype.kind == "f":
        denoised = quantise(denoised, target)
    height, width = target.shape[-3:-1]
    edge = protocol.border
    if 2 * edge >= min(height, width):
        raise ZooError(f"a border of {edge} leaves nothing of a {height}x{width} picture")
    inner = np.s_[..., edge : height - edge, edge : width - edge, :]
    scores = _scores(pixels.to_float(target[inner]), pixels.to_float(denoised[inner]))
    return {name: np.asarray(value, np.float64) for name, value in scores.items()}


def score(target: np.ndarray, denoised: np.ndarray, protocol: Protocol) -> dict[str, float]:
    """Scores one picture, (H, W, C), as `score_batch` does; the figures are Python floats."""
    scores = score_batch(target[None], denoised[None], protocol)
    return {name: float(value[0]) for name, value in scores.items()}


@jax.jit
def _scores(target: jax.Array, denoised: jax.Array) -> dict[str, jax.Array]:
    tall_enough = min(target.shape[-3:-1]) >= metrics.WINDOW
    return {
        "psnr": metrics.psnr(target, denoised, data_range=1.0),
        "ssim": metrics.ssim(target, denoised, data_range=1.0)
        if tall_enough
        else jnp.full(target.shape[:1], jnp.nan),
        "mse": metrics.mse(target, denoised),
        "mae": metrics.mae(target, denoised),
    }
