"""Visitors and their files, which are removed when the visitor leaves."""

import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zoo.app import limits
from zoo.app.jobs import Job
from zoo.errors import ZooError

# Seconds without a request of the visitor.
_IDLE = 3600
# Seconds that an upload waits for its tab.
_UPLOAD = 120
_SWEEP = 20


class Visit:
    """One visitor's folder and files, by tab.

    A visit is one opening of the page. A path from a visitor is never opened; it is looked up among
    the uploads of the visit.

    Attributes:
      folder: of this visit alone, with a name that cannot be guessed.
      session: Gradio's name of the visit, once it is known.
      opened: whether the page was served to it.
      files: tab -> file in use.
      jobs: tab -> last job.
      results: tab -> its result.
      seen: time of the last request.
      coming: bytes of uploads in progress.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.session: str | None = None
        self.opened = False
        self.files: dict[str, Path] = {}
        self.jobs: dict[str, Job] = {}
        self.results: dict[str, Any] = {}
        self.seen = time.monotonic()
        self.coming = 0
        self._uploads: dict[Path, float] = {}

    @property
    def empty(self) -> bool:
        """Whether the visit has no files."""
        return not (self.files or self._uploads or self.coming)

    def place_upload(self, name: str) -> Path:
        """A place for an upload in the visit's folder; `add_upload` registers the complete file."""
        place = self.folder / "uploads" / secrets.token_hex(8) / limits.plain(name)
        place.parent.mkdir(parents=True)
        return place

    def add_upload(self, place: Path) -> None:
        """Registers a complete upload, which then waits for its tab."""
        self._uploads[place] = time.monotonic()

    def has_upload(self, path: str) -> bool:
        """Whether a path is that of an upload of this visit which no tab has taken."""
        return Path(path) in self._uploads

    def take(self, tab: str, path: str | os.PathLike) -> Path:
        """Makes an upload the file of a tab, in place of its last.

        Raises:
          ZooError: this visit has no such upload, or it is gone.
        """
        self.drop(tab)
        place = Path(path)
        if self._uploads.pop(place, None) is None or not place.is_file():
            raise ZooError("the file is not here; drop it again")
        self.files[tab] = place
        return place

    def try_sample(self, tab: str, path: Path) -> Path:
        """Makes a sample, which stays in place, the file of a tab."""
        self.drop(tab)
        self.files[tab] = path
        return path

    def file(self, tab: str) -> Path:
        """The file of a tab.

        Raises:
          ZooError: there is none.
        """
        path = self.files.get(tab)
        if path is None or not path.is_file():
            raise ZooError("there is no file yet; drop one, or take a sample")
        return path

    @contextmanager
    def room(self, tab: str) -> Iterator[Path]:
        """A new folder for results: earlier ones are removed, or it is if the work fails."""
        rooms = self.folder / tab
        room = rooms / secrets.token_hex(8)
        room.mkdir(parents=True)
        try:
            yield room
        except BaseException:
            shutil.rmtree(room, ignore_errors=True)
            raise
        for other in rooms.iterdir():
            if other != room:
                shutil.rmtree(other, ignore_errors=True)

    def drop(self, tab: str) -> None:
        """Stops a tab's job and removes its files."""
        self.stop(tab)
        self.results.pop(tab, None)
        file = self.files.pop(tab, None)
        # Samples stay.
        if file is not None and file.is_relative_to(self.folder):
            shutil.rmtree(file.parent, ignore_errors=True)
        shutil.rmtree(self.folder / tab, ignore_errors=True)

    def stop(self, tab: str) -> None:
        """Stops a tab's job, if there is one."""
        if tab in self.jobs:
            self.jobs[tab].stop()

    def clear(self) -> None:
        """Stops all jobs and removes all files."""
        for tab in list(self.jobs):
            self.stop(tab)
        self._uploads.clear()
        self.files.clear()
        self.results.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sweep(self, upload: float) -> None:
        """Removes uploads that no tab has taken for some seconds."""
        for place, since in list(self._uploads.items()):
            if time.monotonic() - since > upload and self._uploads.pop(place, None) is not None:
                shutil.rmtree(place.parent, ignore_errors=True)

    def size(self) -> int:
        """Bytes on the disk and of uploads in progress."""
        held = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                # Another thread may have removed it.
                with suppress(OSError):
                    held += os.lstat(os.path.join(folder, name)).st_size
        return held + self.coming


class Store:
    """All visits, below one folder.

    Args:
      root: an empty folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self._visits: dict[str, Visit] = {}
        self._sessions: dict[str, Visit] = {}
        self._lock = threading.Lock()
        (root / "visits").mkdir(parents=True)
        threading.Thread(target=self._keep_sweeping, name="zoo-app-sweep", daemon=True).start()

    def open(self) -> str:
        """Begins a visit.

        Returns:
          Its token, the first part of the addresses of its page, which identifies the visitor.

        Raises:
          ZooError: there are too many visits.
        """
        with self._lock:
            if len(self._visits) >= limits.MOST_VISITS:
                idle = [token for token, visit in self._visits.items() if visit.empty]
                if not idle:
                    raise ZooError("too many visitors are here; try again later")
                gone = self._visits.pop(min(idle, key=lambda one: self._visits[one].seen))
                self._sessions.pop(gone.session or "", None)
                gone.clear()
            token = secrets.token_urlsafe(24)
            self._visits[token] = Visit(self.root / "visits" / secrets.token_hex(16))
            return token

    def of(self, token: str) -> Visit | None:
        """The visit of a token, if there is one; counts as a request."""
        with self._lock:
            visit = self._visits.get(token)
            if visit is not None:
                visit.seen = time.monotonic()
            return visit

    def join(self, visit: Visit, session: str) -> bool:
        """Ties a session of Gradio to a visit, for good; returns whether it is this visit's."""
        with self._lock:
            if visit.session is None and session not in self._sessions:
                visit.session, self._sessions[session] = session, visit
            return visit.session == session

    def visit(self, session: str | None) -> Visit:
        """The visit of a session.

        Raises:
          ZooError: there is none.
        """
        with self._lock:
            if session not in self._sessions:
                raise ZooError("this visit has ended; open the page again")
            self._sessions[session].seen = time.monotonic()
            return self._sessions[session]

    def leave(self, session: str | None) -> None:
        """Stops the jobs of a session and removes its files; the visitor may come back."""
        with self._lock:
            visit = self._sessions.get(session)
        if visit is not None:
            visit.clear()

    @contextmanager
    def coming(self, visit: Visit, size: int) -> Iterator[None]:
        """Reserves space for an upload in progress.

        Args:
          visit: of the upload.
          size: in bytes.

        Raises:
          ZooError: the file, the visit, or all visits would be too large.
        """
        with self._lock:
            if size > limits.MOST_BYTES:
                raise ZooError(
                    f"files larger than {limits.MOST_BYTES >> 20} MB are not accepted here; use "
                    "zoo denoise, which takes any size"
                )
            if visit.size() + size > limits.VISIT_BYTES:
                raise ZooError("this visit has too many files; remove finished ones, or reload")
            every = sum(one.size() for one in self._visits.values())
            free = shutil.disk_usage(self.root).free
            if every + size > limits.SERVER_BYTES or free - size < limits.FREE_BYTES:
                raise ZooError("there is no room for more files; try again later")
            visit.coming += size
        try:
            yield
        finally:
            with self._lock:
                visit.coming -= size

    def sweep(self, idle: float = _IDLE, upload: float = _UPLOAD) -> None:
        """Removes files of idle visits, and uploads that no tab took.

        Args:
          idle: seconds without a request; a visit with a running job is not idle.
          upload: seconds since the upload.
        """
        with self._lock:
            visits = list(self._visits.values())
        for visit in visits:
            visit.sweep(upload)
            working = visit.coming or not all(job.done for job in visit.jobs.values())
            if time.monotonic() - visit.seen > idle and not working:
                visit.clear()

    def _keep_sweeping(self) -> None:
        while self.root.is_dir():
            time.sleep(_SWEEP)
            if self.root.is_dir():
                self.sweep()
