"""Signals that stop a run, and several processes, one a host, that share one run.

A single process needs no `join`: every function here then does the obvious thing at once. `join`
must come before JAX initializes its devices.
"""

import itertools
import logging
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zoo.errors import ZooError, first_line, in_words, line
from zoo.runtime import filter_native_output

# Seconds of silence after which the others consider a process dead.
_HEARTBEAT = 15
_A_WEEK = 7 * 24 * 3600

LOST = 75
"""The exit code of a process that noticed the loss of another one (EX_TEMPFAIL)."""

# Words in the errors of JAX when another process is gone.
_GONE = re.compile("gloo|nccl|connection|socket|peer|unavailable|coordination", re.IGNORECASE)
_barriers = itertools.count(1)
_ending = threading.Lock()
_exit_code = LOST
_restore_output: Callable[[], None] | None = None


class Interrupted(Exception):  # noqa: N818 - not an error
    """A signal stopped the run, which has saved a checkpoint if it has a workdir.

    Attributes:
      exit_code: 128 plus the signal's number: 143 for SIGTERM, 130 for Ctrl-C.
    """

    def __init__(self, signum: int, step: int, *, saved: bool = True):
        self.exit_code = 128 + signum
        name = signal.Signals(signum).name
        rest = (
            "the same command resumes from there" if saved else "nothing is saved without a workdir"
        )
        super().__init__(f"stopped by {name} at step {step}; {rest}")


class Listener:
    """A context that records the first SIGTERM or SIGINT instead of dying of it.

    Outside the main thread, where Python handles no signals, it records none.

    Attributes:
      signum: the signal received, or None.
    """

    def __init__(self):
        self.signum: int | None = None

    def __enter__(self) -> "Listener":
        main = threading.current_thread() is threading.main_thread()
        signums = (signal.SIGTERM, signal.SIGINT) if main else ()
        self._earlier = {s: signal.signal(s, self._keep) for s in signums}
        return self

    def __exit__(self, *_) -> None:
        for signum, handler in self._earlier.items():
            signal.signal(signum, handler)

    def _keep(self, signum: int, _) -> None:
        if self.signum is not None:
            # A second signal means: do not wait for the checkpoint.
            raise KeyboardInterrupt
        self.signum = signum


def join(
    coordinator: str | None, processes: int | None, process: int | None, *, timeout: int = 120
) -> None:
    """Joins the other processes of the run; each then sees the devices of all.

    If a process dies later, the others end within a minute, each with one line and the exit code
    `LOST`.

    Args:
      coordinator: HOST:PORT of process 0; None to take it, and the next two, from Slurm, Open MPI,
        Kubernetes or a TPU slice.
      processes: the number of processes.
      process: the number of this one, from 0.
      timeout: seconds to wait for the others.

    Raises:
      ZooError: only some of the three are given, they do not fit each other, no cluster was found,
        the port is taken, or process 0 does not answer.
    """
    global _restore_output  # noqa: PLW0603 - a process joins one run
    given = (coordinator, processes, process)
    if None in given and given != (None, None, None):
        raise ZooError(
            "--coordinator, --processes and --process belong together; give all three, or "
            "--distributed alone on Slurm, Kubernetes or a TPU slice"
        )
    if coordinator is not None:
        host, port = _check(coordinator, processes, process)
        if process == 0:
            _check_free(port)
        else:
            _await_coordinator(host, port, timeout)
    joined = threading.Event()

    def lost(message: str) -> None:
        if joined.is_set():
            _end(LOST, _lost(message))
        _end(2, f"error: not all processes came within {timeout} s; start each of them")

    # Libraries log pages about what they also raise when a process is gone.
    logging.disable(logging.ERROR)
    # That service would catch SIGTERM, which `Listener` handles and `agree` spreads.
    jax.config.update("jax_enable_preemption_service", False)
    _restore_output = filter_native_output(lost)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except (RuntimeError, ValueError, TypeError, OSError, KeyError) as error:
        _restore_output()
        _restore_output = None
        raise ZooError(
            f"the processes cannot be joined: {first_line(error)} Give --coordinator, --processes "
            "and --process, and start each process"
        ) from None
    joined.set()
    count, local = jax.process_count(), jax.local_device_count()
    if local * count != jax.device_count():
        raise ZooError(
            f"the processes differ in devices: {local} of {jax.device_count()} are of this one, "
            f"one of {count}; give each the same number"
        )
    _connect()
    if is_first():
        print(f"{count} processes of {local} device(s) each", file=sys.stderr)


def is_first() -> bool:
    """Whether this is process 0, the one that writes files."""
    return jax.process_index() == 0


def alone() -> bool:
    """Whether this process is the only one."""
    return jax.process_count() == 1


def meet() -> None:
    """Waits until every process calls it.

    For work of unequal length before a collective operation, such as reading data or hashing a
    checkpoint: the collectives of the devices time out after 30 s.
    """
    if not alone():
        _wait(f"zoo-{next(_barriers)}", _A_WEEK)


def agree(value: int) -> int:
    """The maximum of the processes' values; all must call it at the same step."""
    if alone():
        return value
    meet()
    return int(multihost_utils.process_allgather(np.array(value, np.int32)).max())


def text_from_first(text: str) -> str:
    """The first process's text."""
    if alone():
        return text
    data = text.encode()
    mine = np.frombuffer(data.ljust(agree(len(data)), b"\0"), np.uint8)
    meet()
    return np.asarray(multihost_utils.broadcast_one_to_all(mine)).tobytes().rstrip(b"\0").decode()


def finish() -> None:
    """Waits for every process, however long the first one evaluates, and leaves the run."""
    global _restore_output  # noqa: PLW0603 - see `join`
    if _restore_output is not None:
        _wait("zoo-finish", _A_WEEK)
        jax.distributed.shutdown()
        _restore_output()
        _restore_output = None


def fail(error: BaseException) -> None:
    """Ends this process after an error in a joined run; does nothing in a single process.

    Python's normal exit would wait for processes that may be dead. The exit code and the last line
    on the standard error distinguish a signal, a user's mistake and a lost process.

    Args:
      error: what ended the run.
    """
    if _restore_output is None:
        return
    words, code, together = in_words(error), 2, True
    if isinstance(error, Interrupted):
        words, code = str(error), error.exit_code
    elif means_lost(error):
        words, code, together = _lost(str(error)), LOST, False
    elif words is None:
        words, code, together = "".join(traceback.format_exception(error)).strip(), 1, False
    else:
        words = f"error: {line(words)}"
    _end(code, words, together=together)


def _end(code: int, words: str, *, together: bool = False) -> NoReturn:
    global _exit_code  # noqa: PLW0603 - a process ends once
    if not _ending.acquire(blocking=False):
        # Another thread is ending it, and may wait for a process that this one knows is gone.
        time.sleep(1)
        os._exit(_exit_code)
    _exit_code = code
    print(words, file=sys.stderr, flush=True)
    if together:
        # The others are about to end for the same reason; process 0 must not leave first.
        with suppress(Exception):
            _wait("zoo-leave", 10)
    for child in multiprocessing.active_children():
        child.terminate()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _lost(message: str) -> str:
    silent = re.search(r"heartbeats\):\s*([\d\s,]*\d)", message)
    which = f"process {', '.join(silent[1].split())}" if silent else "another process"
    return (
        f"process {jax.process_index()} stops: {which} of this run is gone, see its log; "
        "the same command on all hosts goes on from the last checkpoint"
    )


def means_lost(error: BaseException) -> bool:
    """Whether an error of JAX or orbax is caused by the loss of another process."""
    if alone() or not isinstance(error, jax.errors.JaxRuntimeError | TimeoutError | ValueError):
        return False
    return isinstance(error, TimeoutError) or (
        not isinstance(error, ZooError) and _GONE.search(str(error)) is not None
    )


def _connect() -> None:
    """Runs one collective over all devices while their processes are together.

    Gloo connects devices at their first collective, and gives up after 30 s. In a run that would be
    the first step, which one process may compile while another has it in its cache.
    """
    if alone():
        return
    mesh = Mesh(np.array(jax.devices()), ("all",))
    ones = np.ones(jax.local_device_count(), np.float32)
    spread = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("all")), ones)
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))
    meet()
    jax.block_until_ready(total(spread))


def _wait(name: str, seconds: int) -> None:
    # Not a collective of the devices, which times out after 30 s.
    from orbax.checkpoint import multihost  # noqa: PLC0415 - only joined processes need it

    multihost.get_barrier_sync_fn()(key=name, timeout_ms=seconds * 1000)


def _check(coordinator: str, processes: int, process: int) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ZooError(f"--coordinator={coordinator} is not HOST:PORT; try 10.0.0.1:1234")
    if processes < 1:
        raise ZooError(f"--processes={processes}; make it 1 or more")
    if not 0 <= process < processes:
        raise ZooError(
            f"--process={process} of --processes={processes}; number them 0 to {processes - 1}"
        )
    return host.strip("[]"), int(port)


def _check_free(port: int) -> None:
    # gRPC would share a port in use, and neither run would get all of its processes.
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise ZooError(
            f"process 0 cannot listen on port {port} ({os.strerror(error.errno)}); "
            "choose another --coordinator"
        ) from None


def _await_coordinator(host: str, port: int, timeout: int) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except (OSError, UnicodeError) as error:
            if time.monotonic() > deadline or isinstance(error, UnicodeError):
                reason = getattr(error, "strerror", None) or str(error)
                raise ZooError(
                    f"process 0 does not answer at {host}:{port} within {timeout} s ({reason}); "
                    "start it first, or correct --coordinator"
                ) from None
        time.sleep(0.5)
