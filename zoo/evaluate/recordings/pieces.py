"""Recordings of many lengths in pieces of few, so that few programs are compiled."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from zoo.errors import ZooError
from zoo.evaluate.recordings.protocol import SHAPES_IN, RecordingProtocol
from zoo.evaluate.recordings.reading import Reader

# What one call of a model gets: so many seconds in all, in at most so many recordings.
_SECONDS = 64
_BATCH = 16


class Piece(NamedTuple):
    """A recording, or as much of a long one as is scored at once.

    Attributes:
      place: of the recording in its whole set.
      name: of the recording, and where the piece begins if there are several.
      start: its first sample.
      stop: the sample after its last.
      channels: of the recording.
      paired: whether it brings its noisy twin.
    """

    place: int
    name: str
    start: int
    stop: int
    channels: int
    paired: bool

    @property
    def length(self) -> int:
        """In samples."""
        return self.stop - self.start


class Group(NamedTuple):
    """Pieces that one call takes.

    Attributes:
      pieces: at least one.
      canvas: samples each is padded to.
      capacity: B, at least as many: a batch that is not full repeats its last piece, because a
        smaller one would be compiled once more.
    """

    pieces: list[Piece]
    canvas: int
    capacity: int

    @property
    def lengths(self) -> np.ndarray:
        """The pieces' own lengths, (B,), int32."""
        return np.array(self._filled([piece.length for piece in self.pieces]), np.int32)

    def lay(self, signals: Sequence[np.ndarray]) -> np.ndarray:
        """One signal (T, C) a piece, with zeros at its end, stacked: (B, canvas, C)."""
        return np.stack(
            self._filled([np.pad(x, ((0, self.canvas - len(x)), (0, 0))) for x in signals])
        )

    def _filled(self, values: list) -> list:
        return values + values[-1:] * (self.capacity - len(values))


def cut(
    recordings: Reader, count: int, protocol: RecordingProtocol
) -> tuple[list[Piece], list[str]]:
    """The pieces of the first `count` recordings, and a line about each that is left out.

    Raises:
      ZooError: a recording or pair cannot be scored, or some are paired and others not.
    """
    pieces, left_out = [], []
    for place in range(count):
        length = recordings.length(place)
        number = math.ceil(length / protocol.longest)
        size = math.ceil(length / number)
        for start in range(0, length, size):
            stop = min(start + size, length)
            name, target, noisy = recordings.read(place, start, stop)
            if number > 1:
                name = f"{name} at {start / protocol.sample_rate:.1f} s"
            if target.any():
                pieces.append(Piece(place, name, start, stop, target.shape[1], noisy is not None))
            else:
                left_out.append(f"{name} is silent and was left out")
    if len({piece.paired for piece in pieces}) > 1:
        raise ZooError("some recordings bring their noisy twin and others do not; part them")
    if not pieces:
        raise ZooError("every recording is silent; check the data")
    return pieces, left_out


def groups(pieces: Sequence[Piece], sample_rate: int) -> Iterator[Group]:
    """All pieces in batches, the short ones first."""
    kinds: dict[tuple[int, int], list[Piece]] = {}
    for piece in pieces:
        kinds.setdefault((canvas(piece.length, sample_rate), piece.channels), []).append(piece)
    for (size, _), mine in sorted(kinds.items()):
        most = max(1, min(_BATCH, int(_SECONDS * sample_rate / size)))
        # As even as can be: 17 pieces are 9 and 8, not 16 and one that is computed 16 times.
        capacity = math.ceil(len(mine) / math.ceil(len(mine) / most))
        for first in range(0, len(mine), capacity):
            yield Group(mine[first : first + capacity], size, capacity)


def canvas(length: int, sample_rate: int) -> int:
    """What a length is padded to, in samples.

    Multiples of 2 s up to 16 s; beyond, of twice as many every time the length doubles. So there
    are at most four sizes an octave and at most a quarter of zeros in a long one.
    """
    unit = int(SHAPES_IN * sample_rate)
    while length > 8 * unit:
        unit *= 2
    return -(-length // unit) * unit
