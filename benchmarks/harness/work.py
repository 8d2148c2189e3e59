"""The work to time: a training step and a forward pass, synchronised."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from zoo import losses, noise
from zoo.data.augment import make_augment
from zoo.data.batches import Batch, make_bank
from zoo.models import Record, init_variables
from zoo.models.winograd import plainly
from zoo.train.parallel import AXIS, check, make_runner
from zoo.train.state import create_state
from zoo.train.step import make_prepare, make_step


class Cost(NamedTuple):
    """What a step costs, over all devices together.

    Attributes:
      flops: floating-point operations of the program as it is written, before XLA optimises it;
        see `Work.cost`. NaN where XLA does not tell.
      bytes: read and written by the compiled program, as XLA estimates it; NaN likewise.
      memory: bytes that its arguments, results and intermediate values need at once; NaN likewise.
    """

    flops: float
    bytes: float
    memory: float


class Work:
    """One step that can be run again and again; the first call compiles it.

    Args:
      function: under `jax.jit` or `jax.pmap`.
      arguments: makes the arguments of the next call.
      keep: is given each call's result, once it is there.
      devices: how many share a step.
      per_device: whether the program is written for one device, as under pmap.
      again: makes the function anew, to trace it a second time; None where it traces the same.
    """

    def __init__(
        self,
        function,
        arguments: Callable[[], tuple],
        *,
        keep: Callable[[object], None] = lambda result: None,
        devices: int = 1,
        per_device: bool = False,
        again: Callable[[], Callable] | None = None,
    ):
        self._again = again or (lambda: function)
        self._function = function
        self._arguments = arguments
        self._keep = keep
        self._devices = devices
        self._per_device = per_device
        self._compiled = None

    def __call__(self) -> None:
        """Runs one step to its end."""
        arguments = self._arguments()
        if self._compiled is None:
            # By hand, so that the costs can be asked for without compiling twice.
            self._compiled = self._function.lower(*arguments).compile()
        self._keep(jax.block_until_ready(self._compiled(*arguments)))

    def cost(self) -> Cost:
        """What a step costs; after the first call only.

        The operations are those of the lowered program: each multiplication and addition of
        convolutions (border taps left out, for those are not computed) and matmuls, and one for
        each element of an elementwise operation, random bits and the optimizer among them; a loop
        counts once. Convolutions count as their definition has them, however few products a fast
        form needs. The compiled program may hide convolutions in calls to libraries, and counts
        what fusion repeats.
        """
        with plainly():
            lowered = _analysis(self._again().lower(*self._arguments()))
        compiled = _analysis(self._compiled)
        memory = self._compiled.memory_analysis()
        once = self._devices if self._per_device else 1
        return Cost(
            flops=once * lowered.get("flops", np.nan),
            bytes=self._devices * compiled.get("bytes accessed", np.nan),
            memory=np.nan
            if memory is None
            else self._devices
            * (
                memory.argument_size_in_bytes
                + memory.output_size_in_bytes
                - memory.alias_size_in_bytes
                + memory.temp_size_in_bytes
            ),
        )


def _analysis(program) -> dict[str, float]:
    found = program.cost_analysis()
    # One entry a computation in some versions and on some backends.
    return (found[0] if isinstance(found, list) else found) or {}


def step_builder(model: nn.Module, optimizer: optax.GradientTransformation, prepare: Callable):
    """What `zoo.train.parallel.make_runner` makes the step with: Charbonnier loss, an average."""

    def build(axis_name):
        return make_step(
            model=model.clone(axis_name=axis_name) if hasattr(model, "axis_name") else model,
            loss=losses.make_loss("charbonnier"),
            optimizer=optimizer,
            prepare=prepare,
            ema_decay=0.999,
            axis_name=axis_name,
        )

    return build


def train_step(
    model: nn.Module,
    record: Record,
    *,
    batch: int,
    size: tuple[int, int] | int | None = None,
    parallel: str = "jit",
    sigma: float = 25.0,
) -> Work:
    """One whole training step: crop, flip, noise, forward, backward, Adam, average.

    Args:
      model: the denoiser.
      record: its record.
      batch: examples, over all devices.
      size: (H, W) or the side of an example; the record's where it names one, else 64.
      parallel: `"jit"` or `"pmap"`.
      sigma: of the Gaussian noise, of 255.

    Raises:
      ZooError: the devices cannot share the batch evenly.
    """
    height, width = _size(record, size)
    channels = record.channels
    prepare = make_prepare(
        size=(height, width, channels),
        augment=make_augment(flip=True),
        sampler=noise.make_sampler("gaussian", sigma, unit="1/255"),
    )
    optimizer = optax.adam(1e-3)

    def make():
        return make_runner(parallel, step_builder(model, optimizer, prepare), batch)

    runner = make()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (2 * height, 2 * width, channels), np.uint8) for _ in range(8)]
    bank = runner.place_bank(make_bank(pictures))
    state = create_state(model, optimizer, jax.random.key(0), (1, height, width, channels))
    state = runner.place(jax.device_get(state))
    key, slots = jax.random.key(1), np.arange(batch, dtype=np.int32)

    def arguments():
        picture = rng.integers(0, len(pictures), batch, np.int32)
        return state, runner.feed(Batch(slots, picture), bank), key

    def keep(result):
        nonlocal state
        state, _ = result

    return Work(
        runner.run,
        arguments,
        keep=keep,
        devices=jax.device_count(),
        per_device=True,
        again=lambda: make().run,
    )


def infer_step(
    model: nn.Module,
    record: Record,
    *,
    batch: int,
    size: tuple[int, int] | int | None = None,
    parallel: str = "jit",
) -> Work:
    """One batch denoised, spread over all devices.

    Args:
      model: the denoiser.
      record: its record.
      batch: pictures, over all devices.
      size: (H, W) or the side of a picture; the record's where it names one, else 64.
      parallel: `"jit"` (one array over a mesh) or `"pmap"`.

    Raises:
      ZooError: the devices cannot share the batch evenly.
    """
    check(parallel, batch)
    shape = (batch, *_size(record, size), record.channels)
    x = np.asarray(jax.random.uniform(jax.random.key(0), shape))
    level = np.full((batch,), 0.1, np.float32)
    variables = init_variables(model, jax.random.key(1), (1, *shape[1:]))
    devices = jax.device_count()

    if parallel == "pmap":
        x, level = (a.reshape(devices, -1, *a.shape[1:]) for a in (x, level))
        copy = jax.pmap(lambda tree, _: tree, in_axes=(None, 0))
        split = jax.pmap(lambda *arrays: arrays)
        arguments = copy(variables, np.arange(devices)), *split(x, level)
        compiled = jax.pmap
    else:
        mesh = jax.make_mesh((devices,), (AXIS,), axis_types=(AxisType.Auto,))
        copied, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), (AXIS,)))
        arguments = jax.device_put((variables, x, level), (copied, split, split))
        compiled = partial(jax.jit, out_shardings=split)

    def make():
        # A new function each time, or JAX would remember the trace.
        return compiled(lambda *arguments: model.apply(*arguments))  # noqa: PLW0108

    return Work(
        make(), lambda: arguments, devices=devices, per_device=parallel == "pmap", again=make
    )


def _size(record: Record, size: tuple[int, int] | int | None) -> tuple[int, int]:
    if record.size:
        return record.size
    return (size, size) if isinstance(size, int) else size or (64, 64)
