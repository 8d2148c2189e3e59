"""Augmentation against numpy's turns and scipy's interpolation."""

from collections import Counter
from functools import partial

import jax
import numpy as np
import pytest
import scipy.interpolate
import scipy.ndimage
from PIL import Image

from zoo.data import augment
from zoo.errors import ZooError


def image(shape=(6, 6, 3), seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def draw(function, x, count, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(jax.jit(jax.vmap(function, (0, None)))(keys, x))


def count_images(found, expected):
    """How often each of the expected images came; nothing else may."""
    names = {one.tobytes(): name for name, one in expected.items()}
    assert len(names) == len(expected)
    return Counter(names[one.tobytes()] for one in found)


def assert_evenly(counts, kinds, total):
    assert len(counts) == kinds
    deviation = np.sqrt(total / kinds * (1 - 1 / kinds))
    assert max(abs(n - total / kinds) for n in counts.values()) < 5 * deviation


def test_flips_give_four_images_equally_often():
    x = image((4, 5, 3))
    expected = {(v, h): x[::v, ::h] for v in (1, -1) for h in (1, -1)}
    assert_evenly(count_images(draw(augment.random_flip, x, 800), expected), 4, 800)


def test_quarter_turns_give_four_images_equally_often():
    x = image()
    expected = {turns: np.rot90(x, turns) for turns in range(4)}
    assert_evenly(count_images(draw(augment.random_quarter_turn, x, 800), expected), 4, 800)


def test_flips_and_turns_together_give_all_eight_equally_often():
    x = image()
    expected = {(t, h): np.rot90(x, t)[:, ::h] for t in range(4) for h in (1, -1)}
    both = augment.make_augment(flip=True, quarter_turn=True)
    assert_evenly(count_images(draw(both, x, 1600), expected), 8, 1600)


def test_a_quarter_turn_of_an_oblong_is_refused():
    with pytest.raises(ZooError, match=r"square crop, not 4x5; set data\.augment\.quarter_turn"):
        augment.random_quarter_turn(jax.random.key(0), image((4, 5, 3)))


def test_no_rotation_and_no_shift_change_nothing():
    x, key = image((7, 10, 3)), jax.random.key(0)
    for same in (
        augment.random_rotation(key, x, degrees=0.0),
        augment.random_shift(key, x, fraction=0.0),
        augment.make_augment()(key, x),
    ):
        np.testing.assert_allclose(same, x, atol=1e-6)


@pytest.mark.parametrize("shape", [(12, 12, 2), (9, 14, 1)])
def test_rotation_is_scipys(shape):
    x, degrees = image(shape), 40.0
    turned = draw(partial(augment.random_rotation, degrees=degrees), x, 6)
    for key, one in zip(jax.random.split(jax.random.key(0), 6), turned, strict=True):
        angle = float(jax.random.uniform(key, minval=-degrees, maxval=degrees))
        expected = scipy.ndimage.rotate(x, -angle, reshape=False, order=1, mode="mirror")
        np.testing.assert_allclose(one, expected, atol=1e-4)


def test_rotation_turns_both_ways_up_to_its_limit():
    """A ramp along x turned by a small angle has the slope -+ tan(angle) along y."""
    x = np.broadcast_to(np.linspace(0, 1, 33, dtype=np.float32)[None, :, None], (33, 33, 1))
    turned = draw(partial(augment.random_rotation, degrees=10.0), x, 300)
    slope = (turned[:, 20, 16, 0] - turned[:, 12, 16, 0]) / 8
    angles = np.rad2deg(np.arcsin(slope * 32))
    assert angles.min() > -10.01
    assert angles.max() < 10.01
    assert angles.min() < -9
    assert angles.max() > 9
    # The standard deviation of a uniform angle is 10 / sqrt(3), of its mean 1/17 of that.
    assert abs(angles.mean()) < 5 * 5.8 / np.sqrt(300)


def test_shift_is_scipys_and_stays_within_its_share():
    x, fraction = image((10, 20, 2)), 0.25
    moved = draw(partial(augment.random_shift, fraction=fraction), x, 50)
    shares = []
    for key, one in zip(jax.random.split(jax.random.key(0), 50), moved, strict=True):
        share = np.asarray(jax.random.uniform(key, (2,), minval=-fraction, maxval=fraction))
        dy, dx = share * (10, 20)
        expected = scipy.ndimage.shift(x, (-dy, -dx, 0), order=1, mode="mirror")
        np.testing.assert_allclose(one, expected, atol=1e-4)
        shares.append(share)
    assert np.abs(shares).max() > 0.9 * fraction


def test_each_step_draws_from_a_key_of_its_own():
    x = image((8, 8, 1))
    turned_only = draw(augment.make_augment(rotate=20.0), x, 3)
    both = draw(augment.make_augment(rotate=20.0, shift=0.2), x, 3)
    keys = [jax.random.fold_in(key, 1) for key in jax.random.split(jax.random.key(0), 3)]
    for key, turned, one in zip(keys, turned_only, both, strict=True):
        expected = augment.random_shift(key, turned, fraction=0.2)
        np.testing.assert_allclose(one, expected, atol=1e-5)


def test_zoom_is_the_bicubic_of_pillow_and_its_factors_fill_the_range():
    x = image((24, 20, 2))
    zoomed = draw(partial(augment.random_zoom, share=0.8), x, 40)
    factors = []
    for key, one in zip(jax.random.split(jax.random.key(0), 40), zoomed, strict=True):
        choice, amount = jax.random.split(key)
        factor = np.exp(float(jax.random.uniform(amount, maxval=np.log1p(0.8))))
        factor = factor if jax.random.bernoulli(choice) else 1.0
        factors.append(factor)
        half = np.array([20, 24]) / 2 / factor
        box = (10 - half[0], 12 - half[1], 10 + half[0], 12 + half[1])
        for c in range(2):
            whole = Image.fromarray(x[..., c])
            expected = np.asarray(whole.resize((20, 24), Image.Resampling.BICUBIC, box))
            np.testing.assert_allclose(one[..., c], expected, atol=2e-5)
    enlarged = [factor for factor in factors if factor > 1]
    assert 10 < len(enlarged) < 30
    assert min(enlarged) < 1.1
    assert 1.7 < max(enlarged) <= 1.8


# ------------------------------------------------------------------------------- recordings


def recording(shape=(200, 2), seed=0):
    return image(shape, seed) - np.float32(0.5)


def test_gain_is_uniform_in_decibels_and_alike_in_all_channels():
    x = recording()
    found = draw(augment.make_augment(gain=6.0), x, 500) / x
    gains = 20 * np.log10(found[:, 0, 0])
    np.testing.assert_allclose(found, np.broadcast_to(found[:, :1, :1], found.shape), rtol=1e-5)
    assert -6.001 < gains.min() < -5.8
    assert 5.8 < gains.max() < 6.001
    # The standard deviation of a uniform number is 12 / sqrt(12), of its mean 1/22 of that.
    assert abs(gains.mean()) < 5 * 3.47 / np.sqrt(500)


def test_polarity_turns_half_of_them():
    x = recording()
    expected = {"kept": x, "turned": -x}
    counts = count_images(draw(augment.make_augment(polarity=True), x, 400), expected)
    assert_evenly(counts, 2, 400)


def test_no_augmentation_keeps_a_recording():
    np.testing.assert_array_equal(
        augment.make_augment()(jax.random.key(0), recording()), recording()
    )


@pytest.mark.parametrize("name", ["flip", "quarter_turn", "rotate", "shift", "zoom"])
def test_what_turns_images_is_refused_for_recordings(name):
    value = {"rotate": 10.0, "shift": 0.1, "zoom": 0.5}.get(name, True)
    match = rf"{name} does not augment audio; set data\.augment\.{name}=(False|0\.0)$"
    with pytest.raises(ZooError, match=match):
        augment.make_augment(**{name: value})(jax.random.key(0), recording())


def sine(cycles, length=4000):
    return np.sin(2 * np.pi * cycles * np.arange(length) / length)[:, None].astype(np.float32)


def test_speed_moves_a_tone_by_as_much():
    length, cycles = 4000, 200
    found = draw(augment.make_augment(speed=0.2), sine(cycles, length), 100)[:, :3000, 0]
    spectra = np.abs(np.fft.rfft(found * np.hanning(3000), 1 << 17))
    factors = spectra.argmax(axis=1) / (1 << 17) * length / cycles
    assert 0.799 < factors.min() < 0.82
    assert 1.18 < factors.max() < 1.201
    # Within the cubic's error for 20 samples a period.
    np.testing.assert_allclose(np.abs(found).max(axis=1), 1, atol=0.01)


def test_speed_is_scipys_cubic_hermite_spline():
    x = image((400, 2, 1))[..., 0]
    (key,) = jax.random.split(jax.random.key(3), 1)
    found = np.asarray(augment.random_speed(key, x, share=0.3))
    factor = float(jax.random.uniform(key, minval=0.7, maxval=1.3))
    slopes = np.gradient(x, axis=0)
    at = factor * np.arange(400, dtype=np.float32)
    inside = (at >= 1) & (at < 398)
    expected = scipy.interpolate.CubicHermiteSpline(np.arange(400), x, slopes)(at[inside])
    np.testing.assert_allclose(found[inside], expected, atol=2e-4)


def test_tone_gains_within_its_decibels_and_has_no_delay():
    impulse = np.zeros((4096, 2), np.float32)
    impulse[2048] = (1, -1)
    found = draw(augment.make_augment(tone=6.0), impulse, 200)
    np.testing.assert_allclose(found[..., 0], -found[..., 1], atol=1e-6)
    decibels = 20 * np.log10(np.abs(np.fft.rfft(found[..., 0], axis=1)))
    assert np.abs(decibels).max() < 6.1
    assert np.abs(decibels).max() > 3
    assert 1 < decibels.std() < 3
    np.testing.assert_array_equal(np.abs(found[..., 0]).argmax(axis=1), 2048)


@pytest.mark.parametrize("name", ["speed", "tone"])
def test_what_is_of_recordings_is_refused_for_images(name):
    with pytest.raises(ZooError, match=rf"set data\.augment\.{name}=0\.0"):
        augment.make_augment(**{name: 0.1})(jax.random.key(0), image())


def test_gain_is_refused_for_images():
    with pytest.raises(ZooError, match=r"gain does not augment images; set data\.augment\.gain"):
        augment.make_augment(gain=3.0)(jax.random.key(0), image())
