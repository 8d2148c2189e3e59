"""The training batches of an experiment, in memory or streamed, and how many steps they make."""

import dataclasses
import math

import jax
import numpy as np

from zoo.data.batches import Bank, BankBatches, Order, StreamBatches, check_room, make_bank, stack
from zoo.data.sources import Source
from zoo.errors import ZooError
from zoo.evaluate.measure import evaluator_class
from zoo.train.experiment import Experiment
from zoo.train.value_ranges import Ranges, SeenImages, complete

# Of a batch; 8 GiB, and a network needs many times as much.
_MOST_VALUES = 2**31


@dataclasses.dataclass(frozen=True)
class Feed:
    """Training batches and what shape they have.

    Attributes:
      batches: a `BankBatches` or `StreamBatches`.
      bank: the images or audio, on the host; None for a stream.
      noise: noise signals to mix in, on the host; None for a stream, and where none are mixed.
      size: (H, W, C) of an example, (T, C) of an audio signal.
      steps: of the whole run.
      ranges: of the values of noisy images; empty where there are clean ones.
      notes: short sentences on what a user may not expect.
    """

    batches: BankBatches | StreamBatches
    bank: Bank | None
    noise: Bank | None
    size: tuple[int, ...]
    steps: int
    ranges: Ranges = dataclasses.field(default_factory=Ranges)
    notes: tuple[str, ...] = ()


def make_feed(experiment: Experiment, ranges: Ranges | None = None) -> Feed:
    """Reads the training images, or opens the stream of them, and counts the steps.

    Args:
      experiment: of the run.
      ranges: of an earlier part of the run; None finds them, where all images are noisy.

    Raises:
      ZooError: an image is unreadable or does not fit the crop, or there are too many.
    """
    config, source = experiment.config, experiment.sources["train"]
    crop = tuple(config.data.crop) or None
    shared = {"host": jax.process_index(), "hosts": jax.process_count()}
    batch_size = config.train.batch_size
    _check_batch(batch_size, crop or ())
    needs_noise = getattr(experiment.sampler, "needs_noise", False)
    if needs_noise and source.noise is None:
        raise ZooError(
            f"noise {config.noise.name!r} mixes audio files of noise in and data "
            f"{config.data.name!r} has none; name a folder of them in data.options.noise, or give "
            "noise_recordings to fit"
        )
    noise, noisy = None, experiment.only_noisy
    found, notes = Ranges(), []
    if config.data.stream:
        if noisy:
            source = SeenImages(source, ranges)
            found = source.ranges
        batches = StreamBatches(
            source,
            size=crop,
            batch_size=batch_size,
            seed=config.seed,
            crops_per_picture=config.data.crops_per_picture,
            workers=config.data.workers,
            with_noise=needs_noise,
            **shared,
        )
        size, bank = batches.size, None
    else:
        signals, filled = _read(source, crop)
        if filled:
            notes.append(
                f"images with values that are not finite: {filled}; the nearest stand in for them"
            )
        if source.sample_rate:
            size = crop or (max(p.shape[1] for p in signals),)
            bank = make_bank(signals, *size)
        else:
            if noisy:
                found = ranges or Ranges.of(signals)
                signals = [found.enter(signal) for signal in signals]
            size, bank = crop or signals[0].shape[:-1], make_bank(signals)
        if needs_noise:
            noise = make_bank([stack(n) for n in source.noise], *size, wrap=True)
        areas = [math.prod(p.shape[:-1]) for p in signals]
        batches = BankBatches(Order(areas, math.prod(size), config.seed), batch_size, **shared)
    _check_batch(batch_size, (*size, config.data.channels))
    _check_readable(experiment)
    steps = config.train.steps or math.ceil(
        config.train.epochs * batches.order.epoch_size / batch_size
    )
    if steps < 1:
        raise ZooError("the run has no steps; set train.epochs or train.steps above 0")
    if config.optimizer.accumulate > steps:
        raise ZooError(
            f"optimizer.accumulate={config.optimizer.accumulate} is more than the {steps} steps of "
            "the run, which would never update; make it smaller, or the run longer"
        )
    if steps >= 2**31:
        raise ZooError(f"train.epochs={config.train.epochs} makes {steps:,} steps; make it smaller")
    size = (*size, config.data.channels)
    return Feed(batches, bank, noise, size, steps, found, tuple(notes))


def _read(source: Source, crop: tuple[int, ...] | None) -> tuple[list[np.ndarray], int]:
    """All examples of a source, stacked, and in how many values stand in for those not finite.

    Raises:
      ZooError: one is unreadable or does not fit the crop, or there are too many.
    """
    signals, values, filled = [], 0, 0
    for signal in source:
        image, changed = complete(signal)
        signals.append(image)
        filled += changed
        if not source.sample_rate:
            _check_fits(signal.name, signals, crop)
            values += signals[-1].size
        else:
            # An audio signal shorter than the crop is made as long.
            length = max(signals[-1].shape[1], *(crop or (0,)))
            values += length * signals[-1].shape[2]
        # Here, because memory would run out before the last of too many images.
        check_room(values, recordings=bool(source.sample_rate))
    return signals, filled


def _check_batch(batch_size: int, size: tuple[int, ...]) -> None:
    if batch_size * math.prod(size) > _MOST_VALUES:
        raise ZooError(
            f"a batch of {batch_size} examples of {'x'.join(map(str, size))} has more than "
            f"{_MOST_VALUES:,} values; lower train.batch_size or data.crop"
        )


def _check_readable(experiment: Experiment) -> None:
    """Reads what will be scored once, for after hours of training it would be too late."""
    config, mixes = experiment.config, evaluator_class(experiment.modality).mixes
    for split, limit in (("validation", config.validation.limit), ("test", config.eval.limit)):
        source = experiment.sources[split]
        for index in range(min(limit or len(source), len(source))):
            paired = source[index].input is not None
            if mixes and not paired and source.noise is None:
                raise ZooError(
                    f"data {config.data.name!r} has no noise to mix the {split} audio with, "
                    "and so no scores; name a folder of it in data.options.noise"
                )
        for noise in source.noise or ():
            if not noise.target.any():
                raise ZooError(f"the noise {noise.name} is silent; leave it out")


def _check_fits(name: str, examples: list, crop: tuple[int, ...] | None) -> None:
    size = examples[-1].shape[:-1]
    words = "x".join(map(str, size))
    if crop is None and examples[0].shape[:-1] != size:
        raise ZooError(
            f"{name} is {words}, unlike the others; set data.crop, or data.size to resize"
        )
    if crop is not None and any(side < least for side, least in zip(size, crop, strict=True)):
        raise ZooError(
            f"{name} is {words}, smaller than the crop of {'x'.join(map(str, crop))}; "
            "make data.crop smaller, or leave it out"
        )
