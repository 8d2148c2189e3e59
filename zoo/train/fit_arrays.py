"""Training on arrays, by one call: `fit`.

It runs the step of `zoo.train.step` over all devices of this process, as a config does, and needs
none of the packages that configs need unless it is given a workdir.
"""

import dataclasses
import json
import math
import signal
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo import modality as modalities
from zoo.data import pcm, pixels
from zoo.data.augment import Augment, make_augment
from zoo.data.batches import Bank, BankBatches, Order, make_bank, stack
from zoo.errors import ZooError
from zoo.losses import make_loss
from zoo.models import ModelSpec, create_model, list_models, spec_of
from zoo.noise import Sampler, make_sampler, registry
from zoo.train.distributed import Interrupted, Listener
from zoo.train.metrics_writer import Metrics, MetricsWriter, diverged, progress_bar
from zoo.train.optimizer import make_optimizer, make_schedule
from zoo.train.parallel import Runner, make_runner
from zoo.train.step import State, create_state, make_prepare, make_step

AUDIO_LOSS = {
    "compressed_magnitude": 0.3,
    "compressed_complex": 0.2,
    "consistency": 0.3,
    "l1": 0.2,
}
"""The loss that audio models train with by default."""

LEARNING_RATE = 1e-3
"""The learning rate of a model that states none, the usual one of Adam."""

# Floats slightly beyond the range are clipped; others, as in [0, 255], are a mistake.
_MOST = 1.5
# Steps between two looks at the metrics, steps that each look leaves to the device, and steps
# between two checkpoints.
_LOOK_EVERY, _AHEAD, _SAVE_EVERY = 10, 4, 1000


class Fit(NamedTuple):
    """The result of `fit`.

    Attributes:
      variables: of the model, its parameters averaged over the last steps; ready for `apply`.
      history: lists of equal length by name: `step`, `loss`, the figure of merit (`psnr` or
        `si_sdr`, dB, on the training crops), `grad_norm` and `learning_rate`.
    """

    variables: dict[str, Any]
    history: dict[str, list[float]]


def fit(
    model: str | nn.Module,
    images: Any,
    *,
    noise: str | Sampler | None = None,
    level: float | tuple[float, float] | None = None,
    noise_options: Mapping[str, Any] | None = None,
    noise_recordings: Any = None,
    sample_rate: int = 0,
    steps: int = 500,
    batch_size: int = 16,
    crop: int | tuple[int, ...] | None = None,
    augment: bool | Augment = True,
    loss: str | Mapping[str, float] | None = None,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    variables: Mapping[str, Any] | None = None,
    seed: int = 0,
    workdir: str | Path | None = None,
    progress: bool = True,
) -> Fit:
    """Trains a denoiser on clean images or recordings in memory.

    Ctrl-C, or a notebook's interrupt, stops it after the current step; it then returns what it has.

    Args:
      model: a registered name, or a module.
      images: an array (N, H, W, C), a sequence of arrays (H, W, C) of any sizes, uint8, uint16 or
        floats in [0, 1]; or a `zoo.data.sources.Source`, whose pairs bring their own noise. With
        `sample_rate`, recordings (N, T, C) or a sequence of (T, C), int16 or floats in [-1, 1].
        The channel axis may be missing where there is one channel.
      noise: the name of an op of `zoo.noise` or `zoo.noise.audio`, or a sampler of
        `zoo.noise.make_sampler`; "gaussian" by default, "white" for recordings, none for pairs.
      level: of the named op, a number or a range (low, high) drawn from uniformly, in 1/255 where
        it is an intensity; (0, 55) of gaussian and an SNR of (-5, 20) dB of white by default.
      noise_options: further options of the named op.
      noise_recordings: for ops that mix noise in, recordings in the forms of `images`.
      sample_rate: of recordings, in Hz; 0 for images.
      steps: updates in all, those of an earlier call with this workdir included.
      batch_size: examples a step, a multiple of the number of devices.
      crop: the side, or (H, W), of the training crops, by default at most 64 pixels; of recordings
        the samples, by default 2 seconds.
      augment: whether to flip and turn images, or to change gain and polarity of recordings; or an
        augmentation of `zoo.data.augment.make_augment`.
      loss: a name of `zoo.losses` or factors by name; by default as the configs have it.
      optimizer: "adam", "adamw", "muon" or "sgd", with a rate that falls to 0 along a cosine.
      learning_rate: its peak; by default the model's own, or 1e-3.
      variables: to begin with; by default random ones.
      seed: of the order, the noise and the initial parameters.
      workdir: a folder for checkpoints, metrics and, of a registered architecture,
        `weights.safetensors`; the same call goes on from its checkpoint. None writes no file.
      progress: whether to show a progress bar.

    Returns:
      The trained variables and the history.

    Raises:
      ZooError: an argument does not fit the others, or the loss is not finite.
      Interrupted: by SIGTERM.
    """
    name, model = (model, create_model(model)) if isinstance(model, str) else (None, model)
    sample_rate = getattr(images, "sample_rate", 0) or sample_rate
    spec = _checked(model, sample_rate)
    audio = bool(sample_rate)
    if steps < 1:
        raise ZooError(f"steps is {steps}; make it 1 or more")
    examples, paired = _examples(images, audio)
    channels = examples[0].shape[-1] // (2 if paired else 1)
    if hasattr(model, "channels") and model.channels != channels:
        raise ZooError(
            f"the images have {channels} channel(s) and the model {model.channels}; "
            f"build it with zoo.create_model(name, channels={channels})"
        )
    size = (*_crop(crop, examples, spec, sample_rate), channels)

    # The data, the noise and the step, as `zoo.train.experiment` builds them from a config.
    sampler, described = _sampler(noise, level, noise_options or {}, sample_rate, paired)
    bank = make_bank(examples, size[0] if audio else 0)
    noises = None
    if getattr(sampler, "needs_noise", False):
        if noise_recordings is None:
            raise ZooError(f"noise {noise!r} mixes recordings in; give noise_recordings")
        noises = make_bank(_examples(noise_recordings, audio)[0], size[0], wrap=True)
    order = Order([x.shape[0] * x.shape[1] for x in examples], math.prod(size[:-1]), seed)
    peak = learning_rate or getattr(model, "learning_rate", None) or LEARNING_RATE
    schedule = make_schedule("cosine", peak=peak, steps=steps)
    transform = make_optimizer(optimizer, schedule)
    loss = loss or (AUDIO_LOSS if audio else "charbonnier")
    prepare = make_prepare(size=size, augment=_augment(augment, size), sampler=sampler)
    modality = modalities.get(spec.modality)

    def build(axis_name: str | None) -> Callable:
        own = model
        if axis_name and hasattr(model, "axis_name"):
            own = model.clone(axis_name=axis_name)
        return make_step(
            model=own,
            loss=make_loss(loss, modality=spec.modality),
            optimizer=transform,
            prepare=prepare,
            ema_decay=0.999,
            modality=modality,
            axis_name=axis_name,
        )

    runner = make_runner("jit", build, batch_size)
    init_key, key = jax.random.split(jax.random.key(seed))
    state = create_state(model, transform, init_key, (1, *size))
    if variables is not None:
        state = _begun(state, variables)
    state = jax.device_get(state)
    folder = None
    if workdir is not None:
        settings = {
            **described,
            "seed": seed,
            "loss": loss if isinstance(loss, str) else dict(loss),
            "optimizer.name": optimizer,
            "optimizer.learning_rate": peak,
            "train.steps": steps,
            "train.batch_size": batch_size,
            "data.channels": channels,
            "data.crop": size[:-1],
            "data.options": {"checksum": zlib.crc32(bank.pixels)},
            **({"data.sample_rate": sample_rate} if audio else {}),
        }
        folder = _Folder(workdir, name, model, settings)
    batches = BankBatches(order, batch_size)
    with folder or nullcontext():
        if folder:
            state = folder.restore(state)
        metrics = Metrics(schedule)
        if folder and int(state.step) < steps:
            metrics = MetricsWriter(
                folder.path, int(state.step), steps, batch_size, schedule, modality
            )
        show = progress and folder is None
        with metrics:
            state = _run(runner, state, key, steps, batches, (bank, noises), metrics, folder, show)
        rows = folder.rows() if folder else metrics.rows
    names = [key for key in (rows[0] if rows else ()) if key != "seconds"]
    return Fit(state.variables, {key: [row[key] for row in rows] for key in names})


def _run(
    runner: Runner,
    state: State,
    key: jax.Array,
    steps: int,
    batches: BankBatches,
    banks: tuple[Bank, Bank | None],
    metrics: Metrics,
    folder: "_Folder | None",
    show: bool,
) -> State:
    """The steps from that of a host state on; returns the state after the last one."""
    first = step = int(state.step)
    placed = runner.place(state)
    bank, noises = (runner.place_bank(one) if one else None for one in banks)
    with Listener() as listener, progress_bar(first, steps, disable=not show) as bar:
        order = batches.starting_at(first)
        for step in range(first + 1, steps + 1):
            placed, found = runner.run(placed, runner.feed(next(order), bank, noises), key)
            metrics.add(step, found)
            end = step == steps or listener.signum is not None
            save = folder is not None and (end or step % _SAVE_EVERY == 0)
            if not (end or save or step % _LOOK_EVERY == 0):
                continue
            bad = metrics.look(runner.fetch, leave=0 if end or save else _AHEAD)
            if bad is not None:
                raise diverged(bad, folder and folder.saved)
            if metrics.rows:
                bar.set_postfix_str(f"loss {metrics.rows[-1]['loss']:.3g}", refresh=False)
            bar.update(step - bar.n)
            if save:
                metrics.write()
                folder.save(runner.fetch(placed))
            if end:
                break
        if listener.signum == signal.SIGTERM:
            raise Interrupted(listener.signum, step)
        if listener.signum is not None and step < steps:
            print(f"stopped at step {step} of {steps}", file=sys.stderr)
    return runner.fetch(placed)


def _checked(model: nn.Module, sample_rate: int) -> ModelSpec:
    """The specification of a model, of the modality that the sample rate says."""
    spec, label = spec_of(model), type(model).__name__
    audio = spec.modality == "audio"
    if audio != bool(sample_rate):
        kind = "recordings; give their sample_rate" if audio else "images; leave out sample_rate"
        raise ZooError(f"{label} is for {kind}")
    if audio and spec.sample_rate not in (0, sample_rate):
        raise ZooError(f"{label} is for {spec.sample_rate} Hz; resample the recordings to that")
    return spec


def _examples(data: Any, audio: bool) -> tuple[list[np.ndarray], bool]:
    """Integer arrays (H, W, K), of recordings (1, T, K), and whether they are pairs."""
    if hasattr(data, "listing"):
        pairs = [example.input is not None for example in data]
        return [stack(example) for example in data], any(pairs)
    if not isinstance(data, Sequence | np.ndarray | jax.Array) or len(data) == 0:
        raise ZooError("there is nothing to train on; give arrays of images or recordings")
    found = [_example(index, x, audio) for index, x in enumerate(data)]
    for index, x in enumerate(found):
        if x.shape[-1] != found[0].shape[-1]:
            raise ZooError(f"example {index} has {x.shape[-1]} channels, unlike the first")
    return found, False


def _example(index: int, data: Any, audio: bool) -> np.ndarray:
    """One example as integers (H, W, C), of a recording (1, T, C)."""
    x, ndim = np.asarray(data), 2 if audio else 3
    x = x[..., None] if x.ndim == ndim - 1 else x
    if x.ndim != ndim or 0 in x.shape:
        wanted = "(T, C)" if audio else "(H, W, C)"
        raise ZooError(f"example {index} has the shape {x.shape}; make it {wanted}")
    if x.dtype.kind == "f":
        if not np.isfinite(x).all():
            raise ZooError(f"example {index} holds NaN or infinity; leave it out")
        if np.abs(x).max() > _MOST:
            span = "[-1, 1]" if audio else "[0, 1]"
            raise ZooError(f"example {index} has floats beyond {span}; divide them first")
        x = x.astype(np.float32)
        x = pcm.to_int16(x) if audio else pixels.to_uint16(x)
    allowed = ("int16",) if audio else ("uint8", "uint16")
    if x.dtype.name not in allowed:
        raise ZooError(f"example {index} is {x.dtype}; make it {' or '.join(allowed)} or float")
    return x[None] if audio else x


def _crop(
    crop: int | tuple[int, ...] | None, examples: list, spec: ModelSpec, sample_rate: int
) -> tuple[int, ...]:
    """The spatial size of a training crop, checked against the images."""
    if sample_rate:
        (length,) = (crop,) if isinstance(crop, int) else crop or (2 * sample_rate,)
        if length < 1:
            raise ZooError(f"crop is {length}; make it 1 sample or more")
        return (length,)
    sides = tuple(min(x.shape[axis] for x in examples) for axis in (0, 1))
    if crop is None:
        side = min(64, *sides)
        return spec.size or (max(side // spec.multiple, 1) * spec.multiple,) * 2
    size = (crop, crop) if isinstance(crop, int) else tuple(crop)
    if len(size) != 2 or min(size) < 1 or any(map(int.__gt__, size, sides)):
        raise ZooError(
            f"crop is {crop}; make it a height and a width of at most {sides[0]}x{sides[1]}, the "
            "smallest image"
        )
    return size


def _sampler(
    noise: str | Sampler | None, level: Any, options: Mapping, sample_rate: int, paired: bool
) -> tuple[Sampler | None, dict[str, Any]]:
    """The noise sampler, and the keys of a config that describe it."""
    audio = bool(sample_rate)
    if paired:
        if noise is not None:
            raise ZooError("pairs bring their own noise; leave out noise")
        return None, {"noise.name": "", "noise.level": None}
    if callable(noise):
        return noise, {"noise.name": getattr(noise, "__name__", "sampler"), "noise.level": None}
    if noise is None and level is None:
        level = (-5, 20) if audio else (0, 55)
    noise = noise or ("white" if audio else "gaussian")
    modality = "audio" if audio else "image"
    if level is None and noise == "gaussian":
        level = (0, 55)
    op = registry(modality).get(noise)
    intensity = op is not None and next(iter(op.levels.values())).intensity
    unit = "1/255" if intensity and not audio else "1"
    rate = {"sample_rate": sample_rate} if audio else {}
    sampler = make_sampler(
        noise, level, unit=unit, options=dict(options), modality=modality, **rate
    )
    described = {"noise.name": noise, "noise.level": level, "noise.unit": unit}
    return sampler, described | {"noise.options": dict(options)}


def _augment(augment: bool | Augment, size: tuple[int, ...]) -> Augment:
    if callable(augment):
        return augment
    if len(size) == 2:
        return make_augment(gain=6.0 if augment else 0.0, polarity=augment)
    return make_augment(flip=augment, quarter_turn=augment and size[0] == size[1])


def _begun(state: State, variables: Mapping[str, Any]) -> State:
    """The state before its first step, with given variables."""
    own = {"params": state.params, **state.model_state}
    if jax.tree.structure(own) != jax.tree.structure(dict(variables)) or any(
        np.shape(a) != np.shape(b)
        for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(dict(variables)), strict=True)
    ):
        raise ZooError("variables are not those of the model; give what init or fit returned")
    params = jax.tree.map(jnp.asarray, variables["params"])
    rest = {key: value for key, value in variables.items() if key != "params"}
    return state.replace(params=params, model_state=rest, ema=jax.tree.map(jnp.copy, params))


class _Folder:
    """The workdir of a `fit`, in the form of a run's: checkpoints, metrics, weights, a config.

    Args:
      path: the folder.
      name: the registered name of the model, if it was given by name.
      model: the module.
      settings: keys of the config that describe the call.
    """

    def __init__(
        self, path: str | Path, name: str | None, model: nn.Module, settings: Mapping[str, Any]
    ):
        from zoo.train.config import audio_config, default_config  # noqa: PLC0415 - extras

        self.path = Path(path)
        self._name, options = (name, {}) if name else _registered(model)
        config = audio_config() if spec_of(model).modality == "audio" else default_config()
        config.name, config.data.name = "fit", "arrays"
        config.model.name = self._name or type(model).__name__
        config.model.options = options
        for key, value in settings.items():
            group, _, last = key.rpartition(".")
            (config[group] if group else config)[last] = value
        self._config = config

    def __enter__(self) -> "_Folder":
        from zoo.train import checkpoint, workdir  # noqa: PLC0415 - extras

        self._stack = ExitStack()
        self._stack.enter_context(workdir.opened(self.path, self._config))
        self._checkpoints = checkpoint.Checkpoints(self.path / workdir.CHECKPOINTS, keep=1)
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    @property
    def saved(self) -> int | None:
        """The step of the latest checkpoint."""
        return self._checkpoints.latest

    def restore(self, state: State) -> State:
        """The state of the latest checkpoint; the given one if there is none."""
        if self.saved is None:
            return state
        return self._checkpoints.restore((state, self._best(state)))[0]

    def save(self, state: State) -> None:
        """Writes a checkpoint and the weights."""
        from zoo import weights  # noqa: PLC0415 - an extra
        from zoo.train import run_weights, workdir  # noqa: PLC0415

        self._checkpoints.save(int(state.step), (state, self._best(state)))
        if self._name:
            record = run_weights.make_record(
                self._config, step=int(state.step), score=math.nan, command="zoo.train.fit"
            )
            weights.save(self.path / workdir.WEIGHTS, state.variables, record)

    def rows(self) -> list[dict[str, float]]:
        """The rows of metrics.jsonl."""
        lines = (self.path / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _best(self, state: State) -> Any:
        from zoo.train.run_weights import Best  # noqa: PLC0415 - an extra

        return Best(state.variables, np.array(-np.inf, np.float32), state.step)


def _registered(model: nn.Module) -> tuple[str | None, dict[str, Any]]:
    """The registered variant nearest to a module, and the options that differ from it."""
    found = []
    for name in list_models():
        variant = create_model(name)
        if type(variant) is type(model):
            fields = {f.name for f in dataclasses.fields(model)}
            fields -= {"parent", "name", "channels", "sample_rate", "axis_name"}
            fields -= {"dtype", "param_dtype"}
            options = {f: getattr(model, f) for f in fields}
            options = {f: v for f, v in options.items() if v != getattr(variant, f)}
            found.append((len(options), name, options))
    return min(found)[1:] if found else (None, {})
