"""A run in few files of limited size, and back: what a machine gives back may be limited so."""

import hashlib
import io
import json
import math
import tarfile
from pathlib import Path

from zoo import files
from zoo.errors import ZooError

PROGRESS = "progress.json"
PIECE = 15 * 2**20
"""The largest file, bytes; 16 MiB are allowed."""
# Of `progress.json`, to go on.
_NEEDED = {"step", "state", "sha256", "data", "calls"}
MOST_FILES, MOST_BYTES = 8, 62 * 2**20


def check(parameters: int, state: int, *, files_besides: int) -> None:
    """Refuses a run whose end could not be carried home.

    Args:
      parameters: bytes of the weights.
      state: bytes of a checkpoint.
      files_besides: how many there are besides weights and state.

    Raises:
      ZooError: with the figures.
    """
    pieces = sum(math.ceil(size / PIECE) for size in (parameters, state))
    if parameters + state > MOST_BYTES or pieces + files_besides > MOST_FILES:
        raise ZooError(
            f"weights of {parameters / 2**20:.0f} MiB and a checkpoint of {state / 2**20:.0f} MiB "
            f"do not go into {MOST_FILES} files of 16 MiB; choose a smaller model, or "
            "--any-size where nothing limits them"
        )


def cut(name: str, data: bytes, folder: Path) -> list[str]:
    """Writes data as one file or in pieces; the names of all, in order."""
    count = max(math.ceil(len(data) / PIECE), 1)
    names = [name] if count == 1 else [f"{name}.{i:02d}" for i in range(count)]
    for i, piece in enumerate(names):
        files.write(folder / piece, data[i * PIECE : (i + 1) * PIECE], durable=True)
    return names


def join(folder: Path, names: list[str], digest: str) -> bytes:
    """The data that were cut.

    Raises:
      ZooError: a piece is missing, or not what was written.
    """
    try:
        data = b"".join((folder / name).read_bytes() for name in names)
    except OSError as error:
        raise ZooError(f"{folder} lacks {Path(error.filename).name}; bring all files") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise ZooError(f"{folder}: {', '.join(names)} is not what was written; bring it again")
    return data


def bundle(workdir: Path, step: int) -> bytes:
    """A run's checkpoint of a step, its config and its metrics, as a tar."""
    wanted = ["config.json", "metrics.jsonl", f"checkpoints/{step}", f"checkpoints/{step}.json"]
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name in wanted:
            if (workdir / name).exists():
                archive.add(workdir / name, name)
    return data.getvalue()


def unbundle(data: bytes, workdir: Path) -> None:
    """Lays a bundled run down in a new workdir."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(workdir, filter="data")


def saved_step(workdir: Path) -> int | None:
    """The latest checkpoint that is whole, for its manifest comes last."""
    steps = [int(p.stem) for p in workdir.glob("checkpoints/*.json") if p.stem.isdigit()]
    return max(steps, default=None)


def publish(workdir: Path, out: Path, progress: dict) -> None:
    """Puts the latest checkpoint into the output folder, in place of the one of before.

    Args:
      workdir: of the run.
      out: where its pieces go, `progress.json` last.
      progress: what to write there besides.
    """
    step = saved_step(workdir)
    if step is None:
        return
    data = bundle(workdir, step)
    names = cut(f"state-{step}.tar", data, out)
    saved = {"step": step, "state": names, "sha256": hashlib.sha256(data).hexdigest()}
    files.write(out / PROGRESS, json.dumps({**progress, **saved}, indent=2).encode(), durable=True)
    for old in out.glob("state-*"):
        if old.name not in names:
            old.unlink()


def read_progress(folder: Path) -> dict | None:
    """What an earlier call left; None where there was none.

    Raises:
      ZooError: it cannot be read.
    """
    path = folder / PROGRESS
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= _NEEDED:
        raise ZooError(f"{path} cannot be read; bring it again, or begin again")
    return found
