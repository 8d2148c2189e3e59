"""Data sources: the contract of every kind of source, and the split of names.

A source is a read-only sequence of examples that are decoded on access.
"""

import dataclasses
import hashlib
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.data import pcm, pixels
from zoo.errors import ZooError
from zoo.modality import AUDIO, IMAGE

SPLITS = ("train", "validation", "test")


class Example(NamedTuple):
    """One picture of a source, or one recording.

    Attributes:
      name: what it is called, unique within its split.
      target: the clean picture `(H, W, C)`, uint8 or uint16; of a recording `(T, C)`, int16.
      input: the noisy one of the same shape and dtype for paired data, else None: the noise is
        then ours to add.
    """

    name: str
    target: np.ndarray
    input: np.ndarray | None


class Listing(NamedTuple):
    """What a kind of source knows of one split before it reads a single picture.

    Attributes:
      names: what the pictures are called.
      items: what `read` needs to read each of them, as long as `names`.
      read: takes an item and returns `(target, input or None)` as the files hold them, or raises
        `ZooError`. A module's function or a `partial` of one, so that it can be pickled. That of
        recordings takes `(item, form, start, frames)` and returns that piece, int16 as `form` is.
      ignored: names of files in the split's folder that are no part of it.
      length: of recordings, takes `(item, form)` and returns how many samples `read` finds, without
        decoding them; None for pictures.
      noise: noise recordings to mix with these; None where there are none.
      unpaired: files that lack their partner, which are in no split: name to reason.
      modality: the name of the kind of signal where it is neither images nor audio; `read` then
        returns examples as they are to be used.
    """

    names: Sequence[str]
    items: Sequence[Any]
    read: Callable[..., tuple[np.ndarray, np.ndarray | None]]
    ignored: Sequence[str] = ()
    length: Callable[[Any, "Form"], int] | None = None
    noise: "Listing | None" = None
    unpaired: Mapping[str, str] = {}
    modality: str = ""


class Form(NamedTuple):
    """What every recording of a source comes out as.

    Attributes:
      sample_rate: samples a second.
      channels: 1 or 2.
    """

    sample_rate: int
    channels: int

    def finish(self, x: np.ndarray, rate: int) -> np.ndarray:
        """A whole recording `(T, C)` of `rate` samples a second, in this form and as int16."""
        x = pcm.to_channels(x, self.channels)
        if rate != self.sample_rate:
            x = pcm.resample(pcm.to_float(x), rate, self.sample_rate)
        return pcm.to_int16(x)


@dataclasses.dataclass(frozen=True)
class Source(Sequence):
    """The pictures or the recordings of one split: a read-only sequence that decodes on access.

    Nothing read is kept and nothing changes, so threads may share a source and processes may be
    sent one.

    Attributes:
      listing: what there is, and how it is read.
      channels: how many channels everything comes out with: 1 or 3, of recordings 1 or 2.
      size: height and width every picture is resized to, or None to leave them.
      skipped: the unreadable ones that `load(on_error="skip")` left out: name to reason.
      sample_rate: samples a second of every recording; 0 for pictures.
      noise: noise recordings of the same split to mix with these; None where there are none.
      advice: what the error of one that cannot be read ends with.
    """

    listing: Listing
    channels: int
    size: tuple[int, int] | None = None
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sample_rate: int = 0
    noise: "Source | None" = None
    advice: str = ""

    @property
    def modality(self) -> str:
        """The name of the kind of signal, as `zoo.modality.get` takes it."""
        return self.listing.modality or (AUDIO if self.sample_rate else IMAGE).name

    @property
    def names(self) -> Sequence[str]:
        """What the pictures are called, in order."""
        return self.listing.names

    @property
    def ignored(self) -> Sequence[str]:
        """Names of files in this split's folder that are no part of it."""
        return self.listing.ignored

    @property
    def _form(self) -> Form:
        return Form(self.sample_rate, self.channels)

    def __len__(self) -> int:
        return len(self.listing.items)

    def __getitem__(self, index: int) -> Example:
        """Read picture or recording `index`, negative from the end.

        Raises:
          IndexError: there is no such picture.
          ZooError: it cannot be read, or is no picture; the error names it.
        """
        if self.sample_rate:
            return self.excerpt(index)
        index = range(len(self))[operator.index(index)]
        name = self.listing.names[index]
        with self._advised():
            target, noisy = self.listing.read(self.listing.items[index])
        return Example(name, self._finish(target), None if noisy is None else self._finish(noisy))

    def excerpt(self, index: int, start: int = 0, frames: int | None = None) -> Example:
        """Read a piece of recording `index`, and of a long file no more than that.

        Args:
          index: which, negative from the end.
          start: the piece's first sample, at the source's rate.
          frames: samples it has, fewer where the recording ends; None reads to the end.

        Raises:
          IndexError: there is no such recording.
          ZooError: it cannot be read; the error names it.
        """
        index = range(len(self))[operator.index(index)]
        item = self.listing.items[index]
        with self._advised():
            return Example(self.names[index], *self.listing.read(item, self._form, start, frames))

    def lengths(self) -> list[int]:
        """The samples of each recording, read off the files without decoding them.

        Raises:
          ZooError: a file is no recording; the error names it.
        """
        with self._advised(), ThreadPoolExecutor() as pool:
            return list(
                pool.map(lambda item: self.listing.length(item, self._form), self.listing.items)
            )

    def __repr__(self) -> str:
        if self.sample_rate:
            form = f"channels={self.channels}, sample_rate={self.sample_rate}"
            return f"Source({len(self)} recordings, {form})"
        return f"Source({len(self)} pictures, channels={self.channels}, size={self.size})"

    @contextmanager
    def _advised(self) -> Iterator[None]:
        try:
            yield
        except ZooError as error:
            raise ZooError(f"{error}{self.advice}") from None

    def _finish(self, picture: np.ndarray) -> np.ndarray:
        if self.listing.modality:
            return np.ascontiguousarray(picture)
        picture = pixels.to_channels(picture, self.channels)
        if picture.dtype == np.float32:
            # The host holds integers by the house's law; 16 bits keep what a photograph has.
            picture = pixels.to_uint16(picture)
        if self.size is not None:
            picture = pixels.resize(picture, self.size)
        return np.ascontiguousarray(picture)

    def without_unreadable(self) -> "Source":
        """Read every picture once and leave out the unreadable; see `skipped`."""
        with ThreadPoolExecutor() as pool:
            problems = list(pool.map(self._problem, range(len(self))))
        skipped = {name: why for name, why in zip(self.names, problems, strict=True) if why}
        skipped |= self.listing.unpaired
        kept = [index for index, why in enumerate(problems) if not why]
        listing = self.listing._replace(
            names=[self.listing.names[i] for i in kept],
            items=[self.listing.items[i] for i in kept],
        )
        noise = None if self.noise is None else self.noise.without_unreadable()
        return dataclasses.replace(self, listing=listing, skipped=skipped, noise=noise)

    def _problem(self, index: int) -> str:
        """Why a picture cannot be read; empty if it can."""
        try:
            self[index]
        except ZooError as error:
            return str(error)
        return ""


def by_fractions(
    names: Sequence[str],
    fractions: tuple[float, float, float],
    seed: int,
    group: Callable[[str], Any] = lambda name: name,
) -> dict[str, list[int]]:
    """Split pictures at random, keeping those of one group together.

    The order is by SHA-256 of seed and group, not by a generator: NumPy does not promise its
    streams for ever, and this way a picture more or less hardly moves the others.

    Args:
      names: what the pictures are called.
      fractions: the shares of train, validation and test by pictures. A group goes where its
        middle falls, so the shares are met as nearly as the groups allow.
      seed: another seed, another split.
      group: from a name to its group; without it every picture is one.

    Returns:
      For each split the indices into `names`, ascending; together each index once.
    """
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(str(group(name)), []).append(index)
    order = sorted(members, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
    ends = [fractions[0] * len(names), (fractions[0] + fractions[1]) * len(names)]
    chosen: dict[str, list[int]] = {split: [] for split in SPLITS}
    before = 0
    for key in order:
        middle = before + len(members[key]) / 2
        before += len(members[key])
        chosen[SPLITS[sum(middle > end for end in ends)]] += members[key]
    return {split: sorted(indices) for split, indices in chosen.items()}


def namer(option: str, expression: str) -> Callable[[str], str]:
    """A function from a file's name to its group, for `by_fractions`.

    Args:
      option: what the user calls the expression, for an error.
      expression: searched for in the stem; what its first group matches, or all of it without a
        group, names the group of the file. Empty makes every file one of its own.

    Raises:
      ZooError: it is no regular expression; from the function, that it does not match a stem.
    """
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ZooError(
            f"{option} {expression!r} is no regular expression: {error}; mend it"
        ) from None

    def name_group(name: str) -> str:
        if not expression:
            return name
        match = pattern.search(Path(name).stem)
        if match is None:
            raise ZooError(f"{option} {expression!r} does not match the stem of {name}; mend it")
        return match[1] if pattern.groups else match[0]

    return name_group


def last(count: int, fraction: float) -> int:
    """Where the last `fraction` of `count` pictures begins, rounded to the nearest."""
    return count - round(fraction * count)
