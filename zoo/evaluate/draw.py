"""The noise of a score: drawn on the device by JAX, or by NumPy as the published figures were."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from zoo.noise import Sampler


class NumpyGaussian(NamedTuple):
    """White Gaussian noise as NumPy's global generator draws it after `numpy.random.seed(seed)`.

    Attributes:
      sigma: standard deviation in signal units.
    """

    sigma: float

    def add(self, seed: int, clean: np.ndarray) -> np.ndarray:
        """A noisy picture, float32, not clipped.

        Args:
          seed: from 0 to 2**32 - 1; every picture starts anew from it.
          clean: (H, W, C), float32 in [0, 1].
        """
        draw = np.random.RandomState(seed).normal(0, self.sigma, clean.shape)
        return (clean + draw).astype(np.float32)


Noise = Sampler | NumpyGaussian


@functools.partial(jax.jit, static_argnums=0)
def degrade(
    sampler: Sampler, seed: int, index: jax.Array, clean: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Corrupts pictures, each as its number, its canvas and the seed alone decide.

    Neither the level nor the other pictures enter the key, so that a figure can be repeated on one
    picture at one level, and levels differ by the strength of one and the same draw.

    Args:
      sampler: `(key, x) -> (noisy, level)` for one picture, as `zoo.noise.samplers` makes it.
      seed: `Protocol.seed`.
      index: (B,) integers, each picture's place in the whole set.
      clean: (B, H, W, C), float32 in [0, 1], on canvases of one size.

    Returns:
      noisy (B, H, W, C), float32, not clipped; level (B,), float32 in signal units.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), index)
    return jax.vmap(sampler)(keys, clean)
