"""A model of audio at another sample rate than its own, mixed with the unprocessed signal."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from flax import linen as nn

from zoo.errors import ZooError
from zoo.inference.audio_chunks import Fifo, Hops, Segments
from zoo.inference.image_canvas import check_strength
from zoo.inference.linked_channels import Linked
from zoo.models.audio_denoiser import frame_size

_SIZE, _HOP = 512, 256
# Shares of the highest frequency: below the roll-off of the resampling, high enough to be like
# what lies above.
_LOW, _HIGH = 0.65, 0.9
# Energies of that band far below it are silence, of which no gain is known, and it counts as 1.
# Rounding to 16 bits makes a tenth of it.
_SILENCE = 1e-5


class EdgeGain:
    """A gain in [0, 1] for each moment: the model's over the top of its band.

    Each channel has its own, or all have one. It is the root of the energy that the model leaves
    there, over frames of 32 ms at 16 kHz, and linear between the frames' middles. A model that
    leaves all gives 1.
    """

    def __init__(self, channels: int, sample_rate: int, rate: int, *, linked: bool = False):
        """Begins an audio signal.

        Args:
          channels: C.
          sample_rate: of the model, Hz.
          rate: of the gains, Hz.
          linked: whether the channels have one gain, from their energies together.
        """
        top = min(rate, sample_rate) / 2
        hz = np.fft.rfftfreq(_SIZE, 1 / sample_rate)
        self._bins = np.flatnonzero((hz >= _LOW * top) & (hz <= _HIGH * top))
        self._window = np.hanning(_SIZE + 1)[:-1, None].astype(np.float32)
        self._ratio = sample_rate / (rate * _HOP)
        # Frame k has its middle at sample k * hop.
        self._x = np.zeros((_SIZE // 2, 2 * channels), np.float32)
        self._linked, gains = linked, 1 if linked else channels
        self._gains, self._frame, self._at = np.ones((0, gains)), 0, 0

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
        if self._linked:
            before, after = (one.sum(1, keepdims=True) for one in (before, after))
        self._gains = np.concatenate([self._gains, np.sqrt(np.minimum(after / before, 1))])
        self._x = self._x[count * _HOP :]

    def ready(self) -> int:
        """For how many more samples of the gains' rate the gain is known."""
        last = self._frame + len(self._gains) - 1
        return max(int(last / self._ratio) - self._at, 0) if len(self._gains) else 0

    def pop(self, count: int) -> np.ndarray:
        """The gains of the next samples, (count, C) float32, or (count, 1) where the channels are
        linked; beyond the known the last."""
        if not len(self._gains):
            return np.ones((count, self._gains.shape[1]), np.float32)
        places = np.arange(self._at, self._at + count) * self._ratio - self._frame
        known = np.arange(len(self._gains))
        gains = np.stack([np.interp(places, known, one) for one in self._gains.T], axis=1)
        self._at += count
        passed = min(int(self._at * self._ratio) - self._frame, len(self._gains) - 1)
        self._gains, self._frame = self._gains[passed:], self._frame + passed
        return gains.astype(np.float32)


# soxr makes no others.
_RATES = (1000, 768000)


class Core(Protocol):
    """What gives as many samples as it takes, some of them later, at `sample_rate`."""

    sample_rate: int

    def feed(self, x: np.ndarray) -> np.ndarray:
        """Takes the next samples (n, C) and gives those (m, C) that are finished."""

    def finish(self) -> np.ndarray:
        """The rest (m, C)."""


def pipe(
    model: nn.Module,
    variables: Mapping,
    *,
    channels: int,
    sample_rate: int,
    strength: float,
    linked: bool,
) -> Core:
    """A model for audio of any rate, in Hz, that are there as a whole; see `around`."""
    feed = Hops if getattr(model, "hop", 0) else Segments
    settings = {"channels": channels, "sample_rate": sample_rate, "strength": strength}
    return around(feed(model, variables, channels), **settings, hop=link_hop(model) * linked)


def around(core: Core, *, channels: int, sample_rate: int, strength: float, hop: int = 0) -> Core:
    """A core, resampled to and fro, whose output is x + strength (y - x).

    Args:
      core: a model.
      channels: C.
      sample_rate: of the audio, Hz.
      strength: as said.
      hop: of `Linked`, of which several channels get one gain; 0 has them processed separately.

    Raises:
      ZooError: the strength is not in [0, 1], or the rate is none.
    """
    check_strength(strength)
    check_rate(sample_rate)
    linked = hop > 0 and channels > 1
    if linked:
        core = Linked(core, channels, hop)
    if sample_rate == core.sample_rate:
        return Plain(core, channels, strength)
    return Banded(core, channels, int(sample_rate), strength, linked=linked)


def link_hop(model: nn.Module) -> int:
    """The hop of `Linked` around a model: its own, or 16 ms of one that has none."""
    return getattr(model, "hop", 0) or frame_size(model.sample_rate) // 2


def check_rate(sample_rate: float, subject: str = "sample_rate is") -> None:
    """Raises `ZooError` for a rate, in Hz, that is no whole number or cannot be resampled."""
    low, high = _RATES
    if not low <= sample_rate <= high:
        raise ZooError(
            f"{subject} {sample_rate:g} Hz, which is not from {low} to {high} Hz; resample it first"
        )
    if sample_rate != int(sample_rate):
        raise ZooError(
            f"{subject} {sample_rate!r} Hz, which is not a whole number; resample it first"
        )


class Plain:
    """A core at its own rate, mixed with what went in."""

    def __init__(self, core: Core, channels: int, strength: float):
        self.sample_rate = core.sample_rate
        self._core, self._dry, self._strength = core, Fifo(channels), strength

    def feed(self, x: np.ndarray) -> np.ndarray:
        """Takes the next samples (n, C) and gives those (m, C) that are finished."""
        self._dry.push(x)
        return self._mix(self._core.feed(x))

    def finish(self) -> np.ndarray:
        """The rest (m, C)."""
        return self._mix(self._core.finish())

    def _mix(self, y: np.ndarray) -> np.ndarray:
        x = self._dry.pop(len(y))
        return _blend(x, y - x, self._strength)


class Banded:
    """A core of another rate: it sees its band, and only what it changes is resampled back.

    What the signal holds above the band, and no core ever sees, is the difference to its own
    resampled self; it follows `EdgeGain`. So what a core leaves stays as it was, to the bit.
    """

    def __init__(
        self, core: Core, channels: int, rate: int, strength: float, *, linked: bool = False
    ):
        import soxr  # noqa: PLC0415, only other rates need it

        self.sample_rate = rate
        self._core, self._strength, self._channels = core, strength, channels
        self._down = soxr.ResampleStream(rate, core.sample_rate, channels, dtype="float32")
        self._up = soxr.ResampleStream(core.sample_rate, rate, 2 * channels, dtype="float32")
        self._edge = EdgeGain(channels, core.sample_rate, rate, linked=linked)
        self._dry, self._seen, self._back = Fifo(channels), Fifo(channels), Fifo(2 * channels)
        # Samples that went in, and that the core got of them.
        self._fed = self._given = 0

    def feed(self, x: np.ndarray) -> np.ndarray:
        """Takes the next samples (n, C) and gives those (m, C) that are finished."""
        self._dry.push(x)
        self._fed += len(x)
        self._lead(self._core.feed(self._see(x, last=False)), last=False)
        return self._mix(min(len(self._back), len(self._dry), self._edge.ready()))

    def finish(self) -> np.ndarray:
        """The rest (m, C)."""
        seen = self._see(np.zeros((0, self._channels), np.float32), last=True)
        y = self._core.feed(seen)
        self._lead(np.concatenate([y, self._core.finish()]), last=True)
        missing = max(len(self._dry) - len(self._back), 0)
        self._back.push(np.zeros((missing, 2 * self._channels), np.float32))
        return self._mix(len(self._dry))

    def _see(self, x: np.ndarray, *, last: bool) -> np.ndarray:
        """What the core sees of the next samples."""
        x = self._down.resample_chunk(np.ascontiguousarray(x), last=last)
        self._given += len(x)
        if last:
            # As many as the way back needs: soxr rounds down.
            missing = -(-self._fed * self._core.sample_rate // self.sample_rate) - self._given
            x = np.pad(x, ((0, max(missing, 0)), (0, 0)))
        self._seen.push(x)
        return x

    def _lead(self, y: np.ndarray, *, last: bool) -> None:
        """Leads the core's output back to the signal's rate, what it changed and what it saw."""
        x = self._seen.pop(len(y))
        self._edge.push(x, y)
        self._back.push(self._up.resample_chunk(np.concatenate([y - x, x], axis=1), last=last))

    def _mix(self, count: int) -> np.ndarray:
        x = self._dry.pop(count)
        change, seen = np.split(self._back.pop(count), 2, axis=1)
        change = change + (self._edge.pop(count) - 1) * (x - seen)
        return _blend(x, change, self._strength)


def _blend(x: np.ndarray, change: np.ndarray, strength: float) -> np.ndarray:
    # Not x + 0 * change, which would turn a negative zero.
    return x + np.float32(strength) * change if strength else x
