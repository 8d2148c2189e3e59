"""Processes that listen: PESQ and STOI take longer than most models, and hold Python's lock.

Each is a Python of its own, not a fork (JAX has threads) and not a `multiprocessing` child (which
would run the user's script again). What PESQ's C code does to one costs a figure, not the run.
"""

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from zoo.metrics import perceptual

_PROGRAM = "from zoo.evaluate.recordings.pool import serve; serve()"

# From so many jobs on, a new process has paid for its second of imports.
_JOBS_TO_PAY = 50


class Verdict(NamedTuple):
    """A figure, NaN if there is none, and then why."""

    value: float
    why: str = ""


class Pool:
    """A pool to hand jobs to; a context manager, because its processes have to end.

    Args:
      jobs: how many are to come; few are done here.
      workers: how many processes, at most; None for one a core.
    """

    def __init__(self, jobs: int, workers: int | None = None):
        if workers is None:
            workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._workers = min(workers, jobs // _JOBS_TO_PAY)
        self._threads = ThreadPoolExecutor(max(self._workers, 1))
        self._own = threading.local()
        self._children: list[subprocess.Popen] = []
        # Jobs hold their signals, so no more may wait than keep everyone busy.
        self._room = threading.Semaphore(4 * max(self._workers, 1))

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.stdin.close()
            child.wait()
            child.stdout.close()

    def judge(
        self, metric: str, estimate: np.ndarray, reference: np.ndarray, sample_rate: int
    ) -> Future:
        """A future `Verdict` on one recording; waits while enough others are under way.

        Args:
          metric: `"pesq"` or `"stoi"`.
          estimate: (T, C), float32.
          reference: of the same shape.
          sample_rate: in Hz.
        """
        job = (metric, estimate, reference, sample_rate)
        if not self._workers:
            # In this thread: STOI turns warnings into errors, for all threads while it does.
            future = Future()
            future.set_result(listen(*job))
            return future
        self._room.acquire()
        future = self._threads.submit(self._one, job)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _one(self, job: tuple) -> Verdict:
        child = getattr(self._own, "child", None)
        if child is None or child.poll() is not None:
            child = self._own.child = _start()
            self._children.append(child)
        try:
            pickle.dump(job, child.stdin)
            child.stdin.flush()
            return pickle.load(child.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            child.kill()
            child.wait()
            return Verdict(np.nan, "its process died")


def listen(metric: str, estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> Verdict:
    """The figure of one recording, here and now."""
    try:
        value = getattr(perceptual, metric)(estimate, reference, sample_rate)
    # Whatever a package makes of a recording without a word in it, the other figures stand.
    except Exception as error:
        return Verdict(np.nan, str(error).partition("\n")[0] or type(error).__name__)
    return Verdict(value, "" if np.isfinite(value) else "not a number")


def serve() -> None:
    """What a process does: jobs from its standard input, verdicts to its standard output."""
    jobs, verdicts = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # A package that prints must not speak into the answers.
    os.dup2(2, 1)
    while True:
        try:
            job = pickle.load(jobs)
        except EOFError:
            return
        pickle.dump(listen(*job), verdicts)
        verdicts.flush()


def _start() -> subprocess.Popen:
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    # Importing our metrics imports JAX, which must not ask for the accelerator a second time.
    environment = {**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    # One thread each: there are as many processes as cores.
    environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = "1"
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C is for the run; its end closes their input, which ends them.
        start_new_session=True,
    )
