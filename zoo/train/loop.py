"""A whole training run, top to bottom: build, resume, step, validate, save, write the weights."""

import json
import sys
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from zoo import weights
from zoo.errors import ZooError
from zoo.train import experiment as experiments
from zoo.train import workdir as workdirs
from zoo.train.checkpoint import Checkpoints
from zoo.train.config import differing, to_plain
from zoo.train.distributed import agree, alone, is_first, text_from_first
from zoo.train.experiment import Experiment
from zoo.train.interrupt import Interrupted, Listener
from zoo.train.parallel import check as check_devices
from zoo.train.parallel import make_runner
from zoo.train.provenance import make_record
from zoo.train.report import Report, Unwritten
from zoo.train.scoring import Validation
from zoo.train.start import start_from
from zoo.train.state import State, create_state

# Steps that the device is left to work on while a look is written down.
_AHEAD = 8


def train(config: ConfigDict, path: str | Path, *, command: str = "") -> None:
    """Trains what a config describes, or goes on with it where an earlier call stopped.

    Ends with `weights.safetensors` in the workdir: the average of the parameters that scored best
    on the validation pictures, or the last one where there are none.

    Where several processes have joined (`zoo.train.distributed`), all of them call this with the
    same config. Each reads its own part of every batch; the first one writes.

    Args:
      config: see `zoo.train.config`.
      path: the workdir.
      command: what the user typed, for the record.

    Raises:
      ZooError: a mistake in the config, the data or the workdir, or a loss that is not finite.
      Interrupted: by SIGTERM or Ctrl-C, after saving.
    """
    experiment = experiments.build(config)
    _check_same_config(config)
    _check_start(config.train.start, path)
    with workdirs.opened(path, config) as workdir, Listener() as listener:
        # What the config describes.
        check_devices(config.parallel, config.train.batch_size)
        feed = experiments.make_feed(experiment)
        optimizer, schedule = experiments.make_optimizer(config, feed.steps)
        runner = make_runner(
            config.parallel,
            experiments.step_builder(experiment, feed, optimizer),
            config.train.batch_size,
        )
        _check_same_pictures(experiment, feed)
        validation = Validation(experiment)

        # A fresh state, or the one where an earlier call stopped.
        init_key, key = jax.random.split(jax.random.key(config.seed))
        state = create_state(experiment.model, optimizer, init_key, (1, *feed.size))
        checkpoints = Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep, warn=_say)
        state, best = _begun(state, experiment, checkpoints)
        first = int(state.step)
        _introduce(experiment, feed, state)

        # The steps. Metrics stay on the device until somebody has to look.
        batches = feed.batches.starting_at(first)
        bank, noise = (runner.place_bank(b) if b else None for b in (feed.bank, feed.noise))
        placed = runner.place(state)
        with (
            Report(
                workdir,
                first,
                feed.steps,
                config.train.batch_size,
                schedule,
                experiment.modality,
            )
            if is_first()
            else Unwritten()
        ) as report:
            for step in range(first + 1, feed.steps + 1):
                placed, metrics = runner.run(placed, runner.feed(next(batches), bank, noise), key)
                report.add(step, metrics)

                last = step == feed.steps
                validate = validation and (last or step % config.validation.every == 0)
                save = last or step % config.checkpoint.every == 0
                look = validate or save or step % config.log.every == 0
                # Several processes ask each other only where they wait for the device anyway.
                stop = agree(listener.signum or 0) if look or alone() else 0
                if not (look or stop):
                    continue
                save = save or stop
                bad = report.look(runner.fetch, leave=0 if validate or save else _AHEAD)
                if bad is not None:
                    raise ZooError(_diverged(bad, checkpoints.latest))
                if validate or save:
                    state = runner.fetch(placed)
                    # The gradient may be finite and the update overflow all the same.
                    if not all(np.isfinite(x).all() for x in jax.tree.leaves(state.params)):
                        raise ZooError(_diverged(step, checkpoints.latest))
                if validate:
                    score = validation.score(state.variables)
                    report.note(**{f"validation_{experiment.modality.metric}": score})
                    if score > best.score:
                        best = Best(state.variables, np.array(score, np.float32), state.step)
                report.write()
                if save:
                    checkpoints.save(step, (state, best))
                if stop and not last:
                    raise Interrupted(stop, step)

        # What the run leaves behind.
        if not validation:
            best = Best(state.variables, np.array(np.nan, np.float32), state.step)
        _write_weights(workdir, experiment, best, seconds=round(report.seconds), command=command)
        stop = agree(listener.signum or 0)
        if stop:
            raise Interrupted(stop, int(state.step))


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


def _check_start(start: str, path: str | Path) -> None:
    """Refuses weights to begin with that are not there; a run that goes on needs none."""
    if start and not workdirs.has_saved(path):
        weights.read_record(start)


def _begun(state: State, experiment: Experiment, checkpoints: Checkpoints) -> tuple[State, "Best"]:
    """Where an earlier call stopped; else the fresh state, with the weights it is to begin with."""
    start = experiment.config.train.start
    if start and checkpoints.latest is None:
        state = start_from(state, experiment.model, weights.load(start), start)
    state = jax.device_get(state)
    # The best average rides in the checkpoint, so that both always tell of the same step.
    best = Best(state.variables, np.array(-np.inf, np.float32), state.step)
    return (state, best) if checkpoints.latest is None else checkpoints.restore((state, best))


def _write_weights(workdir: Path, experiment: Experiment, best: Best, **told: Any) -> None:
    if is_first():
        record = make_record(experiment, step=int(best.step), score=float(best.score), **told)
        weights.save(workdir / workdirs.WEIGHTS, best.variables, record)


def _check_same_config(config: ConfigDict) -> None:
    """Refuses processes that were told different things; folders may be called differently."""
    theirs = json.loads(text_from_first(json.dumps(to_plain(config))))
    found = differing(config, theirs, free=("data.path", "data.workers"))
    if agree(len(found)):
        which = ", ".join(found) or "keys that its own line names"
        raise ZooError(f"not all processes have one config ({which}); start all with the same")


def _check_same_pictures(experiment: Experiment, feed: experiments.Feed) -> None:
    counts = {split: len(source) for split, source in experiment.sources.items()}
    pixels = zlib.crc32(feed.bank.pixels) if feed.bank and not alone() else 0
    mine = f"{counts}, checksum {pixels}"
    theirs = text_from_first(mine)
    if agree(int(mine != theirs)):
        raise ZooError(f"not all processes have the same pictures: {mine}, the first one {theirs}")


def _diverged(step: int, saved: int | None) -> str:
    return (
        f"the loss or its gradient is not finite at step {step}; the checkpoint of step "
        f"{saved or 0} is kept: lower optimizer.learning_rate, set optimizer.clip_norm, "
        "or look for NaN in the data"
    )


def _introduce(experiment: Experiment, feed: experiments.Feed, state: State) -> None:
    config, first = experiment.config, int(state.step)
    count = sum(x.size for x in jax.tree.leaves(state.params))
    pictures = (
        f"{len(source)} {split}" + (f" ({len(source.skipped)} skipped)" if source.skipped else "")
        for split, source in experiment.sources.items()
    )
    _say(f"model {config.model.name}, {count:,} parameters, on {jax.device_count()} device(s)")
    _say(f"data {config.data.name}: {', '.join(pictures)}")
    for split, source in experiment.sources.items():
        for name, reason in source.skipped.items():
            _say(f"skipped {name} of {split}: {reason}")
    if config.data.natural and config.data.name in ("photos", "voices"):
        what = "photos" if config.data.name == "photos" else "voices, made by a formula"
        _say(f"these are the embedded {what}; for its natural data: {config.data.natural}")
    if first >= feed.steps:
        _say(f"this run has finished its {first} steps")
    elif first:
        _say(f"going on from step {first} of {feed.steps}")
    else:
        _say(f"{feed.steps} steps of {config.train.batch_size}; the first waits for the compiler")


def _say(text: str) -> None:
    if is_first():
        print(text, file=sys.stderr)
