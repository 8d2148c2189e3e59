"""File after file: what fails is told and counted, and the rest is done all the same."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.cli import kinds, outputs, text
from zoo.cli.outputs import Job
from zoo.cli.progress import shown
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

    def add(self, kind: str, amount: float, seconds: float) -> None:
        self.count[kind] += 1
        self.amount[kind] += amount
        self.seconds[kind] += seconds


def each(
    jobs: Sequence[Job],
    do: Callable[[Job, Callable[[int, int], None]], Done],
    *,
    overwrite: bool,
    skipped: Sequence[Path] = (),
) -> int:
    """Does one job after the other, says so, and sums up.

    Args:
      jobs: what is to be made.
      do: makes one; is given the job and a function for its progress, and raises `ZooError`.
      overwrite: whether files may be replaced.
      skipped: files that are no inputs, for the summary.

    Returns:
      The exit code: 0, 1 if anything failed, 130 after Ctrl-C.
    """
    tally, began = _Tally(), time.monotonic()
    finished = 0
    try:
        for number, job in enumerate(jobs, 1):
            start = time.monotonic()
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
            print(text.line(told), flush=True)
            if done.problem:
                _fail(tally, job, done.problem)
    except KeyboardInterrupt:
        print(f"stopped; {finished} of {len(jobs)} files are written and stay", file=sys.stderr)
        return 130
    _sum_up(tally, len(jobs), time.monotonic() - began, skipped)
    return 1 if tally.failed else 0


def _one(job: Job, do: Callable, tell: Callable[[int, int], None], overwrite: bool) -> Done:
    """One job; whatever keeps a file from being made is a `ZooError`."""
    if job.problem:
        raise ZooError(job.problem)
    try:
        outputs.check_place(job, overwrite)
        files.make_folder(job.target.parent)
        return do(job, tell)
    except ZooError:
        raise
    except Exception as error:
        told = in_words(error)
        if told is None:
            raise
        if told.startswith(OUT_OF_MEMORY):
            picture = job.kind == kinds.PICTURE
            remedy = "give smaller tiles by --tile" if picture else "cut it into pieces"
            raise ZooError(f"{job.source} does not fit into memory; {remedy}") from None
        raise ZooError(f"cannot make {job.target} of {job.source}: {told}") from None


def _fail(tally: _Tally, job: Job, problem: str) -> None:
    tally.failed.append(str(job.source))
    # What was printed before comes before it in a file of both.
    sys.stdout.flush()
    print(f"error: {text.line(problem)}", file=sys.stderr, flush=True)


def _sum_up(tally: _Tally, count: int, seconds: float, skipped: Sequence[Path]) -> None:
    if count == 1 and not skipped:
        return
    parts = []
    if pictures := tally.count[kinds.PICTURE]:
        mega = tally.amount[kinds.PICTURE] / 1e6
        rate = mega / max(tally.seconds[kinds.PICTURE], 1e-9)
        parts.append(f"{_plural(pictures, 'picture')}, {rate:.3g} megapixels/s")
    if recordings := tally.count[kinds.RECORDING]:
        rate = tally.amount[kinds.RECORDING] / max(tally.seconds[kinds.RECORDING], 1e-9)
        parts.append(f"{_plural(recordings, 'recording')}, {rate:.3g} times real time")
    parts = parts or ["nothing written"]
    print(f"{'; '.join(parts)}; {seconds:.1f} s in all")
    if skipped:
        ends = Counter(path.suffix.lower() or path.name for path in skipped)
        told = ", ".join(f"{number} {end}" for end, number in ends.most_common(_LISTED))
        print(text.line(f"skipped {_plural(len(skipped), 'other file')}: {told}"))
    if tally.failed:
        more = f" and {len(tally.failed) - _LISTED} more" if len(tally.failed) > _LISTED else ""
        told = ", ".join(tally.failed[:_LISTED]) + more
        print(text.line(f"failed: {len(tally.failed)} of {count}: {told}"), file=sys.stderr)


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
