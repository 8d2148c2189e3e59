"""How a part tells its parent what it plans, measures and leaves out: JSON, a line a message."""

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

from harness.results import plain

from zoo.errors import ZooError


class Speaker:
    """The way to the parent; whatever else is printed goes to its log."""

    def __init__(self):
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def _say(self, **message: object) -> None:
        print(json.dumps(message, default=plain), file=self._out, flush=True)

    def plan(self, cells: Iterable[str]) -> None:
        """What is going to have a row."""
        self._say(planned=list(cells))

    def row(self, cell: str, columns: dict[str, object]) -> None:
        """What was measured of a cell."""
        self._say(cell=cell, row={key: plain(value) for key, value in columns.items()})

    def left(self, cell: str, why: object) -> None:
        """Why a cell has no row; of an error its first line."""
        if isinstance(why, BaseException):
            lines = str(why).strip().splitlines() or [""]
            name = "" if isinstance(why, ZooError) else f"{type(why).__name__}: "
            why = f"{name}{lines[0]}"
        self._say(cell=cell, left=str(why)[:300])

    def ready(self) -> None:
        """Tells that all is compiled, and waits until the device is free."""
        self._say(ready=True)
        if not sys.stdin.readline():
            raise ZooError("the parent has ended")


def main(measure: Callable[[dict, Speaker], None]) -> None:
    """Runs a part as the parent asks; it leaves without waiting for threads that compile."""
    speaker, code = Speaker(), 0
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    try:
        measure(json.loads(sys.argv[1]), speaker)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except BaseException as error:
        # Its last line becomes the reason of all that is left out.
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    sys.stderr.flush()
    os._exit(code)


def _follow(parent: int) -> None:
    """Ends this process and its group soon after its parent was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)


def compiled(
    tasks: dict[str, Callable[[], object]], speaker: Speaker
) -> Iterator[tuple[str, object]]:
    """Prepares some side by side, gives them when nothing compiles any more, and goes on.

    Args:
      tasks: by their cells, what compiles and returns what to measure.
      speaker: receives what failed.
    """
    threads = max((os.cpu_count() or 1) // 2, 1)
    with ThreadPoolExecutor(threads) as pool:
        # Few at a time: a process that is ended in the middle has reported those before.
        rest = iter(tasks.items())
        while some := list(itertools.islice(rest, 2 * threads)):
            futures = {cell: pool.submit(task) for cell, task in some}
            wait(futures.values())
            for cell, future in futures.items():
                if error := failure(future):
                    speaker.left(cell, error)
                else:
                    yield cell, future.result()


def failure(future: Future) -> BaseException | None:
    """What a finished future raised."""
    return future.exception()
