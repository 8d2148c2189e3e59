"""The work to time: training steps and forward passes, synchronised."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from harness.collectives import collectives
from harness.examples import COUNT, examples, shape_of
from zoo.data.batches import Batch
from zoo.errors import ZooError
from zoo.models import (
    ModelSpec,
    disable_winograd,
    inference_options,
    init_variables,
    variable_shapes,
)
from zoo.train.parallel import AXIS, check, make_runner
from zoo.train.step import create_state, make_prepare, make_step


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
      again: makes the function again, to trace it a second time; None where it traces the same.
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

    def compile(self) -> None:
        """Compiles the step, where that has not been done; nothing is run."""
        if self._compiled is None:
            # By hand, so that the costs can be asked for without compiling twice.
            self._compiled = self._function.lower(*self._arguments()).compile()

    def exchanged(self) -> int:
        """Bytes of the collectives of a step, of each device; once it is compiled only."""
        return sum(size for _, size in collectives(self._compiled.as_text()))

    def __call__(self) -> None:
        """Runs one step to its end."""
        self.compile()
        arguments = self._arguments()
        self._keep(jax.block_until_ready(self._compiled(*arguments)))

    def cost(self) -> Cost:
        """What a step costs; once it is compiled only.

        The operations are those of the lowered program: each multiplication and addition of
        convolutions (border taps left out, for those are not computed) and matmuls, and one for
        each element of an elementwise operation, random bits and the optimizer among them; a loop
        counts once. Convolutions count as their definition has them, however few products a fast
        form needs. The compiled program may hide convolutions in calls to libraries, and counts
        what fusion repeats.
        """
        with disable_winograd():
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


class Training:
    """Training on `harness.examples`, with Adam and an average of the parameters.

    Args:
      model: the denoiser.
      record: its record.
      batch: examples, over all devices.
      size: as for `harness.examples.shape_of`.
      parallel: `"jit"` or `"pmap"`.
      **options: `augment` and `sampler` for `harness.examples.examples`.

    Raises:
      ZooError: the devices cannot share the batch evenly, or the model has no parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        record: ModelSpec,
        *,
        batch: int,
        size: tuple[int, ...] | int | None = None,
        parallel: str = "jit",
        **options,
    ):
        if not any(path.startswith("params/") for path in variable_shapes(model, record)):
            raise ZooError(f"{record.name} learns nothing; measure the training of another model")
        self._examples = examples(record, size, **options)
        self._model, self._parallel, self._batch = model, parallel, batch
        self._shape = (*self._examples.shape[:-1], record.channels)
        self._optimizer = optax.adam(1e-3)
        self._prepare = make_prepare(
            size=self._shape,
            augment=self._examples.augment,
            sampler=self._examples.sampler,
            planes=record.planes,
        )
        self._runner = self._make_runner()
        self._rng = np.random.default_rng(0)
        self._banks = tuple(
            bank and self._runner.place_bank(bank)
            for bank in (self._examples.bank, self._examples.noise)
        )
        self._key = jax.random.key(1)

    def step(self) -> Work:
        """A whole step: crop, augmentation, noise, forward, backward, Adam, average."""
        state = create_state(self._model, self._optimizer, jax.random.key(0), (1, *self._shape))
        state = self._runner.place(jax.device_get(state))

        def arguments():
            return state, self._feed(), self._key

        def keep(result):
            nonlocal state
            state, _ = result

        return Work(
            self._runner.run,
            arguments,
            keep=keep,
            devices=jax.device_count(),
            per_device=True,
            again=lambda: self._make_runner().run,
        )

    def lower(self, devices: Sequence[jax.Device]) -> jax.stages.Lowered:
        """The program of a step for devices that need not be here, with a batch for all of them.

        Args:
          devices: such as those of `jax.experimental.topologies`.
        """

        def shapes(tree, sharding):
            one = partial(jax.ShapeDtypeStruct, sharding=sharding)
            return jax.tree.map(lambda x: one(x.shape, x.dtype), tree)

        mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
        copied, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), (AXIS,)))
        state = create_state(self._model, self._optimizer, jax.random.key(0), (1, *self._shape))
        # What the package asks JAX about the machine.
        answers = {"devices": devices, "device_count": len(devices)}
        answers["default_backend"] = devices[0].platform
        with contextlib.ExitStack() as pretended:
            for name, answer in answers.items():
                pretended.enter_context(mock.patch.object(jax, name, return_value=answer))
            banks = [bank and shapes(bank, copied) for bank in self._banks]
            slots = jax.ShapeDtypeStruct((self._batch,), np.int32, sharding=split)
            batch = Batch(slots, slots)._replace(bank=banks[0], noise=banks[1])
            run = self._make_runner().run
            return run.lower(shapes(state, copied), batch, shapes(self._key, copied))

    def preparation(self) -> Work:
        """What a step does before the network, alone: crop, augmentation, noise; under jit only."""
        fed = self._feed()
        return Work(jax.jit(self._prepare), lambda: (fed, self._key), devices=jax.device_count())

    def _feed(self) -> Batch:
        image = self._rng.integers(0, COUNT, self._batch, np.int32)
        slots = np.arange(self._batch, dtype=np.int32)
        return self._runner.feed(Batch(slots, image), *self._banks)

    def _make_runner(self):
        return make_runner(self._parallel, self._build, self._batch)

    def _build(self, axis_name: str | None):
        model = self._model
        return make_step(
            model=model.clone(axis_name=axis_name) if hasattr(model, "axis_name") else model,
            loss=self._examples.loss,
            optimizer=self._optimizer,
            prepare=self._prepare,
            ema_decay=0.999,
            modality=self._examples.modality,
            axis_name=axis_name,
        )


def train_step(model: nn.Module, record: ModelSpec, **options) -> Work:
    """One whole training step; see `Training` for the arguments and errors."""
    return Training(model, record, **options).step()


def infer_step(
    model: nn.Module,
    record: ModelSpec,
    *,
    batch: int,
    size: tuple[int, ...] | int | None = None,
    parallel: str = "jit",
) -> Work:
    """One batch denoised, spread over all devices.

    Args:
      model: the denoiser.
      record: its record.
      batch: examples, over all devices.
      size: as for `harness.examples.shape_of`.
      parallel: `"jit"` (one array over a mesh) or `"pmap"`.

    Raises:
      ZooError: the devices cannot share the batch evenly.
    """
    check(parallel, batch)
    shape = (batch, *shape_of(record, size))
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
        options = inference_options(model)
        compiled = partial(jax.jit, out_shardings=split, compiler_options=options)

    def make():
        # A new function each time, or JAX would remember the trace.
        return compiled(lambda *arguments: model.apply(*arguments))  # noqa: PLW0108

    return Work(
        make(), lambda: arguments, devices=devices, per_device=parallel == "pmap", again=make
    )
