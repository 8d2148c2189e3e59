"""Jobs done one after the other, with a line for each and a summary."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from zoo import files, runtime
from zoo.cli import common, paths
from zoo.cli.job_plan import Job, check_place, is_done, plan, shard
from zoo.data import file_kinds
from zoo.errors import ZooError, in_words, is_out_of_memory, listed
from zoo.modality import get
from zoo.progress import progress

# Names of failed files that the summary repeats, and of endings of skipped ones.
_LISTED = 10
# Of each kind what a unit of its amount is, and the unit of its rate.
_RATES = ((file_kinds.IMAGE, 1e6, "megapixels/s"), (file_kinds.AUDIO, 1, "times real time"))


class Done(NamedTuple):
    """One file that was made.

    Attributes:
      text: what to say of it, in one line or more.
      amount: pixels of an image, seconds of an audio file.
      problem: what went wrong after the file was written, in one line; it counts as a failure.
    """

    text: str
    amount: float
    problem: str = ""


class _Tally:
    """What the summary is made of: for each kind the amounts and the seconds of files made."""

    def __init__(self):
        self.made: dict[str, list[tuple[float, float]]] = {}
        self.failed: list[str] = []
        self.there = 0


def run_command(
    arguments: argparse.Namespace,
    prepare: Callable[[argparse.Namespace, set[str]], Callable],
    word: str,
    *,
    extra: str = "",
) -> int:
    """Runs a command with the arguments of `common.add_places`; returns the exit code.

    Args:
      arguments: of the command.
      prepare: makes `do` of `run` from them and the kinds of the inputs.
      word: as of `common.add_places`.
      extra: as of `plan`.
    """
    output = files.expanded(arguments.output) if arguments.output else None
    found = paths.gather(arguments.inputs, word=word, output=output)
    jobs = plan(found, arguments.output, extra=extra, form=arguments.format)
    kinds = {job.kind for job in jobs} - {None}
    several = arguments.shard is not None
    if several:
        every, jobs = jobs, shard(jobs, *arguments.shard)
        number, count = arguments.shard
        # What goes to standard output must be alone there.
        out = sys.stderr if any(job.stream for job in every) else sys.stdout
        print(f"shard {number} of {count}: {len(jobs)} of {_plural(len(every), 'file')}", file=out)
        if not jobs:
            return 0
    runtime.cache_programs()
    return run(
        jobs,
        prepare(arguments, kinds),
        overwrite=arguments.overwrite,
        skip_existing=arguments.skip_existing,
        skipped=found.skipped,
        of_several=several,
    )


def run(
    jobs: Sequence[Job],
    do: Callable[[Job, Callable[[int, int], None]], Done],
    *,
    overwrite: bool,
    skip_existing: bool = False,
    skipped: Sequence[Path] = (),
    of_several: bool = False,
) -> int:
    """Does one job after the other, says so, and sums up.

    Of several jobs those are left out whose outputs are there and no older than their inputs, as
    after an interrupted run; they are counted.

    Args:
      jobs: the files to make.
      do: makes one; is given the job and a function for its progress, and raises `ZooError`.
      overwrite: whether files may be replaced.
      skip_existing: whether every output that is there is left, however old, and is no mistake.
      skipped: files that are no inputs, for the summary.
      of_several: whether the jobs are a share of several, all of which may be done before.

    Returns:
      The exit code: 0, 1 if anything failed or all was there, 130 after Ctrl-C.
    """
    tally, began = _Tally(), time.monotonic()
    # What goes to standard output must be alone there.
    out = sys.stderr if any(job.stream for job in jobs) else sys.stdout
    leave = not overwrite and (skip_existing or of_several or len(jobs) > 1)
    try:
        for number, job in enumerate(jobs, 1):
            start = time.monotonic()
            if leave and is_done(job, any_age=skip_existing):
                tally.there += 1
                continue
            try:
                with progress(str(job.source), number, len(jobs)) as advance:
                    done = _one(job, do, advance, overwrite)
            except ZooError as error:
                _fail(tally, job, str(error))
                continue
            took = time.monotonic() - start
            tally.made.setdefault(job.kind, []).append((done.amount, took))
            summary = f"{job.source} -> {job.target}: {done.text}, {took:.1f} s"
            print(common.line(paths.without_room(summary)), file=out, flush=True)
            if done.problem:
                _fail(tally, job, done.problem)
    except KeyboardInterrupt:
        finished = sum(map(len, tally.made.values()))
        print(f"stopped; {finished} of {len(jobs)} files are written and stay", file=sys.stderr)
        return 130
    _sum_up(tally, len(jobs), time.monotonic() - began, skipped, out)
    if tally.there == len(jobs) and not (skip_existing or of_several):
        print(
            "error: all outputs are there; give --overwrite, or --skip-existing to leave them",
            file=sys.stderr,
        )
        return 1
    return 1 if tally.failed else 0


def _one(job: Job, do: Callable, advance: Callable[[int, int], None], overwrite: bool) -> Done:
    """One job; whatever keeps a file from being made is a `ZooError`."""
    if job.problem:
        raise ZooError(job.problem)
    try:
        check_place(job, overwrite)
        files.make_folder(job.target.parent)
        done = do(job, advance)
        if job.stream:
            paths.send(job.target, job.stream)
        return done
    except (ZooError, BrokenPipeError):
        raise
    except Exception as error:
        message = in_words(error)
        if message is None:
            raise
        if is_out_of_memory(error):
            image = job.kind == file_kinds.IMAGE
            remedy = "give smaller tiles by --tile" if image else "cut it into pieces"
            raise ZooError(f"{job.source} does not fit into memory; {remedy}") from None
        raise ZooError(f"cannot make {job.target} of {job.source}: {message}") from None


def _fail(tally: _Tally, job: Job, problem: str) -> None:
    tally.failed.append(paths.without_room(str(job.source)))
    # What was printed before comes before it in a file of both.
    sys.stdout.flush()
    print(f"error: {common.line(paths.without_room(problem))}", file=sys.stderr, flush=True)


def _sum_up(
    tally: _Tally, count: int, seconds: float, skipped: Sequence[Path], out: TextIO
) -> None:
    if tally.there:
        print(
            f"left {_plural(tally.there, 'output')} that were there (--overwrite replaces them)",
            file=out,
        )
    if count == 1 and not skipped:
        return
    parts = []
    for kind, scale, unit in _RATES:
        if made := tally.made.get(kind):
            amount, took = map(sum, zip(*made, strict=True))
            rate = amount / scale / max(took, 1e-9)
            parts.append(f"{get(kind).count(len(made))}, {rate:.3g} {unit}")
    parts = parts or ["nothing written"]
    print(f"{'; '.join(parts)}; {seconds:.1f} s in all", file=out)
    if skipped:
        ends = Counter(path.suffix.lower() or path.name for path in skipped)
        summary = ", ".join(f"{number} {end}" for end, number in ends.most_common(_LISTED))
        print(common.line(f"skipped {_plural(len(skipped), 'other file')}: {summary}"), file=out)
    if tally.failed:
        summary = listed(tally.failed, _LISTED)
        print(common.line(f"failed: {len(tally.failed)} of {count}: {summary}"), file=sys.stderr)


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
