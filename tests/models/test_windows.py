"""Window attention against attention among all pixels, masked by where the windows lie."""

import jax
import numpy as np
import pytest
from scipy import special
from variables import random_variables

from zoo.models import layers, windows

# Float32 sums of tens of products, in another order.
TOLERANCE = 2e-6


def pictures(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_partition_cuts_windows_row_by_row():
    x = pictures(2, 6, 9, 5)
    parts = windows.partition(x, 3)
    assert parts.shape == (2, 6, 9, 5)
    for i in range(2):
        for j in range(3):
            cut = x[:, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].reshape(2, 9, 5)
            np.testing.assert_array_equal(parts[:, 3 * i + j], cut)
    np.testing.assert_array_equal(windows.merge(parts, 6, 9), x)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (4, 4)])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_attention_is_that_of_pixels_in_one_window(height, width, shift):
    window, heads, c = 4, 3, 6
    model = windows.WindowAttention(heads, window, shift)
    x = pictures(2, height, width, c)
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


def test_norm_keeps_small_variances_beside_large_means():
    x = 300 + pictures(1, 2, 3, 64)
    model = windows.LayerNorm()
    params = random_variables(model, x)["params"]
    z = x.astype(np.float64)
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    expected = z * params["scale"][None, None, None] + params["bias"][None, None, None]
    # At 300 a float32 has steps of 3e-5, which the mean averages.
    np.testing.assert_allclose(model.apply({"params": params}, x), expected, atol=5e-5)


def test_gelu_is_exact():
    x = np.linspace(-6, 6, 1001, dtype=np.float32)
    expected = x * special.ndtr(x.astype(np.float64))
    np.testing.assert_allclose(layers.gelu(x), expected, atol=1e-6)
