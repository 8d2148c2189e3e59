"""The same step over all devices: under jit on a mesh, or under pmap."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zoo.data.batches import Bank, Batch
from zoo.errors import ZooError, unknown
from zoo.train.step import State, Step

AXIS = "data"


class Runner(NamedTuple):
    """Runs steps on device-placed states and batches.

    Attributes:
      run: `run(state, batch, key) -> (state, metrics)`. It consumes the state it is given: its
        buffers are donated.
      place: puts a host state on every device.
      place_bank: puts a host bank on every device.
      feed: `feed(batch, bank, noise=None)` puts this host's part of a batch on its devices, with
        the placed banks.
      fetch: brings one copy of a placed state or of metrics back to the host, as NumPy arrays.
    """

    run: Callable[[State, Batch, jax.Array], tuple[State, dict[str, jax.Array]]]
    place: Callable[[State], State]
    place_bank: Callable[[Bank], Bank]
    feed: Callable[..., Batch]
    fetch: Callable[[Any], Any]


def _jit(make_step: Callable[[str | None], Step]) -> Runner:
    """One program over a mesh: each device works on its shard of the batch, and they average.

    Left to itself XLA would average wherever a sum over the batch comes up, such as in the six taps
    that a 3x3 kernel's gradient has on the way, and gather what a model takes apart by images. A
    shard for each device leaves it no choice: what travels is the gradient.
    """
    # Each process has its devices, and so its slots of a batch, next to each other.
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
    copied, split = PartitionSpec(), PartitionSpec(AXIS)
    step = jax.shard_map(
        make_step(AXIS),
        mesh=mesh,
        in_specs=(copied, Batch(split, split, split, copied, copied, split), copied),
        out_specs=copied,
        # The step averages by itself, as it must under pmap.
        check_vma=False,
    )

    def put(tree: Any, spec: PartitionSpec = copied) -> Any:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), tree)

    def feed(batch: Batch, bank: Bank | None, noise: Bank | None = None) -> Batch:
        return put(batch, split)._replace(bank=bank, noise=noise)

    def fetch(tree: Any) -> Any:
        return jax.tree.map(lambda x: np.asarray(x.addressable_data(0)), tree)

    return Runner(jax.jit(step, donate_argnums=0), put, put, feed, fetch)


def _pmap(make_step: Callable[[str | None], Step]) -> Runner:
    """One copy of the step a device, its gradients averaged over the axis."""
    count = jax.local_device_count()
    copy = jax.pmap(lambda tree, _: tree, in_axes=(None, 0))

    def put(tree: Any) -> Any:
        return copy(tree, np.arange(count))

    def feed(batch: Batch, bank: Bank | None, noise: Bank | None = None) -> Batch:
        split = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
        return split._replace(bank=bank, noise=noise)

    def fetch(tree: Any) -> Any:
        return jax.tree.map(lambda x: np.asarray(x.addressable_data(0))[0, ...], tree)

    run = jax.pmap(make_step(AXIS), axis_name=AXIS, in_axes=(0, 0, None), donate_argnums=0)
    return Runner(run, put, put, feed, fetch)


_RUNNERS = {"jit": _jit, "pmap": _pmap}


def make_runner(kind: str, make_step: Callable[[str | None], Step], batch_size: int) -> Runner:
    """Builds the runner of a config.

    Args:
      kind: `"jit"` or `"pmap"`.
      make_step: builds the step, given the axis of the devices.
      batch_size: over all devices.

    Raises:
      ZooError: as `check`.
    """
    check(kind, batch_size)
    return _RUNNERS[kind](make_step)


def check(kind: str, batch_size: int) -> None:
    """Refuses what `make_runner` could not build.

    Raises:
      ZooError: no such kind, or the devices cannot share the batch evenly.
    """
    if kind not in _RUNNERS:
        raise unknown("parallel", kind, _RUNNERS)
    if batch_size % jax.device_count():
        raise ZooError(
            f"train.batch_size={batch_size} cannot be shared by {jax.device_count()} devices; "
            "make it a multiple"
        )
