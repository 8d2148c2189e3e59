"""Where outputs go, and what must not happen to what is there."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.cli.inputs import Found
from zoo.data import images, recordings
from zoo.errors import ZooError

_SUFFIXES = images.SUFFIXES | recordings.SUFFIXES


class Job(NamedTuple):
    """One file to make of another.

    Attributes:
      source: the file to read.
      target: the file to write.
      extra: a second file that is written with it, or None.
      kind: one of `zoo.cli.kinds`, or None where there is a problem.
      problem: why it cannot be done, in one line; empty where it can.
      place: the target below the output folder, by which its reference is found.
    """

    source: Path
    target: Path
    extra: Path | None
    kind: str | None
    problem: str
    place: Path


def jobs(found: Found, output: str | None, *, extra: str = "") -> list[Job]:
    """Gives every input its output.

    Args:
      found: the inputs.
      output: what the user wrote: a file for one input, else a folder; None puts each output beside
        its input, and those of a folder into a folder beside it.
      extra: a word for a second file beside each output, `a.word.png`; empty for none.

    Raises:
      ZooError: two inputs would write one file, or one would be written over another; or the
        output's name is empty, or means standard output.
    """
    targets = [one.beside for one in found.inputs]
    if output is not None:
        targets = _below(found, output)
    made = []
    for one, target in zip(found.inputs, targets, strict=True):
        second = target.with_name(f"{target.stem}.{extra}{target.suffix}") if extra else None
        made.append(Job(one.path, target, second, one.kind, one.problem, one.place))
    _refuse_clashes([job for job in made if not job.problem])
    return made


def check_place(job: Job, overwrite: bool) -> None:
    """Refuses to write over something unasked.

    Raises:
      ZooError: there is a file already, or a folder.
    """
    for path in (job.target, job.extra):
        if path is None:
            continue
        if path.is_dir():
            raise ZooError(f"{path} is a folder; name a file in it")
        own = _same(path, job.source)
        if own and _key(path) != _key(job.source):
            raise ZooError(f"{path} is the input by another name; name another output")
        if os.path.lexists(path) and not overwrite:
            what = "is the input itself" if own else "is there already"
            raise ZooError(f"{path} {what}; name another output, or give --overwrite")


def _below(found: Found, output: str) -> list[Path]:
    if output in ("", "-"):
        what = "empty" if not output else "standard output, which is not written to"
        raise ZooError(f"the output's name is {what}; name a file or a folder")
    path = files.expanded(output)
    folder = path.is_dir() or output.endswith(("/", os.sep))
    if found.single and path.suffix and not folder:
        return [path]
    if not folder and (path.exists() or path.suffix.lower() in _SUFFIXES):
        raise ZooError(f"{output} would be one file, and several outputs need a folder; name one")
    return [path / one.place for one in found.inputs]


def _refuse_clashes(made: Sequence[Job]) -> None:
    sources = {os.path.realpath(job.source): job.source for job in made}
    taken: dict[str, Path] = {}
    for job in made:
        own = _key(job.source)
        for path in filter(None, (job.target, job.extra)):
            key = _key(path)
            if key in taken:
                raise ZooError(
                    f"{taken[key]} and {job.source} would both write {path}; take them one after "
                    "the other, into folders of their own"
                )
            taken[key] = job.source
            # A link is written through.
            over = sources.get(os.path.realpath(path))
            if over is not None and (key != own or path == job.extra):
                raise ZooError(
                    f"{job.source} would write over the input {over}; name another output"
                )


def _key(path: Path) -> str:
    """One name for one place: a file that is a link is a place of its own."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def _same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False
