"""One job at a time, in the order they came; each can be watched and stopped."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from zoo.errors import ZooError

Tell = Callable[[int, int], None]


class Stopped(Exception):  # noqa: N818, it is none
    """Somebody stopped the job; raised where it tells of its progress."""


class Job:
    """A piece of work that waits, goes on, or is done.

    Attributes:
      share: how much is done, 0 to 1.
      done: whether there is a result or an error.
      result: what the work returned.
      error: what it raised; a `Stopped` if somebody stopped it.
    """

    def __init__(self, jobs: "Jobs", work: Callable[[Tell], Any]):
        self.share = 0.0
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._jobs, self._work = jobs, work
        self._stopped = threading.Event()

    @property
    def before(self) -> int:
        """How many jobs are done before this one begins."""
        return self._jobs.before(self)

    def stop(self) -> None:
        """Ends it: at once if it waits, else where it next tells of its progress."""
        self._stopped.set()
        self._jobs.forget(self)

    def run(self) -> None:
        """Does the work; what it raises is kept."""
        try:
            self._tell(0, 1)
            self.result = self._work(self._tell)
        # Whatever it is, who waits for the job must learn of it.
        except BaseException as error:
            self.error = error
        self.done = True

    def drop(self) -> None:
        """Marks it as stopped before it began."""
        self.error, self.done = Stopped(), True

    def _tell(self, done: int, whole: int) -> None:
        if self._stopped.is_set():
            raise Stopped
        self.share = done / max(whole, 1)


class Jobs:
    """A queue and the one thread that works it off.

    Args:
      most: how many jobs may wait.
    """

    def __init__(self, most: int = 32):
        self._most = most
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._go, name="zoo-app", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Tell], Any]) -> Job:
        """Appends a job.

        Args:
          work: called with a function `tell(done, whole)`, which it calls now and then, and which
            raises `Stopped` once the job is to end.

        Raises:
          ZooError: too many wait.
        """
        job = Job(self, work)
        with self._changed:
            if len(self._waiting) >= self._most:
                raise ZooError("too many others are waiting; try again in a minute")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def before(self, job: Job) -> int:
        """How many jobs are done before this one begins; 0 if it has begun."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def forget(self, job: Job) -> None:
        """Takes a job out of those that wait, if it does."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job.drop()

    def close(self, timeout: float = 30.0) -> None:
        """Stops all jobs and waits for the one at work, for some seconds at most."""
        with self._changed:
            self._closed = True
            jobs = [*self._waiting, *([self._running] if self._running else [])]
            self._changed.notify()
        for job in jobs:
            job.stop()
        self._thread.join(timeout)

    def _go(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                self._running = self._waiting.popleft()
            self._running.run()
            with self._changed:
                self._running = None
