"""One picture or one recording denoised, by the model that fits it."""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zoo import audio, files
from zoo.cli import chosen, compare
from zoo.cli.batch import Done
from zoo.cli.outputs import Job
from zoo.data import file_kinds, recordings
from zoo.data.image_files import read_pages
from zoo.errors import ZooError
from zoo.inference.pictures import Denoiser
from zoo.inference.pictures.files import Report, denoise_file
from zoo.inference.pictures.scale import check_range
from zoo.inference.ready import ready

# Samples, of each channel, that are subtracted at a time.
_BLOCK = 2**18
# Remedies as the functions name them, and as the command does.
_FLAGS = {
    "level=..., in signal units": "--sigma",
    "range=(black, white)": "--range BLACK WHITE",
    "range=": "--range ",
    "tile=": "--tile ",
    "overlap=": "--overlap ",
    "model='wiener'": "--model wiener",
    "strength=0.75": "--limit 12",
}

Tell = Callable[[int, int], None]


class Denoisers:
    """Denoises one file after the other; a model is made ready once.

    Args:
      arguments: those of `zoo denoise`.

    Raises:
      ZooError: the model or its weights cannot be had, or there is no such reference.
    """

    def __init__(self, arguments: argparse.Namespace):
        self._arguments = arguments
        reference = arguments.reference
        if reference is not None and not files.expanded(reference).exists():
            raise ZooError(f"there is no reference {reference}; mend the path")
        try:
            self._range = check_range(arguments.range) if arguments.range else None
        except ZooError as error:
            raise ZooError(_in_flags(error)) from None
        self._chosen = chosen.choose(arguments.model, arguments.weights)
        # Before the first file, so that a mistake is told once and not for each.
        if self._chosen and self._chosen.modality == "image":
            self._of_pictures  # noqa: B018
        elif self._chosen:
            self._of_recordings  # noqa: B018

    def __call__(self, job: Job, tell: Tell) -> Done:
        """Denoises a file.

        Raises:
          ZooError: it cannot be read, denoised or written, or the model is for the other kind.
        """
        if self._chosen and self._chosen.modality != job.kind:
            raise ZooError(
                f"{job.source} is of the kind {job.kind}, and {self._chosen.label} denoises "
                f"{chosen.WORDS[self._chosen.modality]}; leave it out, or choose another model"
            )
        reference = compare.find(self._arguments.reference, job)
        make = self._picture if job.kind == file_kinds.IMAGE else self._recording
        done = make(job, tell)
        if reference is None:
            return done
        try:
            return done._replace(text=f"{done.text}, {_compared(job, reference)}")
        except ZooError as error:
            return done._replace(problem=str(error))

    @functools.cached_property
    def _of_pictures(self) -> Denoiser:
        given = self._arguments
        one = self._chosen
        return Denoiser(
            one.model if one else None,
            variables=one.variables if one else None,
            strength=given.strength,
            tile=given.tile,
            overlap=given.overlap,
            ensemble=given.ensemble,
            dtype=given.dtype,
            trained=one.trained if one else None,
        )

    @functools.cached_property
    def _of_recordings(self) -> tuple:
        if self._chosen is None:
            return None, None
        return ready(self._chosen.model, self._chosen.variables, modality="audio")

    def _picture(self, job: Job, tell: Tell) -> Done:
        sigma = self._arguments.sigma
        try:
            report = denoise_file(
                job.source,
                job.target,
                self._of_pictures,
                level=None if sigma is None else sigma / 255,
                range="page" if self._arguments.range_per_page else self._range,
                linear=True if self._arguments.linear else None,
                overwrite=self._arguments.overwrite,
                save_noise=job.extra,
                progress=tell,
            )
        except ZooError as error:
            # What is wrong with the file names it already.
            named = str(job.source) in str(error) or str(job.target) in str(error)
            where = "" if named else f"{job.source}: "
            raise ZooError(where + _in_flags(error)) from None
        told, amount = _told(report)
        if sigma is not None and report.level is None:
            told += ", --sigma unused: the model takes none"
        return Done(told, amount)

    def _recording(self, job: Job, tell: Tell) -> Done:
        report = audio.denoise_file(
            job.source,
            job.target,
            *self._of_recordings,
            strength=self._arguments.strength,
            progress=tell,
            overwrite=self._arguments.overwrite,
        )
        problem = ""
        if job.extra:
            try:
                overwrite = self._arguments.overwrite
                _write_difference(job.source, job.target, job.extra, overwrite)
            except ZooError as error:
                # The recording itself is there, and is no failure of its own.
                problem = str(error)
        seconds = report.frames / report.sample_rate
        channels = "mono" if report.channels == 1 else f"{report.channels} channels"
        clipped = f", {report.clipped} values clipped" if report.clipped else ""
        told = f"{seconds:.1f} s, {report.sample_rate} Hz, {channels}{clipped}"
        notes = [
            *([_resaved(job)] if job.source.suffix != job.target.suffix else []),
            *report.notes,
        ]
        if notes := [_in_flags(note) for note in notes if note]:
            told += f" ({'; '.join(notes)})"
        return Done(told, seconds, problem)


def _resaved(job: Job) -> str:
    """That a recording is saved as another kind because its own cannot be written."""
    suffix = job.source.suffix.lower()
    if suffix not in recordings.READ_ONLY:
        return ""
    return f"{suffix} can be read and not written, so it is {job.target.suffix}"


def _in_flags(error: ZooError | str) -> str:
    """What a function says of its arguments, in the words of the command."""
    told = str(error)
    for argument, flag in _FLAGS.items():
        told = told.replace(argument, flag)
    return told


def _write_difference(source: Path, target: Path, place: Path, overwrite: bool) -> None:
    """Writes what was taken from a recording, block by block."""
    facts = recordings.info(source)
    settings = {"channels": facts.channels, "sample_rate": facts.sample_rate, "like": facts}
    with recordings.writing(place, **settings, overwrite=overwrite) as put:
        pieces = (recordings.blocks(path, _BLOCK) for path in (source, target))
        for noisy, denoised in zip(*pieces, strict=True):
            put(noisy - denoised)


def _compared(job: Job, reference: Path) -> str:
    if job.kind == file_kinds.AUDIO:
        return compare.sound(reference, job.source, job.target)
    pictures = [_one_page(path) for path in (reference, job.source, job.target)]
    try:
        return compare.pictures(*pictures)
    except ZooError as error:
        raise ZooError(f"{job.source}: {error}") from None


def _one_page(path: Path) -> np.ndarray:
    pages = read_pages(path)
    if len(pages) > 1:
        raise ZooError(f"{path} has {len(pages)} pages; save each as a file to compare it")
    return next(iter(pages)).image


def _told(report: Report) -> tuple[str, float]:
    """What to say of a picture, and its pixels."""
    height, width = report.size
    told = f"{width} x {height}"
    if report.pages > 1:
        told += f", {report.pages} pages"
    if report.level is not None:
        told += (
            f", sigma {report.level:.1f}" if report.level >= 1 else f", sigma {report.level:.2g}"
        )
    if not report.scale.usual:
        told += f", range {report.scale.low:.6g} to {report.scale.high:.6g}"
    if report.scale.curve:
        told += ", linear"
    if report.deviation is not None:
        told += f", tiles differ by {255 * report.deviation:.2g}/255"
    if said := (*report.lost, *report.notes):
        told += f" ({'; '.join(said)})"
    return told, height * width * report.pages
