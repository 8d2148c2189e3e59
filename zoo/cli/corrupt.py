"""One picture or one recording made noisy."""

import argparse
import inspect
import zlib
from collections.abc import Callable

import jax
import numpy as np

from zoo import noise
from zoo.cli.batch import Done
from zoo.cli.outputs import Job
from zoo.data import file_kinds, pixels, recordings
from zoo.data.image_files import fitting, read_pages, writing
from zoo.errors import ZooError, unknown

# What ops call the recording that they are given beside the signal.
_GIVEN = ("noise", "noisy", "response")
# Where only the options are looked at, and pictures have none.
_USUAL_RATE = 16000

Tell = Callable[[int, int], None]


class Noises:
    """Makes one noisy copy after the other.

    A file's noise follows from the seed and its place below the folder that was named, so it does
    not depend on what other files there are.

    Args:
      arguments: those of `zoo noise`.
      found: the kinds of the inputs.

    Raises:
      ZooError: there is no such noise, or its level or an option is wrong.
    """

    def __init__(self, arguments: argparse.Namespace, found: set[str]):
        self._arguments = arguments
        self._programs: dict[tuple, Callable] = {}
        ops = {kind: noise.registry(kind) for kind in (file_kinds.IMAGE, file_kinds.AUDIO)}
        if not any(arguments.op in registry for registry in ops.values()):
            raise unknown("noise", arguments.op, {name for one in ops.values() for name in one})
        for kind in found:
            if arguments.op in ops[kind]:
                # What is wrong with the options is told now, and not for each file.
                self._sampler(kind, _USUAL_RATE, np.ones((1, 1), np.float32))

    def __call__(self, job: Job, tell: Tell) -> Done:
        """Makes a noisy copy.

        Raises:
          ZooError: the file cannot be read or written, or its kind has no such noise.
        """
        if self._arguments.op not in noise.registry(job.kind):
            raise ZooError(
                f"{job.source} is of the kind {job.kind}, for which there is no noise "
                f"{self._arguments.op}; leave it out, or choose another"
            )
        key = jax.random.key(self._arguments.seed)
        key = jax.random.fold_in(key, zlib.crc32(job.place.as_posix().encode()))
        make = self._picture if job.kind == file_kinds.IMAGE else self._recording
        return make(job, key, tell)

    def _picture(self, job: Job, key: jax.Array, tell: Tell) -> Done:
        draw = self._program(job.kind)
        pages = read_pages(job.source)
        levels, lost, count = [], {}, 0
        with writing(job.target, len(pages), overwrite=self._arguments.overwrite) as put:
            for index, page in enumerate(pages):
                # What cannot be written is said before the work.
                fitting(page, job.target, len(pages))
                # Levels of noise are shares of white, which other types do not tell.
                picture = pixels.check(page.image, str(job.source))
                noisy, level = _noisy(picture, draw, jax.random.fold_in(key, index))
                lost |= dict.fromkeys((*page.lost, *put(page._replace(image=noisy))))
                levels.append(level)
                count += noisy.shape[0] * noisy.shape[1]
                tell(index + 1, len(pages))
        told = self._told(job.kind, levels)
        return Done(f"{told} ({'; '.join(lost)})" if lost else told, count)

    def _recording(self, job: Job, key: jax.Array, tell: Tell) -> Done:
        facts = recordings.info(job.source)
        mixed = None
        if self._arguments.noise:
            mixed = recordings.read(self._arguments.noise, sample_rate=facts.sample_rate)
            if mixed.shape[1] not in (1, facts.channels):
                mixed = mixed.mean(axis=1, keepdims=True)
        draw = self._program(job.kind, facts.sample_rate)
        y, level = draw(key, recordings.read(job.source), mixed)
        settings = {"channels": facts.channels, "sample_rate": facts.sample_rate, "like": facts}
        settings |= {"source": job.source, "overwrite": self._arguments.overwrite}
        with recordings.writing(job.target, **settings) as put:
            clipped = put(np.asarray(y))
        tell(1, 1)
        told = self._told(job.kind, [float(level)])
        if clipped:
            told += f", {clipped} values clipped"
        if notes := (*recordings.remarks(job.source), *put.lost):
            told += f" ({'; '.join(notes)})"
        return Done(told, facts.frames / facts.sample_rate)

    def _program(self, kind: str, rate: int = _USUAL_RATE) -> Callable:
        """`(key, x, mixed) -> (noisy, level)`, compiled once for each size."""
        if (kind, rate) not in self._programs:
            self._programs[kind, rate] = jax.jit(
                lambda key, x, mixed=None: self._sampler(kind, rate, mixed)(key, x)
            )
        return self._programs[kind, rate]

    def _sampler(self, kind: str, rate: int, mixed: jax.Array | None) -> noise.Sampler:
        """The noise for a kind of file, at a sample rate, with a recording to mix in."""
        given = self._arguments
        modality = kind
        options = dict(given.options)
        op = noise.registry(modality)[given.op]
        known = inspect.signature(op).parameters
        takes = [name for name in _GIVEN if name in known]
        if given.noise and not takes:
            raise ZooError(f"{given.op} mixes no recording in; leave out --noise")
        needed = takes and known[takes[0]].default is inspect.Parameter.empty
        if (needed and not given.noise) or options.keys() & {*takes}:
            raise ZooError(f"{given.op} mixes a recording in; name it by --noise FILE")
        if given.noise:
            options[takes[0]] = mixed
        return noise.make_sampler(
            given.op,
            given.level,
            unit=self._unit(op),
            options=options,
            modality=modality,
            sample_rate=rate,
        )

    def _unit(self, op: Callable) -> str:
        usual = "1/255" if next(iter(op.levels.values())).intensity else "1"
        return self._arguments.unit or usual

    def _told(self, kind: str, levels: list[float]) -> str:
        """The noise and its levels, each once, in the unit they were given in."""
        op = noise.registry(kind)[self._arguments.op]
        scale, end = (255, "/255") if self._unit(op) == "1/255" else (1, "")
        values = ", ".join(dict.fromkeys(f"{level * scale:.4g}{end}" for level in levels))
        return f"{self._arguments.op}, {next(iter(op.levels))} {values}"


def _noisy(picture: np.ndarray, draw: Callable, key: jax.Array) -> tuple[np.ndarray, float]:
    """A noisy picture of the dtype that was given, clipped to its range, and the level."""
    colors = pixels.without_alpha(picture)
    found, level = draw(key, pixels.to_float(colors))
    noisy = np.asarray(found)
    if picture.dtype.kind == "f":
        noisy = np.clip(noisy, 0, 1)
    else:
        noisy = (pixels.to_uint8 if picture.dtype == np.uint8 else pixels.to_uint16)(noisy)
    return np.concatenate([noisy, picture[..., colors.shape[-1] :]], axis=-1), float(level)
