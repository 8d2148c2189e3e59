"""Jobs: which file is made of which, one after the other, with a line for each and a summary."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from zoo import files, runtime
from zoo.cli import common, paths
from zoo.cli.paths import Found
from zoo.data import file_kinds
from zoo.errors import ZooError, in_words, is_out_of_memory, listed
from zoo.modality import get
from zoo.progress import progress

_SUFFIXES = file_kinds.IMAGE_SUFFIXES | file_kinds.AUDIO_SUFFIXES | {*file_kinds.IMAGE_FORMATS}


class Job(NamedTuple):
    """One file to make of another.

    Attributes:
      source: the file to read.
      target: the file to write.
      extra: a second file that is written with it, or None.
      kind: one of the kinds of `zoo.data.file_kinds`, or None where there is a problem.
      problem: why it cannot be done, in one line; empty where it can.
      place: the target below the output folder, by which its reference is found.
      stream: where the target is copied to, standard output or a pipe; empty for none.
    """

    source: Path
    target: Path
    extra: Path | None
    kind: str | None
    problem: str
    place: Path
    stream: str = ""


def plan(
    found: Found, output: str | None, *, extra: str = "", form: str | None = None
) -> list[Job]:
    """Gives every input its output.

    Where two would write one file, the one that keeps its ending does, or else the first; of the
    other, and of one that would write over an input, that is the problem.

    Args:
      found: the inputs.
      output: what the user wrote: a file for one input, else a folder; "-" or a pipe for one input
        too; None puts each output beside its input, and those of a folder into a folder beside it,
        and that of standard input into standard output.
      extra: a word for a second file beside each output, `a.word.png`; empty for none.
      form: the ending of all outputs of its kind, without the dot; None for the inputs'.

    Raises:
      ZooError: the output's name is empty, it cannot hold what there is, or nothing can be written
        with such an ending.
    """
    ending = _ending(form)
    if output is None and any(paths.is_stdin(one.path) for one in found.inputs):
        output = "-"
    stream = ""
    if output is None:
        targets = [one.beside for one in found.inputs]
    elif paths.is_stream(output):
        if not found.single or extra:
            raise ZooError(f"{output} takes one output, and there are several; name a folder")
        stream = output
        suffix = file_kinds.ending(
            _with_ending(found.inputs[0].place, found.inputs[0].kind, ending)
        )
        targets = [paths.stream_place(output, suffix)]
    else:
        targets = _below(found, output, ending)
    made = []
    for one, place in zip(found.inputs, targets, strict=True):
        target = _with_ending(place, one.kind, ending)
        suffix = file_kinds.ending(target)
        second = file_kinds.with_ending(target, f".{extra}{suffix}") if extra else None
        made.append(Job(one.path, target, second, one.kind, one.problem, one.place, stream))
    return _without_clashes(made)


def is_done(job: Job, *, any_age: bool) -> bool:
    """Whether what a job makes is there already, as after a run that was interrupted.

    Args:
      job: the job.
      any_age: whether outputs older than their input count.
    """
    if job.problem or job.stream or _same(job.target, job.source):
        return False
    try:
        since = 0 if any_age else file_kinds.changed(job.source)
        return all(
            (path.is_file() or file_kinds.is_store(path)) and file_kinds.changed(path) >= since
            for path in (job.target, job.extra)
            if path is not None
        )
    except OSError:
        return False


def check_place(job: Job, overwrite: bool) -> None:
    """Refuses to write over something unasked.

    Raises:
      ZooError: there is a file already, or a folder.
    """
    for path in (job.target, job.extra):
        if path is None:
            continue
        if path.is_dir() and not _may_be_store(path):
            raise ZooError(f"{path} is a folder; name a file in it")
        own = _same(path, job.source)
        if own and _key(path) != _key(job.source):
            raise ZooError(f"{path} is the input by another name; name another output")
        if os.path.lexists(path) and not overwrite:
            what = "is the input itself" if own else "is there already"
            raise ZooError(f"{path} {what}; name another output, or give --overwrite")


def _below(found: Found, output: str, ending: str) -> list[Path]:
    if not output:
        raise ZooError("the output's name is empty; name a file or a folder")
    path = files.expanded(output)
    # Shells end the names of folders, which stores are, in a slash.
    new = file_kinds.is_named_store(path) and not path.exists()
    store = found.single and (new or _may_be_store(path))
    folder = (path.is_dir() or output.endswith(("/", os.sep))) and not store
    if found.single and path.suffix and not folder:
        if ending and file_kinds.ending(path) != ending:
            raise ZooError(f"{output} does not end in {ending}; drop one of -o and --format")
        return [path]
    if not folder and (path.exists() or file_kinds.ending(path) in _SUFFIXES):
        raise ZooError(f"{output} would be one file, and several outputs need a folder; name one")
    return [path / one.place for one in found.inputs]


def _ending(form: str | None) -> str:
    """The ending that `--format` names; empty without one."""
    if form is None:
        return ""
    ending = "." + form.lower().removeprefix(".")
    known = {*file_kinds.IMAGE_FORMATS, *file_kinds.AUDIO_SUFFIXES}
    known -= file_kinds.READ_ONLY_AUDIO.keys()
    if ending not in known:
        choices = ", ".join(sorted(one[1:] for one in known))
        raise ZooError(f"unknown format {form!r} of outputs; choose from {choices}")
    return ending


def _with_ending(path: Path, kind: str | None, ending: str) -> Path:
    """The path with an ending, where that is one of its kind."""
    own = file_kinds.IMAGE_FORMATS if kind == file_kinds.IMAGE else file_kinds.AUDIO_SUFFIXES
    return file_kinds.with_ending(path, ending) if ending in own else path


def _without_clashes(made: Sequence[Job]) -> list[Job]:
    settled = list(made)
    sources = {os.path.realpath(job.source): job.source for job in made if not job.problem}
    taken: dict[str, Path] = {}
    for i in sorted(range(len(made)), key=lambda i: made[i].target.suffix != made[i].source.suffix):
        job = made[i]
        if job.problem:
            continue
        keys = [_key(path) for path in (job.target, job.extra) if path is not None]
        if problem := _clash(job, taken, sources):
            settled[i] = job._replace(kind=None, problem=problem)
        else:
            taken |= dict.fromkeys(keys, job.source)
    return settled


def _clash(job: Job, taken: Mapping[str, Path], sources: Mapping[str, Path]) -> str:
    """Whose place a job would take, in one line; empty for nobody's."""
    for path in filter(None, (job.target, job.extra)):
        key = _key(path)
        if key in taken:
            return (
                f"{taken[key]} and {job.source} would both write {path}; take {job.source} by "
                "itself, into a folder of its own"
            )
        # A link is written through.
        over = sources.get(os.path.realpath(path))
        if over is not None and (key != _key(job.source) or path == job.extra):
            return f"{job.source} would write over the input {over}; name another output"
    return ""


def _may_be_store(path: Path) -> bool:
    return file_kinds.is_named_store(path) and file_kinds.is_store(path)


def _key(path: Path) -> str:
    """One name for one place: a file that is a link is a place of its own."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def _same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


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


def shard(jobs: Sequence[Job], number: int, count: int) -> list[Job]:
    """Every so many jobs of all, sorted by the names of their files.

    Args:
      jobs: all.
      number: which share, from 1 on.
      count: how many shares there are; together they have each job once.
    """
    return sorted(jobs, key=lambda job: os.fsencode(job.source))[number - 1 :: count]


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
