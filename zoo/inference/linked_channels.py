"""One gain for all channels of an audio signal, from what a model makes of each."""

import numpy as np

from zoo import spectral
from zoo.inference.audio_chunks import Fifo

# Far below the power of a bin that holds the rounding of 24 bits.
_SILENCE = 1e-20
# Frames at a time, times channels: more would leave the processor's cache.
_MOST = 512


class Linked:
    """A core whose channels all get the same gain, so that sources stay where they are.

    A model that processes each channel by itself moves sources: where it takes more from one
    channel than from another, their levels change against each other. Here each channel X_c of the
    short-time spectrum is multiplied by one complex gain

      H = sum_c Y_c conj(X_c) / sum_c |X_c|^2,

    with which the H X_c are nearest to the core's outputs Y_c by least squares. So differences of
    level and phase, and the correlation, stay those of the signal in each bin; identical
    channels get what one of them would get; opposite channels do not cancel, as they do in their
    mean; the energy of H X is at most that of Y; and what the core leaves stays, to the bit.

    Where only one channel holds the source, separate channels leave less noise, for that of the
    other opens with it. The gain of the mean of the channels would be cheaper, and lose all where
    they are opposite; a real gain |Y| / |X| would lose the phase of complex masks.

    As many samples come out as go in, at the same places, and one hop later than the core's.

    Attributes:
      sample_rate: of the core, in Hz.
    """

    def __init__(self, core, channels: int, hop: int):
        """Begins an audio signal.

        Args:
          core: a `zoo.inference.audio_resampling.Core`.
          channels: C.
          hop: samples from frame to frame; a frame has two.
        """
        self.sample_rate, self._core, self._hop = core.sample_rate, core, hop
        # Used twice, the weights of overlapping frames sum to 1.
        self._window = spectral.sqrt_hann(2 * hop)[None, :, None]
        self._frames = max(_MOST // channels, 1)
        self._dry = Fifo(channels)
        # Inputs and changes side by side; the first frame is centered at the first sample.
        self._pairs = np.zeros((hop, 2 * channels), np.float32)
        self._tail = np.zeros((1, hop, channels), np.float32)
        self._skip, self._owed = hop, 0

    def feed(self, x: np.ndarray) -> np.ndarray:
        """Takes the next samples (n, C) and gives those (m, C) that are finished."""
        self._dry.push(x)
        return self._take(self._core.feed(x))

    def finish(self) -> np.ndarray:
        """The rest (m, C)."""
        y = self._take(self._core.finish())
        owed = len(y) + self._owed
        self._dry.push(np.zeros((2 * self._hop, y.shape[1]), np.float32))
        silence = np.zeros((2 * self._hop, y.shape[1]), np.float32)
        return np.concatenate([y, self._take(silence)])[:owed]

    def _take(self, y: np.ndarray) -> np.ndarray:
        """The samples that the core's next outputs finish."""
        x = self._dry.pop(len(y))
        self._pairs = np.concatenate([self._pairs, np.concatenate([x, y - x], axis=1)])
        self._owed += len(y)
        found = [y[:0]]
        while (count := min(len(self._pairs) // self._hop - 1, self._frames)) > 0:
            found.append(self._linked(count))
        y = np.concatenate(found)
        skipped = min(self._skip, len(y))
        self._skip -= skipped
        self._owed -= len(y) - skipped
        return y[skipped:]

    def _linked(self, count: int) -> np.ndarray:
        """The next (count * hop, C) samples, by overlap and add."""
        hop = self._hop
        halves = self._pairs[: (count + 1) * hop].reshape(count + 1, hop, -1)
        self._pairs = self._pairs[count * hop :]
        frames = np.concatenate([halves[:-1], halves[1:]], axis=1) * self._window
        x, change = np.split(np.fft.rfft(frames, axis=1), 2, axis=2)
        power = (np.square(x.real) + np.square(x.imag)).sum(2, keepdims=True)
        less = (change * x.conj()).sum(2, keepdims=True) / (power + np.float32(_SILENCE))
        frames = np.fft.irfft(less * x, axis=1) * self._window
        tails = np.concatenate([self._tail, frames[:, hop:]])
        self._tail = tails[-1:]
        dry = halves[:-1, :, : frames.shape[2]]
        return (dry + frames[:, :hop] + tails[:-1]).reshape(-1, frames.shape[2])
