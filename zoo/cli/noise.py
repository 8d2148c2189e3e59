"""`zoo noise`: noisy copies of pictures and recordings."""

import argparse
import ast

from zoo.cli.arguments import add_places

_DESCRIPTION = """Make noisy copies of pictures and recordings, by any noise of zoo.noise or
zoo.noise.audio. INPUT is a file, a folder, which stands for all below it, or a quoted pattern. A
copy has the size, depth, channels and metadata of its input, or its sample rate, channels, length
and coding; alpha is left alone. Recordings are held in memory whole."""

_EXAMPLES = """examples:
  zoo noise photo.png --op gaussian --level 25            sigma 25/255, writes photo.noisy.png
  zoo noise photos/ -o noisy/ --op gaussian --level 5,50  drawn anew for each picture
  zoo noise photo.png --op poisson --level 30             30 photons at white
  zoo noise photo.png --op stripes --level 10 --option axis=column
  zoo noise talk.wav --op white --level 10                10 dB of signal to noise
  zoo noise talk.wav --op add_at_snr --level 5 --noise street.wav
"""

# As many on either side of 0; jax takes no more.
_SEEDS = 2**63


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add_places(parser, "noisy")
    add = parser.add_argument
    add("--op", required=True, metavar="NAME", help="the noise; a wrong name lists all")
    add(
        "--level",
        required=True,
        type=_level,
        metavar="LEVEL",
        help="how much, or LOW,HIGH to draw it anew for each file; --level=-5 if below 0",
    )
    add(
        "--unit",
        choices=("1", "1/255"),
        help="of the level (1/255 where it is an intensity of pictures, else 1)",
    )
    add("--seed", type=_seed, default=0, help="other numbers give other noise (0)")
    add(
        "--option",
        action="append",
        default=[],
        type=_option,
        dest="options",
        metavar="NAME=VALUE",
        help="another option of the noise; may be repeated",
    )
    add("--noise", metavar="FILE", help="the recording that is mixed in, or a room's response")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes the copies, prints a line a file and a summary; returns the exit code."""
    # Here, so that `--help` and mistakes in the options are answered at once.
    from zoo import files, runtime  # noqa: PLC0415
    from zoo.cli import batch, inputs, outputs  # noqa: PLC0415
    from zoo.cli.corrupt import Noises  # noqa: PLC0415

    output = files.expanded(arguments.output) if arguments.output else None
    found = inputs.gather(arguments.inputs, word="noisy", output=output)
    jobs = outputs.jobs(found, arguments.output, form=arguments.format)
    noises = Noises(arguments, {job.kind for job in jobs} - {None})
    runtime.cache_programs()
    return batch.each(
        jobs,
        noises,
        overwrite=arguments.overwrite,
        skip_existing=arguments.skip_existing,
        skipped=found.skipped,
    )


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = _SEEDS
    if not -_SEEDS <= seed < _SEEDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 64 bits")
    return seed


def _level(text: str) -> float | tuple[float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor LOW,HIGH")
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _option(text: str) -> tuple[str, object]:
    """A name and a value: Python's where it is one, such as 0.5 or True, else the word itself."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval({"true": "True", "false": "False"}.get(value, value))
    except (ValueError, SyntaxError):
        return name, value
