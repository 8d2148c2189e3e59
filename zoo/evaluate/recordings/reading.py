"""Pieces of recordings, of long files no more than that."""

from collections.abc import Sequence

from zoo.data.pcm import check
from zoo.data.sources import Example
from zoo.errors import ZooError


class Reader:
    """Reads pieces of a set's recordings, checked.

    Args:
      recordings: a `zoo.data.sources.Source`, of whose files only pieces are read, or any other
        sequence of `Example`.
    """

    def __init__(self, recordings: Sequence[Example]):
        self._recordings = recordings
        self._lengths: list[int] | None = None

    def __len__(self) -> int:
        return len(self._recordings)

    def length(self, index: int) -> int:
        """How many samples recording `index` has.

        Raises:
          ZooError: it cannot be read, or is no recording.
        """
        if not hasattr(self._recordings, "lengths"):
            return len(self._whole(index).target)
        if self._lengths is None:
            self._lengths = self._recordings.lengths()
        return self._lengths[index]

    def read(self, index: int, start: int, stop: int) -> Example:
        """Samples `start` to `stop` of recording `index`, (T, C), int16 or float.

        Raises:
          ZooError: it cannot be read, is no recording, or its noisy twin does not fit.
        """
        if hasattr(self._recordings, "excerpt"):
            return _fitting(self._recordings.excerpt(index, start, stop - start))
        name, target, noisy = self._whole(index)
        return Example(name, target[start:stop], None if noisy is None else noisy[start:stop])

    def _whole(self, index: int) -> Example:
        return _fitting(self._recordings[index])


def _fitting(recording: Example) -> Example:
    name, target, noisy = recording
    if noisy is not None and noisy.shape != target.shape:
        raise ZooError(
            f"{name}: the input is {noisy.shape}, its target {target.shape}; mend the pair"
        )
    return Example(
        name,
        check(target, name),
        None if noisy is None else check(noisy, f"the input of {name}"),
    )
