"""Which file is made of which: jobs, planned before the first of them is done."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.cli import paths
from zoo.cli.paths import Found
from zoo.data import file_kinds
from zoo.errors import ZooError

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


def shard(jobs: Sequence[Job], number: int, count: int) -> list[Job]:
    """Every so many jobs of all, sorted by the names of their files.

    Args:
      jobs: all.
      number: which share, from 1 on.
      count: how many shares there are; together they have each job once.
    """
    return sorted(jobs, key=lambda job: os.fsencode(job.source))[number - 1 :: count]


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
