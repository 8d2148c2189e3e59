"""`zoo denoise`: clean copies of images and recordings."""

import argparse
import functools
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import zoo
from zoo import files
from zoo.cli import common, file_jobs
from zoo.cli.file_jobs import Done, Job
from zoo.data import file_kinds
from zoo.data.image_files import read_pages
from zoo.errors import ZooError

_DESCRIPTION = """Denoise images and recordings. INPUT is a file, a folder, which stands for all
below it, or a quoted pattern; images (png, jpeg, bmp, tiff, webp, gif, avif, heic; DICOM, NIfTI,
FITS, MRC, npy) and recordings (wav, aiff, flac, ogg, opus, mp3; m4a and films, whose sound becomes
wav) are recognized by their content. An output has the size, depth, channels, alpha and metadata of
its input, or its sample rate, channels, length, coding and tags, and appears whole or not at
all."""

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
  zoo denoise cells.tif --adapt --save-adapted camera.safetensors
  zoo denoise more/ --adapted camera.safetensors
  zoo denoise song.flac --model wiener --save-noise

The noise of an image is estimated from it unless --sigma says how much there is. An input is never
written over, but with --overwrite and itself as OUTPUT. The exit code is 0 if all went well, 1 if a
file failed (the others are done), 2 for a mistake in the command, 130 after Ctrl-C; what is
finished by then stays."""

# Only of images; their defaults are None or False, so that a given one is recognized.
_OF_IMAGES = (
    *("sigma", "range", "range_per_page", "linear"),
    *("tile", "overlap", "ensemble", "dtype"),
    *("adapt", "method", "adapted", "save_adapted"),
)
# What an adaptation learns or brings by itself.
_NOT_ADAPTED = ("sigma", "range", "range_per_page", "linear")


# Remedies as the functions name them, and as the command does.
_FLAGS = {
    "level=..., in signal units": "--sigma",
    "range=(black, white)": "--range BLACK WHITE",
    "range=": "--range ",
    "tile=": "--tile ",
    "overlap=": "--overlap ",
    "model='wiener'": "--model wiener",
    "strength=0.75": "--limit 12",
    "model='unet-real'": "--model unet-real",
    "level=10 / 255": "--sigma 10",
    "linear=True": "--linear",
}

Advance = Callable[..., None]


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
        "recordings stream-b up to 16 kHz and stream-s-48k above, and wiener where their sound "
        "ends below 6.5 kHz)",
    )
    add(
        "--weights",
        metavar="FILE",
        help="a weight file of this zoo; or, with --model, published weights (.pth, .pt, .tar, "
        ".mat, .bin, .safetensors)",
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
    add("--device", choices=common.DEVICES, help="what to compute on (the fastest there is)")
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
    add(
        "--adapt",
        action="store_true",
        help="fit the model to the noise of each image first, for microscopes, telescopes and "
        "other noise that grows with the light",
    )
    add(
        "--method",
        choices=("noise2vst", "noise2fast", "zs-n2n"),
        help="how to adapt, and that it is to be done: a curve around the model, or a small "
        "network learned from the image alone (noise2vst)",
    )
    add(
        "--save-adapted",
        metavar="FILE",
        help="with --adapt, and of one image: write what was fitted, a .safetensors file, for "
        "others of the instrument",
    )
    add("--adapted", metavar="FILE", help="what --save-adapted wrote, in the place of a model")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Denoises, prints a line a file and a summary; returns the exit code."""
    extra = "noise" if arguments.save_noise else ""
    return file_jobs.run_command(arguments, _Denoisers, "denoised", extra=extra)


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
      kinds: of the inputs.

    Raises:
      ZooError: the model or its weights cannot be had, there is no such reference, or an option of
        images where there is none.
    """

    def __init__(self, arguments: argparse.Namespace, kinds: set[str]):
        self._arguments = arguments
        given = [name for name in _OF_IMAGES if getattr(arguments, name) not in (None, False)]
        if kinds and file_kinds.IMAGE not in kinds and given:
            flag = f"--{given[0].replace('_', '-')}"
            raise ZooError(f"{flag} is an option of images, and no input is one; drop it")
        _check_adaptation(arguments)
        common.use_device(arguments.device)
        reference, name, file = arguments.reference, arguments.model, arguments.weights
        if reference is not None and not files.expanded(reference).exists():
            raise ZooError(f"there is no reference {reference}; check the path")
        self._model, check = None, zoo.inference.value_scale.check_range
        # Before the first file, so that a mistake is one line, and not one for each file.
        try:
            self._range = check(arguments.range) if arguments.range else None
        except ZooError as error:
            raise ZooError(_in_flags(error)) from None
        if name or file:
            self._model = zoo.resolve.resolve(f"{name}={file}" if name and file else name or file)
        self._linear = True if arguments.linear else None
        names = ("strength", "tile", "overlap", "ensemble", "dtype")
        self._options = {name: getattr(arguments, name) for name in names}
        self._saved: Path | None = None
        if arguments.adapt and self._model and self._model.modality == "image":
            zoo.inference.adaptation.check_adaptable(self._model)
        if arguments.adapted:
            self._take(zoo.inference.load_adapted(files.expanded(arguments.adapted)))
        elif self._model is None or self._model.modality == "image":
            self._of_images = zoo.inference.ImageDenoiser(self._model, **self._options)

    def __call__(self, job: Job, advance: Advance) -> Done:
        """Denoises a file.

        Raises:
          ZooError: it cannot be read, denoised or written, or the model is for the other kind.
        """
        from zoo.cli import compare  # noqa: PLC0415 - `--help` need not wait for JAX

        if self._model:
            zoo.inference.denoising.check_modality(self._model, job.source, job.kind)
        reference = compare.find(self._arguments.reference, job)
        make = self._image if job.kind == file_kinds.IMAGE else self._recording
        done = make(job, advance)
        if reference is None:
            return done
        try:
            if job.kind == file_kinds.AUDIO:
                text = compare.audio(reference, job.source, job.target)
            else:
                text = compare.images(*map(_one_page, (reference, job.source, job.target)))
            return done._replace(text=f"{done.text}, {text}")
        except ZooError as error:
            return done._replace(problem=_naming(job, error))

    def _image(self, job: Job, advance: Advance) -> Done:
        given = self._arguments
        try:
            if given.adapt:
                self._adapt(job, advance)
            report = zoo.inference.denoise_image_file(
                job.source,
                job.target,
                self._of_images,
                level=None if given.sigma is None else given.sigma / 255,
                range="page" if given.range_per_page else self._range,
                linear=self._linear,
                overwrite=given.overwrite,
                save_noise=job.extra,
                progress=advance,
            )
        except ZooError as error:
            raise ZooError(_naming(job, error)) from None
        text, amount = _described(report)
        if given.adapt or given.adapted:
            text += ", adapted"
        if given.sigma is not None and report.level is None:
            text += ", --sigma unused: the model takes none"
        return Done(text, amount)

    def _adapt(self, job: Job, advance: Advance) -> None:
        """Fits the model to an image file, and writes what was fitted where that is asked for."""
        path = self._arguments.save_adapted
        if path is not None:
            path = files.expanded(path)
            if self._saved:
                raise ZooError(f"{path} is for one image, and is of {self._saved}; take one input")
            own = [place for place in (job.source, job.target, job.extra) if place is not None]
            if os.path.realpath(path) in map(os.path.realpath, own):
                raise ZooError(f"{path} is the input or an output; name another --save-adapted")
            if os.path.lexists(path) and not self._arguments.overwrite:
                raise ZooError(f"{path} is there already; name another, or give --overwrite")
        fitting = functools.partial(advance, part="fitting")
        method = self._arguments.method or "noise2vst"
        adapted = zoo.inference.adapt_file(job.source, self._model, method=method, progress=fitting)
        if path is not None:
            adapted.save(path)
            self._saved = job.source
        self._take(adapted)

    def _take(self, adapted: "zoo.inference.Adapted") -> None:
        self._of_images = zoo.inference.ImageDenoiser(adapted.model, **self._options)
        self._range, self._linear = adapted.range, False

    def _recording(self, job: Job, advance: Advance) -> Done:
        overwrite = {"overwrite": self._arguments.overwrite}
        settings = {"strength": self._arguments.strength, "progress": advance, **overwrite}
        report = zoo.inference.denoise_audio_file(job.source, job.target, self._model, **settings)
        problem = ""
        if job.extra:
            write = zoo.inference.denoise_audio.write_difference
            try:
                write(job.source, job.target, job.extra, **overwrite)
            except ZooError as error:
                # The recording itself is there, and is no failure of its own.
                problem = str(error)
        seconds = report.frames / report.sample_rate
        channels = "mono" if report.channels == 1 else f"{report.channels} channels"
        clipped = f", {report.clipped} values clipped" if report.clipped else ""
        chosen = "" if self._model else f", by {report.model}"
        summary = f"{seconds:.1f} s, {report.sample_rate} Hz, {channels}{clipped}{chosen}"
        suffix, notes = job.source.suffix.lower(), list(report.notes)
        if suffix in file_kinds.READ_ONLY_AUDIO and suffix != job.target.suffix:
            notes.insert(0, f"{suffix} can be read and not written, so it is {job.target.suffix}")
        return Done(summary + _in_brackets(notes), seconds, problem)


def _check_adaptation(arguments: argparse.Namespace) -> None:
    """Refuses options that do not go with an adaptation.

    Raises:
      ZooError: there are such.
    """
    adapted = arguments.adapted is not None
    learns = arguments.method not in (None, "noise2vst")
    if learns and (arguments.model or arguments.weights):
        raise ZooError(
            f"--method {arguments.method} learns a network of its own; drop --model and --weights"
        )
    arguments.adapt = arguments.adapt or arguments.method is not None
    if arguments.save_adapted is not None and not arguments.adapt:
        raise ZooError("--save-adapted goes with --adapt; add it, or leave out both")
    several = len(arguments.inputs) > 1 or os.path.isdir(files.expanded(arguments.inputs[0]))
    if arguments.save_adapted is not None and several:
        raise ZooError("--save-adapted is for one image, and there are several; name one")
    if not arguments.adapt and not adapted:
        return
    if arguments.adapt and adapted:
        raise ZooError("--adapt fits anew what --adapted brings; drop one of them")
    flag = "--adapted" if adapted else "--adapt"
    if adapted and (arguments.model or arguments.weights):
        raise ZooError("--adapted brings its model; drop --model and --weights")
    for name in _NOT_ADAPTED:
        if getattr(arguments, name) not in (None, False):
            raise ZooError(f"--{name.replace('_', '-')} is for {flag} to find; drop one of them")


def _in_flags(text: ZooError | str) -> str:
    """What a function says of its arguments, in the words of the command."""
    summary = str(text)
    for argument, flag in _FLAGS.items():
        summary = summary.replace(argument, flag)
    return summary


def _naming(job: Job, error: ZooError) -> str:
    """An error in the words of the command, with the name of the file unless it has it already."""
    named = str(job.source) in str(error) or str(job.target) in str(error)
    return ("" if named else f"{job.source}: ") + _in_flags(error)


def _in_brackets(notes: Sequence[str]) -> str:
    return f" ({'; '.join(map(_in_flags, notes))})" if notes else ""


def _one_page(path: Path) -> np.ndarray:
    pages = read_pages(path)
    if len(pages) > 1:
        raise ZooError(f"{path} has {len(pages)} pages; save each as a file to compare it")
    return next(iter(pages)).image


def _described(report: "zoo.inference.ImageReport") -> tuple[str, float]:
    """A line on a denoised image, and its pixels."""
    height, width = report.size
    summary = f"{width} x {height}"
    if report.pages > 1:
        summary += f", {report.pages} pages"
    if report.level is not None:
        summary += f", sigma {report.level:{'.1f' if report.level >= 1 else '.2g'}}"
    if not report.scale.usual:
        summary += f", range {report.scale.low:.6g} to {report.scale.high:.6g}"
    if report.scale.curve:
        summary += ", linear"
    if report.shift is not None:
        summary += f", mean kept to {max(100 * abs(report.shift), 0.01):.1g} % of the noise"
    if report.deviation is not None:
        summary += f", tiles differ by {255 * report.deviation:.2g}/255"
    notes = (*report.lost, *report.notes)
    return summary + _in_brackets(notes), height * width * report.pages
