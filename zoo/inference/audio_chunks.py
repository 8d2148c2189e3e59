"""A model of audio fed with pieces of any size: hops of a stream, or cross-faded segments."""

from collections.abc import Mapping
from functools import partial

import jax
import numpy as np
from flax import linen as nn


class Fifo:
    """A queue of samples (n, C), float32, taken in the order and the sizes that suit the taker."""

    def __init__(self, channels: int):
        self._x = np.zeros((0, channels), np.float32)

    def __len__(self) -> int:
        return len(self._x)

    def push(self, x: np.ndarray) -> None:
        """Appends (n, C)."""
        self._x = np.concatenate([self._x, x])

    def pop(self, count: int) -> np.ndarray:
        """Takes the first (count, C), or all there are."""
        taken, self._x = self._x[:count], self._x[count:]
        return taken


# Hops that one call of the model takes: few sizes, for each is a program to compile. More than 64
# are no faster a hop, and leave the processor's cache. A live stream does without the largest.
SIZES = (64, 8, 1)
# Hops times channels of one call: many channels go in few hops, so that memory stays small.
_MOST = 512


class Hops:
    """As many samples come out as go in, at the same places: the model's latency is taken off.

    Attributes:
      sample_rate: of the model, in Hz.
    """

    def __init__(
        self, model: nn.Module, variables: Mapping | None, channels: int, *, live: bool = False
    ):
        """Begins an audio signal of C channels.

        Args:
          model: one that streams.
          variables: its own; None leaves the samples unchanged, as late as the model's.
          channels: C.
          live: whether to give at once what can be given, or to wait for the largest size, which
            costs the least a sample and leaves one program to compile.
        """
        self.sample_rate, self._hop = model.sample_rate, model.hop
        self._step, self._state = (lambda state, chunk: (state, chunk)), None
        if variables is not None:
            self._step = partial(_step, model, variables)
            self._state = model.init_state(1, channels)
        self._sizes = [size for size in SIZES if size * channels <= _MOST]
        self._sizes = self._sizes[-2:] if live else self._sizes
        self._fed_sizes = self._sizes if live else self._sizes[:1]
        self._held, self._skip, self._owed = Fifo(channels), model.latency, 0
        self._empty = np.zeros((0, channels), np.float32)

    def feed(self, x: np.ndarray) -> np.ndarray:
        """Takes the next samples (n, C) and gives those (m, C) that are finished."""
        self._held.push(x)
        self._owed += len(x)
        found = [self._empty]
        for size in self._fed_sizes:
            while len(self._held) >= size * self._hop:
                found.append(self._take(size))
        return np.concatenate(found)

    def finish(self) -> np.ndarray:
        """The rest (m, C), brought out by zeros."""
        found = [self._empty]
        while self._owed:
            hops = -(-(self._owed + self._skip) // self._hop)
            found.append(self._take(self._fitting(hops)))
        return np.concatenate(found)

    def warm(self) -> None:
        """Compiles all that will be needed, so that no chunk waits for it."""
        for size in self._sizes:
            silence = np.zeros((1, size * self._hop, self._empty.shape[1]), np.float32)
            self._step(self._state, silence)

    def _fitting(self, hops: int) -> int:
        """The size to do so many hops by: above it where less than half is wasted, else below."""
        above = [size for size in self._sizes if hops <= size < 2 * hops]
        below = [size for size in self._sizes if size <= hops]
        return min(above) if above else max(below)

    def _take(self, size: int) -> np.ndarray:
        x = self._held.pop(size * self._hop)
        if len(x) < size * self._hop:
            x = np.pad(x, ((0, size * self._hop - len(x)), (0, 0)))
        self._state, y = self._step(self._state, x[None])
        y = np.asarray(y)[0]
        skipped = min(self._skip, len(y))
        y = y[skipped:][: self._owed]
        self._skip -= skipped
        self._owed -= len(y)
        return y


# One cache of programs for all streams of a model.
@partial(jax.jit, static_argnums=0)
def _step(model, variables, state, chunk):
    return model.step(variables, state, chunk)


# In seconds. Statistics of a segment are to be as good as those of a signal, and memory is to
# stay small; the fade is longer than the memory of a room.
SEGMENT, OVERLAP = 16, 1
# Lengths that a shorter signal is brought to, for each is a program to compile.
_SHORTER = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12)


class Segments:
    """As many samples come out as go in, at the same places.

    A signal of up to 16 s goes through whole, mirrored at its end up to one of ten lengths: so
    the statistics stay its own, and what the spectral gate gives of noisy speech changes by a
    thousandth of its energy, at the same SI-SDR within 0.2 dB. Of a longer one every 15 s begins a
    segment of 16 s, and each fades into the next, so that memory stays flat. The last segment ends
    where the signal does and is as long as the others: no model sees a short end without what
    was before.

    Attributes:
      sample_rate: of the model, in Hz.
    """

    def __init__(self, model: nn.Module, variables: Mapping, channels: int):
        """Begins an audio signal of C channels."""
        self.sample_rate = model.sample_rate
        self._model, self._variables = model, variables
        self._size, self._overlap = SEGMENT * self.sample_rate, OVERLAP * self.sample_rate
        self._empty = np.zeros((0, channels), np.float32)
        # `_x` begins with the last segment's samples, of which the first `_done` were given out;
        # `_tail` are its last outputs, which wait for the next segment's.
        self._x, self._done, self._tail = self._empty, 0, self._empty

    def feed(self, x: np.ndarray) -> np.ndarray:
        """Takes the next samples (n, C) and gives those (m, C) that are finished."""
        self._x = np.concatenate([self._x, x])
        found = [self._empty]
        while True:
            first = len(self._tail) and self._size - self._overlap
            # One sample more than the segment: otherwise it may be the last.
            if len(self._x) <= first + self._size:
                return np.concatenate(found)
            found.append(self._segment(first, last=False))

    def finish(self) -> np.ndarray:
        """The rest (m, C)."""
        if not len(self._x):
            return self._empty
        return self._segment(max(len(self._x) - self._size, 0), last=True)

    def _segment(self, first: int, *, last: bool) -> np.ndarray:
        """The samples that the segment from `first` on finishes."""
        x = self._x[first : first + self._size]
        length = len(x)
        x = np.pad(x, ((0, self._whole(length) - length), (0, 0)), mode="symmetric")
        y = np.asarray(_apply(self._model, self._variables, x[None]))[0, :length]
        y = y[self._done - first :] if self._done else y
        fade = len(self._tail)
        up = np.linspace(0, 1, fade + 2, dtype=np.float32)[1:-1, None]
        y = np.concatenate([self._tail + up * (y[:fade] - self._tail), y[fade:]])
        if last:
            return y
        self._x = self._x[first:]
        self._done = self._size - self._overlap
        y, self._tail = y[: -self._overlap], y[-self._overlap :]
        return y

    def _whole(self, length: int) -> int:
        """Samples that a segment of some length is brought to."""
        lengths = (int(seconds * self.sample_rate) for seconds in _SHORTER)
        return next((n for n in lengths if n >= length), self._size)


@partial(jax.jit, static_argnums=0)
def _apply(model, variables, x):
    return model.apply(variables, x)
