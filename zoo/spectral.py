"""Short-time spectra of signals, as pure functions on arrays whose last axis is time.

Frames are those of `torch.stft(center=True)`: frame k is centered on sample k * hop, so T samples
have 1 + T // hop of them, and `istft` divides by the summed squared windows. Windows and bands are
NumPy constants. Everything else can be jitted and differentiated, over any leading axes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError

# Below this a sample is covered by no window to speak of; torch.istft refuses there.
COVERED = 1e-11


def hann(size: int) -> np.ndarray:
    """The periodic Hann window, (size,), float32: sin(pi n / size)**2."""
    return np.square(np.sin(np.pi * np.arange(size) / size)).astype(np.float32)


def sqrt_hann(size: int) -> np.ndarray:
    """The square root of `hann`, (size,), float32: used twice, it weighs as `hann` does once."""
    return np.sin(np.pi * np.arange(size) / size).astype(np.float32)


def stft(
    x: jax.Array,
    *,
    size: int = 512,
    hop: int = 256,
    window: np.ndarray | None = None,
    padding: str = "reflect",
) -> jax.Array:
    """The short-time Fourier transform, with the frames of `torch.stft`.

    Args:
      x: signals, (..., T), floats; computed in float32.
      size: samples a transform takes, an even number.
      hop: samples from one frame to the next.
      window: constant weights of the frame, at most `size` of them; a shorter window stands in
        the middle of the frame. None: `hann(size)`.
      padding: what lies before the first sample and after the last: "reflect", the signal
        mirrored, which needs T > size // 2; or "zero".

    Returns:
      (..., 1 + T // hop, size // 2 + 1), complex64.

    Raises:
      ZooError: a signal too short to mirror, an unknown padding, or a size, hop or window that
        cannot be.
    """
    window, left = _window(size, hop, window)
    x = jnp.asarray(x).astype(jnp.float32)
    length, half = x.shape[-1], size // 2
    frames = 1 + length // hop
    x = _pad(x, half, padding)
    framed = _cut(x[..., left:], frames, len(window), hop) * _fit(window, x.ndim + 1)
    around = [(0, 0)] * (framed.ndim - 1) + [(left, size - len(window) - left)]
    # On a CPU a product with the matrix of cosines and sines takes six to nine times as long for
    # thousands of frames, and half as long again for a single one.
    return jnp.fft.rfft(jnp.pad(framed, around), axis=-1)


def istft(
    spectrum: jax.Array,
    *,
    size: int = 512,
    hop: int = 256,
    window: np.ndarray | None = None,
    length: int | None = None,
) -> jax.Array:
    """The signal whose short-time spectrum is nearest, as `torch.istft` has it.

    It undoes `stft`. Samples after the middle of the last frame, which are there unless T is a
    multiple of the hop, are seen by the falling ends of windows only: rounding errors grow there as
    the window falls, to 1e-3 for a Hann window of 512 and its very last sample. A signal padded
    with zeros to a whole number of hops comes back to 1e-5 everywhere.

    Args:
      spectrum: (..., frames, size // 2 + 1), complex.
      size: as for `stft`.
      hop: as for `stft`.
      window: as for `stft`.
      length: samples wanted; those that no frame reaches are 0. None: up to the middle of the last
        frame, (frames - 1) * hop.

    Returns:
      (..., length), float32.

    Raises:
      ZooError: bins that do not belong to `size`, or a size, hop or window that cannot be.
    """
    window, left = _window(size, hop, window)
    frames, bins = spectrum.shape[-2:]
    if bins != size // 2 + 1:
        raise ZooError(f"a spectrum of {bins} bins is of size {2 * (bins - 1)}, not {size}")
    length = (frames - 1) * hop if length is None else length
    framed = jnp.fft.irfft(spectrum, n=size, axis=-1)[..., left : left + len(window)]
    signal = _overlap_add(framed * _fit(window, framed.ndim), hop)
    inverse = _inverse_weight(np.square(window.astype(np.float64)), frames, hop)
    signal = signal * _every_hop(inverse, frames, signal.ndim)
    signal = signal.reshape(*signal.shape[:-2], -1)
    # The middle of frame 0 is the first sample.
    start = size // 2 - left
    signal = signal[..., start : start + length]
    return jnp.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, length - signal.shape[-1])])


def frame(x: jax.Array, *, size: int, hop: int) -> jax.Array:
    """Frames of a signal as they stand: frame k begins at sample k * hop, and all are whole.

    Args:
      x: signals, (..., T); shorter than a frame, they are filled up with zeros.
      size: samples a frame.
      hop: samples from one frame to the next.

    Returns:
      (..., 1 + (max(T, size) - size) // hop, size).
    """
    return _cut(x, 1 + (max(x.shape[-1], size) - size) // hop, size, hop)


def magnitude(spectrum: jax.Array, floor: float = 1e-5) -> jax.Array:
    """The magnitude of complex numbers, at least `floor`; its gradient is finite, and 0 below."""
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    return jnp.sqrt(jnp.maximum(power, floor**2))


def compress(spectrum: jax.Array, exponent: float = 0.3, floor: float = 1e-5) -> jax.Array:
    """A spectrum whose magnitudes are raised to a power, with their phase.

    Args:
      spectrum: complex, any shape.
      exponent: of the magnitudes; 1 / exponent undoes it where nothing lies below the floor.
      floor: magnitudes below it are scaled as one that lies on it, so that silence stays silence
        with a finite gradient.
    """
    return spectrum * (magnitude(spectrum, floor) ** (exponent - 1)).astype(spectrum.dtype)


def hz_to_erb(hz: np.ndarray) -> np.ndarray:
    """Hz to the number of equivalent rectangular bandwidths below (Glasberg and Moore 1990)."""
    return 21.4 * np.log10(1 + 0.00437 * np.asarray(hz, np.float64))


def erb_to_hz(erb: np.ndarray) -> np.ndarray:
    """The inverse of `hz_to_erb`."""
    return (10 ** (np.asarray(erb, np.float64) / 21.4) - 1) / 0.00437


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Hz to mel by O'Shaughnessy's formula, 1000 mel at 1 kHz."""
    return 2595 * np.log10(1 + np.asarray(hz, np.float64) / 700)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    return 700 * (10 ** (np.asarray(mel, np.float64) / 2595) - 1)


def erb_bands(
    low: float, high: float, bands: int, *, size: int = 512, sample_rate: int = 16000
) -> np.ndarray:
    """Triangular bands evenly spaced on the ERB scale.

    Band i is 1 at its center and falls, linearly in Hz, to 0 at its neighbors' centers, so that
    every bin from `low` to `high` is shared out in parts that sum to 1, and `bands @ matrix.T`
    spreads a value a band over the bins. Centers lie on bins, the nearest.

    Args:
      low: center of the first band, Hz.
      high: center of the last band, Hz, at most half the sample rate.
      bands: how many, at least 2.
      size: of the transform; a spectrum has size // 2 + 1 bins.
      sample_rate: samples a second.

    Returns:
      (size // 2 + 1, bands), float32: `magnitudes @ matrix` has one value a band. Rows of bins
      outside `low` to `high` are 0.

    Raises:
      ZooError: limits that cannot be, or more bands than bins to center them on.
    """
    return _bands(low, high, bands, size, sample_rate, hz_to_erb, erb_to_hz)


def mel_bands(
    low: float, high: float, bands: int, *, size: int = 512, sample_rate: int = 16000
) -> np.ndarray:
    """Triangular bands evenly spaced in mel; arguments, result and errors as for `erb_bands`."""
    return _bands(low, high, bands, size, sample_rate, hz_to_mel, mel_to_hz)


def _bands(
    low: float,
    high: float,
    bands: int,
    size: int,
    sample_rate: int,
    forward: Callable[[np.ndarray], np.ndarray],
    backward: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    if not 0 <= low < high <= sample_rate / 2 or bands < 2:
        raise ZooError(
            f"need 0 <= low < high <= {sample_rate / 2:g} Hz and 2 bands or more, "
            f"got {low:g} to {high:g} Hz and {bands}"
        )
    centers = backward(np.linspace(forward(low), forward(high), bands))
    centers = np.round(centers / sample_rate * size)
    if np.any(np.diff(centers) == 0):
        raise ZooError(
            f"{bands} bands from {low:g} to {high:g} Hz leave some without a bin at size {size}; "
            "take fewer bands or a larger size"
        )
    matrix = [
        np.interp(np.arange(size // 2 + 1), centers, one, left=0, right=0) for one in np.eye(bands)
    ]
    return np.stack(matrix, axis=1).astype(np.float32)


def _window(size: int, hop: int, window: np.ndarray | None) -> tuple[np.ndarray, int]:
    """The window, and where in the frame it starts."""
    window = hann(size) if window is None else np.asarray(window, np.float32)
    if size < 2 or size % 2 or window.ndim != 1 or not 1 <= len(window) <= size:
        raise ZooError(
            f"need an even size and a window of at most as many weights, not size {size} and a "
            f"window of shape {window.shape}"
        )
    if not 1 <= hop <= size:
        raise ZooError(f"the hop must be 1 to {size}, the size, not {hop}")
    return window, (size - len(window)) // 2


def _pad(x: jax.Array, half: int, padding: str) -> jax.Array:
    around = [(0, 0)] * (x.ndim - 1) + [(half, half)]
    if padding == "zero":
        return jnp.pad(x, around)
    if padding != "reflect":
        raise ZooError(f"padding is 'reflect' or 'zero', not {padding!r}")
    if x.shape[-1] <= half:
        raise ZooError(
            f"a signal of {x.shape[-1]} samples is too short to mirror {half} of them; "
            "take padding='zero', or a smaller size"
        )
    return jnp.pad(x, around, mode="reflect")


def _cut(x: jax.Array, frames: int, size: int, hop: int) -> jax.Array:
    """The first frames of (..., T), with zeros behind it where they reach beyond its end."""
    # Whole hops side by side, not a gather: its gradient would scatter, which is slow everywhere.
    parts = -(-size // hop)
    need = (frames + parts - 1) * hop
    x = x[..., :need]
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, need - x.shape[-1])])
    hops = x.reshape(*x.shape[:-1], frames + parts - 1, hop)
    framed = jnp.concatenate([hops[..., part : part + frames, :] for part in range(parts)], axis=-1)
    return framed[..., :size]


def _fit(constant: np.ndarray, ndim: int) -> np.ndarray:
    """The constant with leading axes of 1, since ranks are never raised silently."""
    return constant.reshape((1,) * (ndim - constant.ndim) + constant.shape)


def _overlap_add(framed: jax.Array, hop: int) -> jax.Array:
    """Frames (..., frames, size) added where they belong: (..., hops, hop)."""
    size = framed.shape[-1]
    parts = -(-size // hop)
    lead = [(0, 0)] * (framed.ndim - 2)
    framed = jnp.pad(framed, [*lead, (0, 0), (0, parts * hop - size)])
    framed = framed.reshape(*framed.shape[:-1], parts, hop)
    # Padded slices, for the reason given in `_cut`.
    shifted = (
        jnp.pad(framed[..., part, :], [*lead, (part, parts - 1 - part), (0, 0)])
        for part in range(parts)
    )
    return sum(shifted, start=jnp.float32(0))


def _inverse_weight(weight: np.ndarray, frames: int, hop: int) -> np.ndarray:
    """One over the summed weights of few frames, (hops, hop): the beginning, middle and end."""
    parts = -(-len(weight) // hop)
    weight = np.pad(weight, (0, parts * hop - len(weight))).reshape(parts, hop)
    few = min(frames, parts)
    total = np.zeros((few + parts - 1, hop))
    for frame in range(few):
        total[frame : frame + parts] += weight
    return np.where(total > COVERED, 1 / np.maximum(total, COVERED), 0).astype(np.float32)


def _every_hop(inverse: np.ndarray, frames: int, ndim: int) -> jax.Array:
    """The inverse weights of all frames: what is alike in the middle, repeated.

    A constant as long as the signal would make the program as large as the signal.
    """
    hop = inverse.shape[-1]
    few = min(frames, (len(inverse) + 1) // 2)
    middle = jnp.broadcast_to(inverse[few - 1 : few], (frames - few, hop))
    whole = jnp.concatenate([inverse[:few], middle, inverse[few:]])
    return whole.reshape((1,) * (ndim - 2) + whole.shape)
