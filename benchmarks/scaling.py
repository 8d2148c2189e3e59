"""How the training step scales over devices.

    python benchmarks/scaling.py                         # 1, 2, 4, 8 devices, as far as they go
    python benchmarks/scaling.py --model=unet-small --devices=1,2 --per-device=8 --batch=16

Each number of devices has a fresh process. Twice: with a batch that grows with the devices
(`--per-device` each), and with one that they share (`--batch`). The efficiency is images/s, or
audio signals/s, over that of the fewest devices, for each device: 1 is perfect. The bytes exchanged
are those of the collectives of the compiled step, the size of the gradients and little more.

A CPU counts as any number of devices, but they are fakes that share its cores. There only the cost
of sharing shows: with no more cores to use, speed that stays level is the best there can be.
"""

import json
import os
import re
import sys
from collections.abc import Iterator

from harness import flags, machine, results
from harness.examples import SIZES
from processes import ask, ask_machine

from zoo import models
from zoo.errors import ZooError
from zoo.modality import get

_FAKES = "--xla_force_host_platform_device_count"


def child(argv: list[str]) -> None:
    """Measures on all devices this process has, and prints the figures as json."""
    import jax  # noqa: PLC0415 - the parent leaves the devices alone until its children are done
    from harness import timing, work  # noqa: PLC0415
    from harness.batch import must_fit  # noqa: PLC0415

    name, parallel, size, batch, seconds = argv
    model, record = models.create_model(name), models.model_spec(name)
    batch = int(batch)
    label = f"a batch of {batch} on {jax.device_count()} devices"
    with must_fit(label, "make --per-device, --batch or --size smaller"):
        step = work.train_step(model, record, batch=batch, size=int(size), parallel=parallel)
        times = timing.measure(step, float(seconds))
    found = {"devices": jax.device_count(), "batch": batch, "ms_p10": 1e3 * times.p10}
    found |= {"ms": 1e3 * times.median, "ms_p90": 1e3 * times.p90}
    print(json.dumps({**found, "exchanged_bytes": step.exchanged()}))


def visible(devices: int, platform: str) -> dict[str, str]:
    """The environment of a process that sees so many devices of a platform."""
    environment = dict(os.environ)
    if platform == "cpu":
        others = re.sub(rf"{_FAKES}=\S*", "", environment.get("XLA_FLAGS", ""))
        environment["XLA_FLAGS"] = f"{others} {_FAKES}={devices}".strip()
    else:
        ours = environment.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(devices)))
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(ours.split(",")[:devices])
    return environment


def measure(arguments) -> Iterator[dict]:
    """A row for each number of devices and kind of batch, as they are measured."""
    examples = get(models.model_spec(arguments.model).modality).plural
    platform, count, load = ask_machine()
    most = sys.maxsize if platform == "cpu" else count
    wanted = [n for n in arguments.devices if n <= most]
    if platform not in ("cpu", "gpu", "cuda"):
        # A part of a TPU slice needs more than hiding chips.
        wanted = [most]
    if wanted != arguments.devices:
        print(f"this machine has {most} devices; measuring {wanted}", file=sys.stderr)
    if not wanted:
        raise ZooError(f"this machine has only {most} devices; choose fewer with --devices")
    if platform == "cpu":
        print(f"fake devices share the {machine.cores()} cores of this CPU", file=sys.stderr)
    for kind, batch_for in (
        ("per device", lambda n: arguments.per_device * n),
        ("shared", lambda n: arguments.batch),
    ):
        mine = []
        for n in wanted:
            if batch_for(n) % n:
                print(f"{n} devices cannot share {batch_for(n)} evenly; left out", file=sys.stderr)
                continue
            given = (arguments.model, arguments.parallel, arguments.size, batch_for(n))
            words = [*map(str, given), str(arguments.seconds)]
            found = ask([__file__, "--child", *words], visible(n, platform))
            if found["devices"] != n:
                raise ZooError(f"asked for {n} devices, JAX found {found['devices']}")
            speed = 1e3 * found["batch"] / found["ms"]
            mine.append({"kind": kind, **found, f"{examples}_per_s": speed})
            mine[-1]["speedup"] = speed / mine[0][f"{examples}_per_s"]
            mine[-1]["efficiency"] = mine[-1]["speedup"] * mine[0]["devices"] / n
            mine[-1]["are"] = "fakes that share the cores" if platform == "cpu" else "real"
            mine[-1]["load"] = load
            print(f"{n} devices, {kind}: {speed:.1f} {examples}/s", file=sys.stderr, flush=True)
            yield mine[-1]


def main() -> None:
    """Measures what the flags ask for, prints a table and writes the rows."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
        return
    parser = flags.Parser(__doc__)
    add = parser.add_argument
    add("--model", default="unet-small", help="of `zoo models` (default unet-small)")
    add(
        "--devices",
        action=flags.Several,
        convert=flags.count,
        default=[1, 2, 4, 8],
        help="how many, fewest first; may be repeated or separated by commas (default 1,2,4,8)",
    )
    add("--per-device", type=flags.count, default=4, help="examples on each device (default 4)")
    add("--batch", type=flags.count, default=16, help="examples that all share (default 16)")
    add(
        "--size",
        type=flags.count,
        help=f"side of an image in pixels (default {SIZES['image']}), "
        f"samples of audio (default {SIZES['audio']})",
    )
    add("--parallel", choices=("jit", "pmap"), default="jit")
    results.add_arguments(parser)
    arguments = parser.parse_args()
    arguments.devices.sort()
    modality = models.model_spec(arguments.model).modality
    arguments.size = arguments.size or SIZES[modality]
    same = {"model": arguments.model, "parallel": arguments.parallel, "size": arguments.size}
    unit = "px" if modality == "image" else "samples"
    given = (arguments.model, arguments.parallel, f"{arguments.size}{unit}")
    name = "-".join(["scaling", *given, f"b{arguments.per_device}x", f"b{arguments.batch}"])
    rows = []
    try:
        for row in measure(arguments):
            rows.append({**same, **row})
    finally:
        # Not before, because the files tell the devices, which are the children's till then.
        if rows:
            with results.Kept(name, arguments.out, machine.context()) as kept:
                kept.add(*rows)


if __name__ == "__main__":
    sys.exit(flags.guard(main))
