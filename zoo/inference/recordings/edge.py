"""What a model does near the upper edge of its band, for what lies above the band."""

import numpy as np

_SIZE, _HOP = 512, 256
# Shares of the highest frequency: below the roll-off of the resampling, high enough to be like
# what lies above.
_LOW, _HIGH = 0.65, 0.9
# Energies of that band far below it are silence, of which no gain can be told, and it counts as 1.
# Rounding to 16 bits makes a tenth of it.
_SILENCE = 1e-5


class EdgeGain:
    """A gain in [0, 1] for each moment and channel: the model's over the top of its band.

    It is the root of the energy that the model leaves there, over frames of 32 ms at 16 kHz, and
    linear between the frames' middles. A model that leaves all gives 1.
    """

    def __init__(self, channels: int, sample_rate: int, rate: int):
        """Begins a recording.

        Args:
          channels: C.
          sample_rate: of the model, Hz.
          rate: of the gains, Hz.
        """
        top = min(rate, sample_rate) / 2
        hz = np.fft.rfftfreq(_SIZE, 1 / sample_rate)
        self._bins = np.flatnonzero((hz >= _LOW * top) & (hz <= _HIGH * top))
        self._window = np.hanning(_SIZE + 1)[:-1, None].astype(np.float32)
        self._ratio = sample_rate / (rate * _HOP)
        # Frame k has its middle at sample k * hop.
        self._x = np.zeros((_SIZE // 2, 2 * channels), np.float32)
        self._gains, self._frame, self._at = np.ones((0, channels)), 0, 0

    def push(self, x: np.ndarray, y: np.ndarray) -> None:
        """Takes the next samples (n, C) before and after the model."""
        self._x = np.concatenate([self._x, np.concatenate([x, y], axis=1)])
        count = max(len(self._x) - _SIZE, -_HOP) // _HOP + 1
        if not count:
            return
        halves = self._x[: (count + 1) * _HOP].reshape(count + 1, _HOP, -1)
        frames = np.concatenate([halves[:-1], halves[1:]], axis=1) * self._window[None]
        spectrum = np.fft.rfft(frames, axis=1)[:, self._bins]
        before, after = np.split(np.square(np.abs(spectrum)).sum(1) + _SILENCE, 2, axis=1)
        self._gains = np.concatenate([self._gains, np.sqrt(np.minimum(after / before, 1))])
        self._x = self._x[count * _HOP :]

    def ready(self) -> int:
        """For how many more samples of the gains' rate the gain is known."""
        last = self._frame + len(self._gains) - 1
        return max(int(last / self._ratio) - self._at, 0) if len(self._gains) else 0

    def pop(self, count: int) -> np.ndarray:
        """The gains of the next samples, (count, C) float32; beyond the known the last."""
        if not len(self._gains):
            return np.ones((count, self._gains.shape[1]), np.float32)
        places = np.arange(self._at, self._at + count) * self._ratio - self._frame
        known = np.arange(len(self._gains))
        gains = np.stack([np.interp(places, known, one) for one in self._gains.T], axis=1)
        self._at += count
        passed = min(int(self._at * self._ratio) - self._frame, len(self._gains) - 1)
        self._gains, self._frame = self._gains[passed:], self._frame + passed
        return gains.astype(np.float32)
