"""`zoo export`: a denoiser as a program that runs without this package."""

import argparse
import math
import os
import re
from pathlib import Path

from zoo.cli import common
from zoo.data.pixels import PIXEL_LIMIT
from zoo.errors import ZooError
from zoo.interop import export
from zoo.resolve import parse, resolve

_DESCRIPTION = """Write a denoiser with its weights as a program that runs without this package.

stablehlo: a zip that needs only JAX, NumPy and flatbuffers; it holds the code that runs it
           (reload.py) and the metadata. Batch, height and width are free, on CPU, CUDA and TPU.
           For a streaming model it holds the step of one hop.
onnx:      a graph for any ONNX runtime, with the metadata in it. For a streaming model it is the
           step of one hop, with the state as input and output; models of whole audio files are
           not converted. It needs the package jax2onnx.
The outputs of both are compared with the model before anything is written.
"""
_EXAMPLES = """examples:
  zoo export unet-gray --format=stablehlo -o unet-gray.zip
  zoo export runs/unet/weights.safetensors --format=onnx
  zoo export swinir-gray --weights swinir_gray.pth --format=stablehlo --size=256x256
  zoo export stream-t --format=stablehlo
"""
_FORMATS = {
    "stablehlo": (export.to_stablehlo, ".stablehlo.zip"),
    "onnx": (export.to_onnx, ".onnx"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add(
        "name", metavar="NAME", help="weights that come with the package, a weight file, or a model"
    )
    add("--format", required=True, choices=sorted(_FORMATS))
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="output (NAME.stablehlo.zip or NAME.onnx, in this folder)",
    )
    add("--weights", metavar="FILE", help="published weights of the model NAME")
    add(
        "--size",
        type=_size,
        metavar="HxW",
        help="fix the image size, or the number of audio samples; required by models with windowed "
        "attention and by audio models that do not stream",
    )
    add("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the file, and prints what it is and how it was checked."""
    write, suffix = _FORMATS[arguments.format]
    chosen = f"{arguments.name}={arguments.weights}" if arguments.weights else arguments.name
    source = parse(chosen)
    stem = source.name or Path(source.file).stem
    path = Path(arguments.output or f"{stem}{suffix}")
    if os.path.lexists(path) and not arguments.overwrite:
        raise ZooError(f"{path} is there already; name another file by -o, or add --overwrite")
    model = resolve(chosen)
    record = write(
        path,
        model.module,
        model.variables,
        name=arguments.name,
        record=model.metadata,
        size=arguments.size,
        overwrite=arguments.overwrite,
    )
    shape = ", ".join(map(str, record["inputs"][0]["shape"]))
    apart = record["checked"]["largest_difference"]
    print(
        f"{common.line(str(path))}: {path.stat().st_size / 1e6:.1f} MB, takes ({shape}), "
        f"within {apart:.1g} of the model"
    )


def _size(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 256x256, or 32000")
    size = tuple(map(int, text.split("x")))
    if math.prod(size) > PIXEL_LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {PIXEL_LIMIT}")
    return size
