"""Data sources: images and audio of data sets as read-only sequences.

`load(kind, ...)` returns a `Source` for each of `train`, `validation` and `test`. A source is a
sequence: `len(source)`, `source[i]` is an `Example(name, target, input)`, `source.names[i]` a str.
`target` is clean; `input` is the noisy one of paired data, else None. Reading is lazy, safe in
threads, and a source can be pickled.

Images are `(H, W, C)` with the channels requested, uint8 or uint16 as stored, of any sizes. Audio
is `(T, C)`, int16, with the channels and the sample rate requested, of any length; `source.excerpt`
reads a piece of an example, and `source.noise` is a source of noise to mix with it, or None.

| kind | images | options |
|---|---|---|
| `photos` | photographs inside scikit-image | |
| `folder` | files below a folder | `train`, `validation`, `test`, `exclude` |
| `pairs` | noisy and clean files below a folder | `noisy`, `clean`, `scene` |
| `idx` | the MNIST format | |
| `tfds` | a TensorFlow data set | `name`, `feature`, `train`, `validation`, `test` |

| kind | audio | options |
|---|---|---|
| `voices` | synthetic signals and noise | `train`, `validation`, `test`, `seconds` |
| `recordings` | files below a folder, noise below another | those of `folder`, `speaker`, `noise` |
| `recording_pairs` | noisy and clean folders of files | `clean`, `noisy`, `test_clean`, ... |
| `tfds` | a TensorFlow data set | those above, `rate`, `bits`, `noise` |

A new kind is a function `(path, fractions, seed, *, **options)` that returns a `Listing` for each
split, and an entry in `KINDS`; `register` adds one of other code.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from zoo import plugins
from zoo.data.sources import audio_sources, image_sources, pairs, tfds_source
from zoo.data.sources.image_sources import folder_channels
from zoo.data.sources.source import SPLITS, Example, Listing, Source
from zoo.errors import ZooError, unknown

__all__ = ["KINDS", "SPLITS", "Example", "Source", "folder_channels", "load", "register"]

KINDS = {
    "photos": image_sources.list_photos,
    "folder": image_sources.list_folder,
    "pairs": pairs.list_image_pairs,
    "idx": image_sources.list_idx,
    "tfds": tfds_source.list_tfds,
    "voices": audio_sources.list_voices,
    "recordings": audio_sources.list_recordings,
    "recording_pairs": pairs.list_audio_pairs,
}


def register(kind: str) -> Callable[[Callable], Callable]:
    """A decorator that registers a kind of data source, a function as described above.

    Args:
      kind: its name, which configs give as `data.name`.

    Raises:
      ValueError: the name is taken.
    """

    def keep(splits: Callable) -> Callable:
        if kind in KINDS and not plugins.replaces(splits, KINDS[kind]):
            raise ValueError(f"two kinds of data are called {kind!r}")
        KINDS[kind] = splits
        return splits

    return keep


# Types of an option, by its annotation.
_PLAIN = {str: (str,), int: (int,), float: (float, int)}


def load(
    kind: str,
    *,
    channels: int,
    path: str = "",
    size: tuple[int, int] | None = None,
    tile: tuple[int, int] | None = None,
    fractions: Sequence[float] = (0.6, 0.0, 0.4),
    seed: int = 0,
    on_error: str = "raise",
    sample_rate: int = 16000,
    any_range: bool = False,
    window: int = 1,
    frames: bool = False,
    **options: Any,
) -> dict[str, Source]:
    """List the images or the audio of a data set.

    Args:
      kind: one of `KINDS`.
      channels: 1 for gray, 3 for color; for audio 1 for mono, 2 for stereo; see
        `zoo.data.pixels.to_channels` and `zoo.data.pcm.to_channels`.
      path: the folder of the data; `photos` and `voices` need none.
      size: height and width in pixels to resize every image to; None leaves them.
      tile: height and width in pixels of the tiles that images are cut into, after resizing; None
        leaves them whole. Tiles are kept in memory.
      fractions: the shares of train, validation and test, where the data have no splits of
        their own; they sum to 1. Where they have, but no validation, it takes the second share
        out of train.
      seed: of that split. The same seed and names give the same split on any machine.
      on_error: the treatment of unreadable examples: `"raise"` when one is read, or `"skip"`: read
        everything now, once, and omit what cannot be read; it is listed in `source.skipped`, as
        are files without a partner.
      sample_rate: samples per second that audio is resampled to; unused for images.
      any_range: whether images may hold integers of any width and floats of any range, which they
        keep; otherwise they are uint8 or uint16, and floats are to lie within [0, 1].
      window, frames: as in `Source`, of images that are planes of stacks.
      **options: of the kind; see its function.

    Returns:
      A source for each of `"train"`, `"validation"` and `"test"`; a source may be empty.

    Raises:
      ZooError: an argument or the data are wrong.
    """
    if on_error not in ("raise", "skip"):
        raise unknown("on_error", on_error, ["raise", "skip"])
    for name, pair in (("size", size), ("tile", tile)):
        if pair is not None and (len(pair) != 2 or min(pair) < 1):
            raise ZooError(f"{name} is {pair}; give a height and a width in pixels")
    if len(fractions) != 3 or min(fractions) < 0 or not math.isclose(sum(fractions), 1):
        raise ZooError(f"fractions are {tuple(fractions)}; give three shares that sum to 1")
    _check_options(kind, options)
    listings = KINDS[kind](path, tuple(fractions), seed, **options)
    if on_error == "raise":
        for listing in listings.values():
            for reason in listing.unpaired.values():
                raise ZooError(f"{reason}; add it, or have data.on_error=skip leave such out")
    size = None if size is None else (int(size[0]), int(size[1]))
    if listings["train"].length is None:
        if not listings["train"].modality and channels not in (1, 3):
            raise ZooError(f"channels is {channels}; choose 1 for gray or 3 for color")
        _check_window(kind, window, tile, listings["train"])
        own = {"any_range": any_range, "window": window, "frames": frames and tile is None}
        sources = {split: Source(listings[split], channels, size, **own) for split in SPLITS}
    else:
        _check_recordings(channels, size, tile, sample_rate)
        sources = {s: _recordings(listings[s], channels, int(sample_rate)) for s in SPLITS}
    if on_error == "skip":
        sources = {split: source.without_unreadable() for split, source in sources.items()}
    if tile is not None:
        sources = {
            split: dataclasses.replace(source, listing=image_sources.cut_tiles(source, tile))
            for split, source in sources.items()
        }
    return sources


def _check_options(kind: str, options: dict[str, Any]) -> None:
    if kind not in KINDS:
        plugins.load()
    if kind not in KINDS:
        raise unknown("kind of data", kind, KINDS)
    parameters = inspect.signature(KINDS[kind]).parameters.values()
    own = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    for option in options:
        if option not in own:
            raise unknown(f"option of {kind}", option, own or ["no option"])
    for name, value in options.items():
        wanted = _PLAIN.get(own[name].annotation)
        if wanted and (not isinstance(value, wanted) or isinstance(value, bool)):
            said = " or ".join(one.__name__ for one in wanted)
            raise ZooError(f"data.options.{name} is {value!r}; give a value of the kind {said}")
    for name, parameter in own.items():
        if parameter.default is parameter.empty and not options.get(name):
            raise ZooError(f"kind of data {kind!r} needs the option {name!r}; set it")


def _check_window(kind: str, window: int, tile: Any, listing: Listing) -> None:
    if window > 1 and (tile is not None or listing.around is None):
        what = "tiles have" if tile is not None else f"data {kind!r} has"
        raise ZooError(
            f"{what} no stacks of planes for windows of {window}; give a folder of stacks without "
            "tiles, or choose a model of single planes"
        )


def _check_recordings(channels: int, size: Any, tile: Any, sample_rate: int) -> None:
    if channels not in (1, 2):
        raise ZooError(f"channels is {channels}; for audio choose 1 for mono or 2 for stereo")
    if size is not None or tile is not None:
        raise ZooError("size and tile are for images; leave them out for audio")
    if sample_rate < 1 or sample_rate != int(sample_rate):
        raise ZooError(f"sample_rate is {sample_rate}; give whole samples a second, such as 16000")


def _recordings(listing: Listing, channels: int, sample_rate: int) -> Source:
    noise = listing.noise
    if noise is not None:
        noise = _recordings(noise, channels, sample_rate)
    return Source(listing, channels, sample_rate=sample_rate, noise=noise)
