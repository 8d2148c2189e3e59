"""A queue of jobs that run one at a time; each reports progress and can be stopped."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from zoo.errors import ZooError

Progress = Callable[[int, int], None]


class Stopped(Exception):  # noqa: N818, it is not an error
    """Raised by the progress callback of a job that was stopped."""


class Job:
    """A piece of work that waits, runs, or is done.

    Attributes:
      share: how much is done, 0 to 1.
      done: whether there is a result or an error.
      result: the value that the work returned.
      error: the exception that it raised; a `Stopped` if the job was stopped.
    """

    def __init__(self, jobs: "Jobs", work: Callable[[Progress], Any]):
        self.share = 0.0
        self.result: Any = None
        self.error: BaseException | None = None
        self._jobs, self._work = jobs, work
        self._lock = threading.Lock()
        self._stopped, self._ended = threading.Event(), threading.Event()
        self._reported = 0.0

    @property
    def done(self) -> bool:
        """See the class."""
        return self._ended.is_set()

    @property
    def before(self) -> int:
        """The number of jobs that end before this one begins."""
        return self._jobs.before(self)

    def stop(self) -> None:
        """Ends the job: at once if it waits, else at its next report of progress."""
        self._stopped.set()
        self._jobs.forget(self)

    def run(self) -> None:
        """Does the work and keeps its result or exception."""
        try:
            self._report(0, 1)
            result = self._work(self._report)
        # Of any kind: the caller that waits for the job must see it.
        except BaseException as error:
            self.end(error=error)
        else:
            self.end(result)

    def end(self, result: Any = None, error: BaseException | None = None) -> None:
        """Makes the job done, unless it is."""
        with self._lock:
            if not self.done:
                self.result, self.error = result, error
                self._ended.set()

    def give_up(self) -> None:
        """Makes the job done; should its work go on, the next report of progress ends that."""
        late = ZooError("this file takes too long to process; try another")
        self.end(error=Stopped() if self._stopped.is_set() else late)
        self._stopped.set()

    def wait(self, patience: float) -> bool:
        """Waits until the job is done, or has reported no progress for `patience` seconds.

        Returns:
          Whether it is done.
        """
        self._reported = time.monotonic()
        while (left := self._reported + patience - time.monotonic()) > 0:
            if self._ended.wait(left):
                return True
        return self.done

    def _report(self, done: int, whole: int) -> None:
        if self._stopped.is_set():
            raise Stopped
        self._reported = time.monotonic()
        self.share = done / max(whole, 1)


class Jobs:
    """A queue of jobs, of which one runs at a time, in a thread of its own.

    A thread cannot be ended from outside. A job that never returns, such as a decoder caught in an
    endless loop by a damaged file, is given up, so that it does not block the jobs of others.

    Args:
      most: how many jobs may wait.
      patience: seconds without progress after which a job is given up.
    """

    def __init__(self, most: int = 32, patience: float = 900.0):
        self._most, self._patience = most, patience
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run_all, name="zoo-app", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Progress], Any]) -> Job:
        """Appends a job.

        Args:
          work: called with a function `progress(done, whole)`, which it calls now and then, and
            which raises `Stopped` once the job is to end.

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
        """The number of jobs that end before this one begins; 0 if it has begun."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def forget(self, job: Job) -> None:
        """Takes a job out of those that wait, if it is among them."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job.end(error=Stopped())

    def close(self, timeout: float = 30.0) -> None:
        """Stops all jobs and waits for the running one, up to some seconds."""
        with self._changed:
            self._closed = True
            jobs = [*self._waiting, *([self._running] if self._running else [])]
            self._changed.notify()
        for job in jobs:
            job.stop()
        self._thread.join(timeout)

    def _run_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                self._running = job = self._waiting.popleft()
            threading.Thread(target=job.run, name="zoo-app-job", daemon=True).start()
            if not job.wait(self._patience):
                job.give_up()
                print(
                    f"warning: a job without progress for {self._patience:.0f} s was given up; "
                    "start the page again to free the processor and memory that it uses",
                    file=sys.stderr,
                )
            with self._changed:
                self._running = None
