"""Batches of pictures too many for memory: decoded and cropped ahead of time by grain."""

from collections.abc import Iterator, Sequence

import numpy as np

from zoo.data.batches import Batch, Order, stack
from zoo.errors import ZooError


class StreamBatches:
    """Batches of crops that the host cuts while the device computes.

    Each decoded picture gives several crops to a batch. What slot s of batch n shows follows from
    (seed, n, s) alone: neither the number of hosts nor of workers changes it.

    Args:
      source: the pictures, `(name, target, input)`.
      size: (H, W) of a crop; None takes whole pictures, which must then be of one size.
      batch_size: B, over all hosts.
      seed: the run's seed.
      crops_per_picture: consecutive slots that share a picture.
      workers: processes that decode; 0 decodes in threads of this one.
      host: this host's number.
      hosts: how many hosts share a batch.

    Raises:
      ZooError: a host's part of a batch is no multiple of `crops_per_picture`.
    """

    def __init__(
        self,
        source: Sequence,
        *,
        size: tuple[int, int] | None,
        batch_size: int,
        seed: int,
        crops_per_picture: int,
        workers: int = 0,
        host: int = 0,
        hosts: int = 1,
    ):
        if batch_size // hosts % crops_per_picture:
            raise ZooError(
                f"data.crops_per_picture={crops_per_picture} does not divide the "
                f"{batch_size // hosts} slots of a host; make train.batch_size a multiple"
            )
        self.order = Order([crops_per_picture] * len(source), 1, seed)
        self._crops = _Crops(source, size, seed, crops_per_picture)
        self._batch_size = batch_size
        self._workers = workers
        local = batch_size // hosts
        self._slots = np.arange(host * local, (host + 1) * local, dtype=np.int32)

    def starting_at(self, n: int) -> Iterator[Batch]:
        """This host's part of batches n, n + 1, ... without end."""
        import grain  # noqa: PLC0415 - only streams need it, and it is slow to import

        crops = self._crops.crops
        mine = self._slots[::crops] // crops
        groups = _Groups(self._crops, n, self._batch_size // crops, mine)
        dataset = grain.MapDataset.source(groups).batch(len(mine)).to_iter_dataset()
        if self._workers:
            options = grain.MultiprocessingOptions(num_workers=self._workers)
            dataset = dataset.mp_prefetch(options)
        for pixels in dataset:
            yield Batch(self._slots, pixels=pixels.reshape(-1, *pixels.shape[2:]))


class _Crops:
    """Group j: the crops of one picture, (crops, H, W, K)."""

    def __init__(self, source, size, seed: int, crops: int):
        self._source = source
        self._size = size
        self._seed = seed
        self._order = Order([1] * len(source), 1, seed)
        self.crops = crops

    def __getitem__(self, j: int) -> np.ndarray:
        picture = self._source[self._order[j]]
        pixels = stack(picture)
        height, width = pixels.shape[:2]
        h, w = self._size or (height, width)
        if h > height or w > width:
            raise ZooError(
                f"{picture.name} is {height}x{width}, smaller than the crop of {h}x{w}; "
                "make data.crop smaller or leave the picture out"
            )
        rng = np.random.default_rng([self._seed, 1, j])
        ys = rng.integers(height - h, size=self.crops, endpoint=True)
        xs = rng.integers(width - w, size=self.crops, endpoint=True)
        return np.stack([pixels[y : y + h, x : x + w] for y, x in zip(ys, xs, strict=True)])


class _Groups:
    """The groups that one host reads, from batch `n` on, as grain's endless random access."""

    def __init__(self, crops: _Crops, n: int, groups: int, mine: np.ndarray):
        self._crops = crops
        self._n = n
        self._groups = groups
        self._mine = mine

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, i: int) -> np.ndarray:
        batch, place = divmod(int(i), len(self._mine))
        return self._crops[(self._n + batch) * self._groups + int(self._mine[place])]
