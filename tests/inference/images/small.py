"""Small models with random weights, and modules whose output is known without them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from variables import random_variables

from zoo.models import canvas, create_model, list_models, model_spec, small_options


def names(*localities):
    """Registered models of single images of any size and some locality, narrow ones that differ."""
    facts = [model_spec(name) for name in list_models()]
    facts = [f for f in facts if f.modality == "image" and not f.size and f.planes == 1]
    kept = [f for f in facts if f.locality in localities]
    # Narrow variants of one family that see as far are the same.
    return list({(f.family, f.reach): f.name for f in kept}.values())


@functools.cache
def build(name, channels=1, **options):
    """The narrow variant and its variables."""
    # The reach of a local model depends on its depth.
    options = small_options(name, shallow=model_spec(name).locality != "local") | options
    model = create_model(name, channels=channels, **options)
    x = np.zeros((1, 32, 32, channels), np.float32)
    return model, random_variables(model, x, np.float32([0.1]))


@functools.cache
def jitted(model):
    """`apply`, compiled once for all who call it with one shape."""
    return jax.jit(model.apply)


def make_image(height, width, channels=1, dtype=np.uint8, seed=0):
    """Waves and noise of standard deviation 0.1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 20
    waves = 0.5 + 0.2 * np.sin(rows + 2 * columns) + 0.1 * np.cos(3 * rows - columns)
    x = waves[..., None] + 0.1 * rng.standard_normal((height, width, channels))
    x = np.clip(x, 0, 1)
    if np.dtype(dtype).kind == "u":
        return np.rint(x * np.iinfo(dtype).max).astype(dtype)
    return x.astype(dtype)


class Half(nn.Module):
    """Half of the image, and of the level where it takes one; each pixel by itself."""

    channels: int = 3
    takes_level: bool = False

    def __call__(self, x, level=None, *, train=False):
        if not self.takes_level:
            return x / 2
        return x / 2 + jnp.asarray(level, x.dtype).reshape(-1, 1, 1, 1)


class Box(nn.Module):
    """The mean over 5x5 pixels, and three channels each times another number: local."""

    channels: int = 1

    locality = "local"
    reach = 2

    def __call__(self, x, level=None, *, train=False):
        sides = [(0, 0), (2, 2), (2, 2), (0, 0)]
        rows = jnp.pad(x, sides, mode="edge")
        rows = sum(rows[:, i : i + x.shape[1]] for i in range(5))
        y = sum(rows[:, :, i : i + x.shape[2]] for i in range(5)) / np.float32(25)
        return y if self.channels == 1 else y * np.float32([[[[0.5, 1.0, 1.5]]]])


class Middle(nn.Module):
    """Half way to the mean of the image: global."""

    channels: int = 1
    canvas: bool = False

    locality = "global"

    def __call__(self, x, level=None, *, train=False):
        return (x + canvas.mean(x)) / 2
