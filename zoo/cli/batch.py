"""File after file: what fails is told and counted, and the rest is done all the same."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from zoo import files
from zoo.cli import outputs, streams, text
from zoo.cli.outputs import Job
from zoo.cli.progress import shown
from zoo.data import file_kinds
from zoo.errors import OUT_OF_MEMORY, ZooError, in_words

# Names of failed files that the summary repeats, and of endings of skipped ones.
_LISTED = 10


class Done(NamedTuple):
    """One file that was made.

    Attributes:
      text: what to say of it, in one line or more.
      amount: pixels of a picture, seconds of a recording.
      problem: what went wrong after the file was written, in one line; it counts as a failure.
    """

    text: str
    amount: float
    problem: str = ""


class _Tally:
    """What the summary is made of."""

    def __init__(self):
        self.count, self.amount, self.seconds = Counter(), Counter(), Counter()
        self.failed: list[str] = []
        self.there = 0

    def add(self, kind: str, amount: float, seconds: float) -> None:
        self.count[kind] += 1
        self.amount[kind] += amount
        self.seconds[kind] += seconds


def each(
    jobs: Sequence[Job],
    do: Callable[[Job, Callable[[int, int], None]], Done],
    *,
    overwrite: bool,
    skip_existing: bool = False,
    skipped: Sequence[Path] = (),
) -> int:
    """Does one job after the other, says so, and sums up.

    Of several jobs those are left out whose outputs are there and no older than their inputs, as
    after an interrupted run; they are counted.

    Args:
      jobs: what is to be made.
      do: makes one; is given the job and a function for its progress, and raises `ZooError`.
      overwrite: whether files may be replaced.
      skip_existing: whether every output that is there is left, however old, and is no mistake.
      skipped: files that are no inputs, for the summary.

    Returns:
      The exit code: 0, 1 if anything failed or all was there, 130 after Ctrl-C.
    """
    tally, began = _Tally(), time.monotonic()
    finished = 0
    # What goes to standard output must be alone there.
    out = sys.stderr if any(job.stream for job in jobs) else sys.stdout
    leave = not overwrite and (skip_existing or len(jobs) > 1)
    try:
        for number, job in enumerate(jobs, 1):
            start = time.monotonic()
            if leave and outputs.is_done(job, any_age=skip_existing):
                tally.there += 1
                continue
            try:
                with shown(number, len(jobs), str(job.source)) as tell:
                    done = _one(job, do, tell, overwrite)
            except ZooError as error:
                _fail(tally, job, str(error))
                continue
            took = time.monotonic() - start
            finished += 1
            tally.add(job.kind, done.amount, took)
            told = f"{job.source} -> {job.target}: {done.text}, {took:.1f} s"
            print(text.line(streams.told(told)), file=out, flush=True)
            if done.problem:
                _fail(tally, job, done.problem)
    except KeyboardInterrupt:
        print(f"stopped; {finished} of {len(jobs)} files are written and stay", file=sys.stderr)
        return 130
    _sum_up(tally, len(jobs), time.monotonic() - began, skipped, out)
    if tally.there == len(jobs) and not skip_existing:
        print(
            "error: all outputs are there; give --overwrite, or --skip-existing to leave them",
            file=sys.stderr,
        )
        return 1
    return 1 if tally.failed else 0


def _one(job: Job, do: Callable, tell: Callable[[int, int], None], overwrite: bool) -> Done:
    """One job; whatever keeps a file from being made is a `ZooError`."""
    if job.problem:
        raise ZooError(job.problem)
    try:
        outputs.check_place(job, overwrite)
        files.make_folder(job.target.parent)
        done = do(job, tell)
        if job.stream:
            streams.put(job.target, job.stream)
        return done
    except (ZooError, BrokenPipeError):
        raise
    except Exception as error:
        told = in_words(error)
        if told is None:
            raise
        if told.startswith(OUT_OF_MEMORY):
            picture = job.kind == file_kinds.IMAGE
            remedy = "give smaller tiles by --tile" if picture else "cut it into pieces"
            raise ZooError(f"{job.source} does not fit into memory; {remedy}") from None
        raise ZooError(f"cannot make {job.target} of {job.source}: {told}") from None


def _fail(tally: _Tally, job: Job, problem: str) -> None:
    tally.failed.append(streams.told(str(job.source)))
    # What was printed before comes before it in a file of both.
    sys.stdout.flush()
    print(f"error: {text.line(streams.told(problem))}", file=sys.stderr, flush=True)


def _sum_up(
    tally: _Tally, count: int, seconds: float, skipped: Sequence[Path], out: TextIO
) -> None:
    if tally.there:
        print(
            f"left {_plural(tally.there, 'output')} that were there (--overwrite makes them anew)",
            file=out,
        )
    if count == 1 and not skipped:
        return
    parts = []
    if pictures := tally.count[file_kinds.IMAGE]:
        mega = tally.amount[file_kinds.IMAGE] / 1e6
        rate = mega / max(tally.seconds[file_kinds.IMAGE], 1e-9)
        parts.append(f"{_plural(pictures, 'picture')}, {rate:.3g} megapixels/s")
    if recordings := tally.count[file_kinds.AUDIO]:
        rate = tally.amount[file_kinds.AUDIO] / max(tally.seconds[file_kinds.AUDIO], 1e-9)
        parts.append(f"{_plural(recordings, 'recording')}, {rate:.3g} times real time")
    parts = parts or ["nothing written"]
    print(f"{'; '.join(parts)}; {seconds:.1f} s in all", file=out)
    if skipped:
        ends = Counter(path.suffix.lower() or path.name for path in skipped)
        told = ", ".join(f"{number} {end}" for end, number in ends.most_common(_LISTED))
        print(text.line(f"skipped {_plural(len(skipped), 'other file')}: {told}"), file=out)
    if tally.failed:
        more = f" and {len(tally.failed) - _LISTED} more" if len(tally.failed) > _LISTED else ""
        told = ", ".join(tally.failed[:_LISTED]) + more
        print(text.line(f"failed: {len(tally.failed)} of {count}: {told}"), file=sys.stderr)


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
