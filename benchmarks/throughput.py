"""How fast the zoo trains and denoises on this machine.

    python benchmarks/throughput.py --model=unet-small --task=train --size=64 --batch=16
    python benchmarks/throughput.py                  # every model, training and inference

Each figure is the median of many synchronised steps after a warm-up, the compilation apart;
the spread is given as the 10th and 90th percentile. The rows go to `benchmarks/results/`, in a csv
whose name is their context.
"""

import argparse
import csv
import os
import platform
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zoo import losses, models, noise
from zoo.data.augment import make_augment
from zoo.data.batches import Batch, make_bank
from zoo.errors import ZooError
from zoo.train.parallel import make_runner
from zoo.train.state import create_state
from zoo.train.step import make_prepare, make_step

COLUMNS = (
    "model", "task", "parameters", "size", "batch", "dtype", "parallel", "compile_s",
    "step_ms_p10", "step_ms", "step_ms_p90", "images_per_s", "megapixels_per_s", "load_average",
)  # fmt: skip


def train_step(model, channels, size, batch, parallel):
    """A function that runs one whole training step: crop, augment, noise, Adam, average."""
    height, width = size
    prepare = make_prepare(
        size=(height, width, channels),
        augment=make_augment(flip=True),
        sampler=noise.make_sampler("gaussian", 25, unit="1/255"),
    )
    optimizer = optax.adam(1e-3)

    def build(axis_name):
        return make_step(
            model=model.clone(axis_name=axis_name) if hasattr(model, "axis_name") else model,
            loss=losses.make_loss("charbonnier"),
            optimizer=optimizer,
            prepare=prepare,
            ema_decay=0.999,
            axis_name=axis_name,
        )

    runner = make_runner(parallel, build, batch)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (2 * height, 2 * width, channels), np.uint8) for _ in range(8)]
    bank = runner.place_bank(make_bank(pictures))
    state = create_state(model, optimizer, jax.random.key(0), (1, height, width, channels))
    state = runner.place(jax.device_get(state))
    key, slots = jax.random.key(1), np.arange(batch, dtype=np.int32)

    def run():
        nonlocal state
        picture = rng.integers(0, len(pictures), batch, np.int32)
        state, metrics = runner.run(state, runner.feed(Batch(slots, picture), bank), key)
        jax.block_until_ready((state, metrics))

    return run


def infer_step(model, channels, size, batch, parallel):
    """A function that denoises one batch; `parallel` does not matter."""
    x = jax.random.uniform(jax.random.key(0), (batch, *size, channels))
    level = jnp.full((batch,), 0.1)
    variables = jax.jit(model.init)(jax.random.key(1), x[:1], level[:1])
    apply = jax.jit(model.apply)
    return lambda: apply(variables, x, level).block_until_ready()


def measure(run, seconds):
    """Compile time, then the times of single runs over about so many seconds, in seconds."""
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    run()
    times = []
    start = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return max(first - float(np.median(times)), 0.0), times


def row(name, task, arguments):
    """One measurement as a dictionary of COLUMNS."""
    record = models.record(name)
    size = record.size or (arguments.size, arguments.size)
    dtype = {"f32": "float32", "bf16": "bfloat16"}[arguments.dtype]
    model = models.create_model(name, dtype=jnp.dtype(dtype))
    build = train_step if task == "train" else infer_step
    run = build(model, record.channels, size, arguments.batch, arguments.parallel)
    compile_s, times = measure(run, arguments.seconds)
    low, middle, high = np.percentile(times, [10, 50, 90])
    return {
        "model": name,
        "task": task,
        "parameters": models.count_parameters(name),
        "size": f"{size[0]}x{size[1]}x{record.channels}",
        "batch": arguments.batch,
        "dtype": arguments.dtype,
        "parallel": arguments.parallel,
        "compile_s": f"{compile_s:.1f}",
        "step_ms_p10": f"{1e3 * low:.1f}",
        "step_ms": f"{1e3 * middle:.1f}",
        "step_ms_p90": f"{1e3 * high:.1f}",
        "images_per_s": f"{arguments.batch / middle:.1f}",
        "megapixels_per_s": f"{arguments.batch * size[0] * size[1] / middle / 1e6:.2f}",
        "load_average": f"{os.getloadavg()[0]:.1f}",
    }


def main():
    """Measures what the flags ask for, prints a table and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", help="may be repeated; all by default")
    parser.add_argument("--task", choices=("train", "infer"), help="both by default")
    parser.add_argument("--size", type=int, default=64, help="side of a picture in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--parallel", choices=("jit", "pmap"), default="jit")
    parser.add_argument("--seconds", type=float, default=5.0, help="of measuring, for each row")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()

    if os.getloadavg()[0] > 0.5:
        print(f"warning: this machine is not idle, load {os.getloadavg()[0]:.1f}")
    device = jax.devices()[0].device_kind.replace(" ", "_")
    context = f"{device}x{jax.device_count()}_{os.cpu_count()}cores_jax{jax.__version__}"
    print(f"{platform.machine()}, {context}")
    rows = []
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    try:
        for name in arguments.model or models.list_models():
            for task in [arguments.task] if arguments.task else ["train", "infer"]:
                rows.append(row(name, task, arguments))
                print("| " + " | ".join(str(rows[-1][c]) for c in COLUMNS) + " |", flush=True)
    except ZooError as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"throughput_{context}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    print(f"written to {path}")


if __name__ == "__main__":
    main()
