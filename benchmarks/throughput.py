"""How fast the zoo trains and denoises on this machine.

    python benchmarks/throughput.py                  # every model, training and inference
    python benchmarks/throughput.py --model=unet-small,dncnn-color --task=train --batch=16,32,64
    python benchmarks/throughput.py --task=infer --plots --scores=scores.csv

A training step is the whole of it: crops, flips, noise, forward, backward, Adam and the running
average; inference is one batch denoised. An audio model is given noise to mix
in and the loss of configs/audio_stream.py; one that learns nothing has no training. Each figure is
the median of many synchronised steps after a warm-up, the compilation apart; the spread is given as
the 10th and 90th percentile. A batch that does not fit is halved until it does.

The operations of a step are counted in the program before XLA optimises it, so they are the same
on every machine: the multiplications and additions of convolutions and matmuls, and one for each
element of an elementwise operation; `gmac_per_example` are the products of one forward pass alone,
the papers' measure of cost. The bytes are those XLA expects the compiled program to read and write.
The matmul peak is this machine's, measured in the same dtype; a share above 1 is no mistake where a
fast form of the convolution needs fewer products than its definition. `program_mb` is what the
compiled program needs at once, over all devices; `peak_memory_mb` the most that the fullest device
had in use since the start, or on a CPU the process, Python included.

The rows go to `benchmarks/results/`, in a csv and a json whose name is their context.
"""

import hashlib
import itertools
import math
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from harness import machine, named, plots, profile, quality, results
from harness.batch import fitting
from harness.examples import SIZES, shape_of
from harness.flags import Parser, Several, count, guard
from harness.macs import macs_of
from harness.timing import measure
from harness.work import infer_step, train_step

from zoo import files, models
from zoo.errors import ZooError

COLUMNS = (
    "model", "task", "parameters", "size", "batch_asked", "batch", "dtype", "parallel", "devices",
    "images_per_s", "megapixels_per_s", "audio_s_per_s", "step_ms_p10", "step_ms", "step_ms_p90",
    "steps",
    "compile_s", "gmac_per_example", "gflop_per_step", "gbyte_per_step", "tflop_per_s",
    "matmul_peak_tflop_per_s", "share_of_matmul_peak", "program_mb", "peak_memory_mb", "load",
    "note",
)  # fmt: skip
SHOWN = (
    "model", "task", "parameters", "size", "batch", "images_per_s", "megapixels_per_s",
    "audio_s_per_s", "step_ms_p10", "step_ms", "step_ms_p90", "compile_s", "gflop_per_step",
    "tflop_per_s", "share_of_matmul_peak", "program_mb", "peak_memory_mb", "load", "note",
)  # fmt: skip
DTYPES = {"f32": "float32", "bf16": "bfloat16"}
TASKS = {"train": train_step, "infer": infer_step}
SIZE, SAMPLES, BATCH = SIZES["image"], SIZES["audio"], 16


class Case(NamedTuple):
    """One row to measure; the size is (H, W), or (T,) of audio."""

    model: str
    task: str
    size: tuple[int, ...]
    batch: int
    dtype: str
    parallel: str

    @property
    def label(self):
        return f"{self.model} {self.task} {size_text(self.size)} batch {self.batch}"


def size_text(size):
    """Sides or samples, joined."""
    return "x".join(map(str, size))


def cases(arguments):
    """What the flags ask for; a model of one size only stands once, whatever sizes are asked."""
    tasks = [arguments.task] if arguments.task else list(TASKS)
    found = {}
    for name, task in itertools.product(arguments.model or models.list_models(), tasks):
        if task == "train" and not named.find(name).parameters:
            print(f"{name} learns nothing; its training is left out", file=sys.stderr)
            continue
        record = named.find(name).record
        sizes = arguments.samples if record.modality == "audio" else arguments.size
        for size, batch in itertools.product(sizes, arguments.batch):
            own = shape_of(record, size)[:-1]
            found[Case(name, task, own, batch, arguments.dtype, arguments.parallel)] = None
    return list(found)


def row(case, seconds, trace_to=None):
    """One measurement as a dictionary of COLUMNS; without times where no batch fits."""
    devices = jax.device_count()
    model, record, parameters = named.find(case.model)
    size = size_text(case.size)
    if any(side % record.multiple for side in case.size):
        raise ZooError(f"{case.model} needs a multiple of {record.multiple}, not {size}")
    dtype = jnp.dtype(DTYPES[case.dtype])
    # Classical estimators are in float32, whatever is asked.
    model = model.clone(dtype=dtype) if hasattr(model, "dtype") else model
    load = machine.warn_if_busy()

    def attempt(batch):
        machine.reset_peak_memory()
        work = TASKS[case.task](model, record, batch=batch, size=case.size, parallel=case.parallel)
        times = measure(work, seconds)
        if trace_to:
            profile.trace(work, trace_to)
        return times, work.cost(), machine.peak_memory()

    found, batch = fitting(attempt, case.batch, devices)
    known = {
        "model": case.model,
        "task": case.task,
        "parameters": parameters,
        "size": f"{size}x{record.channels}",
        "batch_asked": case.batch,
        "batch": batch,
        "dtype": case.dtype,
        "parallel": case.parallel,
        "devices": devices,
    }
    if found is None:
        return known | {"note": f"out of memory even at batch {batch}"}
    times, cost, peak_memory = found
    step = times.median
    peak = machine.matmul_peak(dtype, devices)
    if record.modality == "audio":
        speeds = {"audio_s_per_s": batch * case.size[0] / record.sample_rate / step}
    else:
        pixels = math.prod(case.size)
        speeds = {"images_per_s": batch / step, "megapixels_per_s": batch * pixels / step / 1e6}
    return {
        **known,
        **speeds,
        "step_ms_p10": 1e3 * times.p10,
        "step_ms": 1e3 * step,
        "step_ms_p90": 1e3 * times.p90,
        "steps": len(times.steps),
        "compile_s": times.compile_s,
        "gmac_per_example": macs_of(model, shape_of(record, case.size)) / 1e9,
        "gflop_per_step": cost.flops / 1e9,
        "gbyte_per_step": cost.bytes / 1e9,
        "tflop_per_s": cost.flops / step / 1e12,
        "matmul_peak_tflop_per_s": peak / 1e12,
        "share_of_matmul_peak": cost.flops / step / peak,
        "program_mb": cost.memory / 1e6,
        "peak_memory_mb": peak_memory / 1e6,
        "load": load,
        "note": "" if batch == case.batch else "halved, out of memory",
    }


def attempted(case, arguments):
    """The row of a case, whatever goes wrong with it, so that the others are not lost."""
    trace_to = arguments.profile and arguments.profile / files.slug(case.label)
    try:
        found = row(case, arguments.seconds, trace_to)
    except Exception as error:
        lines = str(error).splitlines() or [""]
        found = {
            "model": case.model,
            "task": case.task,
            "size": size_text(case.size),
            "batch_asked": case.batch,
            "dtype": case.dtype,
            "parallel": case.parallel,
            "note": f"failed, {type(error).__name__}: {lines[0][:200]}",
        }
    return {name: found.get(name) for name in COLUMNS}


def context(arguments):
    """The machine and every flag that differs from its default, for a file of their own."""
    parts = [machine.context()]
    if arguments.model:
        names = sorted(arguments.model)
        digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:6]
        parts.append("+".join(names) if len(names) < 4 else f"{len(names)}models-{digest}")
    parts += [arguments.task] if arguments.task else []
    for values, default, unit in (
        (arguments.size, SIZE, "px"),
        (arguments.samples, SAMPLES, "samples"),
        (arguments.batch, BATCH, "batch"),
    ):
        parts += [f"{'+'.join(map(str, values))}{unit}"] if values != [default] else []
    parts += [arguments.dtype] if arguments.dtype != "f32" else []
    parts += [arguments.parallel] if arguments.parallel != "jit" else []
    return "_".join(parts)


def parse():
    """The flags, checked as far as that needs no computing."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--model", action=Several, metavar="NAME",
        help="may be repeated or a list; weights that come with the zoo too; default all models",
    )  # fmt: skip
    parser.add_argument("--task", choices=tuple(TASKS), help="default both")
    parser.add_argument(
        "--size", action=Several, convert=count, default=[SIZE], metavar="PIXELS",
        help=f"side of an image; may be repeated or a list (default {SIZE})",
    )  # fmt: skip
    parser.add_argument(
        "--samples", action=Several, convert=count, default=[SAMPLES], metavar="N",
        help=f"samples of audio; may be repeated or a list (default {SAMPLES})",
    )  # fmt: skip
    parser.add_argument(
        "--batch", action=Several, convert=count, default=[BATCH], metavar="N",
        help=f"over all devices; may be repeated or a list (default {BATCH})",
    )  # fmt: skip
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="f32", help="default f32")
    parser.add_argument("--parallel", choices=("jit", "pmap"), default="jit", help="default jit")
    parser.add_argument("--plots", action="store_true", help="draw images beside the csv too")
    parser.add_argument(
        "--scores", type=Path, metavar="CSV",
        help="a scores.csv of `zoo score`: draw PSNR against throughput and cost too",
    )  # fmt: skip
    parser.add_argument(
        "--profile", type=Path, metavar="DIR",
        help="write a trace of three steps of each row, for TensorBoard or Perfetto",
    )  # fmt: skip
    results.add_arguments(parser)
    return parser.parse_args()


def check(arguments):
    """Refuses what no row could be measured with.

    Raises:
      ZooError: an unknown model, a batch the devices cannot share, a folder that cannot be made.
    """
    for name in arguments.model or ():
        named.find(name)
    for batch in arguments.batch:
        if batch % jax.device_count():
            raise ZooError(
                f"--batch={batch} cannot be shared by {jax.device_count()} devices; "
                "make it a multiple"
            )
    for folder in filter(None, (arguments.out, arguments.profile)):
        files.make_folder(folder)


def main():
    """Measures what the flags ask for, writing after every row."""
    arguments = parse()
    check(arguments)
    scores = quality.read_scores(arguments.scores) if arguments.scores else []
    facts, where = machine.versions(), context(arguments)
    print(", ".join(f"{name} {value}" for name, value in facts.items()), end="\n\n")
    with results.Kept("throughput", arguments.out, where, SHOWN) as kept:
        for case in cases(arguments):
            kept.add(attempted(case, arguments) | facts)
            print(f"{case.label}: {summary(kept.rows[-1])}", file=sys.stderr, flush=True)
    rows = kept.rows
    good = [one for one in rows if one["step_ms"] is not None]
    if good and (arguments.plots or scores):
        for image in filter(None, draw(good, scores, kept.path, arguments)):
            print(f"drawn to {image}")
    if len(good) < len(rows):
        raise ZooError(f"{len(rows) - len(good)} of {len(rows)} rows failed; their notes say why")


def summary(one):
    """One row in a few words."""
    if one["step_ms"] is None:
        return one["note"]
    if one["audio_s_per_s"] is not None:
        speed = f"{one['audio_s_per_s']:.4g} s of audio a second"
    else:
        speed = f"{one['images_per_s']:.4g} images/s"
    return f"{one['step_ms']:.4g} ms a step, {speed}"


def draw(rows, scores, path, arguments):
    """Draws what the rows give, beside the csv; yields the images, and None for want of rows."""
    stem = path.with_suffix("")
    heard = [row for row in rows if row["megapixels_per_s"] is None]
    rows = [row for row in rows if row not in heard]
    for name in dict.fromkeys(row["model"] for row in heard):
        print(f"left out of the images: {name}; it has no megapixels a second", file=sys.stderr)
    if not rows:
        return
    if arguments.plots:
        if len(arguments.batch) > 1:
            yield plots.batches(Path(f"{stem}_batches.png"), rows)
        peak = rows[0]["matmul_peak_tflop_per_s"]
        bandwidth = machine.bandwidth(jax.device_count()) / 1e9
        yield plots.roofline(Path(f"{stem}_roofline.png"), rows, peak, bandwidth)
    if scores:
        yield from quality.draw(stem, rows, scores)


if __name__ == "__main__":
    sys.exit(guard(main))
