"""Training on arrays by one call: `fit` builds a config for them and runs the training loop."""

import dataclasses
import json
import math
import numbers
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo.data import pcm, pixels, windows
from zoo.data.augment import Augment
from zoo.data.batches import stack
from zoo.data.sources.source import Listing, Source
from zoo.errors import ZooError
from zoo.models import ModelSpec, create_model, list_models, spec_of
from zoo.noise import Sampler, registry
from zoo.train import experiment as experiments
from zoo.train.config import audio_config, default_config
from zoo.train.loop import run

# As many as a random key takes, of anything.
_MOST_WHOLE = 2**32
# Floats slightly beyond the range are clipped; others, as in [0, 255], are a mistake.
_MOST = 1.5
_CTRL_C = 130  # the exit code


class _Unpacked(NamedTuple):
    variables: dict[str, Any]
    history: dict[str, list[float]]


class Fit(_Unpacked):
    """The result of `fit`; it unpacks as `variables, history`.

    Attributes:
      variables: of the model, ready for `apply`; an exponential moving average of the parameters.
      history: lists of equal length by name: `step`, `loss`, the metric (`psnr` or `si_sdr` in dB,
        on the training crops; none without clean images), `grad_norm` and `learning_rate`.
      ranges: when training on noisy images alone, the values that the model sees as 0 and as 1, by
        dtype name, for the `range` of `zoo.denoise`; else empty.
    """

    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({})


def fit(
    model: str | nn.Module,
    images: Any,
    *,
    noise: str | Sampler | None = None,
    level: float | tuple[float, float] | None = None,
    noise_options: Mapping[str, Any] | None = None,
    noise_recordings: Any = None,
    target: str | None = None,
    target_options: Mapping[str, Any] | None = None,
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
    """Trains a denoiser on images or audio in memory: on clean examples, or on noisy images alone.

    Ctrl-C, or the interrupt of a notebook, stops after the current step and returns the result so
    far.

    Args:
      model: a registered name, or a module.
      images: an array (N, H, W, C), a sequence of arrays (H, W, C) of any sizes, uint8, uint16 or
        floats in [0, 1] (with `target` and without `noise`, any integers or floats); or a
        `zoo.data.sources.Source`, whose pairs hold their own noise. For a model that takes several
        `planes`, and for the target "noise2noise", they are the planes of one stack in order. With
        `sample_rate`, audio (N, T, C) or a sequence of (T, C), int16 or floats in [-1, 1]. The
        channel axis may be left out if there is one channel.
      noise: the name of an op of `zoo.noise` or `zoo.noise.audio`, or a sampler of
        `zoo.noise.make_sampler`; by default "gaussian", "white" for audio, none for pairs.
      level: of the named op, a number or a range (low, high) from which it is drawn uniformly; in
        1/255 if it is an intensity of images. By default (0, 55) for "gaussian", and an SNR of
        (-5, 20) dB for "white".
      noise_options: further options of the named op.
      noise_recordings: noise for ops that mix audio in, in the same forms as `images`.
      target: a method of `zoo.selfsupervised`, such as "noise2void", for noisy images without clean
        ones; `level` is then the level of their noise, if the method needs it. If `noise` is given
        as well, the images are treated as clean and used only with noise added.
      target_options: further options of the method.
      sample_rate: of audio, in Hz; 0 for images.
      steps: number of updates, including those of an earlier call with the same workdir.
      batch_size: examples per step, a multiple of the number of devices.
      crop: side, or (H, W), of the training crops in pixels, by default at most 64; for audio the
        number of samples, by default 2 seconds.
      augment: whether to flip and rotate images, or to change gain and polarity of audio; or an
        augmentation of `zoo.data.augment.make_augment`.
      loss: a name of `zoo.losses`, or weights by name; by default that of the default config, and
        "mse" with `target`.
      optimizer: "adam", "adamw", "muon" or "sgd", with a cosine schedule that ends at 0.
      learning_rate: the peak of the schedule; by default the model's own, or 1e-3.
      variables: initial variables; by default random.
      seed: for the order of examples, the noise and the initial parameters.
      workdir: a folder for checkpoints, metrics and `weights.safetensors`; it requires a registered
        architecture, a named noise and the extra "train". The same call resumes from its
        checkpoint. So does a call with more steps: the schedule then spans the new number of
        steps, so the learning rate, near 0 at the end of the earlier call, rises again. None writes
        no file.
      progress: whether to show progress on the standard error.

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
    only_noisy = target is not None and noise is None
    of_stack = {"window": spec.planes, "frames": only_noisy and target == "noise2noise"}
    source = _source(images, sample_rate, any_range=only_noisy, **of_stack)
    if noise_recordings is not None:
        source = dataclasses.replace(source, noise=_source(noise_recordings, sample_rate))
    channels, paired = source.channels, source[0].input is not None
    if getattr(model, "channels", channels) != channels:
        raise ZooError(
            f"the images have {channels} channel(s) and the model {model.channels}; "
            f"build it with zoo.create_model(name, channels={channels})"
        )
    checksum, shapes = 0, []
    for example in source:
        data = stack(example)
        checksum = zlib.crc32(data.tobytes(), checksum)
        shapes.append(data.shape)

    config = audio_config() if audio else default_config()
    config.name, config.seed = "fit", seed
    config.model.name = type(model).__name__
    config.data.name, config.data.channels = "arrays", channels
    config.data.sample_rate = sample_rate or experiments.SAMPLE_RATE
    config.data.crop = _crop(crop, shapes, spec, sample_rate)
    square = len({*config.data.crop}) == 1
    on = augment is True
    config.data.augment.update(
        {"gain": 6.0 * on, "polarity": on} if audio else {"flip": on, "quarter_turn": on and square}
    )
    # Noisy images bring their own noise.
    own = level if only_noisy else None
    of_noise = (None, None) if only_noisy else (noise, level)
    config.noise.update(_noise(*of_noise, noise_options or {}, audio, paired or only_noisy))
    config.target.name, config.target.level = target or "", own
    config.target.options = dict(target_options or {})
    config.loss = loss or ("mse" if target else config.loss)
    config.optimizer.name = optimizer
    config.optimizer.learning_rate = float(learning_rate or experiments.learning_rate(model))
    config.train.steps, config.train.batch_size = steps, batch_size
    if workdir is None:
        config.log.every = 10
    else:
        if callable(augment) or callable(noise):
            raise ZooError("a workdir needs a named noise and augment True or False; give those")
        config.model.name, config.model.options = _registered(model)
        config.model.dtype = jnp.dtype(getattr(model, "dtype", None) or jnp.float32).name
        config.data.options = {"checksum": checksum}

    none = dataclasses.replace(source, listing=source.listing.subset(()))
    experiment = experiments.build(
        config,
        found={"train": source, "validation": none, "test": none},
        model=model,
        sampler=noise if callable(noise) else None,
        augment=augment if callable(augment) else None,
    )
    start = None if variables is None else (model, variables)
    show = "bar" if progress else None
    done = run(experiment, workdir, command="zoo.train.fit", start=start, show=show)
    if done.stop is not None:
        if done.stop.exit_code != _CTRL_C:
            raise done.stop
        print(done.stop, file=sys.stderr)
    rows = done.history
    if workdir is not None:
        rows = map(json.loads, (Path(workdir) / "metrics.jsonl").read_text().splitlines())
    rows = [{name: row[name] for name in row if name != "seconds"} for row in rows]
    names = rows[0] if rows else ()
    history = {name: [row[name] for row in rows] for name in names}
    fitted = Fit(done.state.variables, history)
    fitted.ranges = done.ranges.by_dtype
    return fitted


def _checked(model: nn.Module, sample_rate: int) -> ModelSpec:
    """The specification of a model, of the modality that the sample rate says."""
    if not isinstance(model, nn.Module):
        raise ZooError(f"a model is a name or a module, not {type(model).__name__}; give one")
    spec, label = spec_of(model), type(model).__name__
    audio = spec.modality == "audio"
    if audio != bool(sample_rate):
        kind = "audio; give its sample_rate" if audio else "images; leave out sample_rate"
        raise ZooError(f"{label} is for {kind}")
    if audio and spec.sample_rate not in (0, sample_rate):
        raise ZooError(f"{label} is for {spec.sample_rate} Hz; resample the audio to that")
    return spec


def _source(
    data: Any, sample_rate: int, *, any_range: bool = False, window: int = 1, frames: bool = False
) -> Source:
    """Arrays as a source, images as the planes of a stack; one that is a source already stays."""
    if isinstance(data, Source):
        return dataclasses.replace(data, any_range=any_range, window=window, frames=frames)
    if not isinstance(data, Sequence | np.ndarray | jax.Array) or len(data) == 0:
        raise ZooError("there is nothing to train on; give arrays of images or audio")
    arrays = [
        _array(index, x, audio=bool(sample_rate), any_range=any_range)
        for index, x in enumerate(data)
    ]
    channels = arrays[0].shape[-1]
    for index, x in enumerate(arrays):
        if x.shape[-1] != channels:
            raise ZooError(f"example {index} has {x.shape[-1]} channels, unlike the first")

    def read(index, form=None, start=0, frames=None):
        return arrays[index][start:][:frames], None

    def around(index, window, *, frames):
        return windows.around(index, [(("", len(arrays)),)], window, "the array", frames=frames)

    names = [f"example {index}" for index in range(len(arrays))]
    listing = Listing(
        names, range(len(arrays)), read, length=lambda i, form: len(arrays[i]), around=around
    )
    own = {"any_range": any_range, "window": window, "frames": frames}
    return Source(listing, channels, sample_rate=sample_rate, **own)


def _array(index: int, data: Any, *, audio: bool, any_range: bool) -> np.ndarray:
    """One example as integers (H, W, C), of an audio signal (T, C); of any range as it is."""
    x, ndim = np.asarray(data), 2 if audio else 3
    x = x[..., None] if x.ndim == ndim - 1 else x
    if x.ndim != ndim or 0 in x.shape:
        wanted = "(T, C)" if audio else "(H, W, C)"
        raise ZooError(f"example {index} has the shape {x.shape}; make it {wanted}")
    if any_range and not audio:
        return pixels.check(x, f"example {index}", any_range=True)
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
    return x


def _crop(
    crop: int | tuple[int, ...] | None,
    shapes: Sequence[tuple[int, ...]],
    spec: ModelSpec,
    sample_rate: int,
) -> tuple[int, ...]:
    """The spatial size of a training crop, checked against the images."""
    if sample_rate:
        size = (2 * sample_rate,) if crop is None else crop
        size = (size,) if isinstance(size, numbers.Integral) else size
        if not _is_size(size, 1):
            raise ZooError(f"crop is {crop!r}; make it a number of samples, 1 or more")
        return tuple(map(int, size))
    sides = tuple(min(shape[axis] for shape in shapes) for axis in (0, 1))
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


def _noise(
    noise: str | Sampler | None, level: Any, options: Mapping, audio: bool, paired: bool
) -> dict[str, Any]:
    """The keys below `noise` of a config; none for a sampler, which takes their place."""
    if paired:
        if noise is not None or level is not None:
            raise ZooError("pairs bring their own noise; leave out noise and level")
        return {"name": "", "level": None}
    if callable(noise):
        if level is not None or options:
            raise ZooError("a sampler has its own level; leave out level and noise_options")
        return {}
    if noise is None and level is None and audio:
        level = (-5, 20)
    noise = noise or ("white" if audio else "gaussian")
    if level is None and noise == "gaussian":
        level = (0, 55)
    op = registry("audio" if audio else "image").get(noise)
    intensity = op is not None and next(iter(op.levels.values())).intensity
    unit = "1/255" if intensity and not audio else "1"
    return {"name": noise, "level": level, "unit": unit, "options": dict(options)}


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
