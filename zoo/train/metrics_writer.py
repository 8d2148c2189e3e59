"""Metrics of a run: metrics.jsonl, TensorBoard events, progress lines and the curves."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import jax
import tqdm

from zoo import charts, files
from zoo.errors import ZooError
from zoo.metrics import main_metric
from zoo.modality import Modality
from zoo.progress import SECONDS_BETWEEN_LINES


class Metrics:
    """The metrics of a run's steps: kept on the device until `look`, then as rows of numbers.

    Args:
      schedule: learning rate by step.
      keep: whether `write` keeps the rows in `history`.

    Attributes:
      rows: dictionaries of step, metrics and learning rate, of the steps looked at.
      history: earlier rows, as far as they are kept.
    """

    def __init__(self, schedule: Callable[[int], Any] = lambda step: 0.0, *, keep: bool = False):
        self.rows: list[dict[str, float]] = []
        self.history: list[dict[str, float]] = []
        self._keep = keep
        # Op by op it would take time in which the device may have no work.
        self._schedule = jax.jit(schedule)
        self._pending: list[tuple[int, Any]] = []
        self._before, self._began = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training, with validation, without interruptions."""
        return self._before + time.monotonic() - self._began

    def add(self, step: int, metrics: Any) -> None:
        """Keeps the device metrics of one step until the next `look`."""
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
            # On the host, because the device still has steps to do.
            with jax.default_device(jax.local_devices(backend="cpu")[0]):
                rate = float(self._schedule(step - 1))
            self.rows.append({"step": step, **values, "learning_rate": rate})
        self._pending = self._pending[len(ready) :]
        return None

    def note(self, **values: float) -> None:
        """Adds figures, such as a validation score, to the last step looked at."""
        self.rows[-1].update(values)

    def write(self) -> None:
        """Makes room for the next rows."""
        if self._keep:
            self.history += self.rows
        self.rows.clear()

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_) -> None:
        pass


class MetricsWriter(Metrics):
    """Metrics that `write` appends to files, each step exactly once whatever interrupted the run.

    Args:
      workdir: where `metrics.jsonl`, `events/` and `curves.png` go.
      step: steps done; rows that an interrupted run logged beyond them are cut off.
      schedule: learning rate by step.
      modality: of what is trained.
    """

    def __init__(
        self, workdir: Path, step: int, schedule: Callable[[int], Any], modality: Modality
    ):
        from tensorboardX import event_file_writer  # noqa: PLC0415 - an extra
        from tensorboardX.proto import event_pb2, summary_pb2  # noqa: PLC0415

        super().__init__(schedule)
        self._event, self._summary = event_pb2, summary_pb2.Summary
        self._workdir, self._modality = workdir, modality
        self._path = workdir / "metrics.jsonl"
        # Seconds of the earlier parts of the run.
        self._before = _keep_up_to(self._path, step, {"step", "loss"})
        # Closes everything after any failure: Python warns at exit of what is left open.
        self._open = ExitStack()
        self._file = self._open.enter_context(self._path.open("a"))
        files.make_folder(workdir / "events")
        # Not `SummaryWriter`, whose thread dies, and leaves the run waiting, when the clock is set
        # back. The step distinguishes files that begin within one second.
        self._events = event_file_writer.EventsWriter(
            str(workdir / "events" / "events"), f".{step}"
        )
        self._open.callback(self._events.close)
        begin = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write_event(step + 1, session_log=begin)

    def write(self) -> None:
        """Writes the rows to the files."""
        if self.rows:
            self.note(seconds=round(self.seconds, 1))
        try:
            for row in self.rows:
                self._file.write(json.dumps(row) + "\n")
                values = [self._summary.Value(tag=k, simple_value=v) for k, v in row.items()]
                self._write_event(row["step"], summary=self._summary(value=values[1:]))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._events.flush()
        except OSError as error:
            raise ZooError(
                f"{self._path} cannot be written ({error.strerror}); fix that, and the same "
                "command goes on from the last checkpoint"
            ) from None
        super().write()

    def _write_event(self, step: int, **content: Any) -> None:
        event = self._event.Event(wall_time=time.time(), step=step, **content)
        self._events.write_event(event)

    def __exit__(self, kind, *_) -> None:
        """Writes what was looked at, draws the curves and closes the files.

        After an error, what goes wrong here is not worth hiding it.
        """
        with suppress(Exception) if kind else nullcontext():
            with self._open:
                self.write()
            draw_curves(self._path, self._workdir / "curves.png", self._modality)


class Progress:
    """A progress bar, or lines where the standard error is no terminal.

    Args:
      step: steps done.
      steps: of the whole run.
      batch_size: examples a step.
      modality: of what is trained.
      show: `"bar"`, `"lines"` or None.
    """

    def __init__(
        self, step: int, steps: int, batch_size: int, modality: Modality, show: str | None
    ):
        self._steps, self._batch_size, self._modality = steps, batch_size, modality
        self._clock, self._printed = (time.monotonic(), step), time.monotonic()
        self._lines = show == "lines"
        self._bar = tqdm.tqdm(
            total=steps,
            initial=step,
            disable=show != "bar",
            # The rate would be in steps; this fits into 80 columns.
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}",
        )

    def report(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Shows the last of some rows of metrics, if there is one."""
        if not rows:
            return
        row, now = rows[-1], time.monotonic()
        then, done = self._clock
        step = int(row["step"])
        self._clock = (now, step)
        speed = (step - done) * self._batch_size / max(now - then, 1e-9)
        metric, plural = main_metric(self._modality), self._modality.plural
        text = f"loss {row['loss']:.3g}, "
        # Without clean images there is no figure of merit.
        if metric.name in row:
            text += f"{metric.text(row[metric.name])} {metric.unit}".strip() + ", "
        if "level" in row:
            text += f"sigma {255 * row['level']:.3g}/255, "
        text += f"{speed:.0f} {plural}/s"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(step - self._bar.n)
        late = now - self._printed > SECONDS_BETWEEN_LINES or step == self._steps
        if self._lines and late:
            left = (self._steps - step) * self._batch_size / max(speed, 1e-9)
            print(f"step {step}/{self._steps}: {text}, {left / 60:.1f} min left", file=sys.stderr)
            self._printed = now

    def close(self) -> None:
        """Ends the bar's line."""
        self._bar.close()


def diverged(step: int, saved: int | None) -> ZooError:
    """The error for a loss, gradient or parameter that is not finite.

    Args:
      step: where it was found.
      saved: the step of the latest checkpoint, None if there is none.
    """
    kept = "" if saved is None else f"; the checkpoint of step {saved} is kept"
    return ZooError(
        f"the loss or its gradient is not finite at step {step}{kept}: lower "
        "optimizer.learning_rate, set optimizer.clip_norm, or look for NaN in the data"
    )


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
