"""Which output pixels notice one input pixel: measured, and by an architecture's description."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from variables import random_variables


def measured(model, shape, pixel):
    """(H, W) of bool: where the derivative by one pixel of a random image is not zero."""
    x = np.random.default_rng(0).random(shape, np.float32)
    variables = random_variables(model, x)
    at = jnp.zeros(shape).at[:, *pixel].set(1.0)
    _, change = jax.jit(lambda x, at: jax.jvp(lambda x: model.apply(variables, x), (x,), (at,)))(
        x, at
    )
    return np.any(change[0] != 0, axis=-1)


def convolved(seen, count):
    """After that many 3x3 convolutions."""
    return ndimage.binary_dilation(seen, np.ones((3, 3)), iterations=count)


def attended(seen, window, shift):
    """After attention in windows of a grid that starts `shift` pixels below and to the right."""
    rows, columns = np.indices(seen.shape)
    cells = np.stack([(rows - shift) // window, (columns - shift) // window], axis=-1)
    touched = {tuple(cell) for cell in cells[seen]}
    return np.array([[tuple(cell) in touched for cell in row] for row in cells])
