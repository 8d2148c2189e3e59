"""`zoo denoise`: clean copies of images and recordings."""

import argparse
import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zoo import files, runtime
from zoo.cli import common, compare, file_jobs, paths
from zoo.cli.file_jobs import Done, Job
from zoo.data import file_kinds
from zoo.data.image_files import read_pages
from zoo.errors import ZooError
from zoo.inference import (
    ImageDenoiser,
    ImageReport,
    denoise_audio_file,
    denoise_image_file,
)
from zoo.inference.denoise_audio import write_difference
from zoo.inference.denoising import check_modality
from zoo.inference.value_scale import check_range
from zoo.resolve import Resolved, resolve

_DESCRIPTION = """Denoise images and recordings. INPUT is a file, a folder, which stands for all
below it, or a quoted pattern; images (png, jpeg, bmp, tiff, webp, gif, avif, heic) and recordings
(wav, aiff, flac, ogg, opus, mp3; m4a and films, whose sound becomes wav) are recognized by their
content. An output has the size, depth, channels, alpha and metadata of its input, or its sample
rate, channels, length, coding and tags, and appears whole or not at all."""

_EXAMPLES = """examples:
  zoo denoise photo.jpg                        writes photo.denoised.jpg
  zoo denoise photo.jpg -o clean.png
  zoo denoise - --format png < a.jpg > b.png   stdin and stdout
  zoo denoise scans/ -o clean/                 the same folders below clean/
  zoo denoise 'scans/**/*.tif' talk.wav -o clean/ --strength 0.8
  zoo denoise photo.png --sigma 25 --reference original.png
  zoo denoise photo.jpg --model dncnn-color-blind --weights dncnn_color_blind.pth
  zoo denoise photo.jpg --weights runs/unet/weights.safetensors --ensemble
  zoo denoise stack.tif --range 100 4095       the values of black and white
  zoo denoise song.flac --model wiener --save-noise

The noise of an image is estimated from it unless --sigma says how much there is. An input is never
written over, but with --overwrite and itself as OUTPUT. The exit code is 0 if all went well, 1 if a
file failed (the others are done), 2 for a mistake in the command, 130 after Ctrl-C; what is
finished by then stays."""

# Only of images; their defaults are None or False, so that a given one is recognized.
_OF_IMAGES = (
    *("sigma", "range", "range_per_page", "linear"),
    *("tile", "overlap", "ensemble", "dtype"),
)


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

Advance = Callable[[int, int], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    common.add_places(parser, "denoised")
    add = parser.add_argument
    add(
        "--model",
        metavar="NAME",
        help="weights that come with the zoo, a weight file, a model of `zoo models` without "
        "parameters, or NAME=FILE, such a model and its weights (unet-color or unet-gray; for "
        "recordings stream-b, and wiener where their sound ends below 6.5 kHz)",
    )
    add(
        "--weights",
        metavar="FILE",
        help="a weight file of this zoo; or, with --model, published weights (.pth, .pt, .tar, "
        ".mat, .safetensors)",
    )
    add(
        "--strength",
        type=_share,
        default=1.0,
        metavar="SHARE",
        help="how much of the model's change is made, 0 to 1 (1)",
    )
    add(
        "--limit",
        type=_limit,
        dest="strength",
        default=argparse.SUPPRESS,
        metavar="DB",
        help="the same in dB: the most that is taken away of anything",
    )
    add(
        "--save-noise",
        action="store_true",
        help="write what was taken out too, beside each output as NAME.noise.SUFFIX; that of "
        "images lies around mid gray",
    )
    add(
        "--reference",
        metavar="CLEAN",
        help="a clean file, or a folder of them by the same names: prints PSNR and SSIM, or "
        "SI-SDR, before and after",
    )
    add("--device", choices=("cpu", "gpu", "tpu"), help="what to compute on (the fastest there is)")
    add = parser.add_argument_group("images").add_argument
    add(
        "--sigma",
        type=_sigma,
        metavar="SIGMA",
        help="the noise's standard deviation, of 255, or auto: estimated in each image (auto); "
        "255 is white, the largest value of 8 and 16 bits, and of floats 1, or the range's end if "
        "that is more",
    )
    ranges = parser.add_mutually_exclusive_group()
    ranges.add_argument(
        "--range",
        nargs=2,
        type=_finite,
        metavar=("LOW", "HIGH"),
        help="the values that the model is to see as black and as white (chosen from the values of "
        "all pages, and printed unless it is all that the type holds)",
    )
    ranges.add_argument(
        "--range-per-page", action="store_true", help="choose the range of each page by itself"
    )
    add(
        "--linear",
        action="store_true",
        help="values are in proportion to light, as those of raw converters, telescopes and "
        "microscopes (only where the file says so)",
    )
    add(
        "--tile",
        type=_whole,
        metavar="PIXELS",
        help="side of the tiles that an image is cut into, 0 for none (as large as is good)",
    )
    add(
        "--overlap",
        type=_whole,
        metavar="PIXELS",
        help="of neighboring tiles (as far as the model looks)",
    )
    add(
        "--ensemble",
        action="store_true",
        help="the mean over eight flips and turns: a little better, eight times the work",
    )
    add("--dtype", choices=("float32", "bfloat16"), help="to compute in (the model's own)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Denoises, prints a line a file and a summary; returns the exit code."""
    output = files.expanded(arguments.output) if arguments.output else None
    found = paths.gather(arguments.inputs, word="denoised", output=output)
    extra = "noise" if arguments.save_noise else ""
    planned = file_jobs.plan(found, arguments.output, extra=extra, form=arguments.format)
    _refuse_others(arguments, {job.kind for job in planned} - {None})
    common.use_device(arguments.device)
    runtime.cache_programs()
    return file_jobs.run(
        planned,
        _Denoisers(arguments),
        overwrite=arguments.overwrite,
        skip_existing=arguments.skip_existing,
        skipped=found.skipped,
    )


def _refuse_others(arguments: argparse.Namespace, kinds: set[str]) -> None:
    """Refuses options of images where there is none."""
    given = [name for name in _OF_IMAGES if getattr(arguments, name) not in (None, False)]
    if kinds and file_kinds.IMAGE not in kinds and given:
        raise ZooError(
            f"--{given[0].replace('_', '-')} is an option of images, and no input is one; drop it"
        )


def _share(text: str) -> float:
    return _number(text, 0, 1, "a number from 0 to 1")


def _limit(text: str) -> float:
    """As a share: what would be removed is softer by so much instead."""
    return 1 - 10 ** (-_number(text, 0, 200, "a number of dB, 0 or more") / 20)


def _sigma(text: str) -> float | None:
    """In 1/255; None for the estimate."""
    if text == "auto":
        return None
    return _number(text, 1e-6, 255, "auto, or a number above 0 and up to 255")


def _finite(text: str) -> float:
    return _number(text, -math.inf, math.inf, "a number")


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high or math.isinf(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


class _Denoisers:
    """Denoises one file after the other; a model is loaded once.

    Args:
      arguments: those of `zoo denoise`.

    Raises:
      ZooError: the model or its weights cannot be had, or there is no such reference.
    """

    def __init__(self, arguments: argparse.Namespace):
        self._arguments = arguments
        reference = arguments.reference
        if reference is not None and not files.expanded(reference).exists():
            raise ZooError(f"there is no reference {reference}; check the path")
        try:
            self._range = check_range(arguments.range) if arguments.range else None
        except ZooError as error:
            raise ZooError(_in_flags(error)) from None
        self._model = _model(arguments.model, arguments.weights)
        # Before the first file, so that a mistake is one line, and not one for each file.
        if self._model and self._model.modality == "image":
            self._of_images  # noqa: B018

    def __call__(self, job: Job, advance: Advance) -> Done:
        """Denoises a file.

        Raises:
          ZooError: it cannot be read, denoised or written, or the model is for the other kind.
        """
        if self._model:
            check_modality(self._model, job.source, job.kind)
        reference = compare.find(self._arguments.reference, job)
        make = self._image if job.kind == file_kinds.IMAGE else self._recording
        done = make(job, advance)
        if reference is None:
            return done
        try:
            return done._replace(text=f"{done.text}, {_compared(job, reference)}")
        except ZooError as error:
            return done._replace(problem=str(error))

    @functools.cached_property
    def _of_images(self) -> ImageDenoiser:
        given = self._arguments
        return ImageDenoiser(
            self._model,
            strength=given.strength,
            tile=given.tile,
            overlap=given.overlap,
            ensemble=given.ensemble,
            dtype=given.dtype,
        )

    def _image(self, job: Job, advance: Advance) -> Done:
        sigma = self._arguments.sigma
        try:
            report = denoise_image_file(
                job.source,
                job.target,
                self._of_images,
                level=None if sigma is None else sigma / 255,
                range="page" if self._arguments.range_per_page else self._range,
                linear=True if self._arguments.linear else None,
                overwrite=self._arguments.overwrite,
                save_noise=job.extra,
                progress=advance,
            )
        except ZooError as error:
            # What is wrong with the file names it already.
            named = str(job.source) in str(error) or str(job.target) in str(error)
            where = "" if named else f"{job.source}: "
            raise ZooError(where + _in_flags(error)) from None
        text, amount = _described(report)
        if sigma is not None and report.level is None:
            text += ", --sigma unused: the model takes none"
        return Done(text, amount)

    def _recording(self, job: Job, advance: Advance) -> Done:
        report = denoise_audio_file(
            job.source,
            job.target,
            self._model,
            strength=self._arguments.strength,
            progress=advance,
            overwrite=self._arguments.overwrite,
        )
        problem = ""
        if job.extra:
            try:
                overwrite = self._arguments.overwrite
                write_difference(job.source, job.target, job.extra, overwrite=overwrite)
            except ZooError as error:
                # The recording itself is there, and is no failure of its own.
                problem = str(error)
        seconds = report.frames / report.sample_rate
        channels = "mono" if report.channels == 1 else f"{report.channels} channels"
        clipped = f", {report.clipped} values clipped" if report.clipped else ""
        summary = f"{seconds:.1f} s, {report.sample_rate} Hz, {channels}{clipped}"
        notes = [
            *([_resaved(job)] if job.source.suffix != job.target.suffix else []),
            *report.notes,
        ]
        if notes := [_in_flags(note) for note in notes if note]:
            summary += f" ({'; '.join(notes)})"
        return Done(summary, seconds, problem)


def _model(name: str | None, file: str | None) -> Resolved | None:
    """The model of `--model` and `--weights`; None leaves the choice to the input."""
    if name and file:
        return resolve(f"{name}={file}")
    return resolve(name or file) if name or file else None


def _resaved(job: Job) -> str:
    """That a recording is saved as another kind because its own cannot be written."""
    suffix = job.source.suffix.lower()
    if suffix not in file_kinds.READ_ONLY_AUDIO:
        return ""
    return f"{suffix} can be read and not written, so it is {job.target.suffix}"


def _in_flags(error: ZooError | str) -> str:
    """What a function says of its arguments, in the words of the command."""
    summary = str(error)
    for argument, flag in _FLAGS.items():
        summary = summary.replace(argument, flag)
    return summary


def _compared(job: Job, reference: Path) -> str:
    if job.kind == file_kinds.AUDIO:
        return compare.audio(reference, job.source, job.target)
    pages = [_one_page(path) for path in (reference, job.source, job.target)]
    try:
        return compare.images(*pages)
    except ZooError as error:
        raise ZooError(f"{job.source}: {error}") from None


def _one_page(path: Path) -> np.ndarray:
    pages = read_pages(path)
    if len(pages) > 1:
        raise ZooError(f"{path} has {len(pages)} pages; save each as a file to compare it")
    return next(iter(pages)).image


def _described(report: ImageReport) -> tuple[str, float]:
    """A line on a denoised image, and its pixels."""
    height, width = report.size
    summary = f"{width} x {height}"
    if report.pages > 1:
        summary += f", {report.pages} pages"
    if report.level is not None:
        summary += (
            f", sigma {report.level:.1f}" if report.level >= 1 else f", sigma {report.level:.2g}"
        )
    if not report.scale.usual:
        summary += f", range {report.scale.low:.6g} to {report.scale.high:.6g}"
    if report.scale.curve:
        summary += ", linear"
    if report.deviation is not None:
        summary += f", tiles differ by {255 * report.deviation:.2g}/255"
    if said := (*report.lost, *report.notes):
        summary += f" ({'; '.join(said)})"
    return summary, height * width * report.pages
