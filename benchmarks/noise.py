"""How fast each noise op is, in megapixels a second and against the machine's memory.

    python benchmarks/noise.py                           # every op, 16 pictures of 64x64x3
    python benchmarks/noise.py --op=gaussian,poisson --size=64 --size=512

Each op is compiled alone for a float32 batch and a usual level. The share of memory bandwidth is
what reading the pictures once and writing them once takes at the machine's measured speed, over
what the op took: 1 would be as fast as copying.
"""

import sys

import jax
from harness import flags, machine, results, timing

from zoo import compilation
from zoo.errors import ZooError, unknown
from zoo.noise import OPS

CHANNELS = 3
KERNEL = ((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25))
LEVELS = {
    "camera": {"shot": 0.01, "read": 0.02},
    "correlated_gaussian": {"sigma": 25 / 255, "kernel": KERNEL},
    "dead_pixels": {"amount": 0.05},
    "gamma": {"looks": 10},
    "gaussian": {"sigma": 25 / 255},
    "impulse": {"amount": 0.1},
    "jpeg": {"quality": 30},
    "laplace": {"scale": 0.1},
    "mask_pixels": {"amount": 0.1},
    "pepper": {"amount": 0.1},
    "poisson": {"peak": 30},
    "poisson_gaussian": {"a": 0.01, "b": 0.02},
    "quantize": {"bits": 4},
    "rician": {"sigma": 0.1},
    "salt": {"amount": 0.1},
    "salt_and_pepper": {"amount": 0.1},
    "speckle": {"sigma": 0.1},
    "stripes": {"sigma": 0.1},
    "uniform": {"half_width": 0.1},
}
"""What each op is measured at, its own level first."""


def row(name: str, size: int, batch: int, seconds: float, bandwidth: float) -> dict:
    """Measures one op on one size of picture."""
    op, options = OPS[name], LEVELS[name]
    x = jax.random.uniform(jax.random.key(0), (batch, size, size, CHANNELS))
    key = jax.random.key(1)
    run = jax.jit(lambda key, x: op(key, x, **options))
    times = timing.measure(lambda: run(key, x).block_until_ready(), seconds)
    moved = 2 * x.nbytes
    label, level = next(iter(options.items()))
    return {
        "op": name,
        "level": f"{label}={level:.3g}",
        "size": f"{size}x{size}x{CHANNELS}",
        "batch": batch,
        "ms_p10": 1e3 * times.p10,
        "ms": 1e3 * times.median,
        "ms_p90": 1e3 * times.p90,
        "megapixels_per_s": batch * size * size / times.median / 1e6,
        "gigabytes_per_s": moved / times.median / 1e9,
        "share_of_bandwidth": moved / times.median / bandwidth,
    }


def main() -> None:
    """Measures what the flags ask for, prints a table and writes the rows."""
    parser = flags.Parser(__doc__)
    add = parser.add_argument
    add(
        "--op",
        action=flags.Several,
        default=sorted(OPS),
        help="may be repeated or separated by commas; all by default",
    )
    add(
        "--size",
        action=flags.Several,
        convert=flags.count,
        default=[64],
        help="side of a picture in pixels; may be repeated (default 64)",
    )
    add("--batch", type=flags.count, default=16, help="pictures at once (default 16)")
    results.add_arguments(parser)
    arguments = parser.parse_args()
    for name in arguments.op:
        if name not in OPS:
            raise unknown("noise", name, OPS)
        if name not in LEVELS:
            raise ZooError(f"noise {name!r} has no level here; add one to LEVELS in {__file__}")
    compilation.enable()
    load, bandwidth = machine.warn_if_busy(), machine.bandwidth()
    print(f"memory bandwidth, measured: {bandwidth / 1e9:.1f} GB/s", file=sys.stderr)
    rows = []
    for size in arguments.size:
        for name in arguments.op:
            measured = row(name, size, arguments.batch, arguments.seconds, bandwidth)
            rows.append({**measured, "bandwidth_gigabytes_per_s": bandwidth / 1e9, "load": load})
            print(f"{name}, {size}: {rows[-1]['ms']:.3g} ms", file=sys.stderr, flush=True)
    print(results.table(rows))
    sizes = "-".join(str(size) for size in arguments.size)
    what = [] if arguments.op == sorted(OPS) else arguments.op
    name = "-".join(["noise", *what, sizes, f"b{arguments.batch}"])
    print(f"written to {results.write(name, rows, arguments.out, machine.context())}")


if __name__ == "__main__":
    sys.exit(flags.guard(main))
