"""What a visitor brings and gets: files that go when the visitor does."""

import os
import secrets
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from zoo.app.jobs import Job
from zoo.errors import ZooError

# Seconds without a sign of the visitor.
_IDLE = 3600
# Seconds that an upload lies where Gradio put it. It is ours by then, under another name; but who
# uploads the same file at the same moment has it there too.
_UPLOAD = 120
_SWEEP = 20
# Folders below the root that hold no uploads.
_OURS = {"visits", "samples"}


class Visit:
    """One visitor's folder and files, by the tab they are for.

    Attributes:
      folder: theirs alone, of a name that nobody guesses.
      files: the file that was taken last, by tab.
      jobs: the last job, by tab.
      results: what came of it, by tab.
      taken: where the files that were taken lay.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.files: dict[str, Path] = {}
        self.jobs: dict[str, Job] = {}
        self.results: dict[str, Any] = {}
        self.taken: set[Path] = set()
        self.seen = time.monotonic()

    def take(self, tab: str, path: str | os.PathLike) -> Path:
        """Takes a file over, in place of the last of this tab.

        Raises:
          ZooError: it is gone.
        """
        self.drop(tab)
        self.taken.add(Path(path))
        place = self.room(tab) / Path(path).name
        try:
            try:
                os.link(path, place)
            except OSError:
                shutil.copyfile(path, place)
        except OSError as error:
            raise ZooError(f"the file is not here ({error.strerror}); drop it again") from None
        self.files[tab] = place
        return place

    def file(self, tab: str) -> Path:
        """The file that was taken last.

        Raises:
          ZooError: there is none.
        """
        path = self.files.get(tab)
        if path is None or not path.is_file():
            raise ZooError("there is no file yet; drop one, or take a sample")
        return path

    def room(self, tab: str) -> Path:
        """A new folder for this tab."""
        room = self.folder / tab / secrets.token_hex(8)
        room.mkdir(parents=True)
        return room

    def drop(self, tab: str) -> None:
        """Stops a tab's job and removes its files."""
        self.stop(tab)
        self.files.pop(tab, None)
        self.results.pop(tab, None)
        shutil.rmtree(self.folder / tab, ignore_errors=True)

    def stop(self, tab: str) -> None:
        """Stops a tab's job, if there is one."""
        if tab in self.jobs:
            self.jobs[tab].stop()


class Store:
    """All visits, below one folder.

    Args:
      root: an empty folder, where Gradio puts uploads too.
    """

    def __init__(self, root: Path):
        self.root = root
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()
        (root / "visits").mkdir(parents=True)
        threading.Thread(target=self._keep_sweeping, name="zoo-app-sweep", daemon=True).start()

    def visit(self, session: str) -> Visit:
        """That of a session; a new one has an empty folder."""
        with self._lock:
            if session not in self._visits:
                folder = self.root / "visits" / secrets.token_hex(16)
                folder.mkdir()
                self._visits[session] = Visit(folder)
            self._visits[session].seen = time.monotonic()
            return self._visits[session]

    def leave(self, session: str) -> None:
        """Stops what a session has going on, and removes all of it."""
        with self._lock:
            visit = self._visits.pop(session, None)
            # The same file, brought by two, lies there once.
            shared = {path for other in self._visits.values() for path in other.taken}
        if visit is not None:
            for tab in list(visit.jobs):
                visit.stop(tab)
            shutil.rmtree(visit.folder, ignore_errors=True)
            for path in filter(self._is_upload, visit.taken - shared):
                with suppress(OSError):
                    path.unlink()

    def sweep(self, idle: float = _IDLE, upload: float = _UPLOAD) -> None:
        """Removes what was left: visits without a sign for some time, and taken uploads.

        Args:
          idle: seconds without a sign of the visitor; who has a job at work stays.
          upload: seconds since an upload came.
        """
        with self._lock:
            gone = [
                session
                for session, visit in self._visits.items()
                if time.monotonic() - visit.seen > idle
                and all(job.done for job in visit.jobs.values())
            ]
        for session in gone:
            self.leave(session)
        for folder in [path for path in self.root.iterdir() if path.name not in _OURS]:
            for path in [folder, *folder.rglob("*")] if folder.is_dir() else [folder]:
                # Another process, or Gradio itself, may be sooner.
                try:
                    if path.is_file() and time.time() - path.stat().st_ctime > upload:
                        path.unlink()
                except OSError:
                    continue

    def _is_upload(self, path: Path) -> bool:
        inside = path.is_relative_to(self.root)
        return inside and path.relative_to(self.root).parts[0] not in _OURS

    def _keep_sweeping(self) -> None:
        while self.root.is_dir():
            time.sleep(_SWEEP)
            if self.root.is_dir():
                self.sweep()
