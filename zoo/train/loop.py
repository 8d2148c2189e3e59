"""A whole training run, top to bottom: build, resume, step, validate, save, write the weights."""

import json
import sys
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from zoo.data.sources import Source
from zoo.data.sources.folders import count_suffixes
from zoo.errors import ZooError
from zoo.train import experiment as experiments
from zoo.train import workdir as workdirs
from zoo.train.checkpoint import Checkpoints
from zoo.train.config import override, to_plain
from zoo.train.distributed import Interrupted, Listener, agree, alone, is_first, text_from_first
from zoo.train.experiment import Experiment
from zoo.train.feed import Feed, make_feed
from zoo.train.metrics_writer import Metrics, MetricsWriter, Progress, diverged
from zoo.train.parallel import check as check_devices
from zoo.train.parallel import make_runner
from zoo.train.run_weights import Best, write_weights
from zoo.train.scoring import make_validation
from zoo.train.step import State, create_state
from zoo.train.value_ranges import Ranges
from zoo.train.warm_start import Start, load_start, start_from

# Steps that the device is left to work on while a look is written down.
_AHEAD = 8


class Run(NamedTuple):
    """The result of `run`.

    Attributes:
      state: the last one, as NumPy arrays.
      history: the metrics of each step; empty with a workdir, whose `metrics.jsonl` holds them.
      stop: the signal that ended it early; None if it has finished.
      ranges: of the values of noisy images; empty where there were clean ones.
    """

    state: State
    history: list[dict[str, float]]
    stop: Interrupted | None
    ranges: Ranges


def train(
    config: ConfigDict, path: str | Path, *, command: str = "", resume_with: Iterable[str] = ()
) -> Experiment:
    """Trains what a config describes, or goes on with it where an earlier call stopped.

    Where several processes have joined (`zoo.train.distributed`), all of them call this with the
    same config. Each reads its own part of every batch; the first one writes.

    Args:
      config: see `zoo.train.config`.
      path: the workdir, see `run`.
      command: what the user typed, for the record.
      resume_with: keys of the config, `KEY=VALUE` each, that change in a run that goes on. What
        they were until then is kept with the config and in the metadata of the weights.

    Returns:
      The experiment, for `zoo.train.scoring.evaluate_run`.

    Raises:
      ZooError: a mistake in the config, the data or the workdir, or a loss that is not finite.
      Interrupted: by SIGTERM or Ctrl-C, after saving.
    """
    config, changed = _resumed(config, path, resume_with)
    experiment = experiments.build(config)
    show = "bar" if sys.stderr.isatty() else "lines"
    done = run(experiment, path, changed=changed, command=command, show=show)
    if done.stop is not None:
        raise done.stop
    return experiment


def run(
    experiment: Experiment,
    path: str | Path | None = None,
    *,
    changed: Sequence[str] = (),
    command: str = "",
    start: Start | None = None,
    show: str | None = None,
) -> Run:
    """Trains an experiment, to its end or until SIGTERM or Ctrl-C.

    With each checkpoint it leaves `weights.safetensors` in the workdir: the average of the
    parameters that scored best on the validation examples so far, or the newest one where none has
    been scored.

    Args:
      experiment: of `zoo.train.experiment.build`.
      path: the workdir; None keeps everything in memory.
      changed: keys of the config that differ from those of the run that goes on.
      command: what the user typed, for the record.
      start: a module and variables to begin with instead of those of `train.start`.
      show: `"bar"` or `"lines"` reports progress on the standard error; None is silent.

    Raises:
      ZooError: a mistake in the data or the workdir, or a loss that is not finite.
    """
    config = experiment.config
    _check_same_config(config)
    # A run that goes on needs no weights to begin with.
    saved = path is not None and workdirs.has_saved(path)
    start = None if saved else start or load_start(config, experiment.model_options)
    with (
        nullcontext() if path is None else workdirs.opened(path, config, changed) as workdir,
        Listener() as listener,
    ):
        # What the config describes.
        check_devices(config.parallel, config.train.batch_size)
        feed = make_feed(experiment, workdirs.ranges(workdir))
        experiment = experiment.seen_in(feed.ranges)
        optimizer, schedule = experiments.make_optimizer(config, feed.steps, experiment.level)
        runner = make_runner(
            config.parallel,
            experiments.step_builder(experiment, feed.size, optimizer),
            config.train.batch_size,
        )
        _check_same_data(experiment, feed)
        validation = make_validation(experiment, feed)

        # A fresh state, or the one where an earlier call stopped.
        init_key, key = jax.random.split(jax.random.key(config.seed))
        state = create_state(experiment.model, optimizer, init_key, (1, *feed.size))
        checkpoints = workdir and Checkpoints(
            workdir / workdirs.CHECKPOINTS, keep=config.checkpoint.keep, warn=_say
        )
        state, best = _begun(state, experiment, checkpoints, start)
        workdirs.keep_ranges(workdir, feed.ranges)
        first = int(state.step)
        if show:
            _introduce(experiment, feed, state)

        # The steps. Metrics stay on the device until they are logged.
        batches = feed.batches.starting_at(first)
        bank, noise = (runner.place_bank(b) if b else None for b in (feed.bank, feed.noise))
        placed = runner.place(state)
        written, stop = None, 0
        writes = workdir is not None and is_first()
        report = (
            MetricsWriter(workdir, first, schedule, experiment.modality)
            if writes
            else Metrics(schedule, keep=workdir is None)
        )
        batch_size, show = config.train.batch_size, show if is_first() else None
        bar = Progress(first, feed.steps, batch_size, experiment.modality, show)
        with report, closing(bar):
            for step in range(first + 1, feed.steps + 1):
                placed, metrics = runner.run(placed, runner.feed(next(batches), bank, noise), key)
                report.add(step, metrics)

                last = step == feed.steps
                validate = validation and (last or step % config.validation.every == 0)
                save = last or (checkpoints and step % config.checkpoint.every == 0)
                look = validate or save or step % config.log.every == 0
                # Several processes ask each other only where they wait for the device anyway.
                stop = agree(listener.signum or 0) if look or alone() else 0
                if not (look or stop):
                    continue
                save = save or stop
                bad = report.look(runner.fetch, leave=0 if validate or save else _AHEAD)
                if bad is not None:
                    raise diverged(bad, checkpoints and checkpoints.latest)
                if validate or save:
                    state = runner.fetch(placed)
                    # The gradient may be finite and the update overflow all the same.
                    if not all(np.isfinite(x).all() for x in jax.tree.leaves(state.params)):
                        raise diverged(step, checkpoints and checkpoints.latest)
                if validate:
                    score = validation.score(state)
                    report.note(**validation.figure(score))
                    if score > best.score:
                        best = Best(state.variables, np.array(score, np.float32), state.step)
                bar.report(report.rows)
                report.write()
                if save and checkpoints:
                    checkpoints.save(step, (state, best))
                    if last or not best.scored or int(best.step) != written:
                        write_weights(workdir, experiment, best, state, report.seconds, command)
                        written = int(best.step)
                if stop:
                    break

        # What a run that had finished before leaves behind.
        if checkpoints and first >= feed.steps:
            write_weights(workdir, experiment, best, state, report.seconds, command)
        stop = stop or agree(listener.signum or 0)
    saved = path is not None
    interrupted = Interrupted(stop, int(state.step), saved=saved) if stop else None
    return Run(state, report.history, interrupted, feed.ranges)


def _resumed(
    config: ConfigDict, path: str | Path, resume_with: Iterable[str]
) -> tuple[ConfigDict, list[str]]:
    """The config with what changes on the way, and the keys of that."""
    config = config.copy_and_resolve_references()
    changed = override(config, resume_with, flag="--resume-with=")
    workdirs.check_changeable(changed)
    if changed and not workdirs.has_saved(path):
        raise ZooError(
            f"--resume-with is for a run that goes on, and {path} has saved nothing yet; "
            f"begin it with --{changed[0]}=VALUE"
        )
    if "train.batch_size" in changed and not config.train.steps:
        raise ZooError(
            "with another train.batch_size the steps of train.epochs would be others; set "
            "--train.steps to how many the whole run shall have"
        )
    return config, changed


def _begun(
    state: State, experiment: Experiment, checkpoints: Checkpoints | None, start: Start | None
) -> tuple[State, Best]:
    """Where an earlier call stopped; else the fresh state, with the weights it is to begin with."""
    saved = checkpoints is not None and checkpoints.latest is not None
    if start and not saved:
        name = experiment.config.train.start
        name = f"train.start={name}" if name else "variables"
        state = start_from(state, experiment.model, start, name)
    state = jax.device_get(state)
    # The best average is in the checkpoint, so that both are always of the same step.
    best = Best(state.variables, np.array(-np.inf, np.float32), state.step)
    return checkpoints.restore((state, best)) if saved else (state, best)


def _check_same_config(config: ConfigDict) -> None:
    """Refuses processes with different configs; paths of folders may differ."""
    if alone():
        return
    theirs = json.loads(text_from_first(json.dumps(to_plain(config))))
    found = workdirs.differing(config, theirs, free=("data.path", "data.workers"))
    if agree(len(found)):
        which = ", ".join(found) or "see its own line"
        raise ZooError(f"the processes have different configs ({which}); start all with the same")


def _check_same_data(experiment: Experiment, feed: Feed) -> None:
    counts = {split: len(source) for split, source in experiment.sources.items()}
    pixels = zlib.crc32(feed.bank.values) if feed.bank and not alone() else 0
    mine = f"{counts}, checksum {pixels}"
    theirs = text_from_first(mine)
    if agree(int(mine != theirs)):
        raise ZooError(f"the processes have different data: {mine}, the first one {theirs}")


def _introduce(experiment: Experiment, feed: Feed, state: State) -> None:
    config, first = experiment.config, int(state.step)
    count = sum(x.size for x in jax.tree.leaves(state.params))
    counts = (
        f"{len(source)} {split}" + (f" ({len(source.skipped)} skipped)" if source.skipped else "")
        for split, source in experiment.sources.items()
    )
    _say(f"model {config.model.name}, {count:,} parameters, on {jax.device_count()} device(s)")
    _say(f"data {config.data.name}: {', '.join(counts)}")
    for split, source in experiment.sources.items():
        for name, reason in source.skipped.items():
            _say(f"skipped {name} of {split}: {reason}")
    learned = bool(experiment.method and experiment.method.learns_level)
    ranges = feed.ranges.lines(experiment.level, learned=learned)
    for line in (*feed.notes, *ranges, *_left_out(experiment.sources)):
        _say(line)
    if config.data.natural and config.data.name in ("photos", "voices"):
        what = "photos of scikit-image" if config.data.name == "photos" else "synthetic voices"
        _say(f"this run uses {what}; for your own data: {config.data.natural}")
    if first >= feed.steps:
        _say(f"this run has finished its {first} steps")
    elif first:
        _say(f"resuming from step {first} of {feed.steps}")
    else:
        _say(f"{feed.steps} steps of {config.train.batch_size}; compiling the first step")


def _left_out(found: dict[str, Source]) -> list[str]:
    """Which files of the folders are no part of the data, counted by their endings."""
    lines = []
    for what, all_of in (
        ("data", found.values()),
        ("noise", [source.noise for source in found.values() if source.noise]),
    ):
        # Splits by fractions share a folder, and so the list.
        names = sorted({name for source in all_of for name in source.ignored})
        if names:
            others = f"{len(names)} other files ({count_suffixes(names)}), as {names[0]}"
            lines.append(f"{what}: left out {others}")
    return lines


def _say(text: str) -> None:
    if is_first():
        print(text, file=sys.stderr)
