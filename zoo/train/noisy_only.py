"""Runs without clean images: the method a config names, and the validation by its own loss."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from zoo.data.batches import Bank, Batch, make_bank
from zoo.data.sources import Source
from zoo.errors import ZooError, in_one_line
from zoo.losses import Example, weighted_mean
from zoo.modality import IMAGE, Modality
from zoo.models import spec_of
from zoo.noise import registry
from zoo.selfsupervised import METHODS, Method, make_method
from zoo.train.step import State, risk_keys, risk_of

# Crops a validation looks at, whatever the number of its images.
_CROPS = 64


def make_target(config: ConfigDict, modality: Modality) -> Method | None:
    """The method that `target` of a config describes; None for clean targets.

    Raises:
      ZooError: it does not fit the modality, the noise, the loss or the level.
    """
    target, noise = config.target, config.noise
    options = target.options.to_dict()
    if not target.name:
        if target.level is not None or options:
            raise ZooError("target.level and target.options are of a target; set target.name too")
        return None
    if modality is not IMAGE:
        raise ZooError(f"target {target.name!r} is for images; leave target.name empty")
    with in_one_line(f"target {target.name!r} cannot be made with target.options {options}"):
        method = make_method(target.name, options)
    if noise.name and target.level is not None:
        raise ZooError(
            f"target.level is of noise that the data bring, and noise {noise.name!r} is added to "
            "them; leave target.level out, or set noise.name=''"
        )
    if noise.name and method.level:
        op = registry(modality).get(noise.name)
        level = "" if op is None else next(iter(op.levels))
        if level != method.level:
            raise ZooError(
                f"target {target.name!r} is for noise of a known {method.level}, and noise "
                f"{noise.name!r} has another level; change one of the two"
            )
    if not noise.name and method.level and target.level is None:
        raise ZooError(
            f"target {target.name!r} needs the noise's {method.level}; set target.level, or choose "
            "a target that needs none, such as noise2void"
        )
    if method.is_risk and config.loss != "mse":
        raise ZooError(f"target {target.name!r} is a squared error of its own; set loss='mse'")
    level_of_data(config)
    return method


def method_of(config: ConfigDict) -> Method | None:
    """The method by its name alone, unchecked; None for clean targets."""
    return METHODS.get(config.target.name)


def level_of_data(config: ConfigDict) -> float | None:
    """`target.level` as a share of white, photons or looks; None where the config has none.

    Raises:
      ZooError: it is no number above 0.
    """
    level = config.target.level
    if level is None:
        return None
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < math.inf:
        raise ZooError(f"target.level is {level!r}; make it a number above 0")
    method = method_of(config)
    # Photons and looks have no unit.
    counts = method is not None and method.level not in ("", "sigma")
    return level / 255 if config.noise.unit == "1/255" and not counts else float(level)


def check_target(
    method: Method | None, model: nn.Module, config: ConfigDict, found: Mapping[str, Source]
) -> None:
    """Refuses data and models that a method cannot learn from or with.

    Args:
      method: None for clean targets.
      model: the module.
      config: of the run.
      found: the data by split.

    Raises:
      ZooError: they do not fit.
    """
    paired, simulated = found["train"][0].input is not None, bool(config.noise.name)
    if method is None:
        if paired == simulated:
            raise ZooError(
                "paired data bring their own noise: set noise.name='' for them, and only for them; "
                "or name a target that learns from noisy images alone, such as "
                "target.name='noise2void'"
            )
        return
    name = config.target.name
    if paired and (simulated or not method.pairs):
        raise ZooError(
            f"data {config.data.name!r} are pairs, and target {name!r} learns from noisy images "
            "alone; leave target.name empty, or name the folder of the noisy ones"
        )
    if method.pairs and not paired and not simulated:
        raise ZooError(
            f"target {name!r} needs two noisy images of each scene; give them as data.name='pairs'"
        )
    if method.halves and (planes := spec_of(model).planes) > 1:
        raise ZooError(
            f"target {name!r} has the model see halves of an image, which have no neighboring "
            f"planes; set model.options.planes=1, which is {planes}, or choose another target"
        )
    known = simulated or config.target.level is not None
    if spec_of(model).takes_level and not known:
        raise ZooError(
            f"model {config.model.name!r} takes a noise level, which is not known; set "
            "target.level, or model.options.takes_level=False"
        )
    if method.is_risk and getattr(model, "norm", None) == "batch":
        raise ZooError(
            f"target {name!r} runs a model several times a step, which batch statistics do not "
            "allow; set model.options.norm to another"
        )


def scored(config: ConfigDict, test: Source) -> bool:
    """Whether a run can be scored: its test images are clean ones that noise is added to."""
    return len(test) > 0 and bool(config.noise.name)


class HeldOutLoss:
    """The loss of a method on held-out noisy images, of the same crops and keys every time.

    False where there are no images. It interchanges with `zoo.train.scoring.Validation`.

    Args:
      images: of the validation, as the model sees them.
      size: (H, W, C) of a training crop.
      batch_size: crops at once.
      model: the module.
      loss: as for `zoo.train.step.make_step`.
      method: the method, of no level of its own.
      prepare: as for `zoo.train.step.make_step`.

    Raises:
      ZooError: an image is smaller than the crop.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        *,
        size: tuple[int, ...],
        batch_size: int,
        model: nn.Module,
        loss: Callable[..., jax.Array],
        method: Method,
        prepare: Callable[[Batch, jax.Array], Example],
    ):
        for number, image in enumerate(images):
            if image.shape[0] < size[0] or image.shape[1] < size[1]:
                raise ZooError(
                    f"validation image {number} is {image.shape[0]}x{image.shape[1]}, smaller than "
                    f"the crop of {size[0]}x{size[1]}; make data.crop smaller"
                )
        self._images, self._batch_size = list(images), batch_size
        count = len(images)

        def one(variables: Any, bank: Bank, slot: jax.Array) -> jax.Array:
            key = jax.random.key(0)
            example = prepare(Batch(slot, slot % count, bank=bank), key)
            if not method.is_risk:
                prediction = model.apply(variables, example.input, example.level)
                return loss(prediction, example.target, example.weight)
            keys = risk_keys(key, slot)
            values = risk_of(method, model.apply, keys, variables, example, example.level)
            return weighted_mean(values, example.weight)

        self._one = jax.jit(one)

    def __bool__(self) -> bool:
        return bool(self._images)

    def score(self, state: State) -> float:
        """Minus the loss of a state's averaged variables, so that more is better."""
        variables, bank = jax.device_put((state.variables, make_bank(self._images)))
        size = self._batch_size
        starts = range(0, max(_CROPS, len(self._images)), size)
        slots = (np.arange(start, start + size, dtype=np.int32) for start in starts)
        return -float(np.mean([self._one(variables, bank, slot) for slot in slots]))

    def figure(self, score: float) -> dict[str, float]:
        """A score by its name, for `metrics.jsonl`."""
        return {"validation_loss": -score}
