"""Batches: the contents of each slot of each training batch, a pure function of (seed, n).

Small sets are kept on the device, as one flat `Bank` of values, and a batch is a few indices. Large
sets stay on disk and are cropped on the host: see `zoo.data.batch_stream`. A slot follows from
(seed, n, slot) either way, so that a resumed run seeks by arithmetic.

Audio (T, C) is kept as an image of one row, (1, T, C), so that a crop is one contiguous read.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo.data.pcm import lengthen
from zoo.errors import ZooError


class Bank(NamedTuple):
    """Pictures of any sizes in one flat array on the device.

    Attributes:
      pixels: (P,) uint8 or uint16, every picture's (H, W, K) in turn; int16 of recordings.
      start: (n,) int32, where each picture begins.
      shape: (n, number of spatial axes) int32, such as height and width; 1 and the samples of
        recordings.
    """

    pixels: jax.Array
    start: jax.Array
    shape: jax.Array


class Batch(NamedTuple):
    """One global batch of B slots, before cropping, augmentation and noise.

    Attributes:
      slot: (B,) int32, each example's place in the global batch; it keys the example's randomness.
      picture: (B,) int32, which picture of `bank` each slot crops; None where `pixels` are given.
      pixels: (B, H, W, K) uint8 or uint16, crops made on the host, or (B, T, K) int16 of
        recordings; None where `picture` is given.
      bank: the pictures, None where `pixels` are given.
      noise: noise recordings, from which each slot draws an `excerpt`; None where there are none.
      noise_pixels: (B, T, C) int16, excerpts of noise made on the host, beside `pixels`.

    K is C, or 2C for paired data: the clean target, then the noisy input.
    """

    slot: jax.Array
    picture: jax.Array | None = None
    pixels: jax.Array | None = None
    bank: Bank | None = None
    noise: Bank | None = None
    noise_pixels: jax.Array | None = None


class Order:
    """An endless shuffled sequence of pictures: number g shows picture `order[g]`.

    Each epoch is a permutation seeded by (seed, epoch) in which a picture comes as often as its
    area holds crops, so that an epoch covers each picture about once.

    Args:
      areas: pixels of each picture, or samples of each recording.
      crop_area: pixels, or samples, of a crop.
      seed: the run's seed.

    Attributes:
      repeats: (n,) how often each comes in an epoch.
    """

    def __init__(self, areas: Sequence[int], crop_area: int, seed: int):
        self.repeats = np.maximum(1, np.rint(np.asarray(areas) / crop_area)).astype(np.int64)
        self._pictures = np.repeat(np.arange(len(areas), dtype=np.int32), self.repeats)
        self._seed = seed
        self._cached: tuple[int, np.ndarray] = (-1, self._pictures)

    @property
    def epoch_size(self) -> int:
        """Numbers in an epoch."""
        return len(self._pictures)

    def __getitem__(self, g: int) -> int:
        epoch, position = divmod(int(g), self.epoch_size)
        # Taken once: threads that read a stream may be an epoch apart.
        cached = self._cached
        if cached[0] != epoch:
            shuffle = np.random.default_rng([self._seed, epoch]).permutation
            cached = self._cached = (epoch, shuffle(self._pictures))
        return int(cached[1][position])


def stack(picture) -> np.ndarray:
    """One array (H, W, K) of a picture: its target and, for paired data, its input beside it.

    Of a recording (T, C) it is (1, T, K).
    """
    both = [picture.target] if picture.input is None else [picture.target, picture.input]
    if picture.target.ndim == 2:
        both = [x[None] for x in both]
    return both[0] if len(both) == 1 else np.concatenate(both, axis=-1)


def check_room(values: int, *, recordings: bool = False) -> None:
    """Refuses more pixel values, or samples, than a bank can number.

    Raises:
      ZooError: there are 2**31 or more.
    """
    if values < 2**31:
        return
    if recordings:
        raise ZooError(
            f"the recordings hold {values:,} samples or more, too many to keep on the device; "
            "set data.stream=True"
        )
    raise ZooError(
        f"the pictures hold {values:,} values or more, too many to keep on the device; "
        "set data.stream=True, or data.size to make them smaller"
    )


def make_bank(pictures: Sequence[np.ndarray], length: int = 0, *, wrap: bool = False) -> Bank:
    """Packs pictures, or recordings as `stack` gives them, into one flat array.

    Args:
      pictures: arrays (H, W, K), uint8 or uint16; where both occur, all become uint16. Recordings
        are (1, T, K), int16.
      length: of recordings, the samples of a crop: shorter ones are made as long.
      wrap: whether those start over, as noise does, or are followed by silence, as speech is.

    Raises:
      ZooError: together they hold 2**31 values or more; such a set must be streamed.
    """
    if length:
        pictures = [lengthen(p, length, wrap=wrap) for p in pictures]
    shapes = np.array([p.shape[:-1] for p in pictures], np.int32)
    ends = np.cumsum([p.size for p in pictures], dtype=np.int64)
    check_room(int(ends[-1]), recordings=pictures[0].dtype == np.int16)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int32)
    if any(p.dtype == np.uint16 for p in pictures):
        # 255 * 257 = 65535: the same brightness on the finer scale.
        pictures = [p if p.dtype == np.uint16 else p.astype(np.uint16) * 257 for p in pictures]
    pixels = np.concatenate([np.ascontiguousarray(p).reshape(-1) for p in pictures])
    return Bank(pixels, starts, shapes)


def crop(key: jax.Array, bank: Bank, picture: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Cuts a random crop out of a picture or a recording of the bank.

    Args:
      key: a typed key.
      bank: the pictures.
      picture: () int32, which one.
      size: (..., K) of the crop, such as (H, W, K), or (T, K) of recordings; no larger than the
        example.

    Returns:
      The crop, of that shape and the dtype of the bank.
    """
    axes = bank.shape.shape[1]
    *sides, k = (1,) * (axes + 1 - len(size)) + tuple(size)
    shape = bank.shape[picture]
    keys = jax.random.split(key, axes)
    corner = [
        jax.random.randint(one, (), 0, shape[axis] - side + 1)
        for axis, (one, side) in enumerate(zip(keys, sides, strict=True))
    ]
    rows = jnp.zeros((), jnp.int32)
    for axis, side in enumerate(sides[:-1]):
        place = corner[axis] + np.arange(side, dtype=np.int32)
        rows = jnp.add.outer(rows * shape[axis], place)
    rows = bank.start[picture] + (rows.reshape(-1) * shape[-1] + corner[-1]) * k
    w = sides[-1]

    # One contiguous read a row; a picture's own width decides how far apart the rows lie.
    def row(start):
        return jax.lax.dynamic_slice(bank.pixels, (start,), (w * k,))

    return jax.vmap(row)(rows).reshape(size)


def excerpt(key: jax.Array, bank: Bank, size: tuple[int, int]) -> jax.Array:
    """Cuts a random excerpt out of a random recording of the bank.

    A recording is drawn as often as it is long, so that each second of noise is heard alike.

    Args:
      key: a typed key.
      bank: the recordings, packed by `make_bank(recordings, T, wrap=True)`.
      size: (T, K) of the excerpt.

    Returns:
      The excerpt, (T, K), dtype of the bank.
    """
    key_which, key_where = jax.random.split(key)
    place = jax.random.randint(key_which, (), 0, bank.pixels.shape[0])
    which = jnp.sum(bank.start <= place, dtype=jnp.int32) - 1
    return crop(key_where, bank, which, size)


class BankBatches:
    """Batches of picture numbers for pictures that live on the device.

    Args:
      order: the sequence of pictures.
      batch_size: B, over all hosts.
      host: this host's number.
      hosts: how many hosts share a batch; each makes B / hosts consecutive slots.
    """

    def __init__(self, order: Order, batch_size: int, host: int = 0, hosts: int = 1):
        self.order = order
        self.batch_size = batch_size
        local = batch_size // hosts
        self._slots = np.arange(host * local, (host + 1) * local, dtype=np.int32)

    def starting_at(self, n: int) -> Iterator[Batch]:
        """This host's part of batches n, n + 1, ... without end."""
        while True:
            numbers = n * self.batch_size + self._slots.astype(np.int64)
            yield Batch(self._slots, np.array([self.order[g] for g in numbers], np.int32))
            n += 1
