"""Samplers: levels drawn, combinations, and building them from plain values."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from families import first
from scipy import stats

from zoo.errors import ZooError
from zoo.noise import (
    audio,
    choice,
    gaussian,
    jpeg,
    make_sampler,
    mask_pixels,
    poisson_gaussian,
    registry,
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
    return jax.jit(jax.vmap(draw))(jax.random.split(KEY, len(x)), x)


def as_a_batch(draw, x):
    return jax.jit(draw)(KEY, x)


@pytest.mark.parametrize("apply", [as_a_batch, per_example])
def test_range_is_drawn_per_example_and_applied(apply):
    noisy, level = apply(sampler(gaussian, (0.1, 0.3)), ZEROS)
    assert level.shape == (512,)
    assert level.dtype == jnp.float32
    assert stats.kstest(np.asarray(level), stats.uniform(0.1, 0.2).cdf).pvalue > SIGNIFICANCE
    np.testing.assert_allclose(stds(noisy) / level, 1, atol=STD_TOLERANCE)
    # Noise and level come from different keys.
    assert abs(stats.pearsonr(np.asarray(noisy)[:, 0, 0, 0], level).statistic) < 0.2


def test_fixed_level_and_dtype():
    noisy, level = as_a_batch(sampler(gaussian, 0.25), ZEROS.astype(jnp.bfloat16))
    np.testing.assert_array_equal(level, np.full(512, 0.25, np.float32))
    assert noisy.dtype == jnp.bfloat16
    single, level = jax.jit(sampler(gaussian, 0.25))(KEY, ZEROS[0])
    assert level.shape == ()
    assert single.shape == ZEROS[0].shape


def test_whole_levels_are_drawn_whole():
    # Of the images nothing is asked, so jit leaves them out.
    level = jax.jit(lambda key, x: sampler(jpeg, (30, 33))(key, x)[1])(KEY, ZEROS)
    values, counts = np.unique(level, return_counts=True)
    np.testing.assert_array_equal(values, [30, 31, 32, 33])
    assert stats.chisquare(counts).pvalue > SIGNIFICANCE


def test_other_signals():
    sound = np.zeros((3, 100, 2), np.float32)
    for draw in (
        sampler(gaussian, (0.1, 0.2), signal_ndim=2),
        choice(sampler(gaussian, 0.1, signal_ndim=2)),
    ):
        noisy, level = as_a_batch(draw, sound)
        assert noisy.shape == sound.shape
        assert level.shape == (3,)
    with pytest.raises(ZooError, match="fewer than the signal's 3 axes"):
        sampler(gaussian, 0.1)(KEY, sound[0])


def test_sequence():
    draw = sequence(sampler(gaussian, 0.3), sampler(gaussian, 0.4), sampler(mask_pixels, 1))
    noisy, level = as_a_batch(draw, ZEROS)
    np.testing.assert_array_equal(noisy, 0)
    np.testing.assert_array_equal(level, np.full(512, 0.3, np.float32))
    draw = sequence(sampler(mask_pixels, 1), sampler(gaussian, 0.3), sampler(gaussian, 0.4))
    noisy, _ = as_a_batch(draw, ZEROS + 1)
    # Independent noise adds in variance; 5 standard errors.
    assert abs(np.var(noisy) / 0.25 - 1) < 5 * np.sqrt(2 / ZEROS.size)
    assert abs(np.mean(noisy)) < 5 * 0.5 / np.sqrt(ZEROS.size)


@pytest.mark.parametrize("apply", [as_a_batch, per_example])
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


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("sequence", ml_collections.ConfigDict),
        ("choice", dict),
        pytest.param("sequence", dict, marks=pytest.mark.matrix),
        pytest.param("choice", ml_collections.ConfigDict, marks=pytest.mark.matrix),
    ],
)
def test_configs(name, plain):
    """What a config turns a nested description into means the same as the description."""
    described = {"ops": MEMBERS, **({"weights": (2, 1, 1)} if name == "choice" else {})}
    x = ZEROS[:4] + 0.5
    noisy, level = as_a_batch(make_sampler(name, options=plain(described)), x)
    members = [
        sampler(gaussian, (0, 50 / 255), clip=(0, 1)),
        sampler(poisson_gaussian, 0.01, b=1e-3),
        make_sampler("correlated_gaussian", 0.1, options={"kernel": np.ones((2, 2))}),
    ]
    direct = sequence(*members) if name == "sequence" else choice(*members, weights=(2, 1, 1))
    expected, expected_level = as_a_batch(direct, x)
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


SPEECH = np.random.default_rng(3).uniform(-0.5, 0.5, (6, 400, 1)).astype(np.float32)
NOISE = np.random.default_rng(4).uniform(-0.5, 0.5, (6, 500, 1)).astype(np.float32)
# One level, one recording, in every composition.
MIX = {"name": "add_at_snr", "level": (0, 20), "options": {"active": False}}
COMPOSITIONS = {
    "alone": MIX,
    "sequence": {"name": "sequence", "options": {"ops": (MIX, {"name": "gain", "level": 0})}},
    "choice": {"name": "choice", "options": {"ops": (MIX, {**MIX, "level": (0, 20)})}},
    "nested": {
        "name": "choice",
        "options": {"ops": ({"name": "sequence", "options": {"ops": (MIX,)}}, MIX)},
    },
}


def decibels(clean, noisy):
    clean, noisy = np.asarray(clean, np.float64), np.asarray(noisy, np.float64)
    power = np.square(clean).mean((-2, -1)) / np.square(noisy - clean).mean((-2, -1))
    return 10 * np.log10(power)


# The nested one is a choice and a sequence.
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.matrix] * (kind != "nested")) for kind in COMPOSITIONS],
)
@pytest.mark.parametrize(("mapped", "each"), first(2, [(0, 0), (1, 1), (0, 1), (1, 0)]))
def test_recordings_passed_at_call_time(kind, mapped, each):
    """One for each example or for all, of a batch or, as the training step has it, one by one."""
    draw = make_sampler(**COMPOSITIONS[kind], modality="audio")
    assert draw.needs_noise
    keys = jax.random.split(KEY, len(SPEECH)) if mapped else KEY
    run = jax.vmap(draw, (0, 0, 0 if each else None)) if mapped else draw
    noisy, level = jax.jit(run)(keys, SPEECH, NOISE if each else NOISE[0])
    assert noisy.shape == SPEECH.shape
    assert level.shape == (6,)
    assert len(np.unique(level)) == 6
    np.testing.assert_allclose(decibels(SPEECH, noisy), level, atol=0.02)
    _, level = jax.eval_shape(draw, KEY, SPEECH[0], NOISE[0])
    assert level.shape == ()
    with pytest.raises(ZooError) as caught:
        draw(KEY, SPEECH)
    assert str(caught.value) == (
        "add_at_snr needs an audio signal of noise; "
        "give it as its option 'noise' or call the sampler as (key, x, noise)"
    )


def test_each_example_hears_its_own_recording():
    draw = make_sampler("add_at_snr", 0, modality="audio")
    tones = np.ones((6, 400, 1), np.float32) * np.asarray([1, -1] * 3).reshape(6, 1, 1)
    for member in (draw, choice(draw), sequence(draw)):
        noisy, _ = jax.jit(member)(KEY, SPEECH, tones.astype(np.float32))
        np.testing.assert_array_equal(np.sign(np.mean(noisy - SPEECH, (1, 2))), [1, -1] * 3)


@pytest.mark.matrix
def test_a_recording_as_option_or_for_ops_without():
    given = make_sampler("add_at_snr", 5, options={"noise": NOISE[0]}, modality="audio")
    assert not given.needs_noise
    noisy, level = given(KEY, SPEECH)
    # An option holds, whatever is passed.
    np.testing.assert_array_equal(given(KEY, SPEECH, NOISE[1])[0], noisy)
    assert (np.asarray(level) == 5).all()
    hiss = make_sampler("pink", 5, modality="audio")
    assert not hiss.needs_noise
    np.testing.assert_array_equal(hiss(KEY, SPEECH)[0], hiss(KEY, SPEECH, NOISE)[0])
    # Plain functions of (key, x) may join.
    double = sequence(given, lambda key, x: (2 * x, jnp.zeros(len(x))))
    np.testing.assert_allclose(
        double(KEY, SPEECH, NOISE)[0], 2 * given(jax.random.split(KEY)[0], SPEECH)[0]
    )


def test_modalities():
    assert registry("audio") is audio.OPS
    assert "jpeg" in registry("image")
    assert make_sampler("quantize", 3)(KEY, ZEROS[:2] + 0.3)[1].shape == (2,)
    assert make_sampler("quantize", 3, modality="audio")(KEY, SPEECH[:2])[1].shape == (2,)
    assert sampler(audio.gain, 3)(KEY, SPEECH)[1].shape == (6,)
    assert choice(sampler(audio.gain, 3))(KEY, SPEECH)[1].shape == (6,)
    for arguments, message in (
        ({"name": "gain", "level": 1}, "unknown noise 'gain'; did you mean"),
        ({"name": "jpeg", "level": 1, "modality": "audio"}, "unknown noise 'jpeg'; choose from"),
        ({"name": "gain", "level": 1, "modality": "sound"}, "unknown modality 'sound'; choose"),
        (
            {"name": "dc_offset", "level": 1, "unit": "1/255", "modality": "audio"},
            "dc_offset: offset is not an intensity; give it in unit '1'",
        ),
        (
            {"name": "colored", "level": 1, "modality": "audio"},
            "colored: the option 'exponent' is missing; give it a value",
        ),
        (
            {"name": "remix", "level": 1, "modality": "audio"},
            "remix: the option 'noisy' is missing; give it a value",
        ),
    ):
        with pytest.raises(ZooError) as caught:
            make_sampler(**arguments)
        assert str(caught.value).startswith(message)


@pytest.mark.matrix
def test_import_is_light():
    heavy = ["tensorflow", "tensorflow_datasets", "grain", "matplotlib", "ml_collections"]
    heavy += ["soundfile", "soxr", "scipy.signal"]
    code = f"import sys, zoo.noise; sys.exit(str([m for m in {heavy} if m in sys.modules]))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.stderr.strip() == "[]"
