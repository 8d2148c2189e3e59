"""What is trained on here, of each modality: made up, and prepared as the configs have it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zoo import losses, noise
from zoo.data.augment import Augment, make_augment
from zoo.data.batches import Bank, make_bank
from zoo.modality import Modality, get
from zoo.models import ModelSpec

COUNT = 8
"""How many images, or audio signals, there are."""
SIZES = {"image": 64, "audio": 32000}
"""The side of an image, and the samples of audio, unless given: 2 s of audio at 16 kHz."""
# Those of configs/audio_stream.py, which needs ml_collections to be read.
SNR = (-5.0, 20.0)
AUDIO_LOSS = {
    "compressed_magnitude": 0.3,
    "compressed_complex": 0.2,
    "consistency": 0.3,
    "l1": 0.2,
}


class Examples(NamedTuple):
    """What a training step of a modality works on.

    Attributes:
      shape: of what the model sees of an example, (H, W, K C) or (T, C).
      bank: twice as high and wide as an example, or twice as long; on the host.
      noise: audio to mix in, on the host; None where the noise is drawn.
      augment: from `zoo.data.augment`.
      sampler: of the noise.
      loss: from `zoo.losses.make_loss`.
      modality: for `zoo.train.step.make_step`.
    """

    shape: tuple[int, ...]
    bank: Bank
    noise: Bank | None
    augment: Augment
    sampler: Callable
    loss: Callable
    modality: Modality


def shape_of(record: ModelSpec, size: tuple[int, ...] | int | None = None) -> tuple[int, ...]:
    """The shape of what a model sees of an example, (H, W, K C) or (T, C).

    Args:
      record: whose own size counts where it names one.
      size: (H, W) or the side of an image; (T,) or T of audio; `SIZES` where None.
    """
    size = record.size or size or SIZES[record.modality]
    if isinstance(size, int):
        size = (size,) if record.modality == "audio" else (size, size)
    return (*size, record.inputs)


def examples(
    record: ModelSpec,
    size: tuple[int, ...] | int | None = None,
    *,
    augment: Augment | None = None,
    sampler: Callable | None = None,
) -> Examples:
    """What a model of this record trains on.

    Args:
      record: the model's.
      size: as for `shape_of`.
      augment: flips for images, loudness and sign for audio where None.
      sampler: Gaussian noise of 25/255, or noise mixed in at a random SNR where None.
    """
    shape = shape_of(record, size)
    make = _recordings if record.modality == "audio" else _images
    bank, noises, own_augment, own_sampler, loss = make(shape)
    sampler = sampler or own_sampler
    return Examples(
        shape,
        bank,
        noises if getattr(sampler, "needs_noise", False) else None,
        augment or own_augment,
        sampler,
        losses.make_loss(loss, modality=record.modality),
        get(record.modality),
    )


def _images(shape):
    rng = np.random.default_rng(0)
    larger = (2 * shape[0], 2 * shape[1], shape[2])
    images = [rng.integers(0, 256, larger, np.uint8) for _ in range(COUNT)]
    sampler = noise.make_sampler("gaussian", 25.0, unit="1/255")
    return make_bank(images), None, make_augment(flip=True), sampler, "charbonnier"


def _recordings(shape):
    rng = np.random.default_rng(0)
    larger = (1, 2 * shape[0], shape[1])
    bank, noises = (
        make_bank([rng.integers(-9999, 9999, larger, np.int16) for _ in range(COUNT)])
        for _ in range(2)
    )
    sampler = noise.make_sampler("add_at_snr", SNR, modality="audio")
    return bank, noises, make_augment(gain=6.0, polarity=True), sampler, AUDIO_LOSS
