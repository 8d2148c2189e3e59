"""`main.py`, stopped after its first training step and asked where the time went.

What `startup.py` starts: `python benchmarks/starting.py SECONDS MAIN [FLAG ...]`, where SECONDS is
the time of day at which it does. Nothing slow is imported here that main.py would have to import.
"""

import json
import os
import runpy
import sys
import time
from pathlib import Path


def main() -> None:
    """Runs main.py up to its first step, and prints the seconds of each part as json."""
    started = float(sys.argv[1])
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    run = runpy.run_path(sys.argv[0], run_name="started")["main"]
    from zoo.train import loop  # noqa: PLC0415 - the command would import them

    parts = Parts(imports_s=time.time() - started)
    make_runner = loop.make_runner

    def stopping(*arguments):
        runner = make_runner(*arguments)
        step = parts.timed("step_s", runner.run)

        def first(*arguments):
            step(*arguments)
            parts.tell(time.time() - started)
            # At once: what main.py would do next is not its start.
            os._exit(0)

        return runner._replace(run=first)

    loop.make_runner = stopping
    loop.make_feed = parts.timed("data_s", loop.make_feed)
    run(["train", *sys.argv[1:]])


class Parts:
    """Seconds by part, those of compiling, or reading what was compiled, apart."""

    def __init__(self, **seconds: float):
        import jax  # noqa: PLC0415 - main.py has imported it

        self._wait = jax.block_until_ready
        self._seconds = {**seconds, "compile_s": 0.0}
        jax.monitoring.register_event_duration_secs_listener(self._compiled)

    def _compiled(self, event: str, seconds: float, **_) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            self._seconds["compile_s"] += seconds

    def timed(self, name: str, function):
        """The function, with its seconds counted under a name, those of the compiler left out."""

        def call(*arguments):
            compiled, start = self._seconds["compile_s"], time.time()
            result = self._wait(function(*arguments))
            compiled = self._seconds["compile_s"] - compiled
            self._seconds[name] = time.time() - start - compiled
            return result

        return call

    def tell(self, total: float) -> None:
        """Prints the parts, and what is left of the total under `build_s`."""
        rest = total - sum(self._seconds.values())
        print(json.dumps({"total_s": total, **self._seconds, "build_s": rest}), flush=True)


if __name__ == "__main__":
    main()
