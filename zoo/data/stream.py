"""Batches of pictures too many for memory: decoded and cropped ahead of time by grain."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np

from zoo.data.batches import Batch, Order, stack
from zoo.errors import ZooError

# Of a process, in batches; grain's own 500 would fill the memory.
_AHEAD = 8


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

    Attributes:
      order: the sequence of pictures, each as often as it gives crops.
      size: (H, W) of what the batches hold.

    Raises:
      ZooError: a host's part of a batch is no multiple of `crops_per_picture`. From the batches: a
        picture cannot be read, or does not fit `size`.
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
        whole = size is None
        self.size = source[0].target.shape[:2] if whole else size
        self._crops = _Crops(source, self.size, seed, crops_per_picture, whole=whole)
        self._batch_size = batch_size
        self._workers = workers
        local = batch_size // hosts
        self._slots = np.arange(host * local, (host + 1) * local, dtype=np.int32)

    def starting_at(self, n: int) -> Iterator[Batch]:
        """This host's part of batches n, n + 1, ... without end."""
        import grain  # noqa: PLC0415 - only streams need it, and it is slow to import
        from absl import flags  # noqa: PLC0415

        crops = self._crops.crops
        mine = self._slots[::crops] // crops
        pixels = _Pixels(self._crops, n, self._batch_size // crops, mine)
        reading = grain.ReadOptions(num_threads=_AHEAD, prefetch_buffer_size=_AHEAD)
        dataset = grain.MapDataset.source(pixels).to_iter_dataset(reading)
        if self._workers:
            # grain hands absl's flags to its workers, and stumbles if nobody has parsed them.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            options = grain.MultiprocessingOptions(self._workers, per_worker_buffer_size=_AHEAD)
            dataset = dataset.mp_prefetch(options)
        with closing(iter(dataset)) as iterator:
            for found in iterator:
                if isinstance(found, ZooError):
                    raise found
                yield Batch(self._slots, pixels=found)


class _Crops:
    """Group j: the crops of one picture, (crops, H, W, K)."""

    def __init__(self, source, size, seed: int, crops: int, *, whole: bool):
        self._source = source
        self._size = size
        self._whole = whole
        self._seed = seed
        self._order = Order([1] * len(source), 1, seed)
        self.crops = crops

    def __getitem__(self, j: int) -> np.ndarray:
        picture = self._source[self._order[j]]
        pixels = stack(picture)
        height, width = pixels.shape[:2]
        h, w = self._size
        if self._whole and (h, w) != (height, width):
            raise ZooError(
                f"{picture.name} is {height}x{width}, unlike the others; set data.crop, or "
                "data.size to resize"
            )
        if h > height or w > width:
            raise ZooError(
                f"{picture.name} is {height}x{width}, smaller than the crop of {h}x{w}; "
                "make data.crop smaller or leave the picture out"
            )
        rng = np.random.default_rng([self._seed, 1, j])
        ys = rng.integers(height - h, size=self.crops, endpoint=True)
        xs = rng.integers(width - w, size=self.crops, endpoint=True)
        return np.stack([pixels[y : y + h, x : x + w] for y, x in zip(ys, xs, strict=True)])


class _Pixels:
    """The pixels of one host's part of the batches from `n` on, as grain's endless random access.

    An error is handed over like a batch: raised in a worker, grain would wrap it in its own.
    """

    def __init__(self, crops: _Crops, n: int, groups: int, mine: np.ndarray):
        self._crops = crops
        self._n = n
        self._groups = groups
        self._mine = mine

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, i: int) -> np.ndarray | ZooError:
        first = (self._n + int(i)) * self._groups
        try:
            return np.concatenate([self._crops[first + int(j)] for j in self._mine])
        except ZooError as error:
            return error
