"""The scores of a run: the validation along the way and the evaluation at its end."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import jax
from ml_collections import ConfigDict

from zoo import weights
from zoo.evaluate import Result, evaluate, mean_psnr
from zoo.train import experiment as experiments
from zoo.train.config import differing
from zoo.train.experiment import Experiment
from zoo.train.report import counter
from zoo.train.workdir import WEIGHTS


class Validation:
    """The mean PSNR over the validation pictures, each with the same noise every time.

    False where there are none.
    """

    def __init__(self, experiment: Experiment):
        self._pictures = experiment.sources["validation"]
        self._levels = experiment.validation
        self._limit = experiment.config.validation.limit or None
        self._apply = _apply(experiment.model)

    def __bool__(self) -> bool:
        return len(self._pictures) > 0

    def psnr(self, variables: dict) -> float:
        """Scores a model's variables, in dB."""
        variables = jax.device_put(variables)
        return mean_psnr(
            lambda x, level: self._apply(variables, x, level),
            self._pictures,
            levels=self._levels,
            limit=self._limit,
        )


def evaluate_run(config: ConfigDict, workdir: str | Path) -> Result:
    """Scores a run's weights on the test pictures, beside the classical baselines.

    Writes `eval/`, `gallery.png` (one for each level) and, into the weight file's record, the
    scores.

    Args:
      config: as it was trained with; what concerns evaluation may differ.
      workdir: of the run.

    Raises:
      ZooError: the run has no weights yet, or the test pictures cannot be read.
    """
    workdir = Path(workdir)
    record = weights.read_record(workdir / WEIGHTS)
    model, variables = weights.load(workdir / WEIGHTS)
    experiment = experiments.build(config)
    for difference in differing(config, record["config"]):
        print(f"note: scoring with another {difference} than the training", file=sys.stderr)
    apply, variables = _apply(model), jax.device_put(variables)
    # Pictures of an earlier evaluation at other levels would pass for this one's.
    shutil.rmtree(workdir / "eval" / "denoised", ignore_errors=True)
    for gallery in workdir.glob("gallery*.png"):
        gallery.unlink()
    result = evaluate(
        lambda x, level: apply(variables, x, level),
        experiment.sources["test"],
        levels=experiment.levels,
        outdir=workdir / "eval",
        gallery=workdir / "gallery.png",
        heading=experiment.heading,
        baselines=tuple(config.eval.baselines),
        level_is_sigma=config.noise.name == "gaussian",
        limit=config.eval.limit or None,
        progress=counter("evaluating"),
    )
    record["scores"]["test"] = result.by_level
    weights.save(workdir / WEIGHTS, variables, record)
    return result


def _apply(model) -> Callable:
    return jax.jit(model.apply)
