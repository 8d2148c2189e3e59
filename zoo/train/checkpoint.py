"""Checkpoints: every orbax call of the project, and the checksums that orbax lacks.

A checkpoint counts only once its manifest, the SHA-256 of each of its files, stands beside it;
the manifest is written after orbax has committed. Whatever does not match is moved to `damaged/`,
never deleted.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orbax.checkpoint import v1 as ocp

from zoo import files
from zoo.errors import ZooError


class Checkpoints:
    """The checkpoints of one run.

    Args:
      directory: where they live; made if missing.
      keep: how many of the latest to keep.
      warn: called with one line when a checkpoint is set aside.
    """

    def __init__(self, directory: Path, *, keep: int, warn: Callable[[str], None] = print):
        self._directory = directory
        self._warn = warn
        directory.mkdir(parents=True, exist_ok=True)
        self._set_aside_damaged()
        self._orbax = ocp.training.Checkpointer(
            directory.absolute(),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        )

    @property
    def latest(self) -> int | None:
        """The step of the newest good checkpoint."""
        return max(self._steps(), default=None)

    def save(self, step: int, tree: Any) -> None:
        """Writes a tree of numpy arrays as the checkpoint of a step; a step already saved stays.

        Raises:
          ZooError: it cannot be written, as on a full disk.
        """
        if step in self._steps():
            return
        try:
            self._orbax.save_checkpointables(step, {"state": tree})
            manifest = json.dumps(_checksums(self._directory / str(step)))
            files.write(self._manifest(step), manifest.encode(), durable=True)
        except Exception as error:  # orbax and tensorstore raise what they like
            reason = "no space left" if "space" in str(error).lower() else type(error).__name__
            raise ZooError(
                f"checkpoint {step} cannot be written to {self._directory} ({reason}); "
                "mend that, and the same command goes on from the one before"
            ) from None
        for manifest in self._directory.glob("*.json"):
            if not (self._directory / manifest.stem).is_dir():
                manifest.unlink()

    def restore(self, like: Any) -> Any:
        """Reads the latest checkpoint.

        Args:
          like: a tree of numpy arrays with the saved structure, shapes and dtypes.
        """
        return self._orbax.load_checkpointables(self.latest, {"state": like})["state"]

    def close(self) -> None:
        """Waits for orbax."""
        self._orbax.close()

    def _steps(self) -> list[int]:
        return [int(p.name) for p in self._directory.iterdir() if p.is_dir() and p.name.isdigit()]

    def _manifest(self, step: int) -> Path:
        return self._directory / f"{step}.json"

    def _set_aside_damaged(self) -> None:
        # The newest good one is what a run needs; older ones are looked at when it is their turn.
        for step in sorted(self._steps(), reverse=True):
            problem = self._problem(step)
            if problem is None:
                return
            aside = self._directory / "damaged" / str(step)
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            os.replace(self._directory / str(step), aside)
            if self._manifest(step).exists():
                os.replace(self._manifest(step), aside.with_suffix(".json"))
            self._warn(f"checkpoint {step} is damaged ({problem}); moved to {aside}")

    def _problem(self, step: int) -> str | None:
        try:
            expected = json.loads(self._manifest(step).read_text())
        except FileNotFoundError:
            return "it was not finished"
        except ValueError:
            return "its manifest cannot be read"
        found = _checksums(self._directory / str(step))
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                return f"{name} is not what was written"
        return None


def _checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
