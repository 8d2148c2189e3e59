"""The options of `zoo denoise` that fit a denoiser to the noise of an image."""

import argparse
import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

import zoo
from zoo import files
from zoo.cli import common
from zoo.cli.job_plan import Job
from zoo.data import file_kinds
from zoo.errors import ZooError

OPTIONS = ("adapt", "method", "adapted", "save_adapted", "bvals")
"""Names of the options."""

# What an adaptation learns or brings by itself.
_FOUND = ("sigma", "range", "range_per_page", "stabilize")

SERIES = "patch2self"
"""The method that learns no network, but volumes of a series from each other."""

_OF_NETWORKS = ("adapt", "adapted", "save_adapted", *_FOUND)
_OF_NETWORKS += ("tile", "overlap", "ensemble", "dtype", "scheduler")


def add_arguments(add: Callable) -> None:
    """Adds the options by the `add_argument` of a parser or a group."""
    add(
        "--adapt",
        action="store_true",
        help="first fit the model to the noise of each image, for microscopes, telescopes and "
        "other noise that grows with the signal",
    )
    add(
        "--method",
        choices=("noise2vst", "noise2fast", "zs-n2n", SERIES),
        help="method of adapting; implies --adapt. noise2vst: a curve around the model; noise2fast "
        "and zs-n2n: a small network trained on the image alone; patch2self: each volume of a "
        "diffusion MRI series predicted from all others (noise2vst)",
    )
    add(
        "--bvals",
        metavar="FILE",
        help=f"with --method {SERIES} and one series: file of its b-values; volumes without "
        "diffusion weighting are then predicted only from each other (NAME.bval next to "
        "NAME.nii.gz, if it exists)",
    )
    add(
        "--save-adapted",
        metavar="FILE",
        help="with --adapt and one image: write the fit to a .safetensors file, for other images "
        "of the instrument",
    )
    add(
        "--adapted",
        metavar="FILE",
        help="a file that --save-adapted wrote, used instead of a model",
    )


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that do not go with an adaptation; sets `adapt` where `method` asks for one.

    Raises:
      ZooError: there are such.
    """
    adapted = arguments.adapted is not None
    learns = arguments.method not in (None, "noise2vst")
    if learns and (arguments.model or arguments.weights):
        raise ZooError(
            f"--method {arguments.method} learns a network of its own; drop --model and --weights"
        )
    several = len(arguments.inputs) > 1 or os.path.isdir(files.expanded(arguments.inputs[0]))
    if arguments.bvals is not None and (arguments.method != SERIES or several):
        raise ZooError(f"--bvals goes with --method {SERIES} and one file; drop it")
    if arguments.method == SERIES:
        for flag in common.given(arguments, _OF_NETWORKS):
            raise ZooError(f"--method {SERIES} has no network, for which {flag} is; drop it")
        return
    arguments.adapt = arguments.adapt or arguments.method is not None
    if arguments.save_adapted is not None and not arguments.adapt:
        raise ZooError("--save-adapted goes with --adapt; add it, or leave out both")
    if arguments.save_adapted is not None and several:
        raise ZooError("--save-adapted is for one image, and there are several; name one")
    if not arguments.adapt and not adapted:
        return
    if arguments.adapt and adapted:
        raise ZooError("--adapt makes a new fit and --adapted brings one; drop one of them")
    if adapted and (arguments.model or arguments.weights):
        raise ZooError("--adapted brings its model; drop --model and --weights")
    finder = "--adapted" if adapted else "--adapt"
    for flag in common.given(arguments, _FOUND):
        raise ZooError(f"{flag} is for {finder} to find; drop one of them")


def bvals(arguments: argparse.Namespace, source: Path) -> np.ndarray | None:
    """The b-values of a series: those given, or of the file beside it that BIDS has for them.

    Raises:
      ZooError: the file is missing or holds something else.
    """
    if arguments.bvals is not None:
        return zoo.inference.diffusion.read_bvals(files.expanded(arguments.bvals))
    beside = file_kinds.with_ending(source, ".bval")
    return zoo.inference.diffusion.read_bvals(beside) if beside.is_file() else None


class Fitter:
    """Fits a model to one image file after the other."""

    def __init__(self, arguments: argparse.Namespace, model: "zoo.resolve.Resolved | None"):
        """Prepares the fits.

        Args:
          arguments: those of `zoo denoise`.
          model: the model to fit; None for the usual one.

        Raises:
          ZooError: the model cannot be fitted.
        """
        self._arguments, self._model = arguments, model
        self._saved: Path | None = None
        if model and model.modality == "image":
            zoo.inference.adaptation.check_adaptable(model)

    def __call__(self, job: Job, advance: Callable[..., None]) -> "zoo.inference.Adapted":
        """Fits the model to the source of a job, and writes the result if that is asked for.

        Raises:
          ZooError: the file cannot be read or is no such image, or the result cannot be written.
        """
        path = self._arguments.save_adapted
        if path is not None:
            path = files.expanded(path)
            if self._saved:
                raise ZooError(f"{path} is for one image, and is of {self._saved}; take one input")
            own = [place for place in (job.source, job.target, job.extra) if place is not None]
            if os.path.realpath(path) in map(os.path.realpath, own):
                raise ZooError(f"{path} is the input or an output; name another --save-adapted")
            if not path.parent.is_dir():
                raise ZooError(f"there is no folder {path.parent}; make it first")
            if os.path.lexists(path) and not self._arguments.overwrite:
                raise ZooError(f"{path} is there already; name another, or give --overwrite")
        fitting = functools.partial(advance, part="fitting")
        method = self._arguments.method or "noise2vst"
        adapted = zoo.inference.adapt_file(job.source, self._model, method=method, progress=fitting)
        if path is not None:
            adapted.save(path)
            self._saved = job.source
        return adapted
