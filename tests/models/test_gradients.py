"""The gradients that training follows, compiled, against ones of more digits that are not.

A compiler may fuse a backward pass wrongly. XLA on a CPU was seen to give a gradient 37 % off for a
layer norm written as `d * rsqrt(v) * s + b`, whose values were right.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import random_variables

from zoo.models import create_model, small_options

# Shares of the largest value of a tensor, or of the whole gradient where a tensor's is zero but for
# rounding, as that of a bias before a batch norm.
TOLERANCE, ROUNDING = 1e-3, 1e-6
# Large enough that the compiler fuses as in a training, small enough for seconds.
SHAPES = {
    "unet-small": (4, 64, 64, 3),
    "nafnet-small": (2, 64, 64, 3),
    "swinir-small": (2, 32, 32, 3),
    "restormer-small": (2, 32, 32, 3),
    "scunet-small": (1, 32, 32, 3),
    "dncnn-gray": (4, 40, 40, 1),
    "stream-t": (2, 8000, 1),
    "gtcrn": (2, 4000, 1),
}
# Nothing is fused, so nothing is fused wrongly; and it compiles sooner.
UNFUSED = {"xla_backend_optimization_level": 0, "xla_disable_hlo_passes": "fusion"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_the_compiled_gradient_is_that_of_float64(name):
    rng = np.random.default_rng(0)
    target = 0.1 * rng.standard_normal(SHAPES[name]) + (0.5 if SHAPES[name][-1] == 3 else 0)
    noisy = target + 0.05 * rng.standard_normal(SHAPES[name])
    # Of full width, so that it is fused as in a training.
    options = small_options(name, narrow=False)
    model = create_model(name, **options)
    variables = random_variables(model, jnp.zeros(SHAPES[name], jnp.float32))

    def gradient(model, dtype, wrap):
        def loss(params):
            # Statistics of the batch where there are any, as in a training.
            y, _ = model.apply(
                {**held, "params": params}, jnp.asarray(noisy, dtype), train=True, mutable=True
            )
            return jnp.square(y - jnp.asarray(target, dtype)).mean()

        held = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), variables)
        return jax.tree.map(np.asarray, wrap(jax.grad(loss))(held["params"]))

    found = gradient(model, jnp.float32, jax.jit)
    # Flax's norms mix float64 with constants of float32.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        wide = create_model(name, param_dtype=jnp.float64, **options)
        expected = gradient(wide, jnp.float64, partial(jax.jit, compiler_options=UNFUSED))
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        assert leaf.dtype == np.float64
        one = found
        for step in path:
            one = one[step.key]
        own = np.abs(leaf).max()
        allowed = TOLERANCE * (own if own > ROUNDING * largest else largest)
        assert np.abs(one - leaf).max() <= allowed, jax.tree_util.keystr(path)
