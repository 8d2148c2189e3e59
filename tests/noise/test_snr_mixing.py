"""What is added to recordings: its ratio to the signal, its spectrum, its place."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal, stats

from zoo.errors import ZooError
from zoo.noise import audio

KEY = jax.random.key(5)
RATE = 16000
SIGNIFICANCE = 1e-4
RNG = np.random.default_rng(1)


def run(op, x, **options):
    """The op as one program: op by op, each step of it would compile by itself."""
    return jax.jit(lambda key, x: op(key, x, **options))(KEY, x)


def speech(examples, time, channels=1):
    """Bursts and pauses: half of every second is 60 dB below the rest."""
    loud = np.arange(time) // (RATE // 2) % 2 == 0
    envelope = np.where(loud, 0.1, 1e-4)[:, None]
    return (envelope * RNG.standard_normal((examples, time, channels))).astype(np.float32)


def active_db(x):
    """The level over active frames of one example (T, C), frame by frame in float64."""
    frames = [np.asarray(x[at : at + 512], np.float64) for at in range(0, len(x), 512)]
    loudest = max(np.mean(frame**2) for frame in frames)
    kept = [frame for frame in frames if np.mean(frame**2) >= 1e-4 * loudest]
    return 10 * np.log10(np.mean(np.concatenate(kept) ** 2))


def plain_db(x):
    return 10 * np.log10(np.mean(np.asarray(x, np.float64) ** 2))


ADDERS = {
    "add_at_snr": functools.partial(audio.add_at_snr, noise=RNG.uniform(-3, 3, (30011, 1))),
    "hum": functools.partial(audio.hum, frequency=60),
    "pink": audio.pink,
    "brown": audio.brown,
    "white": audio.white,
}


# The spectra share what sets the ratio: of the other lengths and measures one op is enough.
@pytest.mark.parametrize(
    ("name", "active", "measure", "time"),
    [
        pytest.param(
            *(name, active, measure, time),
            marks=[pytest.mark.matrix] * (name != "add_at_snr" and (not active or time < 100)),
        )
        for name in ADDERS
        for active, measure in ((True, active_db), (False, plain_db))
        for time in (20011, 37)
    ],
)
def test_ratio_is_the_one_asked(name, active, measure, time):
    x = speech(4, time, 2)
    snr = np.asarray([-15, 0, 7.5, 40], np.float32)
    noisy = np.asarray(run(ADDERS[name], x, snr=snr, active=active), np.float64)
    for clean, mixed, asked in zip(x, noisy, snr, strict=True):
        assert abs(measure(clean) - plain_db(mixed - clean) - asked) < 0.02


def test_pauses_do_not_count():
    """Half of it is pause, so that the mean over all is 3 dB below that over speech."""
    x = speech(1, 2 * RATE)
    gap = active_db(x[0]) - plain_db(x[0])
    assert abs(gap - 10 * np.log10(2)) < 0.2
    over_all, over_speech = (
        np.asarray(run(audio.white, x, snr=10, active=active)) - x for active in (False, True)
    )
    assert abs(plain_db(over_speech) - plain_db(over_all) - gap) < 0.01


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("add_at_snr", jnp.float32),
        ("add_at_snr", jnp.bfloat16),
        ("hum", jnp.float32),
        ("white", jnp.float32),
        *(
            pytest.param(name, dtype, marks=pytest.mark.matrix)
            for name, dtype in (
                *((name, jnp.float32) for name in ("brown", "pink")),
                *((name, jnp.bfloat16) for name in ("brown", "hum", "pink", "white")),
            )
        ),
    ],
)
def test_silence_stays_silence(name, dtype):
    x = jnp.zeros((2, 1000, 1), dtype).at[1].set(0.1)
    noisy = run(ADDERS[name], x, snr=np.asarray([-60.0, 10.0]))
    assert np.isfinite(noisy.astype(np.float32)).all()
    np.testing.assert_array_equal(noisy[0], x[0])
    assert not np.array_equal(noisy[1], x[1])


def test_silent_noise_adds_nothing():
    x = speech(1, 1000)
    np.testing.assert_array_equal(run(audio.add_at_snr, x, snr=-30, noise=np.zeros((50, 1))), x)

    def loss(noise):
        return run(audio.add_at_snr, x, snr=3, noise=noise).sum()

    assert np.isfinite(jax.jit(jax.grad(loss))(jnp.zeros((2000, 1)))).all()


def places(noise_length, time, examples=2000):
    """Where in the noise each sample of each example came from."""
    ramp = np.arange(1.0, noise_length + 1, dtype=np.float32)[:, None]
    x = np.full((examples, time, 1), 1e-3, np.float32)
    added = np.asarray(run(audio.add_at_snr, x, snr=-60, noise=ramp, active=False))[..., 0] - 1e-3
    # The sum of the samples taken is not known, the smallest step between neighbours is.
    step = np.median(np.diff(added, axis=1), axis=1, keepdims=True)
    return np.round(added / step).astype(int) - 1


def test_excerpt_of_a_longer_noise():
    found = places(29, 20)
    np.testing.assert_array_equal(found, found[:, :1] + np.arange(20))
    assert stats.chisquare(np.bincount(found[:, 0], minlength=10)).pvalue > SIGNIFICANCE
    assert found.min() == 0
    assert found.max() == 28


def test_shorter_noise_goes_round():
    found = places(7, 20)
    np.testing.assert_array_equal(found, (found[:, :1] + np.arange(20)) % 7)
    assert stats.chisquare(np.bincount(found[:, 0], minlength=7)).pvalue > SIGNIFICANCE


def test_noise_of_the_same_length_is_taken_whole():
    np.testing.assert_array_equal(places(20, 20, 3), np.tile(np.arange(20), (3, 1)))


def test_each_example_has_its_noise_and_one_channel_serves_all():
    x = np.full((2, 50, 3), 0.5, np.float32)
    noise = RNG.standard_normal((2, 50, 1)).astype(np.float32)
    added = np.asarray(run(audio.add_at_snr, x, snr=0, noise=noise)) - x
    for example, own in zip(added, noise, strict=True):
        np.testing.assert_allclose(example, 0.5 * own / own.std() * np.ones(3), rtol=0.1)
        assert np.ptp(example, axis=-1).max() < 1e-7


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (np.ones((50, 1), np.int16), "noise is int16; convert it to float in [-1, 1] first"),
        (np.ones(50), "noise of shape (50,) does not fit x of shape (2, 50, 3); give one or more"),
        (np.ones((50, 2)), "noise of shape (50, 2) does not fit x of shape (2, 50, 3); give one"),
        (np.ones((3, 50, 3)), "noise of shape (3, 50, 3) does not fit x of shape (2, 50, 3); "),
        (np.ones((0, 3)), "as (T, 3) or (2, 'T', 3)"),
    ],
)
def test_wrong_noise(noise, message):
    with pytest.raises(ZooError) as caught:
        run(audio.add_at_snr, np.ones((2, 50, 3), np.float32), snr=0, noise=noise)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


COLORS = {"white": 0, "pink": 1, "brown": 2, "blue": -1, "violet": -2}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.matrix] * (n in ("pink", "blue"))) for n in COLORS],
)
def test_slope_of_a_color(name):
    x = np.full((64, 20011, 1), 1e-3, np.float32)
    added = np.asarray(run(audio.OPS[name], x, snr=-40))[..., 0] - 1e-3
    frequency, density = signal.welch(added, RATE, nperseg=2048, detrend=False)
    density = density.mean(0)
    band = (frequency > 60) & (frequency < 7500)
    fit = stats.linregress(np.log(frequency[band]), np.log(density[band]))
    assert abs(fit.slope + COLORS[name]) < 0.02
    assert abs(stats.skew(added[:, ::97].ravel())) < 0.2


def test_colored_is_the_named_one_and_takes_an_exponent_for_each_example():
    x = np.full((2, 9000, 1), 0.1, np.float32)
    both = run(audio.colored, x, snr=0, exponent=np.asarray([1.0, -2.0]))
    np.testing.assert_allclose(both[0], run(audio.pink, x, snr=0)[0], atol=1e-6)
    np.testing.assert_allclose(both[1], run(audio.violet, x, snr=0)[1], atol=1e-6)


def test_nothing_below_20_hertz():
    x = np.full((1, 8192, 1), 1e-3, np.float32)
    added = np.asarray(run(audio.brown, x, snr=-40), np.float64)[0, :, 0] - 1e-3
    power = np.abs(np.fft.rfft(added)) ** 2
    frequency = np.fft.rfftfreq(8192, 1 / RATE)
    assert power[frequency < 20].sum() < 1e-9 * power.sum()
    assert power[(frequency >= 20) & (frequency < 40)].sum() > 0.2 * power.sum()


@pytest.mark.parametrize(
    ("mains", "rate"),
    [
        (50, 16000),
        (60, 1000),
        pytest.param(60, 16000, marks=pytest.mark.matrix),
        pytest.param(50, 1000, marks=pytest.mark.matrix),
    ],
)
def test_lines_of_hum(mains, rate):
    x = np.full((3, rate, 2), 0.1, np.float32)
    noisy = run(audio.hum, x, snr=-20, frequency=mains, harmonics=12, sample_rate=rate)
    added = np.asarray(noisy, np.float64) - 0.1
    np.testing.assert_allclose(added[..., 0], added[..., 1], atol=1e-6)
    # One second: bin k is k Hz.
    spectrum = np.abs(np.fft.rfft(added[..., 0])) / rate * 2
    lines = [k * mains for k in range(1, 13) if k * mains < rate / 2]
    heights = spectrum[:, lines] / spectrum[:, lines[:1]]
    expected = np.broadcast_to(1 / np.arange(1, len(lines) + 1), heights.shape)
    np.testing.assert_allclose(heights, expected, rtol=2e-3)
    np.testing.assert_allclose(np.sum(spectrum[:, lines] ** 2 / 2, 1), 1.0, rtol=2e-3)
    others = np.delete(spectrum, lines, axis=1)
    assert others.max() < 1e-3 * spectrum.max()
    assert np.ptp(np.angle(np.fft.rfft(added[..., 0])[:, mains])) > 0.1


def test_bad_options_are_one_line():
    x = speech(1, 100)
    with pytest.raises(ZooError, match="hum: harmonics must be a whole number of 1 or more, got 0"):
        run(audio.hum, x, snr=0, harmonics=0)
    with pytest.raises(ZooError, match="hum: sample_rate must be above 0 Hz, such as 16000, got 0"):
        run(audio.hum, x, snr=0, sample_rate=0)
