"""`zoo denoise`: clean copies of pictures and recordings."""

import argparse
import math

from zoo.cli.arguments import add_places
from zoo.data import file_kinds

_DESCRIPTION = """Denoise pictures and recordings. INPUT is a file, a folder, which stands for all
below it, or a quoted pattern; pictures (png, jpeg, bmp, tiff, webp, gif, avif, heic) and recordings
(wav, aiff, flac, ogg, opus, mp3; m4a and films, whose sound becomes wav) are told apart by their
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
  zoo denoise stack.tif --range 100 4095       what is black and what white
  zoo denoise song.flac --model wiener --save-noise

The noise of a picture is estimated from it unless --sigma says how much there is. An input is never
written over, but with --overwrite and itself as OUTPUT. The exit code is 0 if all went well, 1 if a
file failed (the others are done), 2 for a mistake in the command, 130 after Ctrl-C; what is
finished by then stays."""

# Only of pictures; the defaults are None or False, by which it is told who was asked.
_OF_PICTURES = (
    *("sigma", "range", "range_per_page", "linear"),
    *("tile", "overlap", "ensemble", "dtype"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add_places(parser, "denoised")
    add = parser.add_argument
    add(
        "--model",
        metavar="NAME",
        help="weights that come with the zoo, or a model of `zoo models` without parameters "
        "(unet-color or unet-gray; for recordings stream-b, and wiener where their sound ends "
        "below 6.5 kHz)",
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
        "pictures lies around mid grey",
    )
    add(
        "--reference",
        metavar="CLEAN",
        help="a clean file, or a folder of them by the same names: prints PSNR and SSIM, or "
        "SI-SDR, before and after",
    )
    add("--device", choices=("cpu", "gpu", "tpu"), help="what to compute on (the fastest there is)")
    add = parser.add_argument_group("pictures").add_argument
    add(
        "--sigma",
        type=_sigma,
        metavar="SIGMA",
        help="the noise's standard deviation, of 255, or auto: estimated in each picture (auto); "
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
        "all pages, and told unless it is all that the type holds)",
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
        help="side of the tiles that a picture is cut into, 0 for none (as large as is good)",
    )
    add(
        "--overlap",
        type=_whole,
        metavar="PIXELS",
        help="of neighbouring tiles (as far as the model looks)",
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
    # Here, so that `--help` and mistakes in the options are answered at once.
    from zoo import compilation, files  # noqa: PLC0415
    from zoo.cli import batch, device, inputs, outputs  # noqa: PLC0415
    from zoo.cli.work import Denoisers  # noqa: PLC0415

    output = files.expanded(arguments.output) if arguments.output else None
    found = inputs.gather(arguments.inputs, word="denoised", output=output)
    extra = "noise" if arguments.save_noise else ""
    jobs = outputs.jobs(found, arguments.output, extra=extra, form=arguments.format)
    _refuse_others(arguments, {job.kind for job in jobs} - {None}, file_kinds.IMAGE)
    device.use(arguments.device)
    compilation.enable()
    return batch.each(
        jobs,
        Denoisers(arguments),
        overwrite=arguments.overwrite,
        skip_existing=arguments.skip_existing,
        skipped=found.skipped,
    )


def _refuse_others(arguments: argparse.Namespace, kinds: set[str], picture: str) -> None:
    """Refuses options of pictures where there is none."""
    from zoo.errors import ZooError  # noqa: PLC0415

    given = [name for name in _OF_PICTURES if getattr(arguments, name) not in (None, False)]
    if kinds and picture not in kinds and given:
        raise ZooError(
            f"--{given[0].replace('_', '-')} is an option of pictures, and no input is one; drop it"
        )


def _share(text: str) -> float:
    return _number(text, 0, 1, "a number from 0 to 1")


def _limit(text: str) -> float:
    """As a share: what is taken away wholly is then that much softer."""
    return 1 - 10 ** (-_number(text, 0, 200, "a number of dB, 0 or more") / 20)


def _sigma(text: str) -> float | None:
    """In 1/255; None for the estimate."""
    if text == "auto":
        return None
    return _number(text, 1e-6, 255, "auto, or a number above 0 and up to 255")


def _finite(text: str) -> float:
    return _number(text, -math.inf, math.inf, "a number")


def _number(text: str, low: float, high: float, told: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high or math.isinf(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not {told}")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)
