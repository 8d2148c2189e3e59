"""DRUNet: its size, what leaving out the biases gives, and how far a pixel sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variables import random_variables

from zoo.models import DRUNet, count_parameters


@pytest.mark.parametrize(("variant", "count"), [("gray", 32_638_656), ("color", 32_640_960)])
def test_size_is_the_published_one(variant, count):
    assert count_parameters(f"drunet-{variant}") == count


def test_output_scales_with_image_and_level():
    """Without biases a ReLU network is homogeneous; a power of two even rounds alike."""
    model = DRUNet(widths=(4, 6, 8), blocks=1)
    x = np.random.default_rng(0).random((2, 13, 10, 3), np.float32)
    level = np.array([0.1, 0.2], np.float32)
    variables = random_variables(model, x, level)
    apply = jax.jit(model.apply)
    np.testing.assert_array_equal(
        apply(variables, 4 * x, 4 * level), 4 * apply(variables, x, level)
    )


@pytest.mark.matrix
def test_published_depth_sees_185_pixels_far():
    """So far a tile has to reach beyond what is kept of it, to agree with the whole image."""
    levels, blocks = 4, 4

    def first(pixel):
        """The leftmost column that a column of the output depends on, walking back to the input."""
        pixel -= 1
        for _ in range(levels - 1):
            pixel = (pixel - 2 * blocks) // 2
        pixel -= 2 * blocks
        for _ in range(levels - 1):
            pixel = 2 * pixel - 2 * blocks
        return pixel - 1

    side = 8 * 48
    model = DRUNet(channels=1, widths=(1,) * levels, blocks=blocks)
    x = jnp.ones((1, 8, side, 1))
    # Positive weights let nothing cancel, and no ReLU cut anything off.
    variables = jax.tree.map(jnp.abs, random_variables(model, x, 0.1))
    seen = jax.jit(jax.grad(lambda x, column: model.apply(variables, x, 0.1)[0, 0, column, 0]))
    reach = []
    for column in range(side // 2, side // 2 + 8):
        expected = first(column)
        assert np.flatnonzero(np.any(seen(x, column)[0, :, :, 0], axis=0))[0] == expected
        reach.append(column - expected)
    assert max(reach) == 185
