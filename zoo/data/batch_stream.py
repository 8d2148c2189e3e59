"""Batches of pictures or recordings too many for memory: read and cropped ahead of time by grain.

A picture is decoded whole. Of a recording only the crops are read, so it may be of any length.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np

from zoo.data.batches import Batch, Order, stack
from zoo.data.pcm import lengthen
from zoo.errors import ZooError

# Of a process, in batches; grain's own 500 would fill the memory.
_AHEAD = 8


class StreamBatches:
    """Batches of crops that the host cuts while the device computes.

    Each decoded picture gives several crops to a batch. What slot s of batch n shows follows from
    (seed, n, s) alone: neither the number of hosts nor of workers changes it.

    A recording comes as often as its length holds crops, and one shorter than a crop is followed by
    silence. Where there is noise, each slot has an excerpt of it beside its crop: of a recording
    drawn by its length, which starts over where it is shorter than the excerpt.

    Args:
      source: the pictures, `(name, target, input)`, or the recordings, with `source.noise`.
      size: (H, W) of a crop, (T,) of recordings; None takes whole pictures, which must then be of
        one size, and recordings likewise.
      batch_size: B, over all hosts.
      seed: the run's seed.
      crops_per_picture: consecutive slots that share a picture or a recording.
      with_noise: whether to hand over noise, where the source has some.
      workers: processes that decode; 0 decodes in threads of this one.
      host: this host's number.
      hosts: how many hosts share a batch.

    Attributes:
      order: the sequence of pictures, each as often as it gives crops.
      size: (H, W), or (T,), of what the batches hold.

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
        with_noise: bool = True,
        workers: int = 0,
        host: int = 0,
        hosts: int = 1,
    ):
        if batch_size // hosts % crops_per_picture:
            raise ZooError(
                f"data.crops_per_picture={crops_per_picture} does not divide the "
                f"{batch_size // hosts} slots of a host; make train.batch_size a multiple"
            )
        recordings = getattr(source, "modality", "image") == "audio"
        whole = size is None
        if whole:
            shape = source[0].target.shape
            size = shape[:1] if recordings else shape[:2]
        self.size = tuple(size)
        noise = None
        if recordings:
            areas, crop_area = source.lengths(), self.size[0] * crops_per_picture
            cutter = _Pieces(source, areas, self.size[0], whole=whole)
            if with_noise and source.noise is not None:
                noise = _Noise(source.noise, self.size[0], seed)
        else:
            areas, crop_area = [1] * len(source), 1
            cutter = _Cuts(source, self.size, whole=whole)
        groups = Order(areas, crop_area, seed)
        self.order = Order(groups.repeats * crops_per_picture, 1, seed)
        self._crops = _Crops(cutter, groups, seed, crops_per_picture, noise)
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
                yield Batch(self._slots, **found)


class _Crops:
    """Group j: the crops of one picture or recording, (crops, ..., K), and their noise."""

    def __init__(self, cutter, order: Order, seed: int, crops: int, noise: "_Noise | None"):
        self._cutter = cutter
        self._order = order
        self._seed = seed
        self._noise = noise
        self.crops = crops

    def __getitem__(self, j: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self._seed, 1, j])
        found = {"pixels": self._cutter.cut(self._order[j], rng, self.crops)}
        if self._noise is not None:
            slots = range(j * self.crops, (j + 1) * self.crops)
            found["noise_pixels"] = np.stack([self._noise[slot] for slot in slots])
        return found


class _Cuts:
    """Crops (H, W, K) of pictures."""

    def __init__(self, source, size: tuple[int, int], *, whole: bool):
        self._source = source
        self._size = size
        self._whole = whole

    def cut(self, index: int, rng: np.random.Generator, count: int) -> np.ndarray:
        picture = self._source[index]
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
        ys = rng.integers(height - h, size=count, endpoint=True)
        xs = rng.integers(width - w, size=count, endpoint=True)
        return np.stack([pixels[y : y + h, x : x + w] for y, x in zip(ys, xs, strict=True)])


class _Pieces:
    """Crops (T, K) of recordings."""

    def __init__(self, source, lengths: Sequence[int], size: int, *, whole: bool):
        self._source = source
        self._lengths = lengths
        self._size = size
        self._whole = whole

    def cut(self, index: int, rng: np.random.Generator, count: int) -> np.ndarray:
        length = self._lengths[index]
        if self._whole and length != self._size:
            raise ZooError(
                f"{self._source.names[index]} has {length} samples, unlike the others; "
                "set data.crop"
            )
        starts = rng.integers(max(length - self._size, 0), size=count, endpoint=True)
        pieces = [self._source.excerpt(index, int(start), self._size) for start in starts]
        return np.stack([lengthen(stack(piece)[0], self._size) for piece in pieces])


class _Noise:
    """Slot g of all slots of the run: an excerpt of noise (T, C)."""

    def __init__(self, source, size: int, seed: int):
        self._source = source
        self._ends = np.cumsum(source.lengths())
        self._size = size
        self._seed = seed

    def __getitem__(self, g: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, 2, g])
        index = int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))
        length = int(np.diff(self._ends, prepend=0)[index])
        start = int(rng.integers(max(length - self._size, 0), endpoint=True))
        return lengthen(
            self._source.excerpt(index, start, self._size).target, self._size, wrap=True
        )


class _Pixels:
    """The arrays of one host's part of the batches from `n` on, as grain's endless random access.

    An error is handed over like a batch: raised in a worker, grain would wrap it in its own.
    """

    def __init__(self, crops: _Crops, n: int, groups: int, mine: np.ndarray):
        self._crops = crops
        self._n = n
        self._groups = groups
        self._mine = mine

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, i: int) -> dict[str, np.ndarray] | ZooError:
        first = (self._n + int(i)) * self._groups
        try:
            groups = [self._crops[first + int(j)] for j in self._mine]
            return {key: np.concatenate([group[key] for group in groups]) for key in groups[0]}
        except ZooError as error:
            return error
