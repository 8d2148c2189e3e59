"""Batches: the contents of each slot of each training batch, a pure function of (seed, n).

Small sets are kept on the device, as one flat `Bank` of values, and a batch is a few indices. Large
sets stay on disk, read and cropped ahead of time by grain; an image is decoded whole, and of audio,
which may have any length, only the crops are read. A slot follows from (seed, n, slot) either way,
so that a resumed run seeks by arithmetic.

Audio (T, C) is kept as an image of one row, (1, T, C), so that a crop is one contiguous read.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo.data.pcm import lengthen
from zoo.errors import ZooError

# Of a process, in batches; grain's default of 500 would fill the memory.
_AHEAD = 8


class Bank(NamedTuple):
    """Images or audio of any sizes in one flat array on the device.

    Attributes:
      values: (P,) uint8 or uint16, the (H, W, K) of all images in order; int16 for audio.
      start: (n,) int32, where each example begins.
      shape: (n, number of spatial axes) int32, such as height and width; for audio 1 and samples.
    """

    values: jax.Array
    start: jax.Array
    shape: jax.Array


class Batch(NamedTuple):
    """One global batch of B slots, before cropping, augmentation and noise.

    Attributes:
      slot: (B,) int32, each example's place in the global batch; it keys the example's randomness.
      example: (B,) int32, the example of `bank` that each slot crops; None where `crops` are given.
      crops: (B, H, W, K) uint8 or uint16, crops made on the host, or (B, T, K) int16 for audio;
        None where `example` is given.
      bank: the examples, None where `crops` are given.
      noise: noise audio, from which each slot draws an `excerpt`; None where there is none.
      noise_crops: (B, T, C) int16, excerpts of noise made on the host, for `crops`.

    K is C, or 2C for paired data: the clean target, then the noisy input.
    """

    slot: jax.Array
    example: jax.Array | None = None
    crops: jax.Array | None = None
    bank: Bank | None = None
    noise: Bank | None = None
    noise_crops: jax.Array | None = None


class Order:
    """An endless shuffled sequence of examples: item g is example `order[g]`.

    Each epoch is a permutation seeded by (seed, epoch) in which an example occurs as often as its
    area holds crops, so that an epoch covers each example about once.

    Args:
      areas: pixels of each image, or samples of each audio file.
      crop_area: pixels, or samples, of a crop.
      seed: the run's seed.

    Attributes:
      repeats: (n,) occurrences of each example in an epoch.
    """

    def __init__(self, areas: Sequence[int], crop_area: int, seed: int):
        self.repeats = np.maximum(1, np.rint(np.asarray(areas) / crop_area)).astype(np.int64)
        self._examples = np.repeat(np.arange(len(areas), dtype=np.int32), self.repeats)
        self._seed = seed
        self._cached: tuple[int, np.ndarray] = (-1, self._examples)

    @property
    def epoch_size(self) -> int:
        """Items in an epoch."""
        return len(self._examples)

    def __getitem__(self, g: int) -> int:
        epoch, position = divmod(int(g), self.epoch_size)
        # Read once: threads of a stream may be an epoch apart.
        cached = self._cached
        if cached[0] != epoch:
            shuffle = np.random.default_rng([self._seed, epoch]).permutation
            cached = self._cached = (epoch, shuffle(self._examples))
        return int(cached[1][position])


def stack(example) -> np.ndarray:
    """One array (H, W, K) of an image: its target and, for paired data, its input behind it.

    For audio (T, C) it is (1, T, K).
    """
    both = [example.target] if example.input is None else [example.target, example.input]
    if example.target.ndim == 2:
        both = [x[None] for x in both]
    return both[0] if len(both) == 1 else np.concatenate(both, axis=-1)


def check_room(values: int, *, recordings: bool = False) -> None:
    """Refuse more pixel values, or samples, than a bank can index.

    Raises:
      ZooError: there are 2**31 or more.
    """
    if values < 2**31:
        return
    if recordings:
        raise ZooError(
            f"the audio has {values:,} samples or more, too many to keep on the device; "
            "set data.stream=True"
        )
    raise ZooError(
        f"the images hold {values:,} values or more, too many to keep on the device; "
        "set data.stream=True, or data.size to make them smaller"
    )


def make_bank(examples: Sequence[np.ndarray], length: int = 0, *, wrap: bool = False) -> Bank:
    """Pack images or audio, as `stack` returns them, into one flat array.

    Args:
      examples: arrays (H, W, K), uint8 or uint16; where both occur, all become uint16. Audio is
        (1, T, K), int16.
      length: for audio, the samples of a crop, to which shorter files are extended.
      wrap: whether to extend by starting over, for noise, or by silence, for speech.

    Raises:
      ZooError: together they hold 2**31 values or more; such a set must be streamed.
    """
    if length:
        examples = [lengthen(x, length, wrap=wrap) for x in examples]
    shapes = np.array([x.shape[:-1] for x in examples], np.int32)
    ends = np.cumsum([x.size for x in examples], dtype=np.int64)
    check_room(int(ends[-1]), recordings=examples[0].dtype == np.int16)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int32)
    if any(x.dtype == np.uint16 for x in examples):
        # 255 * 257 = 65535: the same brightness on the finer scale.
        examples = [x if x.dtype == np.uint16 else x.astype(np.uint16) * 257 for x in examples]
    values = np.concatenate([np.ascontiguousarray(x).reshape(-1) for x in examples])
    return Bank(values, starts, shapes)


def crop(key: jax.Array, bank: Bank, index: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Cut a random crop out of an example of the bank.

    Args:
      key: a typed key.
      bank: the examples.
      index: () int32, which one.
      size: (..., K) of the crop, such as (H, W, K), or (T, K) for audio; no larger than the
        example.

    Returns:
      The crop, of that shape and the dtype of the bank.
    """
    axes = bank.shape.shape[1]
    *sides, k = (1,) * (axes + 1 - len(size)) + tuple(size)
    shape = bank.shape[index]
    keys = jax.random.split(key, axes)
    corner = [
        jax.random.randint(one, (), 0, shape[axis] - side + 1)
        for axis, (one, side) in enumerate(zip(keys, sides, strict=True))
    ]
    rows = jnp.zeros((), jnp.int32)
    for axis, side in enumerate(sides[:-1]):
        place = corner[axis] + np.arange(side, dtype=np.int32)
        rows = jnp.add.outer(rows * shape[axis], place)
    rows = bank.start[index] + (rows.reshape(-1) * shape[-1] + corner[-1]) * k
    w = sides[-1]

    # One contiguous read per row; the width of the example is the distance between rows.
    def row(start):
        return jax.lax.dynamic_slice(bank.values, (start,), (w * k,))

    return jax.vmap(row)(rows).reshape(size)


def excerpt(key: jax.Array, bank: Bank, size: tuple[int, int]) -> jax.Array:
    """Cut a random excerpt out of random audio of the bank.

    The probability of an example is proportional to its length, so that all seconds are equal.

    Args:
      key: a typed key.
      bank: the audio, packed by `make_bank(examples, T, wrap=True)`.
      size: (T, K) of the excerpt.

    Returns:
      The excerpt, (T, K), dtype of the bank.
    """
    key_which, key_where = jax.random.split(key)
    place = jax.random.randint(key_which, (), 0, bank.values.shape[0])
    which = jnp.sum(bank.start <= place, dtype=jnp.int32) - 1
    return crop(key_where, bank, which, size)


def _slots(batch_size: int, host: int, hosts: int) -> np.ndarray:
    """The slots of a batch that a host makes, consecutive."""
    local = batch_size // hosts
    return np.arange(host * local, (host + 1) * local, dtype=np.int32)


class BankBatches:
    """Batches of indices for examples that are kept on the device.

    Args:
      order: the sequence of examples.
      batch_size: B, over all hosts.
      host: this host's number.
      hosts: the number of hosts; each makes B / hosts consecutive slots of a batch.
    """

    def __init__(self, order: Order, batch_size: int, host: int = 0, hosts: int = 1):
        self.order = order
        self.batch_size = batch_size
        self._slots = _slots(batch_size, host, hosts)

    def starting_at(self, n: int) -> Iterator[Batch]:
        """This host's part of batches n, n + 1, ... without end."""
        while True:
            numbers = n * self.batch_size + self._slots.astype(np.int64)
            yield Batch(self._slots, np.array([self.order[g] for g in numbers], np.int32))
            n += 1


class StreamBatches:
    """Batches of crops that the host cuts while the device computes.

    Each decoded image gives several crops to a batch. Slot s of batch n follows from (seed, n, s)
    alone, whatever the number of hosts and of workers.

    An audio file occurs as often as its length holds crops, and is followed by silence where it is
    shorter than a crop. Where there is noise, each slot also has an excerpt of it: of a file drawn
    in proportion to its length, which starts over where it is shorter than the excerpt.

    Args:
      source: a `zoo.data.sources.Source`, or another sequence of examples.
      size: (H, W) of a crop, (T,) for audio; None takes whole examples, all of one size.
      batch_size: B, over all hosts.
      seed: the run's seed.
      crops_per_picture: consecutive slots that share an example.
      with_noise: whether to return noise, where the source has some.
      workers: processes that decode; 0 decodes in threads of this one.
      host: this host's number.
      hosts: the number of hosts.

    Attributes:
      order: the sequence of examples, each as often as it gives crops.
      size: (H, W), or (T,), of the crops.

    Raises:
      ZooError: a host's part of a batch is not a multiple of `crops_per_picture`. Later: an
        example cannot be read, or does not fit `size`.
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
            cutter = _AudioCrops(source, areas, self.size[0], whole)
            if with_noise and source.noise is not None:
                noise = _Noise(source.noise, np.cumsum(source.noise.lengths()), self.size[0], seed)
        else:
            areas, crop_area = [1] * len(source), 1
            cutter = _ImageCrops(source, self.size, whole)
        groups = Order(areas, crop_area, seed)
        self.order = Order(groups.repeats * crops_per_picture, 1, seed)
        self._workers = workers
        self._slots = _slots(batch_size, host, hosts)
        mine = self._slots[::crops_per_picture] // crops_per_picture
        per_batch = batch_size // crops_per_picture
        self._arrays = _Arrays(cutter, groups, seed, crops_per_picture, noise, per_batch, mine)

    def starting_at(self, n: int) -> Iterator[Batch]:
        """This host's part of batches n, n + 1, ... without end."""
        import grain  # noqa: PLC0415 - only streams need it, and it is slow to import
        from absl import flags  # noqa: PLC0415

        arrays = dataclasses.replace(self._arrays, first=n)
        reading = grain.ReadOptions(num_threads=_AHEAD, prefetch_buffer_size=_AHEAD)
        dataset = grain.MapDataset.source(arrays).to_iter_dataset(reading)
        if self._workers:
            # grain passes absl's flags to its workers, and fails if they have not been parsed.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            options = grain.MultiprocessingOptions(self._workers, per_worker_buffer_size=_AHEAD)
            dataset = dataset.mp_prefetch(options)
        with closing(iter(dataset)) as iterator:
            for found in iterator:
                if isinstance(found, ZooError):
                    raise found
                yield Batch(self._slots, **found)


@dataclasses.dataclass(frozen=True)
class _Arrays:
    """The arrays of one host's part of the batches from `first` on, as an endless sequence.

    An error is returned like a batch: raised in a worker, grain would wrap it in its own.

    Item j of `order` gives the `crops` of group j, item g of `noise` the noise of slot g. Of the
    `groups` of each batch this host makes those numbered by `mine`.
    """

    cutter: "_ImageCrops | _AudioCrops"
    order: Order
    seed: int
    crops: int
    noise: "_Noise | None"
    groups: int
    mine: np.ndarray
    first: int = 0

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, i: int) -> dict[str, np.ndarray] | ZooError:
        start = (self.first + int(i)) * self.groups
        numbers = [start + int(j) for j in self.mine]
        try:
            found = {"crops": np.concatenate([self._cut(j) for j in numbers])}
            if self.noise is not None:
                slots = (j * self.crops + k for j in numbers for k in range(self.crops))
                found["noise_crops"] = np.stack([self.noise[slot] for slot in slots])
        except ZooError as error:
            return error
        return found

    def _cut(self, j: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 1, j])
        return self.cutter.cut(self.order[j], rng, self.crops)


@dataclasses.dataclass(frozen=True)
class _ImageCrops:
    """Crops (H, W, K) of images."""

    source: Sequence
    size: tuple[int, int]
    whole: bool

    def cut(self, index: int, rng: np.random.Generator, count: int) -> np.ndarray:
        example = self.source[index]
        pixels = stack(example)
        height, width = pixels.shape[:2]
        h, w = self.size
        if self.whole and (h, w) != (height, width):
            raise ZooError(
                f"{example.name} is {height}x{width}, unlike the others; set data.crop, or "
                "data.size to resize"
            )
        if h > height or w > width:
            raise ZooError(
                f"{example.name} is {height}x{width}, smaller than the crop of {h}x{w}; "
                "make data.crop smaller or leave the image out"
            )
        ys = rng.integers(height - h, size=count, endpoint=True)
        xs = rng.integers(width - w, size=count, endpoint=True)
        return np.stack([pixels[y : y + h, x : x + w] for y, x in zip(ys, xs, strict=True)])


@dataclasses.dataclass(frozen=True)
class _AudioCrops:
    """Crops (T, K) of audio."""

    source: Sequence
    lengths: Sequence[int]
    size: int
    whole: bool

    def cut(self, index: int, rng: np.random.Generator, count: int) -> np.ndarray:
        length = self.lengths[index]
        if self.whole and length != self.size:
            raise ZooError(
                f"{self.source.names[index]} has {length} samples, unlike the others; set data.crop"
            )
        starts = rng.integers(max(length - self.size, 0), size=count, endpoint=True)
        pieces = [self.source.excerpt(index, int(start), self.size) for start in starts]
        return np.stack([lengthen(stack(piece)[0], self.size) for piece in pieces])


@dataclasses.dataclass(frozen=True)
class _Noise:
    """Item g, for slot g of all slots of the run: an excerpt of noise (T, C).

    The examples of `source`, one after the other, end at the samples `ends`.
    """

    source: Sequence
    ends: np.ndarray
    size: int
    seed: int

    def __getitem__(self, g: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 2, g])
        index = int(np.searchsorted(self.ends, rng.integers(self.ends[-1]), side="right"))
        length = self.ends[index] - (self.ends[index - 1] if index else 0)
        start = int(rng.integers(max(length - self.size, 0), endpoint=True))
        return lengthen(self.source.excerpt(index, start, self.size).target, self.size, wrap=True)
