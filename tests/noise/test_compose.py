"""Samplers: levels drawn, combinations, and building them from plain values."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from scipy import stats

from zoo.errors import ZooError
from zoo.noise import (
    choice,
    gaussian,
    jpeg,
    make_sampler,
    mask_pixels,
    poisson_gaussian,
    sampler,
    sequence,
    uniform,
)

KEY = jax.random.key(11)
ZEROS = np.zeros((512, 8, 8, 1), np.float32)
SIGNIFICANCE = 1e-4
# Standard deviation of 64 normals: 5 standard errors of 1 / sqrt(2 * 64).
STD_TOLERANCE = 5 / np.sqrt(128)


def stds(noisy):
    return np.asarray(noisy).std((1, 2, 3))


def per_example(draw, x):
    return jax.vmap(draw)(jax.random.split(KEY, len(x)), x)


@pytest.mark.parametrize("apply", [lambda draw, x: draw(KEY, x), per_example])
def test_range_is_drawn_per_example_and_applied(apply):
    noisy, level = apply(sampler(gaussian, (0.1, 0.3)), ZEROS)
    assert level.shape == (512,)
    assert level.dtype == jnp.float32
    assert stats.kstest(np.asarray(level), stats.uniform(0.1, 0.2).cdf).pvalue > SIGNIFICANCE
    np.testing.assert_allclose(stds(noisy) / level, 1, atol=STD_TOLERANCE)
    # Noise and level come from different keys.
    assert abs(stats.pearsonr(np.asarray(noisy)[:, 0, 0, 0], level).statistic) < 0.2


def test_fixed_level_and_dtype():
    noisy, level = sampler(gaussian, 0.25)(KEY, ZEROS.astype(jnp.bfloat16))
    np.testing.assert_array_equal(level, np.full(512, 0.25, np.float32))
    assert noisy.dtype == jnp.bfloat16
    single, level = jax.jit(sampler(gaussian, 0.25))(KEY, ZEROS[0])
    assert level.shape == ()
    assert single.shape == ZEROS[0].shape


def test_whole_levels_are_drawn_whole():
    _, level = sampler(jpeg, (30, 33))(KEY, ZEROS)
    values, counts = np.unique(level, return_counts=True)
    np.testing.assert_array_equal(values, [30, 31, 32, 33])
    assert stats.chisquare(counts).pvalue > SIGNIFICANCE


def test_other_signals():
    sound = np.zeros((3, 100, 2), np.float32)
    for draw in (
        sampler(gaussian, (0.1, 0.2), signal_ndim=2),
        choice(sampler(gaussian, 0.1, signal_ndim=2), signal_ndim=2),
    ):
        noisy, level = draw(KEY, sound)
        assert noisy.shape == sound.shape
        assert level.shape == (3,)
    with pytest.raises(ZooError, match="fewer than the signal's 3 axes"):
        sampler(gaussian, 0.1)(KEY, sound[0])


def test_sequence():
    draw = sequence(sampler(gaussian, 0.3), sampler(gaussian, 0.4), sampler(mask_pixels, 1))
    noisy, level = draw(KEY, ZEROS)
    np.testing.assert_array_equal(noisy, 0)
    np.testing.assert_array_equal(level, np.full(512, 0.3, np.float32))
    noisy, _ = sequence(sampler(mask_pixels, 1), sampler(gaussian, 0.3), sampler(gaussian, 0.4))(
        KEY, ZEROS + 1
    )
    # Independent noise adds in variance; 5 standard errors.
    assert abs(np.var(noisy) / 0.25 - 1) < 5 * np.sqrt(2 / ZEROS.size)
    assert abs(np.mean(noisy)) < 5 * 0.5 / np.sqrt(ZEROS.size)


@pytest.mark.parametrize("apply", [lambda draw, x: draw(KEY, x), per_example])
def test_choice(apply):
    draw = choice(
        sampler(gaussian, 0.1), sampler(gaussian, 0.5), sampler(uniform, 9), weights=[3, 1, 0]
    )
    noisy, level = apply(draw, ZEROS)
    level = np.asarray(level)
    assert level.shape == (512,)
    np.testing.assert_allclose(stds(noisy) / level, 1, atol=STD_TOLERANCE)
    counts = [np.sum(level == np.float32(value)) for value in (0.1, 0.5, 9)]
    assert counts[2] == 0
    assert stats.chisquare(counts[:2], [384, 128]).pvalue > SIGNIFICANCE


def test_choice_of_one_example_and_equal_weights():
    draw = jax.jit(choice(sampler(gaussian, 0.1), sampler(gaussian, 0.5)))
    levels = [draw(key, ZEROS[0])[1] for key in jax.random.split(KEY, 40)]
    assert {float(level) for level in levels} == {float(np.float32(0.1)), 0.5}
    # 5 standard errors around half.
    assert abs(np.mean(np.asarray(levels) == 0.5) - 0.5) < 5 * 0.5 / np.sqrt(40)


def test_combination_errors():
    one = sampler(gaussian, 0.1)
    for combine in (sequence, choice):
        with pytest.raises(ZooError, match="give at least one sampler"):
            combine()
    for weights in ([1], [1, -1], [0, 0], [1, np.nan]):
        with pytest.raises(ZooError, match="weights must be 2 numbers"):
            choice(one, one, weights=weights)


def test_unit():
    for level in (25, (25, 25)):
        _, found = make_sampler("gaussian", level, unit="1/255")(KEY, ZEROS)
        np.testing.assert_array_equal(found, np.full(512, 25 / 255, np.float32))
    _, found = make_sampler("gaussian", (0, 55), unit="1/255")(KEY, ZEROS)
    assert stats.kstest(np.asarray(found), stats.uniform(0, 55 / 255).cdf).pvalue > SIGNIFICANCE
    _, found = make_sampler("gaussian", 0.5)(KEY, ZEROS)
    np.testing.assert_array_equal(found, 0.5)


MEMBERS = (
    {"name": "gaussian", "level": (0, 50), "unit": "1/255", "options": {"clip": (0, 1)}},
    {"name": "poisson_gaussian", "level": 0.01, "options": {"b": 1e-3}},
    {"name": "correlated_gaussian", "level": 0.1, "options": {"kernel": ((1, 1), (1, 1))}},
)


@pytest.mark.parametrize("name", ["sequence", "choice"])
@pytest.mark.parametrize("plain", [dict, ml_collections.ConfigDict])
def test_configs(name, plain):
    """What a config turns a nested description into means the same as the description."""
    described = {"ops": MEMBERS, **({"weights": (2, 1, 1)} if name == "choice" else {})}
    x = ZEROS[:4] + 0.5
    noisy, level = make_sampler(name, options=plain(described))(KEY, x)
    members = [
        sampler(gaussian, (0, 50 / 255), clip=(0, 1)),
        sampler(poisson_gaussian, 0.01, b=1e-3),
        make_sampler("correlated_gaussian", 0.1, options={"kernel": np.ones((2, 2))}),
    ]
    direct = sequence(*members) if name == "sequence" else choice(*members, weights=(2, 1, 1))
    expected, expected_level = direct(KEY, x)
    np.testing.assert_array_equal(noisy, expected)
    np.testing.assert_array_equal(level, expected_level)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "gausian", "level": 1}, "unknown noise 'gausian'; did you mean 'gaussian'?"),
        (
            {"name": "stripes", "level": 1, "options": {"axs": "row"}},
            "unknown stripes option 'axs'; did you mean 'axis'?",
        ),
        (
            {"name": "gaussian", "level": 1, "options": {"sigma": 2}},
            "unknown gaussian option 'sigma'; choose from clip",
        ),
        (
            {"name": "poisson_gaussian", "level": 1},
            "poisson_gaussian: the option 'b' is missing; give it a value",
        ),
        (
            {"name": "gaussian", "level": 1, "unit": "255"},
            "noise 'gaussian': unit must be '1' or '1/255', got '255'",
        ),
        (
            {"name": "poisson", "level": 30, "unit": "1/255"},
            "poisson: peak is not an intensity; give it in unit '1'",
        ),
        (
            {"name": "gaussian", "level": (2, 1)},
            "gaussian: sigma must be a number or a range (low, high), got (2, 1)",
        ),
        (
            {"name": "gaussian", "level": (1, 2, 3)},
            "gaussian: sigma must be a number or a range (low, high), got (1, 2, 3)",
        ),
        (
            {"name": "gaussian"},
            "gaussian: sigma must be a number or a range (low, high), got None",
        ),
        (
            {"name": "gaussian", "level": (-1, 1)},
            "gaussian: sigma must be at least 0, got -1",
        ),
        (
            {"name": "sequence", "level": 1, "options": {"ops": MEMBERS}},
            "noise 'sequence' has no level of its own; give levels to its ops",
        ),
        (
            {"name": "sequence", "options": {"opps": MEMBERS}},
            "unknown sequence option 'opps'; did you mean 'ops'?",
        ),
        ({"name": "choice"}, "choice: no noise to choose from; give at least one sampler"),
        (
            {"name": "gaussian", "level": 1, "options": 3},
            "noise 'gaussian': options must be a mapping of names to values, got 3",
        ),
        (
            {"name": "choice", "options": {"ops": ("salt",)}},
            "noise 'choice': each of its ops must be a mapping of names to values, got 'salt'",
        ),
        (
            {"name": "choice", "options": {"ops": ({"level": 1},)}},
            "noise 'choice': one of its ops has no name",
        ),
        (
            {"name": "choice", "options": {"ops": ({"name": "salt", "levle": 1},)}},
            "unknown field of an op of choice 'levle'; did you mean 'level'?",
        ),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    with pytest.raises(ZooError) as caught:
        make_sampler(**arguments)
    assert str(caught.value) == message


def test_import_is_light():
    heavy = ["tensorflow", "tensorflow_datasets", "grain", "matplotlib", "ml_collections"]
    code = f"import sys, zoo.noise; sys.exit(str([m for m in {heavy} if m in sys.modules]))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.stderr.strip() == "[]"
