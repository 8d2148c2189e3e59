"""A run of several processes, one a host: joined, agreed on while it runs, and left.

One process alone needs none of this; for it every function here does the obvious thing at once.
Only `join` may come before JAX has looked for its devices, and it must.
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
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import multihost

from zoo.errors import ZooError
from zoo.train.native import overhear

# Seconds after which a process that says nothing is held for dead; it takes about as long again
# until all the others know.
_HEARTBEAT = 15
_A_WEEK = 7 * 24 * 3600

# The exit code of a process that lost another one: the same command goes on (EX_TEMPFAIL).
LOST = 75
# What errors of JAX say when another process is gone.
_GONE = re.compile("gloo|nccl|connection|socket|peer|unavailable|coordination", re.IGNORECASE)

_leaving = threading.Lock()
_code = LOST
_meetings = itertools.count(1)
_stop_listening: Callable[[], None] | None = None


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The run was asked to stop, and has saved itself.

    Attributes:
      exit_code: 128 plus the signal's number: 143 for SIGTERM, 130 for Ctrl-C.
    """

    def __init__(self, signum: int, step: int):
        self.exit_code = 128 + signum
        name = signal.Signals(signum).name
        super().__init__(f"stopped by {name} at step {step}; the same command goes on from there")


class Listener:
    """While it is entered, remembers the first signal instead of dying of it.

    Outside the main thread, where Python takes no signals, none comes.

    Attributes:
      signum: the signal that came, or None.
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
            # Whoever asks twice does not want to wait for the checkpoint.
            raise KeyboardInterrupt
        self.signum = signum


def join(
    coordinator: str | None, processes: int | None, process: int | None, *, timeout: int = 120
) -> None:
    """Joins the other processes of the run; all then see the devices of all.

    Args:
      coordinator: HOST:PORT, where process 0 listens; None to find it, and the two below, from
        Slurm, Open MPI, Kubernetes or a TPU slice.
      processes: how many there are.
      process: which one this is.
      timeout: seconds to wait for the others.

    Raises:
      ZooError: the three do not fit each other, nothing was found, the port is taken, or nobody
        answers there.
    """
    global _stop_listening  # noqa: PLW0603 - a process joins one run
    found = (coordinator, processes, process)
    if None in found and found != (None, None, None):
        raise ZooError(
            "--coordinator, --processes and --process belong together; give all three, or "
            "--distributed alone where Slurm, Kubernetes or a TPU slice knows them"
        )
    if coordinator is not None:
        host, port = _check(coordinator, processes, process)
        if process == 0:
            _check_free(port)
        else:
            _await_coordinator(host, port, timeout)
    joined = threading.Event()

    def lost(news: str) -> None:
        if joined.is_set():
            leave(LOST, _lost(news))
        else:
            leave(2, f"error: not all processes came within {timeout} s; start each of them")

    # Libraries log pages of what they raise too, when a process is gone.
    logging.disable(logging.ERROR)
    # The service listens to SIGTERM; so do we, and then agree by `agree`.
    jax.config.update("jax_enable_preemption_service", False)
    _stop_listening = overhear(lost)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except (RuntimeError, ValueError, TypeError, OSError, KeyError) as error:
        _stop_listening()
        _stop_listening = None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ZooError(
            f"the processes cannot be joined: {reason} Give --coordinator, --processes and "
            "--process"
        ) from None
    joined.set()
    local, count = jax.local_device_count(), jax.process_count()
    counts = Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{process} has {n}" for process, n in sorted(counts.items()))
        raise ZooError(f"the processes have unlike devices ({found}); give each of them as many")
    _connect()
    if is_first():
        print(f"{count} processes of {local} device(s) each", file=sys.stderr)


def is_first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def alone() -> bool:
    """Whether this process is the only one."""
    return jax.process_count() == 1


def meet() -> None:
    """Waits until every process is here: all call it as often.

    For where they come from work of unequal length, such as reading their pictures or hashing a
    checkpoint, for which the devices' own collectives may lose patience.
    """
    if not alone():
        _wait(f"zoo-meeting-{next(_meetings)}", _A_WEEK)


def agree(value: int) -> int:
    """The largest of the processes' values, known to all: they call this at the same step."""
    if alone():
        return value
    meet()
    return int(multihost_utils.process_allgather(np.array(value, np.int32)).max())


def from_first(tree: Any) -> Any:
    """The first process's tree of numpy arrays, bit for bit; the others bring one of its form."""
    if alone():
        return tree
    meet()
    leaves, form = jax.tree.flatten(tree)
    leaves = [np.asarray(leaf) for leaf in leaves]
    # As bytes, for they are summed on the way, and the sum of -0 and 0 is another zero.
    mine = np.frombuffer(b"".join(leaf.tobytes() for leaf in leaves), np.uint8)
    shared = np.asarray(multihost_utils.broadcast_one_to_all(mine))
    ends = np.cumsum([leaf.nbytes for leaf in leaves])[:-1]
    parts = np.split(shared, ends)
    return form.unflatten(
        part.view(leaf.dtype).reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)
    )


def text_from_first(text: str) -> str:
    """The first process's text."""
    data = np.frombuffer(text.encode(), np.uint8)
    room = int(from_first(np.array(data.size, np.int64)))
    mine = np.zeros(room, np.uint8)
    mine[: data.size] = data[:room]
    return from_first(mine).tobytes().decode()


def finish() -> None:
    """Waits until every process is here, however long the first one still scores, and parts."""
    global _stop_listening  # noqa: PLW0603 - see `join`
    if _stop_listening is None:
        return
    _wait("zoo-finish", _A_WEEK)
    jax.distributed.shutdown()
    _stop_listening()
    _stop_listening = None


def leave(code: int, words: str | None = None, *, together: bool = False) -> None:
    """Ends this process, and says why; does not return.

    In a run of several, Python's own way out would wait for the others, who may be dead.

    Args:
      code: the exit code.
      words: what to say, on the standard error.
      together: whether the others are on their way out too, so that it may wait a little for them.
    """
    global _code  # noqa: PLW0603 - a process ends once
    if _stop_listening is None:
        if words:
            print(words, file=sys.stderr)
        sys.exit(code)
    if not _leaving.acquire(blocking=False):
        # Another thread has spoken, and may be waiting for a process that this one knows is gone.
        time.sleep(1)
        os._exit(_code)
    _code = code
    if words:
        print(words, file=sys.stderr, flush=True)
    if together:
        with suppress(Exception):
            _wait("zoo-leave", 10)
    for child in multiprocessing.active_children():
        child.terminate()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def fail(error: BaseException) -> None:
    """Ends this process after an error that is not the user's; alone, lets it be raised."""
    if _stop_listening is None:
        return
    if means_lost(error):
        leave(LOST, _lost(str(error)))
    traceback.print_exception(error)
    leave(1)


def means_lost(error: BaseException) -> bool:
    """Whether an error of JAX or orbax comes from another process's being gone."""
    if alone() or not isinstance(error, jax.errors.JaxRuntimeError | TimeoutError):
        return False
    return isinstance(error, TimeoutError) or _GONE.search(str(error)) is not None


def _lost(news: str) -> str:
    """One line for what XLA or gloo says of a process that is gone."""
    silent = re.search(r"heartbeats\):\s*([\d\s,]*\d)", news)
    who = f"process {', '.join(silent[1].split())}" if silent else "another process"
    return (
        f"process {jax.process_index()} stops: {who} of this run is gone, and its own log tells "
        "why; the same command, on all hosts, goes on from the last checkpoint"
    )


def _connect() -> None:
    """Has all devices speak to each other once, while their processes are together.

    Gloo connects devices at their first collective, and gives up after 30 s. In a run that would be
    in the first step, which one process compiles while another has it in its cache.
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
    # Not by the devices, whose collectives lose patience.
    multihost.get_barrier_sync_fn()(key=name, timeout_ms=seconds * 1000)


def _check(coordinator: str, processes: int, process: int) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ZooError(f"--coordinator={coordinator} is no HOST:PORT; try 10.0.0.1:1234")
    if processes < 1:
        raise ZooError(f"--processes={processes}; make it 1 or more")
    if not 0 <= process < processes:
        raise ZooError(
            f"--process={process} of --processes={processes}; number them 0 to {processes - 1}"
        )
    return host.strip("[]"), int(port)


def _check_free(port: int) -> None:
    # gRPC would share a port that is taken, and neither run would get all of its processes.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ZooError(
                f"process 0 cannot listen on port {port} ({error.strerror}); "
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
                    "start it first, or mend --coordinator"
                ) from None
        time.sleep(0.5)
