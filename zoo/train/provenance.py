"""The record a weight file carries: what made it, from what, and what it is for."""

import dataclasses
import math
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
from ml_collections import ConfigDict

import zoo
from zoo import modality, models
from zoo.train.config import to_plain
from zoo.train.experiment import model_options


def make_record(
    config: ConfigDict,
    *,
    data: Mapping[str, int] | None = None,
    step: int,
    score: float,
    seconds: float = 0.0,
    command: str = "",
    changes: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Builds the record of a run's weights.

    Args:
      config: what was trained.
      data: how many pictures or recordings each split had, where that is known.
      step: when the weights were what they are.
      score: the validation's figure of merit, in dB; NaN where nothing was validated.
      seconds: how long it trained.
      command: what the user typed, as far as is known.
      changes: of the config on the way, as `zoo.train.workdir.changes` gives them.
    """
    options = model_options(config)
    contract = models.model_spec(config.model.name, **options)
    scored = f"validation_{modality.get(contract.modality).merit}"
    return {
        "model": config.model.name,
        "options": options,
        "contract": dataclasses.asdict(contract),
        "config": to_plain(config),
        "data": dict(data or {}),
        "noise": to_plain(config.noise),
        "commit": _commit(),
        "step": step,
        "seconds": seconds,
        "command": command,
        "scores": {scored: score} if math.isfinite(score) else {},
        "device": jax.devices()[0].device_kind,
        "versions": {"zoo": zoo.__version__, "jax": jax.__version__, "flax": flax.__version__},
    } | ({"resumed_with": list(changes)} if changes else {})


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
