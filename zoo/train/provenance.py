"""The record a weight file carries: what made it, from what, and what it is for."""

import dataclasses
import math
import subprocess
from pathlib import Path
from typing import Any

import flax
import jax

import zoo
from zoo import models
from zoo.train.config import to_plain
from zoo.train.experiment import Experiment


def make_record(
    experiment: Experiment, *, step: int, score: float, seconds: float, command: str
) -> dict[str, Any]:
    """Builds the record of a finished run.

    Args:
      experiment: what was trained.
      step: when the weights were what they are.
      score: the validation's figure of merit, in dB; NaN where nothing was validated.
      seconds: how long it trained.
      command: what the user typed, as far as is known.
    """
    config = experiment.config
    contract = models.record(config.model.name, **experiment.model_options)
    return {
        "model": config.model.name,
        "options": experiment.model_options,
        "contract": dataclasses.asdict(contract),
        "config": to_plain(config),
        "data": {split: len(source) for split, source in experiment.sources.items()},
        "noise": to_plain(config.noise),
        "commit": _commit(),
        "step": step,
        "seconds": seconds,
        "command": command,
        "scores": {} if math.isnan(score) else {f"validation_{experiment.modality.metric}": score},
        "device": jax.devices()[0].device_kind,
        "versions": {"zoo": zoo.__version__, "jax": jax.__version__, "flax": flax.__version__},
    }


def _commit() -> str | None:
    """The commit of the checkout this package runs from, or None outside one."""
    folder = Path(zoo.__file__).parent
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
        # Installed below some other project's checkout, that one's commit would mislead.
        if Path(top) != folder.parent.resolve():
            return None
        return _git(folder, "describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
