"""The weight file of a run: which variables it holds, and the metadata stored with them."""

import dataclasses
import math
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax
import jax
import numpy as np
from ml_collections import ConfigDict

import zoo
from zoo import modality, models, weights
from zoo.errors import ZooError, first_line
from zoo.train import workdir as workdirs
from zoo.train.checkpoint import read_saved
from zoo.train.config import default_config, to_plain
from zoo.train.distributed import is_first
from zoo.train.experiment import Experiment, model_options
from zoo.train.step import State
from zoo.train.value_ranges import Ranges


class Best(NamedTuple):
    """The averaged variables that scored best on the validation images so far.

    Attributes:
      variables: ready for `apply`.
      score: () float32, the validation's figure of merit, in dB; without clean images minus
        the loss.
      step: () int32, when.
    """

    variables: Any
    score: np.ndarray
    step: np.ndarray

    @property
    def scored(self) -> bool:
        """Whether any average has been."""
        return bool(np.isfinite(self.score))


def write_weights(
    workdir: Path, experiment: Experiment, best: Best, state: State, seconds: float, command: str
) -> None:
    """Writes the average that scored best, or the newest one where none has been scored.

    Args:
      workdir: of the run; of several processes the first one writes.
      experiment: what is trained.
      best: so far.
      state: now.
      seconds: how long it has trained.
      command: what the user typed.
    """
    if not is_first():
        return
    if not best.scored:
        best = Best(state.variables, best.score, state.step)
    record = make_record(
        experiment.config,
        data={split: len(source) for split, source in experiment.sources.items()},
        step=int(best.step),
        score=float(best.score),
        seconds=round(seconds),
        command=command,
        changes=workdirs.changes(workdir),
        ranges=workdirs.ranges(workdir),
    )
    weights.save(workdir / workdirs.WEIGHTS, best.variables, record)


def weights_of(path: str | Path, output: str | Path | None = None) -> Path:
    """Writes the weights of a run's newest checkpoint, whatever has become of its weight file.

    They are the averages that `train` writes. The run may be at work, or its data elsewhere.

    Args:
      path: the workdir.
      output: the file; `weights.safetensors` in the workdir by default. One that is there is
        replaced.

    Returns:
      The file.

    Raises:
      ZooError: it is no run's workdir, or has no whole checkpoint.
    """
    workdir = Path(path).expanduser()
    plain = workdirs.read_config(workdir)
    step, (state, best) = read_saved(workdir / workdirs.CHECKPOINTS)
    config = default_config()
    try:
        config.update(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise ZooError(
            f"{workdir} holds a config of another version: {first_line(error)}"
        ) from None
    best = Best(**best)
    if not best.scored:
        variables = {"params": state["ema"], **state["model_state"]}
        best = Best(variables, np.array(np.nan), np.array(step))
    record = make_record(
        config,
        step=int(best.step),
        score=float(best.score),
        changes=workdirs.changes(workdir),
        ranges=workdirs.ranges(workdir),
    )
    file = Path(output or workdir / workdirs.WEIGHTS)
    weights.save(file, best.variables, record)
    return file


def make_record(
    config: ConfigDict,
    *,
    data: Mapping[str, int] | None = None,
    step: int,
    score: float,
    seconds: float = 0.0,
    command: str = "",
    changes: Sequence[Mapping[str, Any]] = (),
    ranges: Ranges | None = None,
) -> dict[str, Any]:
    """Builds the record of a run's weights.

    Args:
      config: what was trained.
      data: how many images or audio each split had, where that is known.
      step: when the weights were what they are.
      score: as in `Best`; NaN where nothing was validated.
      seconds: how long it trained.
      command: what the user typed, as far as is known.
      changes: of the config on the way, as `zoo.train.workdir.changes` gives them.
      ranges: of the values of noisy images; None where there were clean ones.
    """
    options = model_options(config)
    contract = models.model_spec(config.model.name, **options)
    merit = modality.get(contract.modality).merit
    scored = f"validation_{merit}"
    if config.target.name:
        scored, score = "validation_loss", -score
    more = {"resumed_with": list(changes)} if changes else {}
    if ranges is not None:
        more["ranges"] = {name: list(limits) for name, limits in ranges.by_dtype.items()}
    return {
        "model": config.model.name,
        "options": options,
        "contract": dataclasses.asdict(contract),
        "config": to_plain(config),
        "data": dict(data or {}),
        "noise": to_plain(config.noise),
        "target": to_plain(config.target),
        "commit": _commit(),
        "step": step,
        "seconds": seconds,
        "command": command,
        "scores": {scored: score} if math.isfinite(score) else {},
        "device": jax.devices()[0].device_kind,
        "versions": {"zoo": zoo.__version__, "jax": jax.__version__, "flax": flax.__version__},
    } | more


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
