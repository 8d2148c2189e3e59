"""Against SciPy, a transform written out by hand, and the formulas of the scales."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from scipy import signal

from zoo import spectral
from zoo.errors import ZooError

# FastEnhancer's and GTCRN's frames, and those of the multi-resolution loss.
FRAMES = [(512, 256, 512), (1024, 120, 600), (2048, 240, 1200), (512, 50, 240), (64, 64, 64)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def by_hand(x, size, hop, window, mode):
    """torch.stft(center=True) of one signal, from its definition, in float64."""
    left = (size - len(window)) // 2
    whole = np.zeros(size)
    whole[left : left + len(window)] = window
    padded = np.pad(x.astype(np.float64), size // 2, mode=mode)
    n = np.arange(size)
    matrix = np.exp(-2j * np.pi * np.outer(n, np.arange(size // 2 + 1)) / size)
    starts = range(0, len(padded) - size + 1, hop)
    return np.stack([(padded[start : start + size] * whole) @ matrix for start in starts])


def test_windows():
    np.testing.assert_allclose(spectral.hann(512), signal.windows.hann(512, sym=False), atol=1e-7)
    np.testing.assert_allclose(spectral.sqrt_hann(64) ** 2, spectral.hann(64), atol=1e-7)
    assert spectral.hann(8).dtype == spectral.sqrt_hann(8).dtype == np.float32


@pytest.mark.parametrize(("size", "hop", "length"), FRAMES)
@pytest.mark.parametrize(
    ("padding", "mode"), first(1, [("reflect", "reflect"), ("zero", "constant")])
)
def test_frames_by_the_definition(size, hop, length, padding, mode):
    x, window = noise(2501), spectral.hann(length)
    got = jax.jit(lambda x: spectral.stft(x, size=size, hop=hop, window=window, padding=padding))(x)
    expected = by_hand(x, size, hop, window, mode)
    assert got.shape == (1 + 2501 // hop, size // 2 + 1)
    assert got.dtype == jnp.complex64
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_against_scipy():
    # SciPy divides by the sum of the window, mirrors as "even", and fills up the last frame.
    x = noise(3, 4096)
    _, _, expected = signal.stft(x, window="hann", nperseg=512, noverlap=256, boundary="even")
    expected = expected.swapaxes(-1, -2) * spectral.hann(512).sum()
    np.testing.assert_allclose(spectral.stft(x), expected, atol=1e-4)
    _, back = signal.istft(expected.swapaxes(-1, -2) / 256, window="hann", nperseg=512)
    np.testing.assert_allclose(spectral.istft(spectral.stft(x)), back, atol=1e-5)


@pytest.mark.parametrize(("size", "hop", "length"), FRAMES[:4])
def test_perfect_reconstruction(size, hop, length):
    x, window = noise(2, 3, 12 * hop + 1025), spectral.hann(length)
    x = x[..., : x.shape[-1] // hop * hop]
    options = {"size": size, "hop": hop, "window": window}
    back = jax.jit(lambda x: spectral.istft(spectral.stft(x, **options), **options))(x)
    assert back.shape == x.shape
    np.testing.assert_allclose(back, x, atol=1e-5)


@pytest.mark.parametrize("window", first(1, [spectral.hann(512), spectral.sqrt_hann(512)]))
@pytest.mark.parametrize("length", [1, 200, 256, 511, 1279])
def test_any_length_comes_back_once_padded(length, window):
    x = noise(2, length)

    @jax.jit
    def there_and_back(x):
        spectrum = spectral.stft(x, window=window, padding="zero")
        return spectral.istft(spectrum, window=window, length=length)

    padded = np.pad(x, [(0, 0), (0, -length % 256)])
    np.testing.assert_allclose(there_and_back(padded), x, atol=1e-5)
    # Unpadded, the last samples lean on the ends of windows, and the rest comes back as well.
    safe = length // 256 * 256 + min(length % 256, 230)
    np.testing.assert_allclose(there_and_back(x)[:, :safe], x[:, :safe], atol=1e-5)


def test_the_length_cuts_and_fills():
    x = noise(1024)
    spectrum = spectral.stft(x)
    np.testing.assert_array_equal(
        spectral.istft(spectrum, length=100), spectral.istft(spectrum)[:100]
    )
    long = spectral.istft(spectrum, length=2000)
    # Beyond the window of the last frame, which ends at 1024 + 256, there is nothing.
    np.testing.assert_array_equal(long[1280:], 0)
    assert long.shape == (2000,)


def test_a_changed_spectrum_is_divided_by_the_squared_windows():
    # torch.istft's own formula: sum of windowed frames over the sum of squared windows.
    rng = np.random.default_rng(3)
    spectrum = rng.normal(size=(5, 9)) + 1j * rng.normal(size=(5, 9))
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real
    window = spectral.hann(16).astype(np.float64)
    total, weight = np.zeros(16 + 4 * 4), np.zeros(16 + 4 * 4)
    for k, frame in enumerate(np.fft.irfft(spectrum)):
        total[4 * k : 4 * k + 16] += frame * window
        weight[4 * k : 4 * k + 16] += window**2
    got = spectral.istft(spectrum.astype(np.complex64), size=16, hop=4)
    np.testing.assert_allclose(got, (total[8:-8] / weight[8:-8]), atol=1e-6)


def test_the_program_does_not_grow_with_the_signal():
    def size(length):
        x = jax.ShapeDtypeStruct((1, length), jnp.float32)
        there_and_back = jax.jit(lambda x: spectral.istft(spectral.stft(x)))
        return len(there_and_back.lower(x).as_text())

    assert size(2**20) < size(2**14) + 1000


def test_jit_vmap_and_bfloat16():
    x = noise(4, 2, 1500)
    expected = spectral.stft(x)
    np.testing.assert_allclose(jax.jit(spectral.stft)(x), expected, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(spectral.stft)(x), expected, atol=1e-5)
    low = spectral.stft(jnp.asarray(x, jnp.bfloat16))
    assert low.dtype == jnp.complex64


def test_gradients_are_finite_at_silence():
    def total(x):
        spectrum = spectral.compress(spectral.stft(x))
        return jnp.sum(spectral.istft(spectrum)) + jnp.sum(spectral.magnitude(spectrum))

    assert np.isfinite(jax.jit(jax.grad(total))(jnp.zeros((2, 1024)))).all()


def test_compress_keeps_the_phase_and_can_be_undone():
    z = np.array([3 + 4j, -2j, 1e-3 + 0j, 0], np.complex64)
    got = spectral.compress(z)
    np.testing.assert_allclose(np.abs(got[:3]), np.abs(z[:3]) ** 0.3, rtol=1e-5)
    np.testing.assert_allclose(np.angle(got[:2]), np.angle(z[:2]), rtol=1e-5)
    assert got[3] == 0
    np.testing.assert_allclose(spectral.compress(got, 1 / 0.3), z, rtol=1e-4, atol=1e-9)


def test_magnitude_has_a_floor():
    z = np.array([3 + 4j, 0, 1e-7j], np.complex64)
    np.testing.assert_allclose(spectral.magnitude(z), [5, 1e-5, 1e-5], rtol=1e-6)


@pytest.mark.parametrize("length", [1, 511, 512, 513, 1500])
def test_frames_as_they_stand(length):
    x = noise(length)
    got = spectral.frame(x, size=512, hop=100)
    filled = np.pad(x, (0, max(0, 512 - length)))
    view = np.lib.stride_tricks.sliding_window_view(filled, 512)[::100]
    np.testing.assert_array_equal(got, view)


def test_the_scales():
    # Glasberg and Moore 1990: 1 kHz lies 15.6 bands up; 1000 Hz are 1000 mel.
    assert spectral.hz_to_erb(1000) == pytest.approx(15.62, abs=0.01)
    assert spectral.hz_to_mel(1000) == pytest.approx(1000, abs=0.1)
    hz = np.linspace(0, 8000, 50)
    np.testing.assert_allclose(spectral.erb_to_hz(spectral.hz_to_erb(hz)), hz, atol=1e-6)
    np.testing.assert_allclose(spectral.mel_to_hz(spectral.hz_to_mel(hz)), hz, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "forward", "backward"),
    [
        (spectral.erb_bands, spectral.hz_to_erb, spectral.erb_to_hz),
        (spectral.mel_bands, spectral.hz_to_mel, spectral.mel_to_hz),
    ],
)
def test_bands_share_out_every_bin(function, forward, backward):
    # GTCRN's: 65 low bins kept, the other 192 into 64 bands.
    low = 65 * 16000 / 512
    matrix = function(low, 8000, 64)
    assert matrix.shape == (257, 64)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix[65:].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(matrix[:65], 0)
    assert (matrix >= 0).all()
    # The closed form of the centres, to half a bin.
    centres = backward(np.linspace(forward(low), forward(8000), 64))
    peaks = matrix.argmax(axis=0) * 16000 / 512
    assert np.abs(peaks - centres).max() <= 16000 / 512 / 2 + 1e-6
    np.testing.assert_allclose(matrix.max(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: spectral.stft(noise(256)), "too short to mirror 256.*padding='zero'"),
        (lambda: spectral.stft(noise(999), padding="edge"), "'reflect' or 'zero', not 'edge'"),
        (lambda: spectral.stft(noise(999), size=511), "even size"),
        (lambda: spectral.stft(noise(999), size=64, window=spectral.hann(65)), "at most"),
        (lambda: spectral.stft(noise(999), hop=0), "hop must be 1 to 512"),
        (lambda: spectral.istft(np.zeros((3, 257), np.complex64), size=256), "257 bins"),
        (lambda: spectral.erb_bands(0, 9000, 32), "8000 Hz"),
        (lambda: spectral.mel_bands(0, 8000, 200), "fewer bands or a larger size"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(ZooError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
