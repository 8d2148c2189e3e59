"""The zoo's networks beside the same in PyTorch, each at its best, taking turns on one machine.

    python benchmarks/peers/compare.py --torch-python=PYTHON           # all models, both tasks
    python benchmarks/peers/compare.py --model=unet,dncnn --task=train --size=64 --batch=16

PYTHON is that of an environment with torch and numpy (on a CPU: Python 3.11, torch==2.13.0); where
this one has torch too, none need be named. On a GPU both sides take float32 products as TF32, and
bf16 is autocast there and the modules' `dtype` here.

Before any clock runs both networks must have as many parameters, get the same drawn weights and
give the same output to 1e-4 of what they change. A training step is all that `zoo.train` does in
one: crops of uint8 images on the device, mirrored, noise drawn, Charbonnier loss, Adam, the
average of the parameters, loss, psnr and gradient norm. PyTorch's variants (eager or compiled, its
layouts) are tried first and the fastest runs. A pair is a block of steps on either side, the other
blocked on a pipe; its figure is the block's median, and its ratio is our speed over theirs, above 1
where we are faster. The rows go to `benchmarks/results/`.
"""

import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

# Two processes share one GPU; before JAX is imported, which would take three quarters of it.
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.45")
sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import same
from harness import flags, machine, results, work
from harness.batch import must_fit
from networks import DEFAULT, MODELS, TASKS, network
from theirs import fastest, torch_python
from turns import block, take
from worker import Worker

from zoo.errors import ZooError, unknown

HERE = Path(__file__).parent
STEPS = {"train": work.train_step, "infer": work.infer_step}
SHOWN = (
    "model", "task", "parameters", "dtype", "ours_ms", "torch_ms", "torch_variant",
    "speedup_median", "speedup_low", "speedup_high",
)  # fmt: skip


def compare(worker: Worker, name: str, task: str, arguments, folder: str) -> dict[str, object]:
    """The row of one network and task."""
    one = network(name)
    difference = same.check(worker, one, folder)
    side, channels = arguments.size, one.record.channels
    variant, tried = fastest(
        worker,
        arguments.torch_variant,
        arguments.steps,
        task=task,
        shape=[arguments.batch, channels, side, side],
        dtype=arguments.dtype,
    )
    model = one.model.clone(dtype=jnp.bfloat16 if arguments.dtype == "bf16" else jnp.float32)
    run = STEPS[task](model, one.record, batch=arguments.batch, size=side)
    begun = time.perf_counter()
    block(run, 2)
    print(f"  ours: ready in {time.perf_counter() - begun:.0f} s", flush=True)

    idle = {"ours": [], "torch": []}

    def theirs():
        wall, busy = time.perf_counter(), time.process_time()
        answer = worker.ask(do="time", variant=variant, steps=arguments.steps)
        idle["ours"].append((time.process_time() - busy) / (time.perf_counter() - wall))
        idle["torch"].append(answer["idle"])
        return answer["seconds"]

    pairs = take(lambda: block(run, arguments.steps), theirs, arguments.pairs)
    return {
        "model": name,
        "task": task,
        "parameters": one.parameters,
        "size": f"{side}x{side}x{channels}",
        "batch": arguments.batch,
        "dtype": arguments.dtype,
        "pairs": arguments.pairs,
        "steps": arguments.steps,
        **pairs.row(),
        "torch_variant": variant,
        "torch_tried_ms": " ".join(f"{name}={1e3 * value:.1f}" for name, value in tried.items()),
        "difference": difference,
        # Cores that a side keeps busy while it is the other's turn.
        **{f"idle_cores_{who}": float(np.median(values)) for who, values in idle.items()},
    }


def device() -> str:
    """PyTorch's name for the device that JAX uses.

    Raises:
      ZooError: PyTorch has none for it, or there are several.
    """
    known = {"cpu": "cpu", "gpu": "cuda"}
    if jax.default_backend() not in known:
        raise ZooError(f"PyTorch has no {jax.default_backend()}; compare on a CPU or a GPU")
    if jax.device_count() > 1:
        raise ZooError(
            f"JAX has {jax.device_count()} devices, PyTorch uses one; show both one alone, such as "
            "by CUDA_VISIBLE_DEVICES=0"
        )
    return known[jax.default_backend()]


def run(arguments) -> None:
    """Measures what the flags ask for and writes the rows, after each of them.

    Raises:
      ZooError: a flag is wrong, or the other side fails.
    """
    for name in arguments.model:
        if name not in MODELS:
            raise unknown("model with a peer", name, MODELS)
    for task in arguments.task:
        if task not in TASKS:
            raise unknown("task", task, TASKS)
    threads = arguments.torch_threads or machine.cores()
    command = [torch_python(arguments.torch_python), HERE / "torch_peer.py", device(), threads]
    load = machine.warn_if_busy()
    with tempfile.TemporaryDirectory() as folder, Worker(command) as worker:
        peer = worker.ask(do="versions")
        context = f"{machine.context()}_torch{peer['torch']}"
        print(f"{context}, PyTorch on {peer['torch_device']}")
        same = {"busy_cores_before": load, **machine.versions(), **peer}
        with results.Kept(name_of(arguments), arguments.out, context, SHOWN) as kept:
            for name, task in itertools.product(arguments.model, arguments.task):
                print(f"{name}, {task}:", flush=True)
                label = f"{name}, {task} of {arguments.batch} images,"
                with must_fit(label, "make --batch or --size smaller"):
                    kept.add(compare(worker, name, task, arguments, folder) | same)


def name_of(arguments) -> str:
    """A file name that other flags do not share."""
    parts = ["peers"]
    parts += ["+".join(arguments.model)] * (arguments.model != list(DEFAULT))
    parts += ["+".join(arguments.task)] * (arguments.task != list(TASKS))
    return "_".join([*parts, f"{arguments.size}px", f"batch{arguments.batch}", arguments.dtype])


def main() -> None:
    """Reads the flags."""
    parser = flags.Parser(__doc__)
    several = {"action": flags.Several}
    parser.add_argument(
        "--model", **several, default=list(DEFAULT), help=f"of {', '.join(MODELS)}, by commas"
    )
    parser.add_argument("--task", **several, default=list(TASKS), help="train, infer or both")
    parser.add_argument("--size", type=flags.count, default=64, help="side of an image in pixels")
    parser.add_argument("--batch", type=flags.count, default=16)
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--pairs", type=flags.count, default=7)
    parser.add_argument(
        "--steps", type=flags.count, default=7, help="of a block, whose median counts"
    )
    parser.add_argument("--torch-python", help="a Python that has torch; this one by default")
    parser.add_argument("--torch-threads", type=flags.count, help="on a CPU; one a core by default")
    parser.add_argument("--torch-variant", help="compile+channels_last, say; no search")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(flags.guard(main))
