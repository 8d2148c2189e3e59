"""Target makers: no hidden value is seen, halves are what they are said to be, noise is apart."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first

from zoo.errors import ZooError
from zoo.selfsupervised import METHODS, make_method, noise2noise, noise2self, noise2void
from zoo.selfsupervised.blind_spots import neighbor_mean
from zoo.selfsupervised.pairs_of_halves import checkerboard_halves, neighbors, sub_image

LEVEL = jnp.float32(0.1)
BLIND = {
    "uniform": noise2void,
    "median": partial(noise2void, spacing=8, replace="median"),
    "row": partial(noise2void, span=3),
    "column": partial(noise2void, spacing=12, span=2, axis="column", replace="median"),
    "grid": noise2self,
    "mean": partial(noise2self, replace="mean"),
}
BLIND = {name: jax.jit(method) for name, method in BLIND.items()}
# Rows and columns that are hidden around a hidden pixel.
SPANS = {"row": (0, 3), "column": (2, 0)}


@pytest.mark.parametrize("name", first(1, ["uniform", "row", "median", "column", "grid", "mean"]))
def test_no_hidden_value_reaches_the_input_of_its_own_prediction(name):
    method = BLIND[name]
    x = jax.random.uniform(jax.random.key(0), (24, 20, 1))
    example = method(jax.random.key(1), x, LEVEL)
    hidden = np.argwhere(np.asarray(example.weight)[..., 0] > 0)
    assert len(hidden) >= 2
    down, across = SPANS.get(name, (0, 0))
    # The Jacobian of all inputs: (24, 20, 24, 20).
    reads = jax.jacfwd(lambda x: method(jax.random.key(1), x, LEVEL).input[..., 0])(x)[..., 0]
    reads = np.asarray(reads)
    for row, column in hidden:
        rows = slice(max(row - down, 0), row + down + 1)
        columns = slice(max(column - across, 0), column + across + 1)
        # Nobody reads it, so no network can.
        assert not np.any(reads[:, :, rows, columns][..., row - rows.start, column - columns.start])
        # Beside it in its line values may be read elsewhere, but none stands in its place.
        assert not np.any(np.diagonal(reads[rows, columns], axis1=0, axis2=2).diagonal())


@pytest.mark.matrix
@pytest.mark.parametrize("name", first(1, ["row", "uniform", "median", "column", "grid", "mean"]))
def test_the_target_is_the_image_and_other_pixels_stay(name):
    x = jax.random.uniform(jax.random.key(0), (24, 20, 3))
    input, target, weight, level = BLIND[name](jax.random.key(1), x, LEVEL)
    np.testing.assert_array_equal(target, x)
    assert float(level) == float(LEVEL)
    changed = np.asarray(input != x).any(-1)
    if name in SPANS:
        assert changed.sum() > np.asarray(weight).sum()
    else:
        np.testing.assert_array_equal(changed, np.asarray(weight)[..., 0] > 0)


def test_every_pixel_is_hidden_as_often_as_any():
    x = jnp.zeros((18, 13, 1))
    keys = jax.random.split(jax.random.key(0), 4000)
    for method in (BLIND["uniform"], BLIND["grid"]):
        share = np.asarray(jax.vmap(lambda k, f=method: f(k, x, LEVEL).weight)(keys)).mean(0)
        expected = 1 / 16
        deviation = np.sqrt(expected * (1 - expected) / 4000)
        assert np.abs(share - expected).max() < 5 * deviation


@pytest.mark.matrix
def test_replacements_come_from_the_window_and_are_all_as_likely():
    x = jnp.arange(15.0 * 15).reshape(15, 15, 1)
    seen = set()
    for number in range(300):
        input, _, weight, _ = BLIND["uniform"](jax.random.key(number), x, LEVEL)
        for row, column in np.argwhere(np.asarray(weight)[..., 0] > 0):
            if 2 <= row < 13 and 2 <= column < 13:
                down, right = divmod(int(input[row, column, 0]) - 15 * row - column + 32, 15)
                seen.add((down - 2, right - 2))
    assert seen == {(i, j) for i in range(-2, 3) for j in range(-2, 3)} - {(0, 0)}


def test_the_median_is_that_of_numpy():
    x = np.random.default_rng(0).random((16, 16, 1), np.float32)
    input, _, weight, _ = noise2void(jax.random.key(5), jnp.asarray(x), LEVEL, replace="median")
    for row, column in np.argwhere(np.asarray(weight)[..., 0] > 0):
        padded = np.pad(x[..., 0], 2, mode="reflect")
        window = np.delete(padded[row : row + 5, column : column + 5].ravel(), 12)
        assert float(input[row, column, 0]) == pytest.approx(float(np.median(window)), abs=1e-7)


def test_the_mean_of_neighbors_is_a_convolution():
    from scipy.ndimage import convolve

    x = np.random.default_rng(0).random((9, 7, 2), np.float32)
    kernel = np.float32([[1, 2, 1], [2, 0, 2], [1, 2, 1]])[..., None] / 12
    np.testing.assert_allclose(neighbor_mean(x), convolve(x, kernel, mode="mirror"), atol=1e-6)


def test_halves_of_a_checkerboard_are_its_two_colors():
    x = jnp.arange(4 * 7).reshape(4, 7, 1)
    white, black = (np.asarray(half)[..., 0] for half in checkerboard_halves(x))
    rows, columns = np.divmod(white, 7)
    assert np.all((rows + columns) % 2 == 0)
    rows, columns = np.divmod(black, 7)
    assert np.all((rows + columns) % 2 == 1)
    assert {*white.ravel(), *black.ravel()} == {i for i in range(28) if i % 7 < 6}


def test_neighbors_are_adjacent_disjoint_and_of_every_kind():
    place = jnp.arange(6 * 8).reshape(6, 8, 1)
    draw, kinds = jax.jit(partial(neighbors, size=(6, 8))), set()
    for number in range(20):
        a, b = map(partial(sub_image, place), draw(jax.random.key(number)))
        a, b = np.asarray(a)[..., 0], np.asarray(b)[..., 0]
        step = np.abs(np.stack(np.divmod(a, 8)) - np.stack(np.divmod(b, 8))).sum(0)
        np.testing.assert_array_equal(step, 1)
        cells = np.add.outer(4 * np.arange(3), np.arange(4))
        for one in (a, b):
            rows, columns = np.divmod(one, 8)
            np.testing.assert_array_equal(4 * (rows // 2) + columns // 2, cells)
        kinds |= {*(a - b).ravel()}
    assert kinds == {1, -1, 8, -8}


def test_either_half_may_be_the_input():
    a, b = jnp.zeros((4, 4, 1)), jnp.ones((4, 4, 1))
    inputs = [jax.jit(noise2noise)(jax.random.key(n), a, LEVEL, other=b) for n in range(20)]
    assert {(float(e.input[0, 0, 0]), float(e.target[0, 0, 0])) for e in inputs} == {(0, 1), (1, 0)}


def _noisy(kind, seed, clean, level):
    rng = np.random.default_rng(seed)
    noisy = {
        "gaussian": lambda: clean + level * rng.standard_normal(clean.shape),
        "poisson": lambda: rng.poisson(clean * level) / level,
        "gamma": lambda: clean * rng.gamma(level, 1 / level, clean.shape),
    }[kind]()
    return noisy.astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "level"), first(1, [("gaussian", 0.1), ("poisson", 30.0), ("gamma", 8.0)])
)
@pytest.mark.parametrize("alpha", first(1, [0.15, 0.5]))
def test_the_noise_of_both_recorruptions_is_uncorrelated_and_its_mean_0(kind, level, alpha):
    clean = np.full((200, 300, 1), 0.7)
    noisy, level = jnp.asarray(_noisy(kind, 0, clean, level)), jnp.float32(level)
    method = make_method(f"recorrupted_{kind}", {"alpha": alpha}).function
    example = jax.jit(method)(jax.random.key(1), noisy, level)
    a, b = (np.asarray(x, np.float64).ravel() - 0.7 for x in (example.input, example.target))
    many = np.sqrt(a.size)
    assert abs(np.mean(a)) < 5 * np.std(a) / many
    assert abs(np.mean(b)) < 5 * np.std(b) / many
    # Noise of a correlation of the reference's defect, 0.84, would stand out.
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / many
    # The level that is passed on is that of the input.
    again = _noisy(kind, 2, clean, float(example.level))
    assert np.std(a) == pytest.approx(float(np.std(again)), rel=0.01)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_an_unknown_option_names_those_there_are(name):
    with pytest.raises(ZooError, match=f"option of target '{name}'"):
        make_method(name, {"no_such": 1})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: noise2void(jax.random.key(0), x, LEVEL, replace="mean"), "replace='mean'"),
        (lambda x: noise2void(jax.random.key(0), x, LEVEL, axis="up"), "axis='up'"),
        (lambda x: noise2void(jax.random.key(0), x, LEVEL, spacing=9, span=9), "it 21 or more"),
        (lambda x: noise2void(jax.random.key(0), x, LEVEL, radius=0), "radius=0"),
        (lambda x: noise2void(jax.random.key(0), x[:3], LEVEL), "at least 5x5, got 3x16"),
        (lambda x: noise2self(jax.random.key(0), x, LEVEL, spacing=1), "spacing 2 or more"),
        (lambda x: make_method("noise2voids"), "did you mean"),
        (
            lambda x: make_method("recorrupted_gaussian", {"alpha": 1}).function(
                jax.random.key(0), x, LEVEL
            ),
            "alpha=1",
        ),
    ],
)
def test_a_mistake_is_one_line(call, message):
    with pytest.raises(ZooError, match=message):
        call(jnp.zeros((16, 16, 1)))


@pytest.mark.parametrize("name", ["noise2void", "noise2self"])
def test_arrays_of_numpy_are_taken(name):
    key, x = jax.random.key(0), np.random.default_rng(0).random((8, 8, 1), np.float32)
    make = METHODS[name].function
    for found, expected in zip(make(key, x, 0.1), make(key, jnp.asarray(x), 0.1), strict=True):
        np.testing.assert_array_equal(found, expected)
