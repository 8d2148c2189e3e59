"""The scores of a run: the validation along the way and the evaluation at its end."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import jax
from ml_collections import ConfigDict

from zoo import weights
from zoo.evaluate import Result, evaluate, mean_psnr, recordings
from zoo.interop.torch import load_torch
from zoo.models import create_model
from zoo.train import experiment as experiments
from zoo.train.experiment import Experiment
from zoo.train.metrics_writer import counter
from zoo.train.run_weights import weights_of
from zoo.train.workdir import WEIGHTS, differing, has_saved


class Validation:
    """The mean PSNR of the validation pictures or SI-SDR of recordings, the same noise every time.

    False where there are none.
    """

    def __init__(self, experiment: Experiment):
        self._source = experiment.sources["validation"]
        self._levels = experiment.validation
        self._limit = experiment.config.validation.limit or None
        self._apply = _apply(experiment.model)

    def __bool__(self) -> bool:
        return len(self._source) > 0

    def score(self, variables: dict) -> float:
        """Scores a model's variables, in dB."""
        variables = jax.device_put(variables)
        mean = recordings.mean_si_sdr if self._source.sample_rate else mean_psnr
        return mean(
            lambda x, level: self._apply(variables, x, level),
            self._source,
            levels=self._levels,
            limit=self._limit,
        )


def evaluate_run(config: ConfigDict, workdir: str | Path) -> Result | recordings.Result:
    """Scores a run's weights on the test set, beside the classical baselines.

    Writes `eval/`, of pictures `gallery.png` (one for each level) and, into the weight file's
    record, the scores.

    Args:
      config: as it was trained with; what concerns evaluation may differ.
      workdir: of the run.

    Raises:
      ZooError: the run has no weights yet, or the test pictures cannot be read.
    """
    workdir = Path(workdir)
    if not (workdir / WEIGHTS).is_file() and has_saved(workdir):
        weights_of(workdir)
    record = weights.read_record(workdir / WEIGHTS)
    model, variables = weights.load(workdir / WEIGHTS)
    experiment = experiments.build(config)
    config = experiment.config
    for difference in differing(config, record["config"]):
        print(f"note: scoring with another {difference} than the training", file=sys.stderr)
    apply, variables = _apply(model), jax.device_put(variables)

    def denoise(x: jax.Array, level: jax.Array) -> jax.Array:
        return apply(variables, x, level)

    if experiment.sources["test"].sample_rate:
        result = recordings.evaluate_recordings(
            {"model": denoise} | _published(config),
            experiment.sources["test"],
            levels=experiment.levels,
            outdir=workdir / "eval",
            heading=experiment.heading,
            baselines=tuple(config.eval.baselines),
            limit=config.eval.limit or None,
            progress=counter("evaluating"),
        )
    else:
        result = _evaluate_pictures(experiment, workdir, denoise)
    record["scores"]["test"] = result.by_level
    weights.save(workdir / WEIGHTS, variables, record)
    return result


def _evaluate_pictures(experiment: Experiment, workdir: Path, apply: Callable) -> Result:
    config = experiment.config
    # Pictures of an earlier evaluation at other levels would pass for this one's.
    shutil.rmtree(workdir / "eval" / "denoised", ignore_errors=True)
    for gallery in workdir.glob("gallery*.png"):
        gallery.unlink()
    return evaluate(
        apply,
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


def _published(config: ConfigDict) -> dict[str, Callable]:
    """The denoisers of `eval.published`, by name."""
    found = {}
    for name, path in config.eval.published.items():
        apply, variables = _apply(create_model(name)), jax.device_put(load_torch(name, path))
        found[name] = lambda x, level, apply=apply, variables=variables: apply(variables, x, level)
    return found


def _apply(model) -> Callable:
    return jax.jit(model.apply)
