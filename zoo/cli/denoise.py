"""`zoo denoise`: denoised copies of images and audio files."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import zoo
from zoo import files
from zoo.cli import adapting, argument_types, common, file_jobs, videos
from zoo.cli.file_jobs import Done
from zoo.cli.job_plan import Job
from zoo.data import file_kinds
from zoo.data.image_files import read_pages
from zoo.errors import ZooError
from zoo.modality import get

_DESCRIPTION = """Denoise images and audio files. INPUT is a file, a folder (all files below it) or
a quoted pattern. Images (png, jpeg, bmp, tiff, webp, gif, avif, heic, raw files of cameras; DICOM,
NIfTI, FITS, MRC, npy, OME-Zarr), audio (wav, aiff, flac, ogg, opus, mp3, m4a) and videos (mp4, mov,
mkv, webm, avi) are recognized by their content. Of a video the audio is denoised, with --clean
images the images, with --clean both both; the rest is copied unchanged. An output keeps the size,
depth, channels, alpha and metadata of its input, or its sample rate, channels, length, encoding and
tags. It is written completely or not at all."""

_EXAMPLES = """examples:
  zoo denoise photo.jpg                        writes photo.denoised.jpg
  zoo denoise photo.jpg -o clean.png
  zoo denoise - --format png < a.jpg > b.png   stdin and stdout
  zoo denoise scans/ -o clean/                 all files, in the same folders below clean/
  zoo denoise 'scans/**/*.tif' talk.wav -o clean/ --strength 0.8
  zoo denoise photo.png --sigma 25 --reference original.png
  zoo denoise photo.jpg --model dncnn-color-blind --weights dncnn_color_blind.pth
  zoo denoise photo.jpg --weights runs/unet/weights.safetensors --ensemble
  zoo denoise stack.tif --range 100 4095       the values of black and white
  zoo denoise sky.fits --stabilize poisson     photon noise, which grows with the signal
  zoo denoise cells.tif --adapt --save-adapted camera.safetensors
  zoo denoise more/ --adapted camera.safetensors
  zoo denoise big.ome.zarr -o clean.ome.zarr   the same command resumes an interrupted run
  zoo denoise scans/ -o clean/ --shard 3/64    one job of an array of 64
  zoo denoise dwi.nii.gz --method patch2self   a diffusion MRI series, with dwi.bval
  zoo denoise song.flac --model wiener --save-noise
  zoo denoise talk.wav --limit 12              at most 12 dB of noise reduction
  zoo denoise calls/ --for asr                 before speech recognition
  zoo denoise tape.wav --profile 0:00-0:01.5   an interval with only hum and hiss
  zoo denoise clip.mp4 --clean images          the frames of a video; its audio is copied

Models that take a noise level get an estimate from the image unless --sigma is given. An input is
overwritten only if it is also the OUTPUT and --overwrite is given. The exit code is 0 on success, 1
if a file failed (the others are still processed), 2 for a mistake in the command and 130 after
Ctrl-C; finished outputs are kept."""

# Options of one kind of file; their defaults are None or False, so that a given one is recognized.
_OPTIONS = {
    file_kinds.IMAGE: (
        *("sigma", "range", "range_per_page", "stabilize"),
        *("tile", "overlap", "ensemble", "dtype", "scheduler"),
        *adapting.OPTIONS,
    ),
    file_kinds.AUDIO: ("limit", "for", "channels", "profile"),
}
# Strengths by purpose: recognizers do better with some of the noise than with the artifacts of
# removing all of it; see docs/audio.md.
_PURPOSES = {"asr": 0.7}
# Remedies as the functions name them, and as the command does.
_FLAGS = {
    "level=..., in signal units": "--sigma",
    "range=(black, white)": "--range BLACK WHITE",
    "range=": "--range ",
    "tile=": "--tile ",
    "overlap=": "--overlap ",
    "model='wiener'": "--model wiener",
    "limit=12": "--limit 12",
    "model='spectral-gate'": "--model spectral-gate",
    "model='unet-real'": "--model unet-real",
    "level=10 / 255": "--sigma 10",
    "stabilize='poisson'": "--stabilize poisson",
    "stabilize=": "--stabilize",
    "another offset": "another OFFSET",
    "clean='images'": "--clean images",
    "clean='audio'": "--clean audio",
    "overwrite=True": "--overwrite",
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
        help="name of weights that come with the package, a weight file, a model of `zoo models` "
        "without parameters, or NAME=FILE, a model and its weights (color images: unet-photo, or "
        "unet-color with --sigma or --stabilize; gray images: unet-gray; audio: stream-s-48k, or "
        "wiener if the sound ends below 6.5 kHz)",
    )
    add(
        "--weights",
        metavar="FILE",
        help="a weight file of this package; or, with --model, published weights (.pth, .pt, .tar, "
        ".mat, .bin, .onnx, .safetensors)",
    )
    shares = parser.add_mutually_exclusive_group()
    shares.add_argument(
        "--strength",
        type=argument_types.share,
        default=1.0,
        metavar="SHARE",
        help="fraction of the model's change that is applied, 0 to 1 (1)",
    )
    shares.add_argument(
        "--limit",
        type=argument_types.decibels,
        metavar="DB",
        help="for audio, the strength in dB: the largest attenuation of any component; 12 leaves a "
        "quarter of the amplitude",
    )
    shares.add_argument(
        "--for",
        choices=_PURPOSES,
        help="for audio, the strength for a purpose: asr (automatic speech recognition), 0.7",
    )
    add(
        "--save-noise",
        action="store_true",
        help="also write what was removed, next to each output as NAME.noise.SUFFIX; for images "
        "it is centered on mid gray",
    )
    add(
        "--reference",
        metavar="CLEAN",
        help="a clean file, or a folder of clean files with the same names: prints PSNR and SSIM, "
        "or SI-SDR, before and after",
    )
    add("--device", choices=common.DEVICES, help="device to compute on (the fastest available)")
    add = parser.add_argument_group("audio").add_argument
    add(
        "--channels",
        choices=("linked", "separate"),
        help="linked: one gain for all channels, so that sources keep their position; separate: "
        "each channel by itself, for one microphone per channel (linked)",
    )
    add(
        "--profile",
        type=argument_types.stretch,
        metavar="FROM-TO",
        help="interval with only noise, in seconds or as m:ss.s; selects --model spectral-gate, "
        "which learns the noise from it: for hum, hiss and music",
    )
    videos.add_arguments(parser.add_argument_group("videos").add_argument)
    add = parser.add_argument_group("images").add_argument
    add(
        "--sigma",
        type=argument_types.sigma,
        metavar="SIGMA",
        help="standard deviation of the noise in 1/255 of white, or auto: estimated for each image "
        "(auto); white is the largest value of 8 and 16 bits, and for floats 1 or the end of the "
        "range if that is more",
    )
    ranges = parser.add_mutually_exclusive_group()
    ranges.add_argument(
        "--range",
        nargs=2,
        type=argument_types.finite,
        metavar=("LOW", "HIGH"),
        help="the values of black and of white (chosen from the values of all pages, and printed "
        "unless it is the full range of the type)",
    )
    ranges.add_argument(
        "--range-per-page", action="store_true", help="choose the range separately for each page"
    )
    add(
        "--stabilize",
        type=argument_types.noise,
        metavar="NOISE",
        help="stabilize noise whose variance depends on the value: poisson, photon noise, as of "
        "telescopes, microscopes and raw converters; rician, of magnetic resonance magnitudes; or "
        "none; known parameters, in file values, as poisson:GAIN,READ,OFFSET or rician:SIGMA "
        "(poisson if the file states that values are proportional to light, else none)",
    )
    add(
        "--tile",
        type=argument_types.whole,
        metavar="PIXELS",
        help="side of the tiles that an image is cut into, 0 for no tiles (chosen by size)",
    )
    add(
        "--overlap",
        type=argument_types.whole,
        metavar="PIXELS",
        help="overlap of neighboring tiles (the reach of the model)",
    )
    add(
        "--ensemble",
        action="store_true",
        help="average over eight flips and rotations: slightly better, eight times the work",
    )
    add(
        "--dtype", choices=("float32", "bfloat16"), help="precision to compute in (the model's own)"
    )
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a dask.distributed scheduler, whose workers denoise a Zarr store region "
        "by region, such as tcp://10.0.0.1:8786 (threads of this machine)",
    )
    adapting.add_arguments(add)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Denoises, prints a line a file and a summary; returns the exit code."""
    extra = "noise" if arguments.save_noise else ""
    return file_jobs.run_command(arguments, _Denoisers, "denoised", extra=extra)


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
        videos.check(arguments, kinds)
        _check_kinds(arguments, videos.kinds(arguments, kinds))
        adapting.check(arguments)
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
        self._stabilize = arguments.stabilize
        self._strength = _PURPOSES.get(getattr(arguments, "for"), arguments.strength)
        names = ("strength", "tile", "overlap", "ensemble", "dtype")
        self._options = {name: getattr(arguments, name) for name in names}
        if arguments.adapt:
            self._fit = adapting.Fitter(arguments, self._model)
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

        make = self._image if job.kind == file_kinds.IMAGE else self._recording
        images_of_video = videos.takes(self._arguments, job)
        # Of the images of a video there is none.
        reference = compare.find(self._arguments.reference, job)
        try:
            if self._model and not images_of_video:
                zoo.inference.denoising.check_modality(self._model, job.source, job.kind)
            done = (self._video if images_of_video else make)(job, advance)
        except ZooError as error:
            raise ZooError(_naming(job, error)) from None
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

    def _series(self, job: Job, advance: Advance) -> Done:
        given = self._arguments
        known = adapting.bvals(given, job.source)
        report = zoo.inference.denoise_diffusion_file(
            job.source,
            job.target,
            bvals=known,
            strength=given.strength,
            overwrite=given.overwrite,
            save_noise=job.extra,
            progress=advance,
        )
        text, amount = _described(report)
        return Done(text + (", by b-values" if known is not None else ""), amount)

    def _image(self, job: Job, advance: Advance) -> Done:
        given = self._arguments
        if given.method == adapting.SERIES:
            return self._series(job, advance)
        if given.adapt:
            self._take(self._fit(job, advance))
        report = zoo.inference.denoise_image_file(
            job.source,
            job.target,
            self._of_images,
            level=None if given.sigma is None else given.sigma / 255,
            range="page" if given.range_per_page else self._range,
            stabilize=self._stabilize,
            overwrite=given.overwrite,
            save_noise=job.extra,
            scheduler=given.scheduler,
            progress=advance,
        )
        text, amount = _described(report)
        if given.adapt or given.adapted:
            text += ", adapted"
        if given.sigma is not None and report.level is None:
            text += ", --sigma unused: the model takes none"
        return Done(text, amount)

    def _take(self, adapted: "zoo.inference.Adapted") -> None:
        self._of_images = zoo.inference.ImageDenoiser(adapted.model, **self._options)
        self._range, self._stabilize = adapted.range, "none"

    def _video(self, job: Job, advance: Advance) -> Done:
        done, notes = videos.denoise(self._arguments, job, self._model, self._strength, advance)
        return done._replace(text=done.text + _in_brackets(notes))

    def _recording(self, job: Job, advance: Advance) -> Done:
        given = self._arguments
        report = zoo.inference.denoise_audio_file(
            job.source,
            job.target,
            self._model,
            strength=self._strength,
            limit=given.limit,
            separate_channels=given.channels == "separate",
            profile=given.profile,
            overwrite=given.overwrite,
            progress=advance,
        )
        problem = ""
        if job.extra:
            write = zoo.inference.denoise_audio.write_difference
            try:
                write(job.source, job.target, job.extra, overwrite=given.overwrite)
            except ZooError as error:
                # The audio file itself is there, and is no failure of its own.
                problem = str(error)
        seconds = report.frames / report.sample_rate
        channels = "mono" if report.channels == 1 else f"{report.channels} channels"
        clipped = f", {report.clipped} values clipped" if report.clipped else ""
        chosen = "" if self._model else f", by {report.model}"
        summary = f"{seconds:.1f} s, {report.sample_rate} Hz, {channels}{clipped}{chosen}"
        suffix, notes = job.source.suffix.lower(), [*report.notes, *videos.hint(given, job)]
        if suffix in file_kinds.READ_ONLY_AUDIO and suffix != job.target.suffix:
            notes.insert(0, f"{suffix} can be read and not written, so it is {job.target.suffix}")
        return Done(summary + _in_brackets(notes), seconds, problem)


def _check_kinds(arguments: argparse.Namespace, kinds: set[str]) -> None:
    """Refuses options of a kind of file that no input is.

    Raises:
      ZooError: there are such.
    """
    for kind, names in _OPTIONS.items():
        given = common.given(arguments, names)
        if kinds and kind not in kinds and given:
            raise ZooError(
                f"{given[0]} is an option of {get(kind).plural}, and no input is one; drop it"
            )


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
    if report.scale.noise:
        summary += f", {zoo.inference.even_noise.named(report.scale.noise)}"
    if report.shift is not None:
        summary += f", mean kept to {max(100 * abs(report.shift), 0.01):.1g} % of the noise"
    if report.deviation is not None:
        summary += f", tiles differ by {255 * report.deviation:.2g}/255"
    notes = (*report.lost, *report.notes)
    return summary + _in_brackets(notes), height * width * report.pages
