"""Metrics of a run: metrics.jsonl, TensorBoard events, progress lines and the curves."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Set
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import jax
import tqdm
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from zoo import charts, files
from zoo.errors import ZooError
from zoo.metrics import main_metric
from zoo.modality import Modality

# Lines of a log file should not outrun its reader.
_SECONDS_BETWEEN_LINES = 15.0


class MetricsWriter:
    """The metrics of one run, each step exactly once whatever interrupted it.

    Metrics stay on the device until `look`, so that logging does not make the device wait.

    Args:
      workdir: where `metrics.jsonl`, `events/` and `curves.png` go.
      step: how many steps are done; what an interrupted run logged beyond them is cut off.
      steps: of the whole run.
      batch_size: examples a step.
      schedule: learning rate by step.
      modality: of what is trained.
    """

    def __init__(
        self,
        workdir: Path,
        step: int,
        steps: int,
        batch_size: int,
        schedule: Callable[[int], Any],
        modality: Modality,
    ):
        self._path = workdir / "metrics.jsonl"
        self._curves = workdir / "curves.png"
        # Of the stretches before this one, up to where it goes on.
        self._before = _keep_up_to(self._path, step, {"step", "loss", modality.merit})
        self._began = time.monotonic()
        # Whatever fails, all of these are closed: what is not, Python complains of at its end.
        self._open = ExitStack()
        self._file = self._open.enter_context(self._path.open("a"))
        files.make_folder(workdir / "events")
        # Not `SummaryWriter`, whose thread dies, and leaves the run waiting, when the clock is set
        # back. The step keeps apart what begins within one second.
        self._events = EventsWriter(str(workdir / "events" / "events"), f".{step}")
        self._open.callback(self._events.close)
        begin = SessionLog(status=SessionLog.START)
        self._events.write_event(Event(wall_time=time.time(), step=step + 1, session_log=begin))
        # Op by op it would take time in which the device may have no work.
        self._schedule = jax.jit(schedule)
        self._batch_size = batch_size
        self._modality = modality
        self._steps = steps
        self._pending: list[tuple[int, Any]] = []
        self._rows: list[dict[str, float]] = []
        self._clock = (time.monotonic(), step)
        self._spoke = time.monotonic()
        self._bar = tqdm.tqdm(
            total=steps,
            initial=step,
            disable=not sys.stderr.isatty(),
            # The rate would be in steps; what remains fits into 80 columns.
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}",
        )

    @property
    def seconds(self) -> float:
        """How long the run has trained, validation included, interruptions left out."""
        return self._before + time.monotonic() - self._began

    def add(self, step: int, metrics: Any) -> None:
        """Keeps the device metrics of one step until somebody looks."""
        self._pending.append((step, metrics))

    def look(self, fetch: Callable[[Any], Any], *, leave: int = 0) -> int | None:
        """Brings the metrics kept since the last look to the host.

        Args:
          fetch: brings device metrics to the host.
          leave: how many of the latest steps to leave for the next look, so that the device has
            them to work on while the host writes.

        Returns:
          The first step whose loss or gradient is not finite, or None. What came before it counts.
        """
        ready = self._pending[: max(len(self._pending) - leave, 0)]
        for step, metrics in ready:
            values = {name: float(value) for name, value in fetch(metrics).items()}
            if not (math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])):
                return step
            # On the host, for the device still has steps to do before it could.
            with jax.default_device(jax.local_devices(backend="cpu")[0]):
                rate = float(self._schedule(step - 1))
            self._rows.append({"step": step, **values, "learning_rate": rate})
        self._pending = self._pending[len(ready) :]
        return None

    def note(self, **values: float) -> None:
        """Adds figures, such as a validation score, to the last step looked at."""
        self._rows[-1].update(values)

    def write(self) -> None:
        """Writes the rows looked at down to the disk, and says how things stand."""
        if self._rows:
            self.note(seconds=round(self.seconds, 1))
        try:
            for row in self._rows:
                self._file.write(json.dumps(row) + "\n")
                values = [Summary.Value(tag=k, simple_value=v) for k, v in row.items()][1:]
                self._events.write_event(
                    Event(wall_time=time.time(), step=row["step"], summary=Summary(value=values))
                )
            self._file.flush()
            os.fsync(self._file.fileno())
            self._events.flush()
        except OSError as error:
            raise ZooError(
                f"{self._path} cannot be written ({error.strerror}); mend that, and the same "
                "command goes on from the last checkpoint"
            ) from None
        if self._rows:
            self._say(self._rows[-1])
        self._rows.clear()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, kind, *_) -> None:
        """Writes what was looked at, draws the curves and closes the files.

        After an error, what goes wrong here is not worth hiding it.
        """
        with suppress(Exception) if kind else nullcontext():
            self._finish()

    def _finish(self) -> None:
        with self._open:
            self.write()
        self._bar.close()
        draw_curves(self._path, self._curves, self._modality)

    def _say(self, row: dict[str, float]) -> None:
        now, step = time.monotonic(), int(row["step"])
        then, done = self._clock
        self._clock = (now, step)
        speed = (step - done) * self._batch_size / max(now - then, 1e-9)
        metric, plural = main_metric(self._modality), self._modality.plural
        merit = f"{metric.text(row[metric.name])} {metric.unit}".strip()
        text = f"loss {row['loss']:.3g}, {merit}, {speed:.0f} {plural}/s"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(step - self._bar.n)
        if self._bar.disable and (
            now - self._spoke > _SECONDS_BETWEEN_LINES or step == self._steps
        ):
            left = (self._steps - step) * self._batch_size / max(speed, 1e-9)
            print(f"step {step}/{self._steps}: {text}, {left / 60:.1f} min left", file=sys.stderr)
            self._spoke = now


class SilentWriter(MetricsWriter):
    """The writer of a process for which another one writes: it only fetches metrics."""

    def __init__(self):
        self._schedule = lambda step: 0.0
        self._pending, self._rows = [], []
        self._before, self._began = 0.0, time.monotonic()

    def write(self) -> None:
        """Forgets the rows looked at."""
        self._rows.clear()

    def _finish(self) -> None:
        pass


def counter(what: str) -> Callable[[int, int], None]:
    """A function to call with the number of things done and to do; it shows a bar or lines."""
    bar = None
    spoke = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal bar, spoke
        bar = bar or tqdm.tqdm(desc=what, total=total, disable=not sys.stderr.isatty())
        bar.update(done - bar.n)
        if bar.disable and time.monotonic() - spoke > _SECONDS_BETWEEN_LINES:
            print(f"{what}: {done} of {total}", file=sys.stderr)
            spoke = time.monotonic()
        if done == total:
            bar.close()

    return tell


def draw_curves(metrics: Path, path: Path, modality: Modality) -> None:
    """Draws loss and figure of merit, in training and validation, of a `metrics.jsonl`."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    if rows:
        drawn = charts.training_charts(rows, modality.merit, main_metric(modality).heading)
        charts.write_png(path, drawn, size=(11, 4), dpi=120)


def _keep_up_to(path: Path, step: int, needed: Set[str]) -> float:
    """Cuts a metrics file off after a step; a half-written last line goes too.

    Of a damaged file the whole lines stay, and all of it under another name.

    Returns:
      The seconds that what is left took.
    """
    kept, seconds, damaged = [], 0.0, 0
    if not path.exists():
        return seconds
    data = files.read(path)
    for line in data.splitlines(keepends=True):
        row = _row(line, needed)
        if row is None:
            damaged += line.endswith(b"\n")
        elif row["step"] <= step:
            kept.append(line.rstrip() + b"\n")
            seconds = row.get("seconds", seconds)
    if damaged:
        aside = path.with_name(f"{path.name}.damaged-{step}")
        files.write(aside, data, durable=True)
        print(f"{damaged} lines of {path} are damaged; as it was it is {aside}", file=sys.stderr)
    files.write(path, b"".join(kept), durable=True)
    return seconds


def _row(line: bytes, needed: Set[str]) -> dict[str, float] | None:
    """A row of a metrics file; None if it is not one that `MetricsWriter` wrote whole."""
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    numbers = isinstance(row, dict) and all(isinstance(v, int | float) for v in row.values())
    return row if numbers and needed <= row.keys() else None
