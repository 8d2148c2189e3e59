"""Against ordinary least squares by NumPy, volume by volume."""

import jax
import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.selfsupervised import patch2self

BVALS = (0, 1000, 5, 2000, 1000, 0, 1000)


def series():
    """Seven volumes of 6x7x5 voxels: decays of two parameters, and their noise."""
    rng = np.random.default_rng(0)
    start, rate = 1000 * rng.random((2, 6, 7, 5, 1))
    clean = start * np.exp(-np.array(BVALS) / 1000 * (0.3 + rate / 800))
    return clean, (clean + 20 * rng.standard_normal(clean.shape)).astype(np.float32)


def regressed(x):
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    out = np.empty_like(rows)
    for number in range(rows.shape[1]):
        others = np.column_stack([np.ones(len(rows)), np.delete(rows, number, 1)])
        out[:, number] = others @ np.linalg.lstsq(others, rows[:, number], rcond=None)[0]
    return out.reshape(x.shape)


def test_each_volume_is_regressed_on_all_others():
    clean, x = series()
    found = jax.jit(patch2self)(x)
    np.testing.assert_allclose(found, regressed(x), atol=0.01)
    assert np.std(found - clean) < 0.8 * np.std(x - clean)
    np.testing.assert_allclose(found.mean((0, 1, 2)), x.mean((0, 1, 2)), atol=1e-3)


def test_b_values_part_the_volumes():
    _, x = series()
    found = patch2self(x, BVALS)
    for group in (np.array(BVALS) <= 50, np.array(BVALS) > 50):
        np.testing.assert_allclose(found[..., group], regressed(x[..., group]), atol=0.01)
    alone = patch2self(x, (0, *[1000] * 6))
    np.testing.assert_array_equal(alone[..., 0], x[..., 0])
    np.testing.assert_allclose(alone[..., 1:], regressed(x[..., 1:]), atol=0.01)


def test_equal_volumes_constant_ones_and_masks():
    _, x = series()
    x[..., 1], x[..., 2] = x[..., 0], 7.0
    x[0, 0, :, 3] = np.nan
    found = np.asarray(patch2self(x))
    np.testing.assert_array_equal(found[0, 0], x[0, 0])
    assert np.isfinite(found[1:]).all()
    # One is predicted from the other, which is the same.
    np.testing.assert_allclose(found[1:, ..., 1], x[1:, ..., 0], atol=0.5)
    np.testing.assert_allclose(found[1:, ..., 2], 7, atol=1e-4)


def test_what_is_no_series_is_refused():
    _, x = series()
    with pytest.raises(ZooError, match="3 b-values for 7 volumes"):
        patch2self(x, BVALS[:3])
    with pytest.raises(ZooError, match="predicted from nothing"):
        patch2self(x[..., :1])
    with pytest.raises(ZooError, match="x is int16 of shape"):
        patch2self(x.astype(np.int16))
