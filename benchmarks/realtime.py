"""The real-time factor of the audio denoisers on one CPU core: time taken over time heard.

    python benchmarks/realtime.py                        # those that stream
    python benchmarks/realtime.py --model=stream-t,gtcrn --task=stream --seconds-of-audio=30
    python benchmarks/realtime.py --model=gtcrn --torch-python=PYTHON

The process is pinned to one core before JAX starts, which then computes with one thread (column
`threads`; the column is empty, and the machine's cores all used, where the system cannot pin). From
host to host, a NumPy array in and one out:

    offline  a whole signal in one jitted call
    stream   hop by hop through a jitted `model.step`, its variables in the program and its state
             donated
    feed     hop by hop through `zoo.AudioStream`, which is what an application calls

Batch norm is merged as `zoo.resolve` does. `factor` is the median over the audio's length, and
`factor_p99` that of all calls but one in a hundred. The multiply-accumulates are those that the
program writes for matmuls and convolutions, Fourier transforms left out.

PYTHON is that of an environment with torch and numpy (Python 3.11, torch==2.13.0); where this one
has torch too, none need be named. Then GTCRN runs in PyTorch beside ours, offline, by one thread on
the same core, in turns A B, B A; both give the same output on drawn weights first. The ratio is our
speed over theirs. The rows go to `benchmarks/results/`.
"""

import os
import sys

# Before JAX starts as many threads as it may use cores.
if __name__ == "__main__":
    os.environ["JAX_PLATFORMS"] = "cpu"
    if hasattr(os, "sched_setaffinity"):
        # Interrupts are mostly served by the first.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax import linen as nn
from harness import flags, machine, results
from harness.macs import count_macs
from harness.timing import Times, measure

from zoo import AudioStream, models
from zoo.data import synthetic
from zoo.errors import ZooError, unknown
from zoo.resolve import resolve

PEERS = Path(__file__).parent / "peers"
sys.path.append(str(PEERS))

SHOWN = (
    "model", "task", "parameters", "million_macs_per_s", "audio_s", "ms", "ms_p99", "factor",
    "factor_p99", "compile_s", "threads", "torch_ms", "torch_factor", "speedup_median",
)  # fmt: skip


class Ready(NamedTuple):
    """A model as it is used.

    Attributes:
      name: as registered.
      module: batch norm merged where it can be.
      variables: drawn; what they are does not matter to the clock.
      record: of the model.
    """

    name: str
    module: nn.Module
    variables: Mapping
    record: models.ModelSpec


class Run(NamedTuple):
    """What is timed.

    Attributes:
      call: does one and returns when its result is on the host.
      samples: that one takes.
      compile_s: what it took to trace and compile.
    """

    call: Callable[[], object]
    samples: int
    compile_s: float


def prepare(name: str) -> Ready:
    """The model of a name, with variables."""
    module, record = models.create_model(name), models.model_spec(name)
    variables = models.init_variables(module, jax.random.key(0), (1, 4096, 1))
    return Ready(name, *resolve(module, variables, modality="audio")[:2], record)


def recording(seconds: int, rate: int) -> np.ndarray:
    """A voice in white noise, (1, T, 1) float32."""
    clean = synthetic.clean(0, 0, sample_rate=rate, length=seconds * rate)
    noise = np.random.default_rng(0).standard_normal(clean.shape, np.float32)
    return (clean + 0.05 * noise)[None]


def offline(model: Ready, x: np.ndarray) -> Run:
    """The whole signal in one call."""
    program, compile_s = compiled(partial(model.module.apply, model.variables), x)
    return Run(lambda: np.asarray(program(x)), x.shape[1], compile_s)


def stream(model: Ready, x: np.ndarray) -> Run:
    """A hop after the other, over and over."""
    hop = model.record.hop
    # Some share zeros among the arrays of a first state, and none can be donated twice.
    state = jax.device_put(jax.tree.map(np.array, model.module.init_state(1)))
    step = partial(model.module.step, model.variables)
    program, compile_s = compiled(step, state, x[:, :hop], donate_argnums=0)
    chunks = itertools.cycle(np.split(x, x.shape[1] // hop, axis=1))

    def call():
        nonlocal state
        state, y = program(state, next(chunks))
        np.asarray(y)

    return Run(call, hop, compile_s)


def feed(model: Ready, x: np.ndarray) -> Run:
    """The same through the zoo's stream; its compilation is all before the second hop."""
    hop = model.record.hop
    begun = time.perf_counter()
    own = AudioStream(model.module, model.variables, sample_rate=model.record.sample_rate)
    chunks = itertools.cycle(np.split(x[0], x.shape[1] // hop))
    own.feed(next(chunks))
    return Run(lambda: own.feed(next(chunks)), hop, time.perf_counter() - begun)


TASKS = {"offline": offline, "stream": stream, "feed": feed}


def compiled(function: Callable, *arguments: object, **options) -> tuple[Callable, float]:
    """A function under jit for these arguments, and the seconds that took."""
    begun = time.perf_counter()
    program = jax.jit(function, **options).lower(*arguments).compile()
    return program, time.perf_counter() - begun


def threads() -> int | None:
    """How many threads XLA computes with; None where the system does not tell."""
    try:
        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    except OSError:
        return None
    return sum(name.startswith("tf_XLAEigen") for name in names) or None


def row(model: Ready, task: str, run: Run, times: Times) -> dict[str, object]:
    """One measurement."""
    rate = model.record.sample_rate
    heard = run.samples / rate
    apply = partial(model.module.apply, model.variables)
    # So long that the frames beyond its ends do not count.
    macs = count_macs(apply, jax.ShapeDtypeStruct((1, 64 * rate, 1), np.float32)) / 64
    return {
        "model": model.name,
        "task": task,
        "parameters": models.count_parameters(model.name),
        "million_macs_per_s": macs / 1e6,
        "audio_s": heard,
        "ms_p10": 1e3 * times.p10,
        "ms": 1e3 * times.median,
        "ms_p90": 1e3 * times.p90,
        "ms_p99": 1e3 * times.p99,
        "calls": len(times.steps),
        "factor": times.median / heard,
        "factor_p99": times.p99 / heard,
        "compile_s": run.compile_s,
        "cores": machine.cores(),
        "threads": threads(),
    }


def beside(worker, name: str, run: Run, arguments, rate: int, folder: str) -> dict[str, object]:
    """The columns of the same network in PyTorch, in turns with ours."""
    import networks  # noqa: PLC0415 - on the path by now
    import same  # noqa: PLC0415
    from theirs import fastest  # noqa: PLC0415
    from turns import block, take  # noqa: PLC0415

    difference = same.check(worker, networks.network(name), folder)
    variant, tried = fastest(
        worker,
        arguments.torch_variant,
        arguments.steps,
        task="infer",
        shape=[1, 1, run.samples],
        dtype="f32",
    )
    steps = arguments.steps
    pairs = take(
        lambda: block(run.call, steps),
        lambda: worker.ask(do="time", variant=variant, steps=steps)["seconds"],
        arguments.pairs,
    ).row()
    return {
        **pairs,
        "torch_factor": pairs["torch_ms"] / 1e3 / (run.samples / rate),
        "torch_variant": variant,
        "torch_tried_ms": " ".join(f"{key}={1e3 * value:.1f}" for key, value in tried.items()),
        "difference": difference,
    }


class Peer:
    """The PyTorch side, where there is one; use it in a `with`.

    Raises:
      ZooError: the Python that was named does not start.
    """

    def __init__(self, arguments, names: list[str]):
        import networks  # noqa: PLC0415 - on the path by now
        from theirs import torch_python  # noqa: PLC0415
        from worker import Worker  # noqa: PLC0415

        self._known = networks.AUDIO
        self._arguments, self._worker, self.versions = arguments, None, {}
        if "offline" not in arguments.task or not set(names) & set(self._known):
            return
        try:
            python = torch_python(arguments.torch_python)
        except ZooError as error:
            print(f"PyTorch left out: {error}", file=sys.stderr)
            return
        self._worker = Worker([python, PEERS / "torch_peer.py", "cpu", 1])

    def __enter__(self) -> "Peer":
        if self._worker:
            self._worker.__enter__()
            self.versions = self._worker.ask(do="versions")
        return self

    def __exit__(self, *left) -> None:
        if self._worker:
            self._worker.__exit__(*left)

    def columns(self, model: Ready, task: str, run: Run) -> dict[str, object]:
        """Its columns of a row; none where it has no such network or task."""
        if not self._worker or task != "offline" or model.name not in self._known:
            return {}
        rate = model.record.sample_rate
        with tempfile.TemporaryDirectory() as folder:
            return beside(self._worker, model.name, run, self._arguments, rate, folder)


def measured(name: str, arguments, peer: Peer):
    """The rows of one model, as they are measured."""
    model = prepare(name)
    x = recording(arguments.seconds_of_audio, model.record.sample_rate)
    hop = model.record.hop
    x = x[:, : x.shape[1] // hop * hop] if hop else x
    for task in arguments.task:
        if task != "offline" and not hop:
            continue
        run = TASKS[task](model, x)
        # A whole signal at least, so that its slowest hops are among them.
        least = 5 if task == "offline" else x.shape[1] // hop
        times = measure(run.call, arguments.seconds, least=least)
        yield {**row(model, task, run, times), **peer.columns(model, task, run)}


def parse():
    """The flags, checked."""
    known = [name for name in models.list_models() if models.model_spec(name).modality == "audio"]
    parser = flags.Parser(__doc__)
    streaming = [name for name in known if models.model_spec(name).hop]
    several, add = {"action": flags.Several}, parser.add_argument
    add("--model", **several, default=streaming, help=f"of {', '.join(known)}")
    add("--task", **several, default=list(TASKS), help=f"of {', '.join(TASKS)}; default all")
    add(
        "--seconds-of-audio", type=flags.count, default=30, metavar="N",
        help="duration of the signal (default 30)",
    )  # fmt: skip
    add("--torch-python", metavar="PYTHON", help="one that has torch; this one by default")
    add("--torch-variant", help="compile+contiguous, say; no search")
    add("--pairs", type=flags.count, default=7, help="of turns with PyTorch (default 7)")
    add(
        "--steps", type=flags.count, default=7,
        help="of a turn, whose median counts (default 7)",
    )  # fmt: skip
    results.add_arguments(parser)
    arguments = parser.parse_args()
    for name in arguments.model:
        if name not in known:
            raise unknown("audio model", name, known)
    for task in arguments.task:
        if task not in TASKS:
            raise unknown("task", task, TASKS)
    arguments.asked = arguments.model if arguments.model != streaming else []
    return arguments


def label(arguments) -> str:
    """A name for the file that other flags do not share."""
    parts = ["realtime"] + ["+".join(arguments.asked)] * bool(arguments.asked)
    parts += ["+".join(arguments.task)] * (arguments.task != list(TASKS))
    return "_".join([*parts, f"{arguments.seconds_of_audio}s"])


def main() -> None:
    """Measures what the flags ask for and writes the rows, after each of them."""
    arguments = parse()
    load = machine.warn_if_busy()
    if machine.cores() > 1:
        print(f"warning: not pinned, {machine.cores()} cores are used", file=sys.stderr)
    with Peer(arguments, arguments.model) as peer:
        facts = {**machine.versions(), **peer.versions}
        print(", ".join(f"{name} {value}" for name, value in facts.items()), end="\n\n")
        with results.Kept(label(arguments), arguments.out, machine.context(), SHOWN) as kept:
            for name in arguments.model:
                for one in measured(name, arguments, peer):
                    kept.add({**one, "load": load, **facts})
                    text = f"{one['ms']:.4g} ms, factor {one['factor']:.4g}"
                    print(f"{name}, {one['task']}: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(flags.guard(main))
