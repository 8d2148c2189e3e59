"""The weights a run leaves: the average that scored best, as the run has it or its checkpoint."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo import weights
from zoo.errors import ZooError
from zoo.train import workdir as workdirs
from zoo.train.checkpoint import read_saved
from zoo.train.config import default_config
from zoo.train.distributed import is_first
from zoo.train.experiment import Experiment
from zoo.train.provenance import make_record
from zoo.train.state import State


class Best(NamedTuple):
    """The averaged variables that scored best on the validation pictures so far.

    Attributes:
      variables: ready for `apply`.
      score: () float32, the validation's figure of merit, in dB.
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
    told = workdirs.read_config(workdir)
    step, (state, best) = read_saved(workdir / workdirs.CHECKPOINTS)
    config = default_config()
    try:
        config.update(told)
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ZooError(f"{workdir} holds a config of another version: {reason}") from None
    best = Best(**best)
    if not best.scored:
        variables = {"params": state["ema"], **state["model_state"]}
        best = Best(variables, np.array(np.nan), np.array(step))
    record = make_record(
        config, step=int(best.step), score=float(best.score), changes=workdirs.changes(workdir)
    )
    file = Path(output or workdir / workdirs.WEIGHTS)
    weights.save(file, best.variables, record)
    return file
