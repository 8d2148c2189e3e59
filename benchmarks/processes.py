"""Fresh Python processes that print what they found, for scripts that must not start JAX first.

A process that has looked at its GPUs holds most of their memory, and XLA reads its flags once.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from zoo.errors import ZooError


def ask(command: list[str], environment: Mapping[str, str] | None = None, **options):
    """Runs Python on a command; what its last line of output, json, holds.

    Its warnings are passed on.

    Args:
      command: what follows `python`.
      environment: instead of this process's own.
      **options: of `subprocess.run`.

    Raises:
      ZooError: it failed; with the last line of its errors.
    """
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    lines = done.stderr.strip().splitlines()
    for line in lines:
        if line.startswith("warning: "):
            print(line, file=sys.stderr)
    if done.returncode or not done.stdout.strip():
        reason = lines[-1].removeprefix("error: ") if lines else "it said nothing"
        raise ZooError(f"a process failed ({Path(command[0]).name}): {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def ask_machine() -> tuple[str, int, float]:
    """The platform, how many devices it has, and how many cores are busy."""
    code = (
        "import jax, json; from harness import machine\n"
        "load = machine.warn_if_busy()\n"
        "print(json.dumps([jax.default_backend(), jax.device_count(), load]))"
    )
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    return tuple(ask(["-c", code], environment))
