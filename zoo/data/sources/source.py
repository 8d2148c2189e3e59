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
    """One example of a source.

    Attributes:
      name: its name, unique within its split.
      target: the clean image `(H, W, C)`, uint8 or uint16, or audio `(T, C)`, int16.
      input: for paired data the noisy one, of the same shape and dtype; else None, and noise is to
        be added.

    With `Source.window` K the input, or the target where there is no input, is a window of planes
    `(H, W, K C)`; see `zoo.data.windows`.
    """

    name: str
    target: np.ndarray
    input: np.ndarray | None


class Listing(NamedTuple):
    """The contents of one split, before anything is read.

    Attributes:
      names: the names of the examples.
      items: the argument of `read` for each of them, as long as `names`.
      read: takes an item and returns `(target, input or None)` as stored, or raises `ZooError`; it
        can be pickled. For audio it takes `(item, form, start, frames)` and returns that piece, as
        int16 in that `Form`.
      ignored: names of files in the split's folder that do not belong to it.
      length: for audio, takes `(item, form)` and returns the number of samples of `read`, without
        decoding; None for images.
      noise: noise to mix with the audio; None where there is none.
      unpaired: files without a partner, which are in no split: name to reason.
      modality: the name of the kind of signal where it is neither images nor audio; `read` then
        returns examples as they are to be used.
      read_any: `read` of any range, for images that may hold integers of other widths or floats
        beyond [0, 1]; None where they never do.
      around: takes `(item, window, frames=...)` as `zoo.data.windows.around` does and returns the
        items of these planes, or raises `ZooError`; None for images that are no planes of stacks.
    """

    names: Sequence[str]
    items: Sequence[Any]
    read: Callable[..., tuple[np.ndarray, np.ndarray | None]]
    ignored: Sequence[str] = ()
    length: Callable[[Any, "Form"], int] | None = None
    noise: "Listing | None" = None
    unpaired: Mapping[str, str] = {}
    modality: str = ""
    read_any: Callable[[Any], tuple[np.ndarray, np.ndarray | None]] | None = None
    around: Callable[..., Sequence[Any]] | None = None

    def subset(self, numbers: Sequence[int]) -> "Listing":
        """The listing of some examples, by their numbers."""
        return self._replace(
            names=[self.names[i] for i in numbers], items=[self.items[i] for i in numbers]
        )


class Form(NamedTuple):
    """The form of all audio of a source.

    Attributes:
      sample_rate: samples per second.
      channels: 1 or 2.
    """

    sample_rate: int
    channels: int

    def finish(self, x: np.ndarray, rate: int) -> np.ndarray:
        """Convert whole audio `(T, C)` of `rate` samples per second to this form, as int16."""
        x = pcm.to_channels(x, self.channels)
        if rate != self.sample_rate:
            x = pcm.resample(pcm.to_float(x), rate, self.sample_rate)
        return pcm.to_int16(x)


@dataclasses.dataclass(frozen=True)
class Source(Sequence):
    """The images or the audio of one split: a read-only sequence that decodes on access.

    It has no state, so that threads can share it and it can be pickled.

    Attributes:
      listing: the contents, and how they are read.
      channels: channels of every example: 1 or 3, for audio 1 or 2.
      size: height and width that every image is resized to; None leaves them.
      skipped: the unreadable ones that `load(on_error="skip")` omitted: name to reason.
      sample_rate: samples per second of all audio; 0 for images.
      noise: noise of the same split to mix with the audio; None where there is none.
      advice: the end of the error of an example that cannot be read.
      any_range: whether images are as stored: any integers, and floats of any range as float32.
      window: how many planes of a stack an example shows, its own in the center.
      frames: whether a plane of a stack without an input becomes one: its target is then the
        nearest plane after its window, or before it where there is none.
    """

    listing: Listing
    channels: int
    size: tuple[int, int] | None = None
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sample_rate: int = 0
    noise: "Source | None" = None
    advice: str = ""
    any_range: bool = False
    window: int = 1
    frames: bool = False

    @property
    def modality(self) -> str:
        """The name of the kind of signal, as `zoo.modality.get` takes it."""
        return self.listing.modality or (AUDIO if self.sample_rate else IMAGE).name

    @property
    def names(self) -> Sequence[str]:
        """The names of the examples, in order."""
        return self.listing.names

    @property
    def ignored(self) -> Sequence[str]:
        """Names of files in the split's folder that do not belong to it."""
        return self.listing.ignored

    @property
    def _form(self) -> Form:
        return Form(self.sample_rate, self.channels)

    def __len__(self) -> int:
        return len(self.listing.items)

    def __getitem__(self, index: int) -> Example:
        """Read an example; negative numbers count from the end.

        Raises:
          IndexError: there is no such example.
          ZooError: it cannot be read; the error names it.
        """
        if self.sample_rate:
            return self.excerpt(index)
        index = range(len(self))[operator.index(index)]
        name, item = self.listing.names[index], self.listing.items[index]
        with self._advised():
            target, noisy = self._plane(name, item)
            frames = self.frames and noisy is None and self.listing.around is not None
            if self.window == 1 and not frames:
                return Example(name, target, noisy)
            if self.listing.around is None:
                raise ZooError(
                    f"{name} is of no stack, where {self.window} planes are needed; give a folder "
                    "of stacks, or choose a model of single planes"
                )
            items = self.listing.around(item, self.window, frames=frames)
            read = {one: self._plane(name, one) for one in {*items} - {item}}
            read[item] = target, noisy
            planes = [read[one][0] if noisy is None else read[one][1] for one in items]
            if len({plane.shape for plane in planes}) > 1:
                raise ZooError(f"the planes around {name} are of several sizes; leave it out")
        if frames:
            *planes, target = planes
        joined = np.concatenate(planes, axis=-1)
        paired = frames or noisy is not None
        return Example(name, target if paired else joined, joined if paired else None)

    def _plane(self, name: str, item: Any) -> tuple[np.ndarray, np.ndarray | None]:
        read = (self.any_range and self.listing.read_any) or self.listing.read
        target, noisy = read(item)
        both = (image for image in (target, noisy) if image is not None)
        if self.any_range and any(map(pixels.is_blank, both)):
            raise ZooError(f"{name} has a channel without a finite value; leave it out")
        return self._finish(target), None if noisy is None else self._finish(noisy)

    def excerpt(self, index: int, start: int = 0, frames: int | None = None) -> Example:
        """Read a piece of audio, and of a long file little more than that.

        Args:
          index: the number of the example, negative from the end.
          start: the piece's first sample, at the source's rate.
          frames: its samples, fewer at the end of the audio; None reads to the end.

        Raises:
          IndexError: there is no such example.
          ZooError: it cannot be read; the error names it.
        """
        index = range(len(self))[operator.index(index)]
        item = self.listing.items[index]
        with self._advised():
            return Example(self.names[index], *self.listing.read(item, self._form, start, frames))

    def lengths(self) -> list[int]:
        """The samples of each audio example, without decoding them.

        Raises:
          ZooError: a file is not audio; the error names it.
        """
        with self._advised(), ThreadPoolExecutor() as pool:
            return list(
                pool.map(lambda item: self.listing.length(item, self._form), self.listing.items)
            )

    def __repr__(self) -> str:
        if self.sample_rate:
            form = f"channels={self.channels}, sample_rate={self.sample_rate}"
            return f"Source({len(self)} audio signals, {form})"
        return f"Source({len(self)} images, channels={self.channels}, size={self.size})"

    @contextmanager
    def _advised(self) -> Iterator[None]:
        try:
            yield
        except ZooError as error:
            raise ZooError(f"{error}{self.advice}") from None

    def _finish(self, image: np.ndarray) -> np.ndarray:
        if self.listing.modality:
            return np.ascontiguousarray(image)
        image = pixels.to_channels(image, self.channels)
        if self.any_range:
            image = image.astype(np.float32) if image.dtype.kind == "f" else image
        elif image.dtype == np.float32:
            # The host holds integers; 16 bits keep the depth of a photograph.
            image = pixels.to_uint16(image)
        if self.size is not None:
            image = pixels.resize(image, self.size)
        return np.ascontiguousarray(image)

    def without_unreadable(self) -> "Source":
        """Read every example once and omit the unreadable ones; see `skipped`."""
        with ThreadPoolExecutor() as pool:
            problems = list(pool.map(self._problem, range(len(self))))
        skipped = {name: why for name, why in zip(self.names, problems, strict=True) if why}
        skipped |= self.listing.unpaired
        kept = [index for index, why in enumerate(problems) if not why]
        listing = self.listing.subset(kept)
        noise = None if self.noise is None else self.noise.without_unreadable()
        return dataclasses.replace(self, listing=listing, skipped=skipped, noise=noise)

    def _problem(self, index: int) -> str:
        """The reason why an example cannot be read; empty if it can."""
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
    """Split names at random, keeping those of one group together.

    The order is by SHA-256 of seed and group, not by a generator: NumPy does not guarantee its
    streams, and so one more example hardly moves the others.

    Args:
      names: the names of the examples.
      fractions: the shares of train, validation and test by examples. A group goes where its
        middle falls, so that the shares are met as nearly as the groups allow.
      seed: another seed gives another split.
      group: from a name to its group; by default every example is one.

    Returns:
      For each split the indices into `names`, ascending; each index occurs once.
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
      option: the name of the expression in an error.
      expression: searched for in the stem; the match of its first group, or the whole match without
        a group, names the group of the file. Empty makes every file a group.

    Raises:
      ZooError: it is not a regular expression; from the function, it does not match a stem.
    """
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ZooError(
            f"{option} {expression!r} is not a regular expression: {error}; correct it"
        ) from None

    def name_group(name: str) -> str:
        if not expression:
            return name
        match = pattern.search(Path(name).stem)
        if match is None:
            raise ZooError(f"{option} {expression!r} does not match the stem of {name}; correct it")
        return match[1] if pattern.groups else match[0]

    return name_group


def last(count: int, fraction: float) -> int:
    """The index where the last `fraction` of `count` examples begins, to the nearest."""
    return count - round(fraction * count)
