"""The images of a config in one file small enough to be sent along, and the way back.

A pack is a zip of image files and two of JSON: `config.json`, and `pack.json`, which names the
files of each split. Files go in as they are; where together they are too large, windows of all
training images go in instead, PNG, each of the same share of its image.
"""

import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from zoo import files
from zoo.data import image_files
from zoo.data.sources import SPLITS, Source
from zoo.data.sources.source import Example, Listing
from zoo.errors import ZooError
from zoo.train.config import to_plain

KIND = "pack"
"""What `data.name` is where a pack is trained on; `splits` makes its sources."""
EMBEDDED = ("photos", "voices")
"""Data that are there wherever the zoo is."""
_SHARES = {"test": 0.02, "validation": 0.15, "train": 1.0}
# Of what those before left; a test image has to be there, though the scores are made at home.
_OVERHEAD = 2**13
_TRIES = 20


class Packed(NamedTuple):
    """What went into a pack.

    Attributes:
      size: of the file, bytes.
      counts: images by split.
      share: of the pixels of the training images.
    """

    size: int
    counts: dict[str, int]
    share: float


def pack(config: ConfigDict, sources: dict[str, Source], path: Path, limit: int) -> Packed:
    """Writes the pack of a config.

    Args:
      config: what is going to be trained.
      sources: its data, those of an experiment.
      path: the file.
      limit: bytes that it must not exceed.

    Raises:
      ZooError: the data are audio, or nothing useful fits into the limit.
    """
    if config.data.name in EMBEDDED:
        sources = dict.fromkeys(SPLITS, ())
    elif sources["train"].sample_rate:
        raise ZooError("only images can be packed; train on audio where its files are")
    counts = {
        "train": len(sources["train"]),
        "validation": min(len(sources["validation"]), config.validation.limit or 10**9),
        "test": min(len(sources["test"]), 1),
    }
    rng, listed, share = np.random.default_rng(config.seed), {}, 1.0
    least = max(config.data.crop or (64,))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        left = limit - _OVERHEAD
        for split, part in _SHARES.items():
            own = list(range(counts[split]))
            room = int(part * left)
            listed[split], kept = _split(sources[split], own, root, split, room, least, rng)
            left -= _bytes(root / split)
            share = kept if split == "train" else share
        facts = {"splits": listed, "share": share}
        (root / "pack.json").write_text(json.dumps(facts))
        (root / "config.json").write_text(json.dumps(to_plain(config)))
        files.make_folder(path.parent)
        with files.staged(path) as part:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                for file in sorted(root.rglob("*")):
                    if file.is_file():
                        archive.write(file, file.relative_to(root))
            size = part.stat().st_size
            if size > limit:
                raise ZooError(
                    f"the images do not fit into {limit / 2**20:.0f} MiB; "
                    "name fewer, or set data.size"
                )
    return Packed(size, {split: len(listed[split]) for split in SPLITS}, share)


def _split(
    source: Source,
    chosen: list[int],
    root: Path,
    split: str,
    room: int,
    least: int,
    rng: np.random.Generator,
) -> tuple[list[dict], float]:
    """Writes the files of a split; what they are called, and their share of the pixels."""
    folder = root / split
    folder.mkdir()
    whole = [_whole(source, index, folder) for index in chosen]
    used = _bytes(folder)
    if used <= room:
        return whole, 1.0
    # PNG holds what JPEG held in more bytes, which only trying tells.
    share = 1.0
    for _ in range(_TRIES):
        share *= min(0.95 * room / used, 0.9)
        shutil.rmtree(folder)
        folder.mkdir()
        kept, areas, smallest = [], [], True
        for index in chosen:
            image = source[index]
            window, of = _window(image, share, least, rng)
            kept.append(_write(window, index, folder))
            areas.append(of)
            smallest = smallest and max(window.target.shape[:2]) <= least
            if _bytes(folder) > room:
                break
        else:
            return kept, float(np.mean(areas))
        if smallest and kept[1:]:
            # Smaller windows would hold no crop: fewer images then.
            for role in ("target", "input"):
                (folder / kept[-1].get(role, "none")).unlink(missing_ok=True)
            return kept[:-1], float(np.mean(areas[:-1]))
        # What has been written tells how much all would take.
        used = room * len(chosen) / len(kept)
    raise ZooError(f"the {split} images do not fit; name fewer, or set data.size")


def _bytes(folder: Path) -> int:
    # Each file costs the archive its name twice besides.
    return sum(file.stat().st_size + 256 for file in folder.iterdir())


def _whole(source: Source, index: int, folder: Path) -> dict:
    """Copies an image's files where they are what the source gives; else writes it again."""
    item = source.listing.items[index]
    found = [item] if isinstance(item, str) else [getattr(item, n, "") for n in ("clean", "noisy")]
    plain = source.size is None and all(f and Path(f).is_file() for f in found)
    if not plain:
        return _write(source[index], index, folder)
    named = {}
    for role, file in zip(("target", "input"), found, strict=False):
        named[role] = f"{index:06d}.{role}{Path(file).suffix.lower()}"
        shutil.copyfile(file, folder / named[role])
    return {"name": source.names[index], **named}


def _write(image: Example, index: int, folder: Path) -> dict:
    named = {}
    for role in ("target", "input"):
        if (pixels := getattr(image, role)) is not None:
            named[role] = f"{index:06d}.{role}.png"
            image_files.write(folder / named[role], pixels)
    return {"name": image.name, **named}


def _window(
    image: Example, share: float, least: int, rng: np.random.Generator
) -> tuple[Example, float]:
    """A window of an image, both of a pair's, and its share of the image."""
    height, width = image.target.shape[:2]
    scale = math.sqrt(share)
    h, w = (min(side, max(int(scale * side), least)) for side in (height, width))
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    cut = np.s_[top : top + h, left : left + w]
    pair = (image.target, image.input)
    target, noisy = (None if x is None else np.ascontiguousarray(x[cut]) for x in pair)
    return Example(image.name, target, noisy), h * w / (height * width)


def unpack(path: Path, folder: Path) -> dict:
    """Unpacks a pack; its config, as `to_plain` gave it.

    Raises:
      ZooError: it is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        return json.loads((folder / "config.json").read_text())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ZooError(f"{path} is no pack ({error}); make one by --pack={path.name}") from None


def splits(path: str, fractions: tuple, seed: int) -> dict[str, Listing]:
    """The listings of an unpacked pack, as every kind of `zoo.data.sources` gives them.

    Args:
      path: the folder.
      fractions: of no meaning, for the pack is split.
      seed: likewise.
    """
    root = Path(path)
    found = json.loads((root / "pack.json").read_text())["splits"]
    return {split: Listing(*_listed(root / split, found[split]), _read) for split in SPLITS}


def _listed(folder: Path, entries: list[dict]) -> Iterator[list]:
    yield [entry["name"] for entry in entries]
    yield [
        tuple(str(folder / entry[role]) for role in ("target", "input") if role in entry)
        for entry in entries
    ]


def _read(paths: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    target, *noisy = map(image_files.read, paths)
    return target, noisy[0] if noisy else None
