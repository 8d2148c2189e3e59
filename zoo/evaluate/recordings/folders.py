"""Which recordings a benchmark reads: sets and noises, from the folders a user names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.data import sources
from zoo.data.sources import Source
from zoo.errors import ZooError


class Folder(NamedTuple):
    """One of them.

    Attributes:
      source: its recordings, mono.
      told: how many there are and where, for the head of a table.
      read: the folders that are read.
    """

    source: Source
    told: str
    read: tuple[Path, ...]


def named(folders: Sequence[str], pairs: tuple[str, str] | None, rate: int) -> dict[str, Folder]:
    """The data sets, each called after the last part of its folder.

    Args:
      folders: of one with a sub-folder `test` only that is read.
      pairs: sub-folders of each with the noisy and the clean recordings of equal names; None where
        all are clean.
      rate: what they are resampled to, in Hz.

    Raises:
      ZooError: a folder is missing or has no recordings for a test, or two are called alike.
    """
    data: dict[str, Folder] = {}
    for folder in folders:
        name = files.expanded(folder).resolve().name or "root"
        # Those of one file name would write over each other.
        if files.slug(name) in map(files.slug, data):
            raise ZooError(f"two folders are called {name}; name each once, or rename one")
        data[name] = _paired(folder, pairs, rate) if pairs else _alone(folder, "--data", rate)
    return data


def mixed_in(folder: str | None, rate: int) -> Folder:
    """The noises.

    Raises:
      ZooError: none is named, it is missing, or has none for a test.
    """
    if not folder:
        raise ZooError(
            "there is no noise to mix in; name its folder with --noises, or two with --pairs"
        )
    return _alone(folder, "--noises", rate)


def _alone(folder: str, option: str, rate: int) -> Folder:
    """A folder of recordings without twins."""
    root = _existing(folder, f"mend {option}")
    source = _load("recordings", root, rate)
    if not len(source):
        raise ZooError(
            f"{folder} has other splits but no test; name the sub-folder to take with {option}"
        )
    read = root / "test" if (root / "test").is_dir() else root
    return Folder(source, f"{len(source)} in {read}", (read,))


def _paired(folder: str, pairs: tuple[str, str], rate: int) -> Folder:
    root = _existing(folder, "mend --data")
    if (root / "test").is_dir() and not (root / pairs[0]).is_dir():
        root = root / "test"
    remedy = "for recordings --pairs names two folders below --data, the noisy and the clean one"
    read = tuple(_existing(root / one, remedy) for one in pairs)
    source = _load("recording_pairs", root, rate, test_noisy=pairs[0], test_clean=pairs[1])
    return Folder(source, f"{len(source)} in {root}, noisy {pairs[0]}, clean {pairs[1]}", read)


def _existing(folder: str | Path, remedy: str) -> Path:
    path = files.expanded(folder)
    if not path.is_dir():
        raise ZooError(f"there is no folder {path}; {remedy}")
    return path


def _load(kind: str, root: Path, rate: int, **options: str) -> Source:
    everything = {"path": str(root), "channels": 1, "sample_rate": rate}
    return sources.load(kind, fractions=(0.0, 0.0, 1.0), **everything, **options)["test"]


def check_apart(outdir: Path, data: Mapping[str, Folder], noise: Folder | None) -> None:
    """Holds the folders that are written, one a set below `outdir`, against those that are read.

    What is written is wiped first, and what lies among recordings is scored the next time.

    Raises:
      ZooError: one lies in the other.
    """
    for folder in [path for one in [*data.values(), noise] if one for path in one.read]:
        read = folder.resolve()
        for name in data:
            written = (outdir / files.slug(name)).resolve()
            if read.is_relative_to(written) or written.is_relative_to(read):
                raise ZooError(
                    f"{written} would be written and {folder} read; choose another --out"
                )
