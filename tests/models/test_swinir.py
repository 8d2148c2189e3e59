"""SwinIR: its size, and what the paper says of it beyond what the certificates compare."""

import jax
import numpy as np
import pytest
import reach
from scipy import special
from variables import random_variables

from zoo.errors import ZooError
from zoo.models import SwinIR, count_parameters, swinir

KEY = jax.random.key(0)
SMALL = {"width": 8, "heads": 2, "window": 4}
# Float32 sums of tens of products, in another order.
TOLERANCE = 2e-6


def images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def test_sizes():
    assert count_parameters("swinir-color") == 11_504_163
    # Two colors less in the first convolution and in the last, which has a bias for each.
    assert count_parameters("swinir-gray") == 11_504_163 - 2 * (2 * 9 * 180) - 2
    assert count_parameters("swinir-small") < 1_000_000


# The last is of each kind of block, and of two groups.
@pytest.mark.parametrize(
    "depths", [*(pytest.param(d, marks=pytest.mark.matrix) for d in ((1,), (2,))), (2, 1)]
)
def test_windows_reach_as_far_as_described(depths):
    shape, pixel = (1, 24, 28, 1), (10, 9)
    expected = np.zeros(shape[1:3], bool)
    expected[pixel] = True
    expected = reach.convolved(expected, 1)
    for depth in depths:
        for i in range(depth):
            expected = reach.attended(expected, 4, 2 * (i % 2))
        expected = reach.convolved(expected, 1)
    expected = reach.convolved(expected, 2)
    assert not expected.all()
    model = SwinIR(channels=1, depths=depths, **SMALL)
    np.testing.assert_array_equal(reach.measured(model, shape, pixel), expected)


@pytest.mark.parametrize(
    ("channels", "mean"), [(1, [0]), (3, [0.4488, 0.4371, 0.4040]), (4, [0, 0, 0, 0])]
)
def test_mean_color_is_the_origin(channels, mean):
    """There the first convolution gives its bias, at the zero-padded borders too."""
    x = np.broadcast_to(np.float32(mean), (1, 8, 8, channels))
    model = SwinIR(channels=channels, depths=(1,), **SMALL)
    variables = random_variables(model, x)

    # Compiled, it computes no more than this.
    @jax.jit
    def first(variables, x):
        _, kept = model.apply(variables, x, capture_intermediates=True)
        return kept["intermediates"]["head"]["__call__"][0]

    head = first(variables, x)
    bias = variables["params"]["head"]["bias"]
    np.testing.assert_allclose(head, np.broadcast_to(bias, head.shape), atol=1e-7)


def test_other_sizes_are_mirrored():
    model = SwinIR(depths=(2,), **SMALL)
    x = images(1, 7, 13, 3)
    variables = random_variables(model, x)
    padded = np.pad(x, ((0, 0), (0, 1), (0, 3), (0, 0)), mode="reflect")
    apply = jax.jit(model.apply)
    expected = apply(variables, padded)[:, :7, :13]
    np.testing.assert_allclose(apply(variables, x), expected, atol=1e-6)


@pytest.mark.matrix
def test_it_starts_near_its_input():
    x = images(1, 16, 16, 3)
    quick = {"xla_backend_optimization_level": 0}
    init = jax.jit(SwinIR(depths=(2,)).init_with_output, compiler_options=quick)
    y, _ = init(KEY, x)
    assert 0 < np.abs(y - x).mean() < 0.1


def test_heads_must_divide_the_width():
    with pytest.raises(ZooError, match=r"^SwinIR: width=10 must be a multiple of heads=4$"):
        SwinIR(width=10, heads=4)


def test_partition_cuts_windows_row_by_row():
    x = images(2, 6, 9, 5)
    parts = swinir.partition(x, 3)
    assert parts.shape == (2, 6, 9, 5)
    for i in range(2):
        for j in range(3):
            cut = x[:, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].reshape(2, 9, 5)
            np.testing.assert_array_equal(parts[:, 3 * i + j], cut)
    np.testing.assert_array_equal(swinir.merge(parts, 6, 9), x)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (4, 4)])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_attention_is_that_of_pixels_in_one_window(height, width, shift):
    window, heads, c = 4, 3, 6
    model = swinir.WindowAttention(heads, window, shift)
    x = images(2, height, width, c)
    params = random_variables(model, x)["params"]

    y, x = None, x.astype(np.float64)
    dense = {k: {n: np.float64(v) for n, v in params[k].items()} for k in ("qkv", "project")}
    rows, columns = np.indices((height, width)).reshape(2, -1)
    # Unrolled, the windows are those of a grid that starts at (shift, shift); its margin is cut.
    cell = np.stack([(rows - shift) // window, (columns - shift) // window])
    visible = (cell[:, :, None] == cell[:, None, :]).all(0)
    down, right = rows[:, None] - rows[None], columns[:, None] - columns[None]
    table = np.float64(params["position_bias"])
    limit = window - 1
    bias = table[np.clip(down, -limit, limit) + limit, np.clip(right, -limit, limit) + limit]
    expected = np.zeros((2, height * width, c))
    qkv = x.reshape(2, -1, c) @ dense["qkv"]["kernel"] + dense["qkv"]["bias"][None, None]
    for head in range(heads):
        q, k, v = (qkv[..., i * c + 2 * head : i * c + 2 * head + 2] for i in range(3))
        logits = q @ k.swapaxes(1, 2) / np.sqrt(2) + bias[None, :, :, head]
        weights = special.softmax(np.where(visible[None], logits, -np.inf), axis=-1)
        expected[..., 2 * head : 2 * head + 2] = weights @ v
    expected = expected @ dense["project"]["kernel"] + dense["project"]["bias"][None, None]

    y = jax.jit(model.apply)({"params": params}, x.astype(np.float32))
    np.testing.assert_allclose(y, expected.reshape(x.shape), atol=TOLERANCE)
