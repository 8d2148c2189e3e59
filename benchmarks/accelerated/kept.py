"""Rows that are in their file as soon as they are there, and what has none, with the reason."""

import json
import time
from pathlib import Path

from zoo.errors import ZooError

ROWS, SUMMARY, LOG = "rows.jsonl", "summary.md", "log.txt"


class Kept:
    """What a run has found so far.

    Args:
      out: the folder.
      begun: when, by `time.monotonic`.

    Attributes:
      rows: the rows, each with its `part` and `cell`.
      planned: by part, the cells that were to have a row.
      left: by part and cell, why one has none.

    Raises:
      ZooError: the folder holds the rows of another run, or cannot be written.
    """

    def __init__(self, out: Path, begun: float):
        self._path, self._begun = out / ROWS, begun
        if self._path.exists():
            raise ZooError(f"{out} holds the rows of another run; choose another --out")
        try:
            self._file = self._path.open("x")
        except OSError as error:
            raise ZooError(f"cannot write {self._path}: {error.strerror}; check the path") from None
        self.rows: list[dict] = []
        self.planned: dict[str, list[str]] = {}
        self.left: dict[tuple[str, str], str] = {}

    def end(self) -> None:
        """Closes the file; no more rows can be added."""
        self._file.close()

    def plan(self, part: str, cells: list[str]) -> None:
        """Adds to what is to have a row."""
        known = self.planned.setdefault(part, [])
        known += [cell for cell in cells if cell not in known]

    def add(self, part: str, cell: str, row: dict) -> None:
        """Writes a row."""
        at = round(time.monotonic() - self._begun, 2)
        self.rows.append({"part": part, "cell": cell, "at_s": at} | row)
        print(json.dumps(self.rows[-1]), file=self._file, flush=True)

    def leave(self, part: str, cell: str, why: str) -> None:
        """Remembers why a cell has no row; the first reason stays."""
        self.left.setdefault((part, cell), why)

    def hear(self, part: str, message: dict) -> None:
        """What a child said."""
        if "planned" in message:
            self.plan(part, message["planned"])
        elif "row" in message:
            self.add(part, message["cell"], message["row"])
        elif "left" in message:
            self.leave(part, message["cell"], message["left"])

    def close(self, part: str, why: str, cells: list[str] | None = None) -> None:
        """Gives all cells of a part that have neither row nor reason this one."""
        done = {row["cell"] for row in self.rows if row["part"] == part}
        if part not in self.planned:
            self.leave(part, "all of it", why)
        for cell in self.planned.get(part, []) if cells is None else cells:
            if cell not in done:
                self.leave(part, cell, why)
