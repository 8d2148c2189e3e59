"""A process that answers one request at a time: how the JAX side holds the PyTorch side.

Each request is a line of JSON on its standard input and each answer one on its standard output, so
that between two requests it is blocked on a pipe and leaves the machine alone.
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence

from zoo.errors import ZooError


class Worker:
    """Another program, asked over pipes; use it in a `with`, which ends it.

    Args:
      command: the program and its arguments.

    Raises:
      ZooError: there is no such program.
    """

    def __init__(self, command: Sequence[object]):
        self._name = str(command[0])
        # A file, for a pipe nobody reads would stop a talkative process.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as this
        try:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                text=True,
            )
        except OSError as error:
            self._stderr.close()
            raise ZooError(
                f"cannot start {self._name}: {error.strerror}; name the Python that has torch"
            ) from None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        """Lets it end, and makes it where it does not."""
        try:
            self._process.stdin.close()
            self._process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._stderr.close()

    def kill(self) -> None:
        """Ends it whatever it does; a caller that waits for its answer gets an error."""
        self._process.kill()

    def ask(self, **request) -> dict:
        """What it answers, as JSON holds it.

        Raises:
          ZooError: it has ended; its last words are given.
        """
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise ZooError(
                f"{self._name} ended while asked to {request.get('do', 'go on')}: {self._last()}"
            )
        return json.loads(line)

    def _last(self) -> str:
        """The last line it wrote to its standard error, or how it ended."""
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else f"exit code {code}"
