"""The same step over all devices: under jit on a mesh, or under pmap."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zoo.data.batches import Bank, Batch
from zoo.errors import ZooError, unknown
from zoo.train.step import State, Step

AXIS = "data"


class Runner(Protocol):
    """Runs steps on device-placed states and batches.

    `run(state, batch, key)` consumes the state it is given: its buffers are donated.
    """

    run: Callable[[State, Batch, jax.Array], tuple[State, dict[str, jax.Array]]]

    def place(self, state: State) -> State:
        """Puts a host state on every device."""

    def place_bank(self, bank: Bank) -> Bank:
        """Puts a host bank on every device."""

    def feed(self, batch: Batch, bank: Bank | None, noise: Bank | None = None) -> Batch:
        """Puts this host's part of a batch on its devices, with the placed banks."""

    def fetch(self, tree: Any) -> Any:
        """Brings one copy of a placed state or metrics back to the host, as numpy arrays."""


class JitRunner:
    """One program over a mesh: each device works on its shard of the batch, and they average.

    Left to itself XLA would average wherever a sum over the batch comes up, such as in the six taps
    that a 3x3 kernel's gradient has on the way, and gather what a model takes apart by pictures. A
    shard for each device leaves it no choice: what travels is the gradient.
    """

    def __init__(self, make_step: Callable[[str | None], Step]):
        # Each process has its devices, and so its slots of a batch, next to each other.
        devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
        mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
        self._copied = NamedSharding(mesh, PartitionSpec())
        self._split = NamedSharding(mesh, PartitionSpec(AXIS))
        split, copied = self._split.spec, self._copied.spec
        step = jax.shard_map(
            make_step(AXIS),
            mesh=mesh,
            in_specs=(copied, Batch(split, split, split, copied, copied, split), copied),
            out_specs=copied,
            # The step averages by itself, as it must under pmap.
            check_vma=False,
        )
        self.run = jax.jit(step, donate_argnums=0)

    def place(self, state: State) -> State:
        """See `Runner`."""
        return self._put(state, self._copied)

    def place_bank(self, bank: Bank) -> Bank:
        """See `Runner`."""
        return self._put(bank, self._copied)

    def feed(self, batch: Batch, bank: Bank | None, noise: Bank | None = None) -> Batch:
        """See `Runner`."""
        return self._put(batch, self._split)._replace(bank=bank, noise=noise)

    def fetch(self, tree: Any) -> Any:
        """See `Runner`."""
        return jax.tree.map(lambda x: np.asarray(x.addressable_data(0)), tree)

    def _put(self, tree: Any, sharding: NamedSharding) -> Any:
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), tree)


class PmapRunner:
    """One copy of the step a device, its gradients averaged over the axis."""

    def __init__(self, make_step: Callable[[str | None], Step]):
        self._devices = jax.local_device_count()
        self.run = jax.pmap(make_step(AXIS), axis_name=AXIS, in_axes=(0, 0, None), donate_argnums=0)
        self._copy = jax.pmap(lambda tree, _: tree, in_axes=(None, 0))

    def place(self, state: State) -> State:
        """See `Runner`."""
        return self._copy(state, np.arange(self._devices))

    def place_bank(self, bank: Bank) -> Bank:
        """See `Runner`."""
        return self._copy(bank, np.arange(self._devices))

    def feed(self, batch: Batch, bank: Bank | None, noise: Bank | None = None) -> Batch:
        """See `Runner`."""
        split = jax.tree.map(lambda x: x.reshape(self._devices, -1, *x.shape[1:]), batch)
        return split._replace(bank=bank, noise=noise)

    def fetch(self, tree: Any) -> Any:
        """See `Runner`."""
        return jax.tree.map(lambda x: np.asarray(x.addressable_data(0))[0, ...], tree)


_RUNNERS = {"jit": JitRunner, "pmap": PmapRunner}


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
