"""How a training step would scale over 8 to 256 accelerators, by arithmetic; nothing is run.

    python benchmarks/predict.py
    python benchmarks/predict.py --model=unet-small --machine=v5e --batch=64 --devices=8,32
    python benchmarks/predict.py --model=unet-small --machine=v5e --compile    # with libtpu

Each of n devices takes its part of the batch (`--batch`) in `step_ms`, and then they sum gradients:

    max(FLOPs / peak, bytes / bandwidth) + 2 (n - 1) / n * gradients / link + latency * log2(n)

with the peak, the bandwidths of memory and of links that vendors publish. The latency is assumed,
`--latency`. A step costs three forward passes (forward, and the gradients with respect to signals
and to kernels), of which matmuls and convolutions count, in bfloat16; all else is taken as fused
with them. The optimizer reads and writes nine float32 values for each parameter, and a gradient is
one. On TPUs channels are padded to the matrix unit, and arrays to tiles of 8 by 128; `mxu_share` is
what that leaves of the unit.

Nothing overlaps, and a device's work is a lower bound but for padding, some of which XLA avoids;
so most real steps take longer and wait for a smaller share. `efficiency_N` is the share of its time
in which a device does not wait for N devices to sum, and `batch_90_N` the least batch of each that
makes it 90 %.

`--compile` compiles the step for eight chips of each TPU by XLA's own compiler, which needs libtpu
(the extra `tpu`) and no TPU, and adds what it counts on a chip: FLOPs without padding, bytes read
and written, bytes of the collectives and of intermediate values; `xla_step_ms` is the first formula
with XLA's bytes. That takes minutes for each row.
"""

import math
import os
import sys
from typing import NamedTuple

# Where libtpu is installed, JAX would look for a TPU, and libtpu for the cloud it is in.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")

import jax
import jax.numpy as jnp
from harness import named, results
from harness.collectives import collectives
from harness.examples import shape_of
from harness.flags import Parser, Several, count, duration, guard
from harness.macs import count_products
from harness.work import Training

from zoo.errors import ZooError, unknown
from zoo.models import disable_winograd

_OPTIMIZER = 9 * 4
_GRADIENT = 4
_GOAL = 0.9


class Machine(NamedTuple):
    """What a vendor publishes of one device.

    Attributes:
      flops: of dense bfloat16, a second.
      bandwidth: of memory, bytes a second.
      link: bytes a second it sends to others, which is half of a figure for both directions.
      network: bytes a second each host sends to others, of a device that is not in a slice.
      host: devices of one host.
      unit: side of a matrix unit, 1 where channels are not padded to it.
      slice: eight chips, as libtpu names them.
    """

    flops: float
    bandwidth: float
    link: float
    network: float = math.inf
    host: int = 8
    unit: int = 1
    slice: str = ""


MACHINES = {
    # nvidia.com/en-us/data-center/h100 (half of the FLOP/s with sparsity), and eight adapters of
    # 400 Gbit/s a host: docs.nvidia.com/dgx-basepod, core components.
    "h100": Machine(989e12, 3.35e12, 450e9, network=8 * 50e9),
    # docs.cloud.google.com/tpu/docs/v5e, v5p-training and v6e. Links are of slices of up to 256.
    "v5e": Machine(197e12, 819e9, 200e9, unit=128, slice="v5e:2x4"),
    "v5p": Machine(459e12, 2765e9, 600e9, unit=128, slice="v5p:2x2x2"),
    "v6e": Machine(918e12, 1638e9, 400e9, unit=256, slice="v6e:2x4"),
}


class Cost(NamedTuple):
    """What a training step costs each device.

    Attributes:
      flops: of its matmuls and convolutions, with the zeros of padding.
      bytes: read and written.
      exchanged: bytes of the gradients.
      share: of the FLOPs that are no padding.
    """

    flops: float
    bytes: float
    exchanged: float
    share: float = 1.0


def cost(name: str, size: int | None, batch: int, machine: Machine) -> Cost:
    """Counts a training step in bfloat16.

    Args:
      name: of a model.
      size: as for `harness.examples.shape_of`.
      batch: examples of each device.
      machine: whose padding counts.
    """
    model, record, parameters = named.find(name)
    model = model.clone(dtype=jnp.bfloat16)
    x = jax.ShapeDtypeStruct((batch, *shape_of(record, size)), jnp.float32)
    level = jax.ShapeDtypeStruct((batch,), jnp.float32)
    tile = (8, 128) if machine.unit > 1 else (1, 1)
    with disable_winograd():
        variables = jax.eval_shape(model.init, jax.random.key(0), x, level)
        # A function of its own, or JAX would remember how it was traced before.
        forward = (lambda *arguments: model.apply(*arguments), variables, x, level)  # noqa: PLW0108
        plain, padded = count_products(*forward), count_products(*forward, unit=machine.unit)
        moved = count_products(*forward, tile=tile).bytes
    return Cost(
        flops=3 * 2 * padded.macs,
        bytes=3 * moved + _OPTIMIZER * parameters,
        exchanged=_GRADIENT * parameters,
        share=plain.macs / padded.macs,
    )


def local_seconds(step: Cost, machine: Machine) -> float:
    """Seconds a device works on its own part of a step."""
    return max(step.flops / machine.flops, step.bytes / machine.bandwidth)


def exchange_seconds(size: float, devices: int, machine: Machine, latency: float) -> float:
    """Seconds in which devices sum arrays of a size, around rings through all of them.

    A ring for each network adapter of a host passes it once, so the hosts' networks count whole.

    Args:
      size: bytes of each device's arrays.
      devices: how many.
      machine: their links.
      latency: seconds of each of log2(devices) stages.
    """
    link = machine.link if devices <= machine.host else min(machine.link, machine.network)
    return 2 * (devices - 1) / devices * size / link + latency * math.log2(devices)


def least_batch(name: str, size: int | None, exchange: float, machine: Machine) -> int:
    """The least batch of each device of whose time the exchange takes at most a tenth."""
    one, two = (cost(name, size, batch, machine) for batch in (1, 2))
    wanted = exchange * _GOAL / (1 - _GOAL)
    fixed = 2 * one.bytes - two.bytes
    by_flops = wanted * machine.flops / one.flops
    by_bytes = (wanted * machine.bandwidth - fixed) / (two.bytes - one.bytes)
    return max(1, math.ceil(min(by_flops, by_bytes)))


def row(name: str, kind: str, arguments) -> dict:
    """The prediction for a model on a kind of machine."""
    machine, size, batch = MACHINES[kind], arguments.size, arguments.batch
    step = cost(name, size, batch, machine)
    local = local_seconds(step, machine)
    bound = "compute" if local == step.flops / machine.flops else "memory"
    found = {"model": name, "machine": kind, "batch": batch, "gflop": step.flops / 1e9}
    found |= {"mbyte": step.bytes / 1e6, "gradients_mbyte": step.exchanged / 1e6}
    found |= {"mxu_share": step.share if machine.unit > 1 else None}
    found |= {"step_ms": 1e3 * local, "bound": bound}
    exchanges = {
        n: exchange_seconds(step.exchanged, n, machine, arguments.latency)
        for n in arguments.devices
    }
    found |= {f"efficiency_{n}": local / (local + exchanges[n]) for n in exchanges}
    found |= {f"batch_90_{n}": least_batch(name, size, exchanges[n], machine) for n in exchanges}
    if arguments.compile:
        found |= compiled(name, machine, size, batch)
        by_xla = step._replace(bytes=1e6 * found["xla_mbyte"])
        found["xla_step_ms"] = 1e3 * local_seconds(by_xla, machine)
    return found


def compiled(name: str, machine: Machine, size: int | None, batch: int) -> dict:
    """What XLA counts of the same step on each of eight chips.

    Raises:
      ZooError: libtpu is missing.
    """
    from jax.experimental import topologies  # noqa: PLC0415 - nothing else needs it

    try:
        devices = topologies.get_topology_desc(machine.slice, "tpu").devices
    except (jax.errors.JaxRuntimeError, RuntimeError) as error:
        raise ZooError(
            f"--compile needs libtpu; pip install 'denoising-zoo[tpu]' ({error})"
        ) from error
    model, record, _ = named.find(name)
    model = model.clone(dtype=jnp.bfloat16)
    training = Training(model, record, batch=batch * len(devices), size=size)
    program = training.lower(devices).compile()
    counted = program.cost_analysis()
    exchanged = sum(size for _, size in collectives(program.as_text()))
    return {
        "xla_gflop": counted["flops"] / 1e9,
        "xla_mbyte": counted["bytes accessed"] / 1e6,
        "xla_exchanged_mbyte": exchanged / 1e6,
        "xla_memory_mbyte": program.memory_analysis().temp_size_in_bytes / 1e6,
    }


def parse():
    """The flags."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--model", action=Several, default=["unet-small", "dncnn-color", "stream-s"], help="names")
    add("--machine", action=Several, default=[*MACHINES], help=f"of {', '.join(MACHINES)}")
    add("--devices", action=Several, convert=count, default=[8, 64, 256], help="default 8,64,256")
    add("--batch", type=count, default=16, help="examples of each device (default 16)")
    add("--size", type=count, help="side of an image, or samples of audio")
    add("--latency", type=duration, default=1e-5, help="seconds of a stage (default 1e-5)")
    add("--compile", action="store_true", help="compile for TPUs too, with libtpu")
    results.add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Predicts what the flags ask for, prints a table and writes the rows."""
    arguments = parse()
    for kind in arguments.machine:
        if kind not in MACHINES:
            raise unknown("machine", kind, MACHINES)
        if arguments.compile and not MACHINES[kind].slice:
            raise ZooError(f"--compile is for TPUs; leave {kind} out of --machine")
    name, shown = "predict", ["model", "machine", "mxu_share", "step_ms", "bound"]
    shown += [f"{what}_{n}" for what in ("efficiency", "batch_90") for n in arguments.devices]
    if arguments.compile:
        name, shown = "predict-compiled", None
    context = f"batch{arguments.batch}_jax{jax.__version__}"
    with results.Kept(name, arguments.out, context, shown) as kept:
        for model in arguments.model:
            for kind in arguments.machine:
                kept.add(row(model, kind, arguments))


if __name__ == "__main__":
    sys.exit(guard(main))
