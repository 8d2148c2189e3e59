"""Processes that a test starts, and what they say."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(command, processes, devices):
    """The processes of a run, `command(process, port)` each; none outlives the block."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        # Also beside fully optimized tests: what processes say to one another does not need it.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    }
    port, running = free_port(), []
    try:
        for process in range(processes):
            running.append(
                subprocess.Popen(
                    [sys.executable, *map(str, command(process, port))],
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()


def finish(running, code=0, timeout=240):
    """What each process wrote to its standard error, once all are done."""
    said = []
    for process in running:
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == code, out + err
        said.append(err)
    return said


def run_program(*lines):
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
