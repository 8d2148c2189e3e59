"""Scores of a run: the validation along the way and the evaluation at its end."""

import sys
from pathlib import Path

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from zoo import weights
from zoo.evaluate import Result, evaluate, mean_merit
from zoo.evaluate.result import Apply
from zoo.interop.torch import load_torch
from zoo.models import create_model
from zoo.progress import progress
from zoo.train import experiment as experiments
from zoo.train.experiment import Experiment
from zoo.train.feed import Feed
from zoo.train.noisy_only import HeldOutLoss, scored
from zoo.train.run_weights import weights_of
from zoo.train.step import State
from zoo.train.value_ranges import complete
from zoo.train.workdir import WEIGHTS, differing, has_saved


class Validation:
    """The mean of the main metric over the validation examples, the same noise every time.

    False where there are none.
    """

    def __init__(self, experiment: Experiment):
        self._name = f"validation_{experiment.modality.merit}"
        self._source = experiment.sources["validation"]
        self._levels = experiment.validation
        self._limit = experiment.config.validation.limit or None
        self._apply = jax.jit(experiment.model.apply)

    def __bool__(self) -> bool:
        return len(self._source) > 0

    def score(self, state: State) -> float:
        """Scores a state's averaged variables, in dB."""
        variables = jax.device_put(state.variables)
        return mean_merit(
            lambda x, level: self._apply(variables, x, level),
            self._source,
            levels=self._levels,
            limit=self._limit,
        )

    def figure(self, score: float) -> dict[str, float]:
        """A score by its name, for `metrics.jsonl`."""
        return {self._name: score}


def make_validation(experiment: Experiment, feed: Feed) -> Validation | HeldOutLoss:
    """What chooses the best average: the main metric, or without clean images the loss.

    Raises:
      ZooError: a noisy image is smaller than the crop.
    """
    method, config = experiment.method, experiment.config
    if method is None:
        return Validation(experiment)
    # A loss whose level still moves does not compare.
    source = () if method.learns_level else experiment.sources["validation"]
    count = min(len(source), config.validation.limit or len(source))
    images = [complete(source[i])[0] for i in range(count)]
    return HeldOutLoss(
        [feed.ranges.enter(image) for image in images] if experiment.only_noisy else images,
        size=feed.size,
        batch_size=config.train.batch_size,
        model=experiment.model,
        loss=experiment.loss,
        method=method,
        prepare=experiments.make_prepare(experiment, feed.size, augment=False),
    )


def evaluate_run(experiment: Experiment | ConfigDict, workdir: str | Path) -> Result | None:
    """Scores a run's weights on the test set, beside the classical baselines.

    Writes `eval/`, see `zoo.evaluate.evaluation`, the galleries into the workdir, and the scores
    into the metadata of the weight file.

    Args:
      experiment: as built for the training, or its config; what concerns evaluation may differ.
      workdir: of the run.

    Returns:
      The scores; None where no clean image is there to score with.

    Raises:
      ZooError: the run has no weights yet, or the test set cannot be read.
    """
    workdir = Path(workdir)
    if not (workdir / WEIGHTS).is_file() and has_saved(workdir):
        weights_of(workdir)
    metadata = weights.read_record(workdir / WEIGHTS)
    model, variables = weights.load(workdir / WEIGHTS)
    if not isinstance(experiment, Experiment):
        experiment = experiments.build(experiment)
    config = experiment.config
    if experiment.method and not scored(config, experiment.sources["test"]):
        return None
    for difference in differing(config, metadata["config"]):
        print(f"note: scoring with another {difference} than the training", file=sys.stderr)
    with progress("evaluating") as advance:
        result = evaluate(
            {"model": _denoiser(model, variables)} | _published(config),
            experiment.sources["test"],
            levels=experiment.levels,
            outdir=workdir / "eval",
            sheets=workdir,
            title=experiment.title,
            baselines=tuple(config.eval.baselines),
            sigma_known=config.noise.name == "gaussian",
            limit=config.eval.limit or None,
            progress=advance,
        )
    metadata["scores"]["test"] = {level.label: means for level, means in result.by_level.items()}
    metadata["levels"] = {level.label: level.to_json() for level in result.by_level}
    weights.save(workdir / WEIGHTS, variables, metadata)
    return result


def _published(config: ConfigDict) -> dict[str, Apply]:
    """The models of `eval.published`, by name."""
    return {
        name: _denoiser(create_model(name), load_torch(name, path))
        for name, path in config.eval.published.items()
    }


def _denoiser(model: nn.Module, variables: dict) -> Apply:
    apply, variables = jax.jit(model.apply), jax.device_put(variables)
    return lambda x, level: apply(variables, x, level)
