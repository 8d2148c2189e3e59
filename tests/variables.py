"""Variables at random, drawn by NumPy: compiling a model's `init` costs ten times its `apply`."""

import jax
import numpy as np
from flax import traverse_util

from zoo.models import disable_winograd


def random_variables(model, *args):
    """What `model.init(key, *args)` gives, with scales and biases off their start.

    A scale or a bias that starts at zero would hide what lies behind it.
    """
    rng = np.random.default_rng(1)
    with disable_winograd():
        shapes = traverse_util.flatten_dict(jax.eval_shape(model.init, jax.random.key(0), *args))
    values = {}
    for path, v in shapes.items():
        if len(v.shape) > 1:
            value = rng.standard_normal(v.shape) / np.sqrt(np.prod(v.shape[:-1]))
        else:
            value = (path[-1] in ("scale", "var")) + 0.1 * rng.random(v.shape)
        values[path] = value.astype(v.dtype)
    return traverse_util.unflatten_dict(values)
