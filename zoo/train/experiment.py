"""A config read once: the data, model, noise, loss and schedule it describes, and their checks."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from zoo import losses, models
from zoo.data import sources
from zoo.data.augment import Augment, make_augment
from zoo.data.batches import Batch
from zoo.errors import ZooError, in_one_line, unknown
from zoo.evaluate.measure import check_baselines, evaluator_class
from zoo.evaluate.result import REAL, Level
from zoo.interop.torch import load_torch
from zoo.modality import Modality, get, names
from zoo.noise import by_plane, make_sampler, registry
from zoo.selfsupervised import Method
from zoo.train import noisy_only, step
from zoo.train import optimizer as optimizers
from zoo.train.config import check
from zoo.train.value_ranges import Ranges

LEARNING_RATE = 1e-3
"""The learning rate of a model that states none, the usual one of Adam."""

SAMPLE_RATE = 16000
"""The sample rate in Hz for a model that states none."""

_START = 25 / 255  # of a noise level that is learned, unless the config says


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a config describes, built.

    Attributes:
      config: where it comes from.
      sources: the images or audio of `"train"`, `"validation"` and `"test"`.
      modality: of the model and the data.
      model: the denoiser.
      model_options: the fields of `model` that the config sets.
      loss: what training lowers.
      augment: of the training crops.
      sampler: the training noise; None for paired data.
      levels: the noise of each level to score at; None for audio, which is mixed at an SNR.
      validation: the same of the validation: training's, or the middle of its range.
      coding: what noisy signals are coded by; None for nothing.
      line: what noisy signals and their targets both come through; None for nothing.
      method: what learns from noisy images alone; None for clean targets.
      level: of the noise that the data bring, where it is known, in what the model sees; else 0.
    """

    config: ConfigDict
    sources: dict[str, sources.Source]
    modality: Modality
    model: nn.Module
    model_options: dict[str, Any]
    loss: Callable[..., jax.Array]
    augment: Augment
    sampler: step.Sampler | None
    levels: Mapping[Level, step.Sampler | None]
    validation: Mapping[Level, step.Sampler | None]
    coding: step.Sampler | None = None
    line: step.Sampler | None = None
    method: Method | None = None
    level: float = 0.0

    @property
    def only_noisy(self) -> bool:
        """Whether there are no clean images, rather than clean ones seen with noise added."""
        return self.method is not None and not self.config.noise.name

    def seen_in(self, ranges: Ranges) -> "Experiment":
        """The experiment with the level in what a model sees; refuses as `Ranges.seen_by`."""
        if not self.only_noisy:
            return self
        method, level = ranges.seen_by(self.method, self.level)
        return dataclasses.replace(self, method=method, level=level)

    @property
    def title(self) -> str:
        """What stands before the level above galleries; the noise where levels are its own."""
        by_level = any(level.value is not None for level in self.levels)
        mixes = evaluator_class(self.modality).mixes
        return self.config.noise.name if by_level and not mixes else ""


def build(
    config: ConfigDict,
    *,
    found: Mapping[str, sources.Source] | None = None,
    model: nn.Module | None = None,
    sampler: step.Sampler | None = None,
    augment: Augment | None = None,
) -> Experiment:
    """Builds what a config describes; checks it before it reads any data.

    Args:
      config: see `zoo.train.config`.
      found: sources for `"train"`, `"validation"` and `"test"`, the last two of which may be empty,
        in place of those that `data` of the config describes.
      model: in place of that of `model`.
      sampler: in place of that of `noise`, whose name then only says that there is noise.
      augment: in place of that of `data.augment`.

    Raises:
      ZooError: an unknown key or name, a value that cannot be, or data that are not there.
    """
    check(config)
    config = _settled(config)
    data = config.data
    options = {}
    if model is None:
        options = model_options(config)
        model = models.create_model(config.model.name, **options)
        dtype = _dtype(config.model.dtype)
        # A plug-in's module may compute in float32 alone.
        model = model.clone(dtype=dtype) if hasattr(model, "dtype") else model
        given = config.model.options.to_dict()
        with in_one_line(f"model {config.model.name!r} cannot be built with model.options {given}"):
            models.count_parameters(config.model.name, **options)
    facts = models.spec_of(model)
    modality = get(facts.modality)
    levels = middle = {REAL: None}
    if sampler is None:
        _check_noise(config, modality)
        sampler, levels, middle = _noise(config, modality)
    coding, line = (_after(config, key, modality) for key in ("coding", "line"))
    with in_one_line(f"loss {config.loss!r} cannot be made"):
        loss = losses.make_loss(config.loss, modality=modality)
    method = noisy_only.make_target(config, modality)
    make_optimizer(config, steps=1)
    check_baselines(config.eval.baselines, evaluator_class(modality).baselines)
    only_noisy = method is not None and not config.noise.name
    if facts.planes > 1:
        # The noise of each plane of a stack is its own.
        sampler = sampler and by_plane(sampler, data.channels)
        levels, middle = (
            {level: one and by_plane(one, data.channels) for level, one in every.items()}
            for every in (levels, middle)
        )
    splits = ("train",) if found or only_noisy else ("train", "test")
    found = found or sources.load(
        data.name,
        channels=data.channels,
        sample_rate=data.sample_rate,
        path=data.path,
        size=tuple(data.size) or None,
        tile=tuple(data.tile) or None,
        fractions=tuple(data.fractions),
        seed=config.seed,
        on_error=data.on_error,
        any_range=only_noisy,
        window=facts.planes,
        frames=only_noisy and method.pairs,
        **data.options.to_dict(),
    )
    if data.on_error == "raise":
        found = {split: _advised(source) for split, source in found.items()}
    for split in splits:
        if not len(found[split]):
            remedy = "fix the files" if found[split].skipped else "change data.fractions"
            if data.tile:
                remedy += ", or make data.tile smaller"
            raise ZooError(f"data {data.name!r} has nothing for {split}; {remedy}")
    _check_modality(config, found["train"], facts)
    # Now, so that they do not fail after hours of training.
    for name, path in config.eval.published.items():
        if models.model_spec(name).modality != modality.name:
            raise ZooError(f"eval.published: {name} is no model that is scored on these data")
        load_torch(name, path)
    noisy_only.check_target(method, model, config, found)
    return Experiment(
        config=config,
        sources=found,
        modality=modality,
        model=model,
        model_options=options,
        loss=loss,
        augment=augment or make_augment(**data.augment.to_dict()),
        sampler=sampler,
        levels=levels,
        validation=middle,
        coding=coding,
        line=line,
        method=method,
        level=noisy_only.level_of_data(config) or 0.0,
    )


def make_optimizer(
    config: ConfigDict, steps: int, level: float = 0.0
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The optimizer of a run of so many steps, and its learning rate by update.

    Args:
      config: of the run.
      steps: in all.
      level: where a level that is learned begins, in signal units; 0 for the usual one.
    """
    settings = _settled(config).optimizer
    options = settings.schedule_options.to_dict()
    with in_one_line(f"optimizer.schedule cannot be made with schedule_options {options}"):
        schedule = optimizers.make_schedule(
            settings.schedule,
            peak=settings.learning_rate,
            steps=math.ceil(steps / settings.accumulate),
            warmup=settings.warmup,
            **options,
        )
    transform = optimizers.make_optimizer(
        settings.name,
        schedule,
        clip_norm=settings.clip_norm,
        accumulate=settings.accumulate,
        **settings.options.to_dict(),
    )
    method = noisy_only.method_of(config)
    if method and method.learns_level:
        transform = optimizers.with_level(transform, start=level or _START)
    return transform, lambda count: schedule(count // settings.accumulate)


def step_builder(
    experiment: Experiment, size: tuple[int, ...], optimizer: optax.GradientTransformation
) -> Callable[[str | None], step.Step]:
    """The function that builds the training step for the axis of the devices.

    Raises:
      ZooError: the augmentation, the noise or the loss cannot take the crop.
    """
    config = experiment.config
    # Traced now, so that what does not fit the crop is refused before minutes of compiling.
    signal = jax.ShapeDtypeStruct(size, jnp.float32)
    batch = jax.ShapeDtypeStruct((1, *size), jnp.float32)
    jax.eval_shape(experiment.augment, jax.random.key(0), signal)
    jax.eval_shape(experiment.loss, batch, batch, batch)
    for after in filter(None, (experiment.coding, experiment.line)):
        jax.eval_shape(after, jax.random.key(0), signal)
    if experiment.sampler:
        noise = [signal] if getattr(experiment.sampler, "needs_noise", False) else []
        options = config.noise.options.to_dict()
        what = f"noise {config.noise.name!r} cannot be made with noise.options {options}"
        with in_one_line(what):
            jax.eval_shape(experiment.sampler, jax.random.key(0), signal, *noise)
    return partial(
        step.make_step,
        model=experiment.model,
        loss=experiment.loss,
        optimizer=optimizer,
        prepare=make_prepare(experiment, size),
        ema_decay=config.train.ema_decay,
        modality=experiment.modality,
        method=experiment.method,
    )


def make_prepare(
    experiment: Experiment, size: tuple[int, ...], *, augment: bool = True
) -> Callable[[Batch, jax.Array], losses.Example]:
    """What turns batches into the examples of an experiment; see `zoo.train.step.make_prepare`."""
    return step.make_prepare(
        size=size,
        augment=experiment.augment if augment else lambda key, x: x,
        sampler=experiment.sampler,
        coding=experiment.coding,
        line=experiment.line,
        method=experiment.method,
        level=experiment.level,
        planes=models.spec_of(experiment.model).planes,
    )


def _settled(config: ConfigDict) -> ConfigDict:
    """The config with what it leaves to its model, the learning rate and the sample rate, and to
    its data, the channels."""
    config = config.copy_and_resolve_references()
    if config.optimizer.learning_rate is None:
        config.optimizer.learning_rate = learning_rate(models.create_model(config.model.name))
    if config.data.sample_rate is None:
        config.data.sample_rate = models.model_spec(config.model.name).sample_rate or SAMPLE_RATE
    if config.data.channels == 0:
        if config.data.name != "folder":
            raise ZooError(f"data.channels=0 is for folders, not {config.data.name!r}; set 1 or 3")
        config.data.channels = sources.folder_channels(config.data.path)
    return config


def learning_rate(model: nn.Module) -> float:
    """The learning rate that a model states, or the usual one."""
    return getattr(model, "learning_rate", None) or LEARNING_RATE


def _advised(source: sources.Source) -> sources.Source:
    noise = source.noise and _advised(source.noise)
    advice = "; or have data.on_error=skip leave such out"
    return dataclasses.replace(source, noise=noise, advice=advice)


def _noise(
    config: ConfigDict, modality: Modality
) -> tuple[step.Sampler | None, dict[Level, step.Sampler | None], dict[Level, step.Sampler | None]]:
    """The sampler to train with; those to score at and those to validate with, by level."""
    noise, evaluator = config.noise, evaluator_class(modality)
    if not noise.name:
        return None, {REAL: None}, {REAL: None}
    options = {"unit": noise.unit, "options": noise.options.to_dict(), "modality": modality}
    if modality.has_rate:
        options["sample_rate"] = config.data.sample_rate
    sampler = make_sampler(noise.name, noise.level, **options)
    wanted = tuple(config.eval.levels) or evaluator.usual_levels
    if evaluator.mixes:
        # Scored as mixtures at an SNR, whatever the training noise.
        middle = sorted(wanted)[len(wanted) // 2]
        levels = [Level(float(snr), "dB", "SNR") for snr in wanted]
        return sampler, dict.fromkeys(levels), {Level(float(middle), "dB", "SNR"): None}
    if noise.level is None:
        level = {Level(None, name=noise.name): sampler}
        return sampler, level, level
    one = isinstance(noise.level, int | float)
    middle = noise.level if one else sum(noise.level) / 2
    name, span = next(iter(registry(modality)[noise.name].levels.items()))
    if span.whole:
        middle = round(middle)

    def at(values: Iterable[float]) -> dict[Level, step.Sampler]:
        return {
            Level(float(value), noise.unit, name): make_sampler(noise.name, value, **options)
            for value in values
        }

    return sampler, at(wanted or (middle,)), at([middle])


def _after(config: ConfigDict, key: str, modality: Modality) -> step.Sampler | None:
    """The sampler that `noise.coding` or `noise.line` describes."""
    options = config.noise[key].to_dict()
    if not options:
        return None
    if not modality.has_rate:
        raise ZooError(f"noise.{key} is for audio; leave it empty")
    with in_one_line(f"noise.{key} is {options}, which makes no noise"):
        return make_sampler(**options, modality=modality, sample_rate=config.data.sample_rate)


def model_options(config: ConfigDict) -> dict[str, Any]:
    """The fields of the module that the config sets.

    Raises:
      ZooError: no such model or field, or one that another key sets.
    """
    options = config.model.options.to_dict()
    for field, key in (
        ("channels", "data.channels"),
        ("dtype", "model.dtype"),
        ("sample_rate", "data.sample_rate"),
    ):
        if field in options:
            raise ZooError(f"model.options.{field} is set by {key}; set that instead")
    # Those that treat each channel alike have no such field.
    fields = [field.name for field in dataclasses.fields(models.create_model(config.model.name))]
    if "dtype" not in fields and not models.count_parameters(config.model.name):
        raise ZooError(
            f"model {config.model.name!r} has no parameters to train; score it with zoo score"
        )
    if "channels" in fields:
        options["channels"] = config.data.channels
    if "sample_rate" in fields:
        options["sample_rate"] = config.data.sample_rate
    return options


def _check_modality(config: ConfigDict, source: sources.Source, facts: models.ModelSpec) -> None:
    """Refuses audio for a model of images, and the other way round."""
    kind, rate = facts.modality, facts.sample_rate
    made_for = get(kind).plural
    if source.modality != kind:
        raise ZooError(
            f"model {config.model.name!r} is for {made_for}, which data {config.data.name!r} has "
            "none of; choose another of the two"
        )
    if rate not in (0, source.sample_rate):
        raise ZooError(f"model {config.model.name!r} is for {rate} Hz; set data.sample_rate={rate}")
    crop = tuple(config.data.crop)
    sides = get(kind).sides
    if crop and len(crop) != len(sides):
        size = ", ".join(sides) + ("," if len(sides) == 1 else "")
        raise ZooError(f"data.crop is {crop}; for {made_for} make it ({size})")


def _check_noise(config: ConfigDict, modality: Modality) -> None:
    """Refuses audio noise for a model of images, and the other way round."""
    name = config.noise.name
    for other in () if name in registry(modality) else names():
        if name in registry(other):
            raise ZooError(
                f"noise {name!r} is for {get(other).plural} and model {config.model.name!r} "
                f"for {modality.plural}; change noise.name or model.name"
            )


def _dtype(name: str) -> jnp.dtype:
    if name not in ("float32", "bfloat16"):
        raise unknown("model.dtype", name, ("float32", "bfloat16"))
    return jnp.dtype(name)
