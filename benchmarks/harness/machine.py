"""The machine: its name, what it is capable of, and whether it is idle."""

import contextlib
import functools
import os
import platform
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import zoo

# Busy cores of a machine that counts as idle: the clock ticks of a few services.
_IDLE = 0.2


def cores() -> int:
    """CPU cores this process may use."""
    # Not on macOS, where no process is bound to cores.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def context() -> str:
    """What figures hold for, as part of a file name: devices, cores and JAX."""
    device = re.sub(r"\W+", "-", jax.devices()[0].device_kind)
    return f"{device}x{jax.device_count()}_{cores()}cores_jax{jax.__version__}"


@functools.cache
def versions() -> dict[str, str]:
    """The machine and the versions on it; `zoo` names the commit where there is a checkout."""
    return {
        "host": f"{platform.system()} {platform.machine()}, {_processor()}, {cores()} cores",
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "flax": flax.__version__,
        "zoo": _commit() or zoo.__version__,
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1].strip()
    return platform.processor() or "unknown processor"


def _commit() -> str | None:
    # `zoo.train.run_weights` would need ml_collections.
    folder = Path(zoo.__file__).parents[1]
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def warn_if_busy() -> float:
    """Warns on stderr when something else keeps this machine from being idle.

    Returns:
      How many cores were busy over a third of a second in which this process slept; where the
      system does not tell, the load average of the last minute.
    """
    load = _busy_cores(0.3)
    if load > max(_IDLE, 0.02 * cores()):
        print(f"warning: this machine is not idle, {load:.1f} cores are busy", file=sys.stderr)
    for device, share in _busy_gpus():
        if share > 5:
            print(f"warning: GPU {device} is not idle, {share} % busy", file=sys.stderr)
    return load


def _busy_cores(seconds: float) -> float:
    before = _ticks()
    if before is None:
        return os.getloadavg()[0]
    time.sleep(seconds)
    idle, whole = np.subtract(_ticks(), before)
    return float((os.cpu_count() or 1) * (1 - idle / whole)) if whole else 0.0


def _ticks() -> tuple[int, int] | None:
    """Idle ticks and all ticks since the start, over all cores."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            # The two guest columns are counted in the user's already.
            ticks = [int(text) for text in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    return ticks[3] + ticks[4], sum(ticks)


def _busy_gpus() -> list[tuple[str, int]]:
    """The number and the share in percent of each GPU, when JAX uses GPUs of NVIDIA's."""
    if jax.default_backend() != "gpu":
        return []
    # The driver reports the last second, in which this process may have computed.
    time.sleep(1.0)
    command = ["nvidia-smi", "--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return [(i, int(share)) for i, share in re.findall(r"(\d+), (\d+)", done.stdout)]
    except (OSError, subprocess.SubprocessError):
        return []


@functools.cache
def matmul_peak(dtype, devices: int = 1) -> float:
    """Measured matmul speed, in FLOP/s: the best of several sizes and runs.

    The matmul is at JAX's default precision, which is what the models use: on GPUs with tensor
    cores that is TF32 for float32.

    Args:
      dtype: of operands and result.
      devices: how many compute at once; the figure is of all together.
    """
    best = 0.0
    for n in (1024, 2048) if jax.default_backend() == "cpu" else (4096, 8192):
        seconds = _quickest(_matmuls, _filled((devices, n, n), dtype, n**-0.5))
        best = max(best, devices * _CHAIN * 2 * n**3 / seconds)
    return best


# Long enough that starting the program does not count.
_CHAIN = 4


@jax.jit
def _matmuls(x):
    y = x
    for _ in range(_CHAIN):
        y = jnp.einsum("dij,djk->dik", x, y)
    return y


@functools.cache
def bandwidth(devices: int = 1) -> float:
    """Measured memory bandwidth, in bytes read and written a second: an array scaled in place.

    Args:
      devices: how many copy at once; the figure is of all together.
    """
    # Far more than any cache holds.
    n = 2**26 if jax.default_backend() == "cpu" else 2**28
    x = jax.jit(lambda: jnp.ones((devices, n)), out_shardings=_spread(devices))()
    size = x.nbytes
    # In place: a fresh result would first have to be mapped, page by page.
    scale = jax.jit(lambda x: x * jnp.float32(0.999), donate_argnums=0)
    seconds = []
    x = scale(x).block_until_ready()
    while len(seconds) < 5 or sum(seconds) < 0.3:
        start = time.perf_counter()
        x = scale(x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size / min(seconds)


def _filled(shape, dtype, scale: float) -> jax.Array:
    """Random normal values, spread over as many devices as the first axis is long."""
    # Random, because zeros take a GPU less power and so less time.
    fill = jax.jit(
        lambda key: (scale * jax.random.normal(key, shape, jnp.float32)).astype(dtype),
        out_shardings=_spread(shape[0]),
    )
    return fill(jax.random.key(0)).block_until_ready()


def _spread(devices: int) -> NamedSharding:
    """The first axis over so many devices."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("data",))
    return NamedSharding(mesh, PartitionSpec("data"))


def _quickest(function, x: jax.Array) -> float:
    """Seconds of the best of several runs, the first left out."""
    function(x).block_until_ready()
    seconds = []
    while len(seconds) < 3 or sum(seconds) < 0.3:
        start = time.perf_counter()
        function(x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_memory() -> int:
    """The most bytes in use so far: of the fullest device, or of this process on a CPU.

    A process's are its resident ones, those of Python and its libraries too, since the last
    `reset_peak_memory`; a device's are those since the start.
    """
    stats = [device.memory_stats() for device in jax.local_devices()]
    peaks = [
        found["peak_bytes_in_use"] for found in stats if found and "peak_bytes_in_use" in found
    ]
    if peaks:
        return max(peaks)
    with contextlib.suppress(OSError, TypeError):
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak_memory() -> None:
    """Lets a process's peak start again, where Linux allows it; a device's stays."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
