"""What harms a recording itself, against NumPy, SciPy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from scipy import signal, stats

from zoo.errors import ZooError
from zoo.noise import audio

KEY = jax.random.key(9)
RATE = 16000
SIGNIFICANCE = 1e-4
RNG = np.random.default_rng(2)
WHITE = RNG.uniform(-0.9, 0.9, (3, 5003, 2)).astype(np.float32)


def run(op, x, **options):
    """The op as one program: op by op, each step of it would compile by itself."""
    return jax.jit(lambda key, x: op(key, x, **options))(KEY, x)


def test_gain_and_offset():
    np.testing.assert_allclose(run(audio.gain, WHITE, db=20), 10 * WHITE, rtol=1e-6)
    half = run(audio.gain, WHITE, db=np.asarray([0, -6.0206, 6.0206], np.float32))
    factors = np.asarray([1, 0.5, 2], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(half, factors * WHITE, rtol=1e-5)
    np.testing.assert_allclose(run(audio.dc_offset, WHITE, offset=-0.25), WHITE - 0.25, atol=1e-7)


@pytest.mark.parametrize("bits", [3, 8, 12])
def test_quantize(bits):
    step = 2.0 ** (1 - bits)
    found = np.asarray(run(audio.quantize, WHITE, bits=bits), np.float64)
    np.testing.assert_allclose(found, step * np.round(WHITE / step), atol=1e-7)
    # Only over a whole number of steps does a uniform signal have a uniform error.
    error = ((found - WHITE) / step)[np.abs(WHITE) < 0.5]
    assert stats.kstest(error, stats.uniform(-0.5, 1).cdf).pvalue > SIGNIFICANCE
    assert abs(error.var() * 12 - 1) < 5 * np.sqrt(0.8 / error.size)
    np.testing.assert_array_equal(run(audio.quantize, np.zeros((5, 1)), bits=bits), 0)


def test_sixteen_bits_are_those_of_a_file():
    pcm = np.arange(-32768, 32768, 7, dtype=np.int32)
    x = (pcm / 32768).astype(np.float32)[:, None]
    np.testing.assert_array_equal(run(audio.quantize, x, bits=16), x)


def test_clipping():
    peak = np.abs(WHITE).max((1, 2), keepdims=True)
    limit = np.asarray([0.1, 0.5, 1.0]).reshape(3, 1, 1) * peak
    level = np.asarray([0.1, 0.5, 1.0], np.float32)
    hard = run(audio.clipping, WHITE, threshold=level)
    np.testing.assert_allclose(hard, np.clip(WHITE, -limit, limit), atol=1e-6)
    soft = run(audio.clipping, WHITE, threshold=level, mode="soft")
    np.testing.assert_allclose(soft, limit * np.tanh(WHITE / limit), atol=1e-6)
    for mode in ("hard", "soft"):
        np.testing.assert_array_equal(
            run(audio.clipping, np.zeros((9, 1)), threshold=0.5, mode=mode), 0
        )
    with pytest.raises(ZooError, match="clipping: mode must be 'hard' or 'soft', got 'firm'"):
        run(audio.clipping, WHITE, threshold=0.5, mode="firm")


def test_number_and_height_of_clicks():
    x = np.zeros((4, 10 * RATE, 2), np.float32)
    rate = np.asarray([0, 20, 200, 1000], np.float32)
    added = np.asarray(run(audio.clicks, x, rate=rate, height=0.3, width=0))
    np.testing.assert_array_equal(added[..., 0], added[..., 1])
    for example, asked in zip(added[..., 0], rate, strict=True):
        count = np.count_nonzero(example)
        assert abs(count - 10 * asked) <= 5 * np.sqrt(10 * asked)
    heights = added[3, :, 0][added[3, :, 0] != 0]
    assert stats.kstest(heights, stats.uniform(-0.3, 0.6).cdf).pvalue > SIGNIFICANCE


def test_shape_of_clicks():
    x = np.zeros((1, 10 * RATE, 1), np.float32)
    added = np.asarray(run(audio.clicks, x, rate=10, width=0.001), np.float64)[0, :, 0]
    live = (np.abs(added[:-1]) > 0.01) & (np.abs(added[1:]) < np.abs(added[:-1]))
    fall = added[1:][live] / added[:-1][live]
    np.testing.assert_allclose(np.median(fall), np.exp(-1 / 16), rtol=1e-4)
    # Silence in between, but for the 7 ms that each takes.
    assert np.mean(added == 0) > 0.8
    np.testing.assert_array_equal(run(audio.clicks, WHITE, rate=0), WHITE)


def test_dropouts():
    x = np.ones((8, 20 * RATE, 2), np.float32)
    amount = np.repeat(np.asarray([0, 0.05, 0.3, 1], np.float32), 2)
    kept = np.asarray(run(audio.dropouts, x, amount=amount, length=0.01))
    np.testing.assert_array_equal(kept[..., 0], kept[..., 1])
    lost = (kept[..., 0] == 0).reshape(4, -1)
    assert not lost[0].any()
    assert lost[3].all()
    for example, asked in zip(lost, amount[::2], strict=True):
        # Samples that lie a stretch and more apart are independent.
        error = np.sqrt(asked * (1 - asked) / (example.size / 160))
        assert abs(example.mean() - asked) <= 5 * error
    # Stretches last 160 samples, or longer where they run into each other.
    edges = np.flatnonzero(np.diff(lost[1].reshape(2, -1)[0].astype(int)))
    first = 0 if not lost[1, 0] else 1
    ends = edges[first:]
    lengths = ends[1::2] - ends[: len(ends[1::2]) * 2 : 2]
    assert lengths.min() == 160
    assert np.median(lengths) == 160


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_band_stop(share):
    time = 8000
    x = RNG.standard_normal((6, time, 1)).astype(np.float32)
    found = np.asarray(run(audio.band_stop, x, share=share))
    ratio = np.abs(np.fft.rfft(found, axis=1) / np.fft.rfft(x, axis=1))[..., 0]
    stopped = ratio < 1e-2
    np.testing.assert_allclose(ratio[~stopped], 1, atol=1e-2)
    frequency = np.fft.rfftfreq(time, 1 / RATE)
    mel = 2595 * np.log10(1 + frequency / 700)
    width = np.diff(mel, append=mel[-1])
    lows = []
    for example in stopped:
        assert np.count_nonzero(np.diff(example.astype(int))) <= 2
        assert abs(width[example].sum() / mel[-1] - share) < 2 * width[0] / mel[-1]
        lows.append(frequency[example][0] if example.any() else 0)
    assert len(set(lows)) > 1 or share in (0, 1)


def test_random_filter_is_of_second_order():
    keys = jax.random.split(KEY, 20)
    impulse = np.zeros((20, 400, 1), np.float32)
    impulse[:, 0] = 1
    noise = RNG.standard_normal((20, 400, 1)).astype(np.float32)
    filtered = jax.jit(jax.vmap(lambda key, x: audio.random_filter(key, x, strength=0.4)))
    responses = np.asarray(filtered(keys, impulse), np.float64)[..., 0]
    found = np.asarray(filtered(keys, noise))[..., 0]
    drawn = []
    for response, x, y in zip(responses, noise[..., 0], found, strict=True):
        # From the third sample on the response obeys h[n] = -c h[n-1] - d h[n-2].
        past = np.stack([response[2:40], response[1:39]], 1)
        (c, d), *_ = np.linalg.lstsq(-past, response[3:41], rcond=None)
        b = np.convolve(response[:3], [1, c, d])[:3]
        np.testing.assert_allclose(signal.lfilter(b, [1, c, d], x), y, atol=1e-4)
        np.testing.assert_allclose(b[0], 1, atol=1e-5)
        drawn += [b[1], b[2]]
        if np.abs(response[3:]).max() > 1e-2:
            drawn += [c, d]
    assert 0.3 < np.abs(drawn).max() < 0.401
    assert stats.kstest(drawn, stats.uniform(-0.4, 0.8).cdf).pvalue > SIGNIFICANCE


def test_random_filter_at_full_strength_is_stable():
    x = np.ones((64, 3000, 1), np.float32)
    found = np.asarray(run(audio.random_filter, x, strength=0.49))
    assert np.isfinite(found).all()
    # It settles at the sum of the response.
    assert np.abs(found[:, -1] - found[:, -200]).max() < 1e-3 * np.abs(found).max()


def decay_time(response):
    """By Schroeder's backward integration, from the fall between -5 and -35 dB."""
    energy = np.cumsum(np.square(response)[::-1])[::-1]
    level = 10 * np.log10(energy / energy[0])
    fall = (level < -5) & (level > -35)
    slope = stats.linregress(np.flatnonzero(fall) / RATE, level[fall]).slope
    return -60 / slope


@pytest.mark.parametrize("rt60", [0.3, pytest.param(0.8, marks=pytest.mark.matrix), 1.3])
def test_reverberation_time_and_energy_of_the_tail(rt60):
    x = np.zeros((6, int(1.5 * rt60 * RATE), 1), np.float32)
    x[:, 0] = 0.5
    heard = np.asarray(run(audio.reverb, x, rt60=rt60, drr=3), np.float64)[..., 0] / 0.5
    np.testing.assert_allclose(heard[:, 0], 1, atol=1e-5)
    times = [decay_time(response[1:]) for response in heard]
    assert abs(np.mean(times) / rt60 - 1) < 0.05
    np.testing.assert_allclose(np.sum(heard[:, 1:] ** 2, 1), 10**-0.3, rtol=1e-3)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_recorded_response(lead):
    x = RNG.standard_normal((*lead, 3001, 2)).astype(np.float32)
    response = RNG.standard_normal((900, 1)).astype(np.float32) * 0.1
    response[123] = -2
    found = np.asarray(run(audio.reverb, x, rt60=1, response=response))
    kernel = response.reshape((1,) * len(lead) + response.shape) / -2
    expected = signal.fftconvolve(x, kernel, axes=-2)[..., 123 : 123 + 3001, :]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    traced = jax.jit(lambda response: audio.reverb(KEY, x, rt60=1, response=response))
    np.testing.assert_allclose(traced(response), expected, atol=1e-4)


def test_a_silent_response_is_refused():
    with pytest.raises(ZooError, match="reverb: response is silent; give one with a direct sound"):
        audio.reverb(KEY, WHITE, rt60=1, response=np.zeros((9, 1)))


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.3, 0.77])
def test_linear_resampling(factor):
    time = np.arange(1, 2000)
    x = np.sin(time * 0.05)
    count = int(np.ceil(time.size * factor)) + 2
    at = np.minimum(np.arange(count) / factor, time.size - 1)
    between = np.interp(at, np.arange(time.size), x)
    expected = np.interp(np.arange(time.size) * factor, np.arange(count), between)
    found = run(audio.resample, x[:, None].astype(np.float32), factor=factor)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(run(audio.resample, WHITE, factor=1), WHITE, atol=1e-6)


def tone(hertz, time=RATE):
    return np.cos(2 * np.pi * hertz * np.arange(time) / RATE).astype(np.float32)[:, None]


def strongest(x):
    return np.argmax(np.abs(np.fft.rfft(x[:, 0])))


def test_resampling_aliases_or_not():
    # At 8 kHz the tone of 5 kHz is one of 3 kHz.
    assert strongest(run(audio.resample, tone(5000), factor=0.5)) == 3000
    assert strongest(run(audio.resample, tone(5000), factor=0.5, method="hold")) == 3000
    ideal = np.asarray(run(audio.resample, tone(5000), factor=0.5, method="ideal"))
    assert np.abs(ideal[500:-500]).max() < 2e-3
    kept = np.asarray(run(audio.resample, tone(3000), factor=0.5, method="ideal"))
    np.testing.assert_allclose(kept[500:-500], tone(3000)[500:-500], atol=2e-3)
    held = run(audio.resample, WHITE[:, :5000], factor=0.25, method="hold")
    np.testing.assert_array_equal(held, np.repeat(WHITE[:, :5000:4], 4, axis=1))
    with pytest.raises(ZooError, match="resample: method must be 'ideal', 'linear' or 'hold'"):
        run(audio.resample, WHITE, factor=0.5, method="cubic")


def labelled(count):
    """Recordings whose noise tells whose it is."""
    x = RNG.standard_normal((count, 4, 1)).astype(np.float32)
    own = np.arange(count, dtype=np.float32).reshape(count, 1, 1)
    return x, x + own


def owners(noisy, x):
    return np.round(np.asarray(noisy) - x).astype(int)[:, :, 0]


def test_remix_permutes():
    x, noisy = labelled(300)
    np.testing.assert_array_equal(run(audio.remix, x, amount=0, noisy=noisy), x + (noisy - x))
    whole = owners(run(audio.remix, x, amount=1, noisy=noisy), x)
    assert (whole == whole[:, :1]).all()
    np.testing.assert_array_equal(np.sort(whole[:, 0]), np.arange(300))
    assert np.sum(whole[:, 0] == np.arange(300)) < 10
    half = owners(run(audio.remix, x, amount=0.5, noisy=noisy), x)[:, 0]
    np.testing.assert_array_equal(np.sort(half), np.arange(300))
    assert abs(np.mean(half == np.arange(300)) - 0.5) < 5 * 0.5 / np.sqrt(300)


def test_every_permutation_is_as_likely():
    x, noisy = labelled(3)
    keys = jax.random.split(KEY, 1200)
    drawn = jax.jit(jax.vmap(lambda key: audio.remix(key, x, amount=1, noisy=noisy)))(keys)
    found = np.round(np.asarray(drawn) - x).astype(int)[:, :, 0, 0]
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > SIGNIFICANCE


def test_remix_alone_and_wrong():
    x, noisy = labelled(2)
    np.testing.assert_allclose(run(audio.remix, x[1], amount=1, noisy=noisy[1]), noisy[1])
    with pytest.raises(ZooError, match=r"remix: noisy must be floats of the shape of x, \(2, 4, 1"):
        run(audio.remix, x, amount=1, noisy=noisy[:, :3])


# Of those that look further than one sample, or draw where.
FAR = {"add_at_snr", "band_stop", "clicks", "dropouts", "hum", "resample", "reverb", "white"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.matrix] * (n not in FAR)) for n in sorted(audio.OPS)],
)
def test_one_sample_is_enough(name):
    given = {
        "add_at_snr": {"noise": np.ones((1, 1))},
        "colored": {"exponent": 1},
        "remix": {"noisy": np.ones((1, 1))},
    }
    level = next(iter(audio.OPS[name].levels))
    value = {"bits": 8, "snr": 5.0}.get(level, 0.4)
    noisy = run(audio.OPS[name], jnp.full((1, 1), 0.5), **{level: value}, **given.get(name, {}))
    assert noisy.shape == (1, 1)
    assert np.isfinite(noisy).all()


# ------------------------------------------------------------------- telephones and codecs


def response(op, **options):
    """The magnitude by frequency of what the op does to an impulse in the middle of a second."""
    impulse = np.zeros((1, RATE, 1), np.float32)
    impulse[0, RATE // 2] = 1
    found = np.asarray(run(op, impulse, **options))[0, :, 0]
    np.testing.assert_allclose(found[1:], found[:0:-1], atol=1e-6)  # no delay
    return np.abs(np.fft.rfft(found))


@pytest.mark.parametrize(("cutoff", "order"), [(3400, 8), (5500, 4)])
def test_low_pass_is_butterworths(cutoff, order):
    w = np.fft.rfftfreq(RATE, 1 / RATE)
    b, a = signal.butter(order, cutoff, analog=True)
    expected = np.abs(signal.freqs(b, a, w)[1])
    np.testing.assert_allclose(
        response(audio.low_pass, cutoff=cutoff, order=order), expected, atol=2e-4
    )


def test_band_pass_is_low_pass_and_high_pass():
    w = np.fft.rfftfreq(RATE, 1 / RATE)[1:]
    upper = np.abs(signal.freqs(*signal.butter(8, 3400, analog=True), w)[1])
    lower = np.abs(signal.freqs(*signal.butter(8, 300, "high", analog=True), w)[1])
    found = response(audio.band_pass, high=3400)[1:]
    np.testing.assert_allclose(found, upper * lower, atol=1e-3)


def test_mu_law_is_the_formula_and_nearly_the_telephones(tmp_path):
    import soundfile

    x = WHITE[:1]
    for bits in (4, 8):
        steps = 2.0 ** (bits - 1)
        code = np.sign(x) * np.log1p(255.0 * np.abs(x.astype(np.float64))) / np.log(256)
        code = np.round(code * steps) / steps
        expected = np.sign(code) * (256.0 ** np.abs(code) - 1) / 255
        found = run(audio.mu_law, x, bits=bits)
        # Where rounding decides between two steps, float32 may fall to the other side.
        assert np.mean(np.abs(found - expected) < 1e-5) > 0.999
    soundfile.write(tmp_path / "a.wav", x[0], RATE, "ULAW")
    theirs = soundfile.read(tmp_path / "a.wav", dtype="float32")[0][None]

    def snr(y):
        return 10 * np.log10(np.mean(x**2) / np.mean((y - x) ** 2))

    assert abs(snr(np.asarray(found)) - snr(theirs)) < 1.5
    np.testing.assert_array_equal(run(audio.mu_law, np.zeros((5, 1)), bits=8), 0)


@pytest.mark.parametrize("name", first(1, ["gsm", "opus", "mp3"]))
def test_codecs_add_their_error_without_delay(name):
    tone = np.stack([np.sin(np.arange(RATE) * f / 20) for f in (1, 2, 3)]).sum(0) / 6
    swell = np.sin(np.arange(RATE) / 2500) ** 2
    x = (tone * swell).astype(np.float32)[None, :, None]
    y = np.asarray(run(audio.codec, x, amount=1, names=(name,)))
    assert y.shape == x.shape
    error = np.sum((y - x) ** 2) / np.sum(x**2)
    assert 1e-7 < error < 0.05
    likeness = np.correlate(y[0, :, 0], x[0, 200:-200, 0])
    assert likeness.argmax() == 200
    np.testing.assert_array_equal(run(audio.codec, x, amount=0, names=(name,)), x)


def test_gsm_is_that_of_a_file(tmp_path):
    import soundfile

    x = 0.3 * signal.lfilter([1], [1, -0.9], RNG.standard_normal((8000, 1)), axis=0)
    x = (x / np.abs(x).max()).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", x, 8000, "GSM610")
    theirs = soundfile.read(tmp_path / "a.wav", frames=8000, dtype="float32", always_2d=True)[0]
    y = run(audio.codec, x[None], amount=1, names=("gsm",), sample_rate=8000)
    np.testing.assert_allclose(y[0], theirs, atol=1e-6)
    with pytest.raises(ZooError, match="unknown codec 'amr'"):
        audio.codec(KEY, x, amount=1, names=("amr",))
