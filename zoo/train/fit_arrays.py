"""Training on arrays, by one call: `fit`.

It runs the step of `zoo.train.step` over all devices of this process, as a config does, and needs
none of the packages that configs need unless it is given a workdir.
"""

import dataclasses
import json
import math
import numbers
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo import modality
from zoo.data import pcm, pixels
from zoo.data.augment import Augment, make_augment
from zoo.data.batches import Bank, BankBatches, Batch, Order, make_bank, stack
from zoo.errors import ZooError
from zoo.losses import make_loss
from zoo.models import ModelSpec, create_model, list_models, spec_of
from zoo.noise import Sampler, make_sampler, registry
from zoo.train.distributed import Interrupted, Listener
from zoo.train.metrics_writer import Metrics, progress_bar
from zoo.train.optimizer import make_optimizer, make_schedule
from zoo.train.parallel import Runner, make_runner
from zoo.train.step import State, create_state, make_prepare, make_step
from zoo.train.warm_start import start_from

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
# As many as a random key takes, of anything.
_MOST_WHOLE = 2**32
# Steps between two looks at the metrics, and steps that each look leaves to the device.
_LOOK_EVERY, _AHEAD = 10, 4
_CTRL_C = 130  # the exit code


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
      workdir: a folder for checkpoints, metrics and `weights.safetensors`, of a registered
        architecture and a named noise; the same call goes on from its checkpoint. It needs the
        extra "train". None writes no file.
      progress: whether to show a progress bar.

    Returns:
      The trained variables and the history.

    Raises:
      ZooError: an argument does not fit the others, or the loss is not finite.
      Interrupted: by SIGTERM.
    """
    model = create_model(model) if isinstance(model, str) else model
    sample_rate = getattr(images, "sample_rate", 0) or sample_rate
    spec, audio = _checked(model, sample_rate), bool(sample_rate)
    steps, batch_size = _whole("steps", steps, 1), _whole("batch_size", batch_size, 1)
    seed = _whole("seed", seed, 0)
    if learning_rate is not None and not _is_positive(learning_rate):
        raise ZooError(f"learning_rate is {learning_rate!r}; make it greater than 0")
    if not isinstance(variables, Mapping | None):
        raise ZooError(
            f"variables are a dictionary such as init returns, not {type(variables).__name__}; "
            "give that, or None"
        )
    examples, paired = _examples(images, audio)
    channels = _channels(model, examples, paired)
    size = (*_crop(crop, examples, spec, sample_rate), channels)
    sampler, described = _sampler(noise, level, noise_options or {}, sample_rate, paired)
    noises = None
    if getattr(sampler, "needs_noise", False):
        if noise_recordings is None:
            raise ZooError(f"noise {noise!r} mixes recordings in; give noise_recordings")
        noises, _ = _examples(noise_recordings, audio)
    peak = learning_rate or getattr(model, "learning_rate", None) or LEARNING_RATE
    loss = loss or (AUDIO_LOSS if audio else "charbonnier")
    augmentation = _augmentation(augment, size)
    if workdir is not None:
        if callable(augment) or callable(noise):
            raise ZooError("a workdir needs a named noise and augment True or False; give those")
        settings = {
            **described,
            **{f"data.augment.{key}": value for key, value in augmentation.items()},
            "seed": seed,
            "loss": loss if isinstance(loss, str) else dict(loss),
            "optimizer.name": optimizer,
            "optimizer.learning_rate": peak,
            "train.steps": steps,
            "train.batch_size": batch_size,
            "data.channels": channels,
            "data.crop": size[:-1],
            "data.options": {"checksum": zlib.crc32(b"".join(x.tobytes() for x in examples))},
            **({"data.sample_rate": sample_rate} if audio else {}),
        }
        source = images
        if not hasattr(images, "listing"):
            source = _source(examples, channels, sample_rate, noises)
        return _fit_in(Path(workdir), model, settings, source, variables)

    # As `zoo.train.loop` does it from a config, without files.
    schedule = make_schedule("cosine", peak=peak, steps=steps)
    transform = make_optimizer(optimizer, schedule)
    runner = make_runner(
        "jit",
        partial(
            make_step,
            model=model,
            loss=make_loss(loss, modality=spec.modality),
            optimizer=transform,
            prepare=make_prepare(
                size=size,
                augment=augment if callable(augment) else make_augment(**augmentation),
                sampler=sampler,
            ),
            ema_decay=0.999,
            modality=modality.get(spec.modality),
        ),
        batch_size,
    )
    init_key, key = jax.random.split(jax.random.key(seed))
    state = create_state(model, transform, init_key, (1, *size))
    if variables is not None:
        state = start_from(state, model, (model, variables), "variables")
    order = Order([x.shape[0] * x.shape[1] for x in examples], math.prod(size[:-1]), seed)
    bank = make_bank(examples, size[0] if audio else 0)
    noises = noises and make_bank(noises, size[0], wrap=True)
    batches = _placed(runner, BankBatches(order, batch_size), bank, noises)
    metrics = Metrics(schedule)
    with progress_bar(0, steps, disable=not progress) as bar:
        state = _run(runner, jax.device_get(state), key, batches, steps, metrics, bar)
    return Fit(state.variables, _columns(metrics.rows))


def _placed(
    runner: Runner, batches: BankBatches, bank: Bank, noises: Bank | None
) -> Iterator[Batch]:
    """Batches on the devices, with the images and the noise there."""
    bank, noises = (one and runner.place_bank(one) for one in (bank, noises))
    for batch in batches.starting_at(0):
        yield runner.feed(batch, bank, noises)


def _run(
    runner: Runner,
    state: State,
    key: jax.Array,
    batches: Iterator[Batch],
    steps: int,
    metrics: Metrics,
    bar: Any,
) -> State:
    """The state after so many steps, or after those done when a signal came."""
    placed = runner.place(state)
    with Listener() as listener:
        for step, batch in zip(range(1, steps + 1), batches, strict=False):
            placed, found = runner.run(placed, batch, key)
            metrics.add(step, found)
            end = step == steps or listener.signum is not None
            if end or step % _LOOK_EVERY == 0:
                bad = metrics.look(runner.fetch, leave=0 if end else _AHEAD)
                if bad is not None:
                    raise ZooError(
                        f"the loss or its gradient is not finite at step {bad}; lower "
                        "learning_rate, or look at the data and the loss"
                    )
                if metrics.rows:
                    bar.set_postfix_str(f"loss {metrics.rows[-1]['loss']:.3g}", refresh=False)
                bar.update(step - bar.n)
            if end:
                break
    if listener.signum is not None and step < steps:
        _stopped(Interrupted(listener.signum, step, saved=False))
    return runner.fetch(placed)


def _stopped(stop: Interrupted) -> None:
    """Reports Ctrl-C, after which the caller gets what there is; SIGTERM ends the program."""
    if stop.exit_code != _CTRL_C:
        raise stop
    print(stop, file=sys.stderr)


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    names = [name for name in (rows[0] if rows else ()) if name != "seconds"]
    return {name: [row[name] for row in rows] for name in names}


def _fit_in(
    workdir: Path,
    model: nn.Module,
    settings: Mapping[str, Any],
    source: Any,
    variables: Mapping[str, Any] | None,
) -> Fit:
    """`fit` by the loop of a config, which keeps checkpoints, metrics and weights in its workdir.

    Args:
      workdir: the folder.
      model: of a registered architecture.
      settings: values of keys of the config.
      source: the `zoo.data.sources.Source` to train on.
      variables: to begin with, or None.
    """
    from zoo import weights  # noqa: PLC0415 - this and the next three need the extra "train"
    from zoo.train.config import audio_config, default_config  # noqa: PLC0415
    from zoo.train.loop import train  # noqa: PLC0415
    from zoo.train.workdir import WEIGHTS  # noqa: PLC0415

    config = audio_config() if source.sample_rate else default_config()
    config.name, config.data.name = "fit", "arrays"
    config.model.name, config.model.options = _registered(model)
    config.model.dtype = jnp.dtype(getattr(model, "dtype", None) or jnp.float32).name
    for key, value in settings.items():
        group, _, last = key.rpartition(".")
        (attrgetter(group)(config) if group else config)[last] = value
    empty = dataclasses.replace(source, listing=source.listing._replace(names=(), items=()))
    sources = {"train": source, "validation": empty, "test": empty}
    start = None if variables is None else (model, variables)
    try:
        train(config, workdir, command="zoo.train.fit", sources=sources, start=start)
    except Interrupted as stop:
        _stopped(stop)
    _, variables = weights.load(workdir / WEIGHTS)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return Fit(variables, _columns([json.loads(line) for line in lines]))


def _registered(model: nn.Module) -> tuple[str, dict[str, Any]]:
    """The registered variant nearest to a module, and the options in which it differs."""
    fields = {field.name for field in dataclasses.fields(model)}
    fields -= {"parent", "name", "channels", "sample_rate", "axis_name", "dtype", "param_dtype"}
    found = []
    for name in list_models():
        variant = create_model(name)
        if type(variant) is type(model):
            options = {field: getattr(model, field) for field in fields}
            options = {k: v for k, v in options.items() if v != getattr(variant, k)}
            found.append((len(options), name, options))
    if not found:
        raise ZooError(
            f"{type(model).__name__} is not registered, so its weights could not be loaded; "
            "register it by zoo.models.registry.register, or leave out workdir"
        )
    return min(found, key=lambda one: one[0])[1:]


def _source(
    examples: list[np.ndarray], channels: int, sample_rate: int, noises: list[np.ndarray] | None
) -> Any:
    """A `zoo.data.sources.Source` of arrays as `_examples` returns them."""
    from zoo.data.sources.source import Listing, Source  # noqa: PLC0415 - for a workdir alone

    def read(item, *piece):
        if not piece:
            return item, None
        _, start, frames = piece
        return item[0][start : None if frames is None else start + frames], None

    listing = Listing(
        [f"example {index}" for index in range(len(examples))],
        examples,
        read,
        length=(lambda item, _: item.shape[1]) if sample_rate else None,
    )
    noise = noises and _source(noises, channels, sample_rate, None)
    return Source(listing, channels, sample_rate=sample_rate, noise=noise)


def _checked(model: nn.Module, sample_rate: int) -> ModelSpec:
    """The specification of a model, of the modality that the sample rate says."""
    if not isinstance(model, nn.Module):
        raise ZooError(f"a model is a name or a module, not {type(model).__name__}; give one")
    spec, label = spec_of(model), type(model).__name__
    audio = spec.modality == "audio"
    if audio != bool(sample_rate):
        kind = "recordings; give their sample_rate" if audio else "images; leave out sample_rate"
        raise ZooError(f"{label} is for {kind}")
    if audio and spec.sample_rate not in (0, sample_rate):
        raise ZooError(f"{label} is for {spec.sample_rate} Hz; resample the recordings to that")
    return spec


def _channels(model: nn.Module, examples: list[np.ndarray], paired: bool) -> int:
    """The channels of the examples, which the model must have too."""
    channels = examples[0].shape[-1] // (2 if paired else 1)
    if getattr(model, "channels", channels) != channels:
        raise ZooError(
            f"the images have {channels} channel(s) and the model {model.channels}; "
            f"build it with zoo.create_model(name, channels={channels})"
        )
    return channels


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
        size = (2 * sample_rate,) if crop is None else crop
        size = (size,) if isinstance(size, numbers.Integral) else size
        if not _is_size(size, 1):
            raise ZooError(f"crop is {crop!r}; make it a number of samples, 1 or more")
        return tuple(map(int, size))
    sides = tuple(min(x.shape[axis] for x in examples) for axis in (0, 1))
    if crop is None:
        side = min(64, *sides)
        return spec.size or (max(side // spec.multiple, 1) * spec.multiple,) * 2
    size = (crop, crop) if isinstance(crop, numbers.Integral) else crop
    if not _is_size(size, 2) or size[0] > sides[0] or size[1] > sides[1]:
        raise ZooError(
            f"crop is {crop!r}; make it a height and a width of at most {sides[0]}x{sides[1]}, the "
            "smallest image"
        )
    return tuple(map(int, size))


def _whole(name: str, value: Any, least: int) -> int:
    """An argument that is a whole number, of NumPy too."""
    if not (isinstance(value, numbers.Integral) and least <= value < _MOST_WHOLE):
        raise ZooError(f"{name} is {value!r}; make it a whole number of {least} or more")
    return int(value)


def _is_positive(value: Any) -> bool:
    return isinstance(value, numbers.Real) and 0 < value < math.inf


def _is_size(value: Any, axes: int) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == axes
        and all(isinstance(side, numbers.Integral) and side > 0 for side in value)
    )


def _sampler(
    noise: str | Sampler | None, level: Any, options: Mapping, sample_rate: int, paired: bool
) -> tuple[Sampler | None, dict[str, Any]]:
    """The noise sampler, and the keys of a config that describe it."""
    audio = bool(sample_rate)
    if paired:
        if noise is not None or level is not None:
            raise ZooError("pairs bring their own noise; leave out noise and level")
        return None, {"noise.name": "", "noise.level": None}
    if callable(noise):
        if level is not None or options:
            raise ZooError("a sampler has its own level; leave out level and noise_options")
        return noise, {}
    if noise is None and level is None:
        level = (-5, 20) if audio else (0, 55)
    noise = noise or ("white" if audio else "gaussian")
    kind = "audio" if audio else "image"
    if level is None and noise == "gaussian":
        level = (0, 55)
    op = registry(kind).get(noise)
    intensity = op is not None and next(iter(op.levels.values())).intensity
    unit = "1/255" if intensity and not audio else "1"
    rate = {"sample_rate": sample_rate} if audio else {}
    sampler = make_sampler(noise, level, unit=unit, options=dict(options), modality=kind, **rate)
    described = {"noise.name": noise, "noise.level": level, "noise.unit": unit}
    return sampler, described | {"noise.options": dict(options)}


def _augmentation(augment: bool | Augment, size: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of `make_augment`."""
    if callable(augment):
        return {}
    if len(size) == 2:
        return {"gain": 6.0 if augment else 0.0, "polarity": augment}
    return {"flip": augment, "quarter_turn": augment and size[0] == size[1]}
