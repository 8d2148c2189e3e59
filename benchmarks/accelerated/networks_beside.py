"""One network, trained and at work, beside the same in PyTorch.

First both sides compile, as other jobs do meanwhile. Then the job waits until it has the device for
itself, and both take turns, A B B A. PyTorch runs in two processes: one without a compiler, which
is ready soon, and one that compiles; where that takes too long it is ended, and the row says so.
"""

import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import networks
import same
from harness import machine, work
from harness.batch import fitting
from harness.timing import measure as timed
from turns import block, take
from worker import Worker

from accelerated.children import BENCHMARKS
from accelerated.plan import PEERS, Task, cell
from accelerated.speak import Speaker, failure, main
from zoo.errors import ZooError
from zoo.models import small_options

STEPS = {"train": work.train_step, "infer": work.infer_step}
DTYPES = {"f32": jnp.float32, "bf16": jnp.bfloat16}
EAGER = "eager+channels_last"
COMPILED = ("compile+channels_last", "compile-reduce-overhead+channels_last")
"""The first is tried alone on a CPU, which has no launches to save."""
PAIRS = 2
"""A B, B A."""


class Ours(NamedTuple):
    """Our step, compiled."""

    run: work.Work
    compile_s: float
    cost: work.Cost


def ours(one: networks.Network, dtype: str, task: Task) -> Ours:
    """Compiles our step; nothing is run."""
    model = one.model.clone(dtype=DTYPES[dtype])
    run = STEPS[task.name](model, one.record, batch=task.batch, size=task.side)
    begun = time.perf_counter()
    run.compile()
    return Ours(run, time.perf_counter() - begun, run.cost())


class Side:
    """A process of PyTorch's, asked from a thread of its own, which may never come back.

    Args:
      command: that starts it.
      variants: the ways to run that it tries.
      tasks: of which.

    Attributes:
      made: by its label, the seconds that each step took to be ready.
      notes: what went wrong.
      difference: of both sides' outputs, where that was checked.
    """

    def __init__(self, command: list, variants: tuple[str, ...], tasks: list[Task]):
        self._worker = Worker(command)
        self.variants, self.tasks = variants, tasks
        self.made: dict[str, float] = {}
        self.notes: list[str] = []
        self.difference: float | ZooError | None = None

    def prepare(self, one: networks.Network, dtype: str, until: float, *, check: bool) -> None:
        """Makes what there is time for."""
        if check:
            try:
                with tempfile.TemporaryDirectory() as folder:
                    self.difference = same.check(self._worker, one, folder)
            except ZooError as error:
                self.difference = error
        else:
            same.build(self._worker, one)
        for variant, task in itertools.product(self.variants, self.tasks):
            # One that is ended in the middle takes those that are made with it.
            if time.time() + max(self.made.values(), default=0) < until:
                self.make(one, dtype, variant, task)

    def make(self, one: networks.Network, dtype: str, variant: str, task: Task) -> None:
        """Makes a step; a failure is remembered."""
        answer = self._worker.ask(
            do="make",
            task=task.name,
            variant=variant,
            shape=[task.batch, one.record.channels, task.side, task.side],
            dtype=dtype,
            label=label(variant, task),
        )
        if "error" in answer:
            self.notes.append(f"PyTorch's {variant} fails: {answer['error'][:150]}")
        else:
            self.made[label(variant, task)] = answer["seconds"]

    def seconds(self, name: str, steps: int) -> float:
        """The median seconds of a step."""
        return self._worker.ask(do="time", variant=name, steps=steps)["seconds"]

    def memory(self, name: str) -> float | None:
        """Megabytes of a GPU that a step needs."""
        held = self._worker.ask(do="memory", variant=name)["bytes"]
        return None if held is None else held / 1e6

    def end(self) -> None:
        """Kills it."""
        self._worker.kill()


def label(variant: str, task: Task) -> str:
    """What a step is called over there."""
    return f"{variant} {task.name} {task.batch}"


class Theirs:
    """PyTorch's side of a job: what is ready in time.

    Args:
      one: the network.
      spec: of the job.
      pool: in which it is prepared.
    """

    def __init__(self, one: networks.Network, spec: dict, pool: ThreadPoolExecutor):
        self._one, self._dtype = one, spec["dtype"]
        tasks = [Task._make(task) for task in spec["tasks"]]
        device = "cuda" if jax.default_backend() == "gpu" else "cpu"
        command = [spec["torch"], BENCHMARKS / "peers" / "torch_peer.py", device, machine.cores()]
        self._eager = Side(command, (EAGER,), tasks)
        sides, self._notes = [self._eager], []
        if spec["compile"]:
            compiled = COMPILED if device == "cuda" else COMPILED[:1]
            sides += [Side(command, compiled, [task]) for task in tasks]
        else:
            self._notes.append("PyTorch eager only, torch.compile was given no time")
        until = spec["compile_until"]
        self._futures = {
            pool.submit(
                side.prepare, one, self._dtype, until, check=spec["check"] and side is self._eager
            ): side
            for side in sides
        }

    @property
    def futures(self) -> list[Future]:
        """What is being prepared."""
        return list(self._futures)

    @property
    def difference(self) -> float | ZooError | None:
        """Of both sides' outputs on drawn weights; None where it was not checked."""
        return self._eager.difference

    def settle(self) -> None:
        """Ends the sides that are not ready, and remembers why."""
        for future, side in self._futures.items():
            if not future.done():
                side.notes.append(
                    "PyTorch was not ready in time"
                    if side is self._eager
                    else "torch.compile was not ready in time"
                )
                side.made.clear()
                side.end()
            elif error := failure(future):
                side.notes.append(str(error).splitlines()[0][:150])

    def notes(self, task: Task) -> list[str]:
        """Why less than all was tried of a task."""
        notes = [note for side in self._tried(task) for note in side.notes]
        return list(dict.fromkeys([*self._notes, *notes]))

    def _tried(self, task: Task) -> list[Side]:
        sides = self._futures.values()
        return [side for side in sides if task.name in {own.name for own in side.tasks}]

    def fastest(self, task: Task) -> tuple[Callable[[int], float], dict] | None:
        """The quickest step of a task: what times it, and the columns about it."""
        found = self._ready(task)
        if not found:
            with contextlib.suppress(ZooError):
                self._eager.make(self._one, self._dtype, EAGER, task)
            found = self._ready(task)
        tried = {}
        for variant, side in found.items():
            with contextlib.suppress(ZooError):
                tried[variant] = side.seconds(label(variant, task), 3)
        if not tried:
            return None
        best = min(tried, key=tried.get)
        side, name = found[best], label(best, task)
        return partial(side.seconds, name), {
            "torch_variant": best,
            "torch_tried_ms": " ".join(f"{v}={1e3 * s:.3g}" for v, s in tried.items()),
            "torch_compile_s": side.made[name],
            "torch_peak_memory_mb": side.memory(name),
        }

    def _ready(self, task: Task) -> dict[str, Side]:
        """The variants of a task that can be timed."""
        return {
            variant: side
            for side in self._futures.values()
            for variant in side.variants
            if label(variant, task) in side.made
        }

    def end(self) -> None:
        """Ends all of it."""
        for side in self._futures.values():
            side.end()


def figures(one: networks.Network, task: Task, step: Ours, spec: dict, ms: float) -> dict:
    """The columns about our step at a speed."""
    pixels = task.batch * task.side**2
    peak = spec["peaks"].get(spec["dtype"])
    speed = step.cost.flops / ms / 1e9
    return {
        "megapixels_per_s": pixels / ms / 1e3,
        "images_per_s": 1e3 * task.batch / ms,
        "compile_s": step.compile_s,
        "gflop_per_step": step.cost.flops / 1e9,
        "tflop_per_s": speed,
        "matmul_peak_tflop_per_s": peak,
        "share_of_matmul_peak": speed / peak if peak else None,
        "program_mb": step.cost.memory / 1e6,
        "peak_memory_mb": machine.peak_memory() / 1e6,
    }


def row(
    one: networks.Network,
    task: Task,
    step: Ours,
    spec: dict,
    theirs: Theirs | None,
    notes: list[str],
) -> dict:
    """Measures one task; the device is ours now."""
    steps = {task.batch: step}

    def attempt(batch: int) -> Ours:
        if batch not in steps:
            steps.clear()
            steps[batch] = ours(one, spec["dtype"], task._replace(batch=batch))
        steps[batch].run()
        steps[batch].run()
        return steps[batch]

    machine.reset_peak_memory()
    fits, batch = fitting(attempt, task.batch)
    known = {
        "wave": spec["wave"],
        "model": spec["model"],
        "task": task.name,
        "dtype": spec["dtype"],
        "size": f"{task.side}x{task.side}x{one.record.channels}",
        "batch_asked": task.batch,
        "batch": batch,
        "parameters": one.parameters,
    }
    if fits is None:
        raise ZooError(f"out of memory even at batch {batch}")
    if batch != task.batch:
        notes.append("batch halved, out of memory")
    task = task._replace(batch=batch)
    peer = theirs.fastest(task) if theirs else None
    if peer is None:
        times = timed(fits.run, spec["block"])
        found = {"ours_ms": 1e3 * times.median, "steps": len(times.steps)}
        notes += theirs.notes(task) if theirs else [spec["without"]]
    else:
        seconds, about = peer
        once = statistics.median(timed(fits.run, 0.0, least=3).steps)
        count = int(min(max(spec["block"] / max(once, 1e-6), 3), 200))
        pairs = take(lambda: block(fits.run, count), lambda: seconds(count), PAIRS)
        found = {**pairs.row(), "steps": count, **about}
        found["torch_megapixels_per_s"] = batch * task.side**2 / found["torch_ms"] / 1e3
        notes += theirs.notes(task)
    numbers = figures(one, task, fits, spec, found["ours_ms"])
    return {**known, **found, **numbers, "note": "; ".join(filter(None, notes))}


def measure(spec: dict, speaker: Speaker) -> None:
    """A row for each task of a job.

    Args:
      spec: of `accelerated.plan.Job` the model, `small`, dtype and tasks; `torch`: a Python, or
        None and why there is none in `without`; `compile`: whether to try torch.compile; `check`:
        whether to hold the outputs against each other; `compile_until`: by `time.time`; `block`:
        seconds of a turn; `peaks`: matmul TFLOP/s by dtype.
      speaker: receives the results.
    """
    tasks = [Task._make(task) for task in spec["tasks"]]
    cells = {task: cell(spec["model"], spec["dtype"], task) for task in tasks}
    options = small_options(spec["model"]) if spec["small"] else {}
    one = networks.network(PEERS[spec["model"]], **options)
    pool = ThreadPoolExecutor(1 + 2 * len(tasks))
    theirs = Theirs(one, spec, pool) if spec["torch"] else None
    programs = {task: pool.submit(ours, one, spec["dtype"], task) for task in tasks}
    others = theirs.futures if theirs else []
    wait([*programs.values(), *others], max(spec["compile_until"] - time.time(), 0))
    if theirs:
        theirs.settle()
    ready = {}
    for task, future in programs.items():
        if not future.done():
            speaker.left(cells[task], "our program was not compiled in time")
        elif error := failure(future):
            speaker.left(cells[task], error)
        else:
            ready[task] = future.result()
    if ready:
        speaker.ready()
    for task, step in ready.items():
        try:
            # A compilation cannot be stopped.
            compiles = not all(future.done() for future in programs.values())
            notes = ["measured while another program compiled"] if compiles else []
            speaker.row(cells[task], row(one, task, step, spec, theirs, notes))
        except Exception as error:
            speaker.left(cells[task], error)
    if theirs:
        label = f"{spec['model']} outputs"
        if isinstance(theirs.difference, float):
            speaker.row(label, {"model": spec["model"], "difference": theirs.difference})
        elif spec["check"]:
            speaker.left(label, theirs.difference or "not checked in time")
        theirs.end()


if __name__ == "__main__":
    main(measure)
