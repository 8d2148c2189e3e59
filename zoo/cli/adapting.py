"""The options of `zoo denoise` that fit a denoiser to the noise of an image."""

import argparse
import functools
import os
from collections.abc import Callable
from pathlib import Path

import zoo
from zoo import files
from zoo.cli.file_jobs import Job
from zoo.errors import ZooError

OPTIONS = ("adapt", "method", "adapted", "save_adapted")
"""Names of the options."""

# What an adaptation learns or brings by itself.
_FOUND = ("sigma", "range", "range_per_page", "linear")


def add_arguments(add: Callable) -> None:
    """Adds the options by the `add_argument` of a parser or a group."""
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
    for name in _FOUND:
        if getattr(arguments, name) not in (None, False):
            raise ZooError(f"--{name.replace('_', '-')} is for {flag} to find; drop one of them")


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
