"""A weight file for the page: a small U-Net that takes a level, with random weights."""

import jax
import jax.numpy as jnp

from zoo import weights
from zoo.models import create_model


def save(folder, channels=3):
    options = {"channels": channels, "takes_level": True, "widths": (4, 4)}
    model = create_model("unet-tiny", **options)
    x = jnp.zeros((1, 16, 16, channels))
    # All zeros: a U-Net that learns the noise then leaves an image as it is.
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, jnp.full((1,), 0.1)))
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    path = folder / f"tiny-{channels}.safetensors"
    weights.save(path, variables, {"model": "unet-tiny", "options": options})
    return path
