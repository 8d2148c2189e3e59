"""`zoo info`: facts about image files, audio files and weight files."""

import argparse
import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import ImageCms

import zoo
from zoo.cli import common, paths, videos
from zoo.data import audio_files, file_kinds, pixels
from zoo.data.image_files import read_pages
from zoo.data.image_metadata import Metadata, Page
from zoo.errors import ZooError, in_words

_DESCRIPTION = """Describe files: format, size, depth and noise of an image; sample rate, length and
loudness of an audio file; both of a video; metadata of a weight file."""

_EXAMPLES = """examples:
  zoo info photo.jpg
  zoo info *.wav
  zoo info runs/unet/weights.safetensors
"""


Rows = list[tuple[str, str]]

_CHANNELS = {1: "gray", 2: "gray and alpha", 3: "color", 4: "color and alpha"}
_TURNS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "upside down, mirrored",
    5: "turned by 90 degrees, mirrored",
    6: "turned by 90 degrees",
    7: "turned by 270 degrees, mirrored",
    8: "turned by 270 degrees",
}
# Below it no decibels are worth telling.
_SILENCE = 1e-7
# In seconds, as speech is cut into for its loudness.
_FRAME = 0.032
_BLOCK_FRAMES = 512
_QUIETEST = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="images, audio files or weight files; - for stdin"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints a block of lines for each file; returns 1 if one cannot be read, else 0."""
    code, first = 0, True
    for name in arguments.files:
        try:
            rows = _facts(os.path.expanduser(name))
        except Exception as error:
            message = in_words(error)
            if message is None:
                raise
            print(f"error: {common.line(message)}", file=sys.stderr)
            code = 1
            continue
        print("" if first else "\n", end="")
        print(common.table([("file", name), *rows]), flush=True)
        first = False
    return code


def _facts(path: str) -> Rows:
    if path == "-":
        path = paths.read_stdin()
    kind = file_kinds.kind_of(path)
    if kind == file_kinds.IMAGE:
        return of_image(path)
    if kind == file_kinds.AUDIO:
        if not file_kinds.may_hold_video(path):
            return of_recording(path)
        images, sound = videos.tracks(path)
        return (videos.facts(path) if images else []) + (
            of_recording(path) if sound or not images else []
        )
    if kind == file_kinds.WEIGHTS:
        return of_weights(path)
    raise ZooError(f"{path} is {file_kinds.description(path)}")


def of_image(path: str) -> Rows:
    """Format, size, depth, channels, pages, orientation, what lies beside, and the noise.

    Of several pages the first. The noise is estimated without alpha, in 1/255.

    Raises:
      ZooError: it is damaged.
    """
    pages = read_pages(path)
    page = next(iter(pages))
    height, width, channels = page.image.shape
    colors = pixels.without_alpha(page.image)
    rows = [
        ("image", ", ".join([pages.form, *_coding(page.metadata)])),
        ("size", f"{width} x {height}, {width * height / 1e6:.2f} megapixels"),
        ("depth", pixels.depth(page.image.dtype)),
        ("channels", _CHANNELS[channels]),
        ("pages", str(len(pages))),
        ("axes", _axes(page)),
        ("orientation", _TURNS.get(page.orientation, "")),
        ("camera", page.metadata.camera()),
        ("profile", _profile(page.metadata.icc)),
        ("beside", ", ".join(name for name in ("exif", "xmp") if getattr(page.metadata, name))),
        ("noise", _noise(colors)),
        ("not kept", "; ".join(page.lost)),
    ]
    return [(name, value) for name, value in rows if value]


def of_recording(path: str) -> Rows:
    """Container, coding, rate, channels, length and loudness; all of it is decoded.

    The floor is the loudness below which a tenth of its frames of 32 ms lie: about the noise where
    there are pauses. Decibels are of full scale, a sine of which has -3 dB.

    Raises:
      ZooError: it is damaged.
    """
    facts = audio_files.info(path)
    frame = max(round(_FRAME * facts.sample_rate), 1)
    peak, energy, powers = 0.0, 0.0, []
    for x in audio_files.blocks(path, _BLOCK_FRAMES * frame):
        peak = max(peak, float(np.abs(x).max()))
        square = np.square(x, dtype=np.float64).mean(axis=1)
        energy += float(square.sum())
        whole = len(x) // frame * frame
        powers.append(square[:whole].reshape(-1, frame).mean(axis=1))
    powers = np.concatenate(powers)
    rows = [
        ("audio", f"{facts.format}, {facts.subtype}"),
        ("sample rate", f"{facts.sample_rate} Hz"),
        ("channels", str(facts.channels)),
        ("length", _duration(facts.frames / facts.sample_rate, facts.frames)),
        ("peak", _decibels(peak)),
        ("RMS", _decibels(math.sqrt(energy / facts.frames))),
    ]
    if parts := audio_files.other_parts(path):
        rows.insert(1, ("beside", ", ".join(parts)))
    if len(powers):
        rows.append(("floor", _decibels(math.sqrt(np.percentile(powers, _QUIETEST)))))
    return rows


def of_weights(path: str) -> Rows:
    """The record's main lines; `zoo weights` prints the rest.

    Raises:
      ZooError: it is damaged, or of no model of this zoo.
    """
    record = zoo.weights.read_record(path)
    options = ", ".join(f"{name}={value}" for name, value in record["options"].items())
    rows = [
        ("weights of", record["model"] + (f" with {options}" if options else "")),
        ("adapted", _adaptation(record.get("adapted"))),
        ("size", f"{os.path.getsize(path) / 1e6:.2f} MB"),
        ("noise", common.training_noise(record)),
        ("values", _ranges(record.get("ranges"))),
        ("step", str(record.get("step") or "")),
        ("commit", str(record.get("commit") or "")),
    ]
    for name, value in (record.get("scores") or {}).items():
        if isinstance(value, int | float):
            # What learned from noisy images alone has no decibels.
            shown = f"{value:.3g}" if name.endswith("loss") else f"{value:.2f} dB"
            rows.append((name.replace("_", " "), shown))
    return [(name, value) for name, value in rows if value]


def _ranges(found: Mapping[str, Sequence[float]] | None) -> str:
    """Which values the weights saw as 0 and as 1; empty where each image has its own."""
    ranges = (found or {}).items()
    return ", ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in ranges)


def _adaptation(entry: Mapping[str, Any] | None) -> str:
    """What the weights are adapted to; empty for others."""
    if entry is None:
        return ""
    low, high = entry["range"]
    if (method := entry.get("method", "noise2vst")) != "noise2vst":
        return f"learned from one image by {method}, of values {low:g} to {high:g}"
    return f"{entry.get('base') or 'own weights'} to the noise of values {low:g} to {high:g}"


def _noise(colors: np.ndarray) -> str:
    """The noise of an image without alpha, in words."""
    if not np.isfinite(colors).any():
        return "unknown, as no value is finite"
    # As the denoiser sees it, or floats of any unit have millions of 1/255.
    scale = zoo.inference.value_scale.find([colors])[colors.dtype]
    try:
        level = zoo.inference.noise_level.estimate_level(colors, scale) / scale.seen
        return f"about {255 * level:.1f}/255"
    except ZooError:
        return "unknown, as the image is too small"


def _coding(metadata: Metadata) -> list[str]:
    """How the pixels are coded, as far as it is known."""
    coding = []
    if metadata.quality:
        coding.append(f"quality {metadata.quality}")
    if metadata.subsampling:
        coding.append(":".join(metadata.subsampling))
    if metadata.tiff and metadata.tiff.compression != "none":
        coding.append(metadata.tiff.compression)
    return coding


def _axes(page: Page) -> str:
    """The sides of a volume, slowest first; empty for a stack of images."""
    stack = page.metadata.stack
    if stack is None or len(stack.lead) < 2:
        return ""
    return " x ".join(map(str, (*stack.lead, *page.image.shape[:2])))


def _profile(icc: bytes | None) -> str:
    """The name of a color profile."""
    if not icc:
        return ""
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip()
    except Exception:  # Pillow may have been built without the library, or the profile is broken
        return f"of {len(icc)} bytes"


def _duration(seconds: float, frames: int) -> str:
    minutes, rest = divmod(seconds, 60)
    text = f"{int(minutes)} min {rest:.1f} s" if minutes else f"{rest:.3f} s"
    return f"{text}, {frames} samples"


def _decibels(amplitude: float) -> str:
    return f"{20 * math.log10(amplitude):.1f} dB" if amplitude > _SILENCE else "silence"
