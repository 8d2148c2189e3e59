"""`zoo noise`: noisy copies of images and audio files."""

import argparse
import ast
import functools
import inspect
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

import zoo
from zoo.cli import common, file_jobs
from zoo.cli.file_jobs import Done
from zoo.cli.job_plan import Job
from zoo.data import audio_files, audio_writing, file_kinds, pixels
from zoo.data.image_files import read_pages, writing
from zoo.data.image_fitting import fitting
from zoo.errors import ZooError, unknown

if TYPE_CHECKING:
    import jax

_DESCRIPTION = """Make noisy copies of images and audio files, by any noise op of zoo.noise or
zoo.noise.audio. INPUT is a file, a folder (all files below it) or a quoted pattern. A copy keeps
the size, depth, channels and metadata of its input, or its sample rate, channels, length and
encoding; alpha is not changed. An audio file is held in memory as a whole."""

_EXAMPLES = """examples:
  zoo noise photo.png --op gaussian --level 25            sigma 25/255, writes photo.noisy.png
  zoo noise photos/ -o noisy/ --op gaussian --level 5,50  a random level for each image
  zoo noise photo.png --op poisson --level 30             30 photons at white
  zoo noise photo.png --op stripes --level 10 --option axis=column
  zoo noise talk.wav --op white --level 10                SNR of 10 dB
  zoo noise talk.wav --op add_at_snr --level 5 --noise street.wav
"""

# As many on either side of 0; jax takes no more.
_SEEDS = 2**63
# What ops call the audio file that they are given beside the signal.
_GIVEN = ("noise", "noisy", "response")
# Where only the options are looked at, and images have none.
_USUAL_RATE = 16000

Advance = Callable[[int, int], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    common.add_places(parser, "noisy")
    add = parser.add_argument
    add("--op", required=True, metavar="NAME", help="the noise op; an unknown name lists all")
    add(
        "--level",
        required=True,
        type=_level,
        metavar="LEVEL",
        help="noise level, or LOW,HIGH for a random level per file; write --level=-5 if negative",
    )
    add(
        "--unit",
        choices=("1", "1/255"),
        help="unit of the level (1/255 if it is an intensity of images, else 1)",
    )
    add("--seed", type=_seed, default=0, help="seed of the noise (0)")
    add(
        "--option",
        action="append",
        default=[],
        type=_option,
        dest="options",
        metavar="NAME=VALUE",
        help="another option of the noise op; may be repeated",
    )
    add("--noise", metavar="FILE", help="audio file to mix in, or a room impulse response")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes the copies, prints a line a file and a summary; returns the exit code."""
    return file_jobs.run_command(arguments, _Noises, "noisy")


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


class _Noises:
    """Makes one noisy copy after the other.

    A file's noise follows from the seed and its place below the folder that was named, so it does
    not depend on what other files there are.

    Args:
      arguments: those of `zoo noise`.
      kinds: of the inputs.

    Raises:
      ZooError: there is no such noise, or its level or an option is wrong.
    """

    def __init__(self, arguments: argparse.Namespace, kinds: set[str]):
        self._arguments = arguments
        self._programs: dict[tuple, Callable] = {}
        ops = {kind: zoo.noise.registry(kind) for kind in (file_kinds.IMAGE, file_kinds.AUDIO)}
        if not any(arguments.op in registry for registry in ops.values()):
            raise unknown("noise", arguments.op, {name for one in ops.values() for name in one})
        for kind in kinds:
            if arguments.op in ops[kind]:
                # So that a mistake in the options is one line, and not one for each file.
                self._sampler(kind, _USUAL_RATE, np.ones((1, 1), np.float32))

    def __call__(self, job: Job, advance: Advance) -> Done:
        """Makes a noisy copy.

        Raises:
          ZooError: the file cannot be read or written, or its kind has no such noise.
        """
        if self._arguments.op not in zoo.noise.registry(job.kind):
            one = zoo.inference.denoising.one_of(job.kind)
            raise ZooError(
                f"{job.source} is {one}, of which there is no noise {self._arguments.op}; leave it "
                "out, or choose another"
            )
        from jax import random  # noqa: PLC0415 - `--help` need not wait for it

        key = random.key(self._arguments.seed)
        key = random.fold_in(key, zlib.crc32(job.place.as_posix().encode()))
        if job.kind == file_kinds.IMAGE:
            return self._image(job, functools.partial(random.fold_in, key), advance)
        return self._recording(job, key, advance)

    def _image(self, job: Job, key_of: Callable, advance: Advance) -> Done:
        draw = self._program(job.kind)
        pages = read_pages(job.source)
        levels, lost, count = [], {}, 0
        settings = {"overwrite": self._arguments.overwrite, "word": "noise added"}
        with writing(job.target, len(pages), **settings) as put:
            for index, page in enumerate(pages):
                # What cannot be written is said before the work.
                fitting(page, job.target, len(pages))
                noisy, level = _noisy(page.image, draw, key_of(index))
                lost |= dict.fromkeys((*page.lost, *put(page._replace(image=noisy))))
                levels.append(level)
                count += noisy.shape[0] * noisy.shape[1]
                advance(index + 1, len(pages))
        summary = self._described(job.kind, levels)
        return Done(f"{summary} ({'; '.join(lost)})" if lost else summary, count)

    def _recording(self, job: Job, key: "jax.Array", advance: Advance) -> Done:
        facts = audio_files.info(job.source)
        mixed = None
        if self._arguments.noise:
            mixed = audio_files.read(self._arguments.noise, sample_rate=facts.sample_rate)
            if mixed.shape[1] not in (1, facts.channels):
                mixed = mixed.mean(axis=1, keepdims=True)
        draw = self._program(job.kind, facts.sample_rate)
        y, level = draw(key, audio_files.read(job.source), mixed)
        settings = {"channels": facts.channels, "sample_rate": facts.sample_rate, "like": facts}
        settings |= {"source": job.source, "overwrite": self._arguments.overwrite}
        with audio_writing.writing(job.target, **settings) as put:
            clipped = put(np.asarray(y))
        advance(1, 1)
        summary = self._described(job.kind, [float(level)])
        if clipped:
            summary += f", {clipped} values clipped"
        if notes := (*audio_files.remarks(job.source), *put.lost):
            summary += f" ({'; '.join(notes)})"
        return Done(summary, facts.frames / facts.sample_rate)

    def _program(self, kind: str, rate: int = _USUAL_RATE) -> Callable:
        """`(key, x, mixed) -> (noisy, level)`, compiled once for each size."""
        from jax import jit  # noqa: PLC0415 - as in `__call__`

        if (kind, rate) not in self._programs:
            sampler = functools.partial(self._sampler, kind, rate)
            self._programs[kind, rate] = jit(lambda key, x, mixed=None: sampler(mixed)(key, x))
        return self._programs[kind, rate]

    def _sampler(self, kind: str, rate: int, mixed: "jax.Array | None") -> Callable:
        """The noise for a kind of file, at a sample rate, with an audio file to mix in."""
        given = self._arguments
        options = dict(given.options)
        op = zoo.noise.registry(kind)[given.op]
        known = inspect.signature(op).parameters
        takes = [name for name in _GIVEN if name in known]
        if given.noise and not takes:
            raise ZooError(f"{given.op} mixes no noise file in; leave out --noise")
        needed = takes and known[takes[0]].default is inspect.Parameter.empty
        if (needed and not given.noise) or options.keys() & {*takes}:
            raise ZooError(f"{given.op} mixes a noise file in; name it by --noise FILE")
        if given.noise:
            options[takes[0]] = mixed
        return zoo.noise.make_sampler(
            given.op,
            given.level,
            unit=self._unit(op),
            options=options,
            modality=kind,
            sample_rate=rate,
        )

    def _unit(self, op: Callable) -> str:
        usual = "1/255" if next(iter(op.levels.values())).intensity else "1"
        return self._arguments.unit or usual

    def _described(self, kind: str, levels: list[float]) -> str:
        """The noise and its levels, each once, in the unit they were given in."""
        op = zoo.noise.registry(kind)[self._arguments.op]
        scale, end = (255, "/255") if self._unit(op) == "1/255" else (1, "")
        values = ", ".join(dict.fromkeys(f"{level * scale:.4g}{end}" for level in levels))
        return f"{self._arguments.op}, {next(iter(op.levels))} {values}"


def _noisy(image: np.ndarray, draw: Callable, key: "jax.Array") -> tuple[np.ndarray, float]:
    """A noisy image of the same dtype, and the level.

    Levels are shares of white, as `zoo denoise` has them: the largest value of 8 and 16 bits; of
    floats and wider integers 1, or the end of the image's range where that is more. Integers are
    clipped to their type, floats from 0 to 1 to that range; values that are not finite, which
    stand for a mask, and alpha stay.
    """
    colors = pixels.without_alpha(image)
    scales = zoo.inference.value_scale
    usual = scales.find([colors])[colors.dtype]
    black = min(usual.low, 0.0)
    scale = scales.Scale(black, black + usual.white, usual.white)
    seen = scale.enter(zoo.inference.even_noise.fill_missing(colors))
    found, level = draw(key, seen)
    found = np.asarray(found)
    if colors.dtype.kind == "f" and scale.usual and seen.min() >= 0 and seen.max() <= 1:
        found = np.clip(found, 0, 1)
    noisy = np.where(np.isfinite(colors), scale.leave(found, colors.dtype), colors)
    noisy = noisy.astype(image.dtype)
    return np.concatenate([noisy, image[..., colors.shape[-1] :]], axis=-1), float(level)
