"""How fast each noise op is, in megapixels or million samples a second, and against the memory.

    python benchmarks/noise.py                           # every op, 16 images of 64x64x3
    python benchmarks/noise.py --op=gaussian,poisson --size=64 --size=512
    python benchmarks/noise.py --modality=audio          # every op, 16 signals of 2 s

Each op is compiled alone for a float32 batch, at the milder of its usual levels. The share of
memory bandwidth is the time that reading the signals once, those mixed in too, and writing them
once takes at the machine's measured speed, over the op's time: 1 would be as fast as copying.
"""

import inspect
import itertools
import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import jax
from harness import flags, machine, results, timing
from harness.batch import must_fit
from harness.examples import SIZES

from zoo import runtime
from zoo.errors import ZooError, unknown
from zoo.noise import registry

# The options of ops that take a second signal.
_SECOND = ("noise", "noisy")


def usual(op: Callable) -> dict[str, object]:
    """The options an op is measured at, its own level first: its milder example."""
    level, *_ = op.levels
    if level not in op.examples:
        raise ZooError(f"noise {op.__name__!r} has no examples of its level to be measured at")
    return op.examples | {level: op.examples[level][0]}


def second(op: Callable, signal: jax.Array) -> dict[str, jax.Array]:
    """The other signal, for ops that take one."""
    return {name: signal for name in _SECOND if name in inspect.signature(op).parameters}


class Kind(NamedTuple):
    """What is measured of a modality.

    Attributes:
      shape: of a signal, by its size.
      signals: what it is called, a plural.
      speed: the column of million pixels, or samples, a second.
    """

    shape: Callable[[int], tuple[int, ...]]
    signals: str
    speed: str


KINDS = {
    "image": Kind(lambda size: (size, size, 3), "images", "megapixels_per_s"),
    "audio": Kind(lambda size: (size, 1), "audio signals", "megasamples_per_s"),
}


class Step(NamedTuple):
    """An op that has run once.

    Attributes:
      run: runs it again and waits for its result.
      moved: bytes that reading the signals and writing the result takes.
    """

    run: Callable[[], object]
    moved: int


def prepared(modality: str, name: str, size: int, batch: int) -> Step:
    """One op, compiled for one size of signal."""
    kind = KINDS[modality]
    op, shape = registry(modality)[name], kind.shape(size)
    options = usual(op)
    x, other = jax.random.uniform(jax.random.key(0), (2, batch, *shape))
    key = jax.random.key(1)
    further = second(op, other)
    jitted = jax.jit(lambda key, x, further: op(key, x, **options, **further))
    step = Step(lambda: jitted(key, x, further).block_until_ready(), (2 + len(further)) * x.nbytes)
    step.run()
    return step


def row(
    modality: str,
    name: str,
    size: int,
    batch: int,
    seconds: float,
    bandwidth: float,
    step: Step | None = None,
) -> dict[str, object]:
    """Measures one op on one size of signal; `step` where it has been prepared."""
    kind = KINDS[modality]
    options, shape = usual(registry(modality)[name]), kind.shape(size)
    run, moved = step or prepared(modality, name, size, batch)
    times = timing.measure(run, seconds)
    label, level = next(iter(options.items()))
    return {
        "op": name,
        "level": f"{label}={level:.3g}",
        "size": "x".join(map(str, shape)),
        "batch": batch,
        "ms_p10": 1e3 * times.p10,
        "ms": 1e3 * times.median,
        "ms_p90": 1e3 * times.p90,
        kind.speed: batch * math.prod(shape[:-1]) / times.median / 1e6,
        "gigabytes_per_s": moved / times.median / 1e9,
        "share_of_bandwidth": moved / times.median / bandwidth,
    }


def main() -> None:
    """Measures what the flags ask for, prints a table and writes the rows."""
    parser = flags.Parser(__doc__)
    add = parser.add_argument
    add("--modality", choices=tuple(KINDS), default="image", help="default image")
    add(
        "--op",
        action=flags.Several,
        help="may be repeated or separated by commas; all by default",
    )
    add(
        "--size",
        action=flags.Several,
        convert=flags.count,
        help=f"side of an image in pixels (default {SIZES['image']}), samples of audio "
        f"(default {SIZES['audio']}); may be repeated",
    )
    add("--batch", type=flags.count, default=16, help="signals at once (default 16)")
    results.add_arguments(parser)
    arguments = parser.parse_args()
    modality = arguments.modality
    kind, ops = KINDS[modality], registry(modality)
    asked = arguments.op or sorted(ops)
    for name in asked:
        if name not in ops:
            raise unknown("noise", name, ops)
    runtime.cache_programs()
    load, bandwidth = machine.warn_if_busy(), machine.bandwidth()
    print(f"memory bandwidth, measured: {bandwidth / 1e9:.1f} GB/s", file=sys.stderr)
    sizes = arguments.size or [SIZES[modality]]
    what = [] if asked == sorted(ops) else asked
    what = [*([] if modality == "image" else [modality]), *what]
    label = "-".join(["noise", *what, *map(str, sizes), f"b{arguments.batch}"])
    same = {"bandwidth_gigabytes_per_s": bandwidth / 1e9, "load": load}
    with results.Kept(label, arguments.out, machine.context()) as kept:
        for size, name in itertools.product(sizes, asked):
            shape = "x".join(map(str, kind.shape(size)[:-1]))
            case = f"{name} of {arguments.batch} {kind.signals} of {shape}"
            with must_fit(case, "make --size or --batch smaller"):
                measured = row(modality, name, size, arguments.batch, arguments.seconds, bandwidth)
            kept.add({**measured, **same})
            print(f"{name}, {size}: {measured['ms']:.3g} ms", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(flags.guard(main))
