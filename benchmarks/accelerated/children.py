"""Processes that are sure to have ended by a deadline, with all that they started."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
ROOT = BENCHMARKS.parent
# Of a child's errors; what comes back from a device is limited.
_MOST_SAID = 2**18


class OverdueError(Exception):
    """A deadline has passed."""


class Child:
    """A part of the benchmark, as a process of a session of its own.

    Args:
      part: the module of `accelerated` to run.
      spec: its arguments, as JSON.
      log: its errors go behind this file once it has ended.
      environment: of the process.
      command: instead of Python and the module.
    """

    def __init__(
        self,
        part: str,
        spec: Mapping,
        log: Path,
        environment: Mapping[str, str],
        command: list[str] | None = None,
    ):
        self.part, self._log, self._ended = part, log, None
        command = command or [sys.executable, "-m", f"accelerated.{part}", json.dumps(spec)]
        self._said = log.with_name(f".{part}-{time.monotonic_ns()}.txt")
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env=dict(environment),
                start_new_session=True,
            )
        self._messages: queue.Queue[dict | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        with contextlib.suppress(ValueError):
            for line in self._process.stdout:
                # Half a line is all that one killed in the middle of it leaves.
                with contextlib.suppress(ValueError):
                    self._messages.put(json.loads(line))
        self._messages.put(None)

    def next(self, until: float) -> dict | None:
        """Its next message; None once it has ended.

        Args:
          until: by `time.monotonic`.

        Raises:
          OverdueError: it said nothing by then.
        """
        try:
            message = self._messages.get(timeout=max(until - time.monotonic(), 0))
        except queue.Empty:
            raise OverdueError from None
        if message is None:
            # For whoever asks again.
            self._messages.put(None)
        return message

    def go(self) -> None:
        """Lets it measure, if it waits for that."""
        with contextlib.suppress(OSError):
            print("go", file=self._process.stdin, flush=True)

    def end(self) -> str:
        """Makes sure that nothing of it is left.

        Returns:
          Why it ended by itself before that, where it failed; else nothing.
        """
        if self._ended is None:
            self._ended = self._end()
        return self._ended

    def _end(self) -> str:
        running = self._process.poll() is None
        if running:
            # Its pipe may be closed before it has left.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2 if self._finished() else 0)
                running = False
        kill(self._process.pid)
        code = self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        # What it said last is in the pipe still.
        self._listener.join(1.0)
        self._process.stdout.close()
        said = self._collect()
        if running or not code:
            return ""
        return f"{said[-1][:300]}" if said else f"it ended with code {code}"

    def _finished(self) -> bool:
        with contextlib.suppress(OverdueError):
            return self.next(0) is None
        return False

    def _collect(self) -> list[str]:
        """Moves its errors behind the log; the lines of them."""
        try:
            said = self._said.read_bytes()[-_MOST_SAID:]
            self._said.unlink()
            if said:
                with self._log.open("ab") as log:
                    log.write(f"--- {self.part}\n".encode() + said)
        except OSError:
            return []
        return [line for line in said.decode(errors="replace").splitlines() if line.strip()]


def kill(leader: int) -> None:
    """Ends a process, its group and all that they started, even in sessions of their own."""
    found = descendants(leader)
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)
    for one in found:
        with contextlib.suppress(OSError):
            os.kill(one, signal.SIGKILL)


def descendants(leader: int) -> list[int]:
    """The processes that descend from one, where the system tells; without itself."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name, in brackets, may hold anything.
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found, fresh = [], [leader]
    while fresh:
        fresh = [child for child, parent in parents.items() if parent in fresh]
        found += fresh
    return found


def environment(folder: Path, jobs: int) -> dict[str, str]:
    """What every child is started with.

    Args:
      folder: for what compilers keep.
      jobs: how many compile at once.
    """
    found = dict(os.environ)
    # Of tests, which pretend that there are several devices.
    found.pop("XLA_FLAGS", None)
    platforms = found.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):
        found["JAX_PLATFORMS"] = f"{platforms},cpu"
    paths = [BENCHMARKS, BENCHMARKS / "peers", ROOT, ROOT / "tests" / "interop"]
    paths = [*map(str, paths), *filter(None, [found.get("PYTHONPATH")])]
    found["PYTHONPATH"] = os.pathsep.join(paths)
    # Several processes share one card, and compilations are to be measured, not looked up.
    found["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    found["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    found["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    found["TRITON_CACHE_DIR"] = str(folder / "triton")
    found["TORCHINDUCTOR_COMPILE_THREADS"] = str(max((os.cpu_count() or 1) // jobs, 1))
    found.setdefault("CUDA_VISIBLE_DEVICES", "0")
    return found
