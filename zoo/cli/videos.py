"""The images of videos: the options of `zoo denoise` for them, and their facts for `zoo info`."""

import argparse
from collections.abc import Callable, Collection

import numpy as np

import zoo
from zoo.cli import common
from zoo.cli.file_jobs import Done
from zoo.cli.job_plan import Job
from zoo.data import audio_containers, file_kinds, video_files
from zoo.errors import ZooError
from zoo.modality import AUDIO

# Options of images and files that have no meaning for videos.
_REFUSED = ("range", "range_per_page", "stabilize", "scheduler", "save_noise", "reference")
_REFUSED += ("adapt", "adapted", "method", "save_adapted", "bvals")


def add_arguments(add: Callable) -> None:
    """Adds the options to a group of a parser.

    Args:
      add: its `add_argument`.
    """
    add(
        "--clean",
        choices=("audio", "images", "both"),
        help="what of a video to denoise; the rest is copied unchanged (audio)",
    )


def kinds(arguments: argparse.Namespace, found: Collection[str]) -> set[str]:
    """The kinds whose options have a meaning: with `--clean`, videos are of images too."""
    found = set(found)
    if arguments.clean in ("images", "both") and file_kinds.AUDIO in found:
        found.add(file_kinds.IMAGE)
    return found


def check(arguments: argparse.Namespace, found: Collection[str]) -> None:
    """Refuses options that contradict each other.

    Args:
      arguments: of the command.
      found: kinds of the inputs.

    Raises:
      ZooError: some do.
    """
    if arguments.clean and found and file_kinds.AUDIO not in found:
        raise ZooError("--clean is an option of videos, and no input is one; drop it")
    if arguments.clean == "both" and (arguments.model or arguments.weights):
        raise ZooError(
            "--clean both takes a model of images and one of audio, the defaults; to name them, "
            "run --clean images and --clean audio one after the other"
        )
    of_audio = common.given(arguments, ("limit", "for", "channels", "profile"))
    if arguments.clean == "images" and of_audio:
        raise ZooError(f"{of_audio[0]} is an option of audio, which --clean images copies; drop it")


def takes(arguments: argparse.Namespace, job: Job) -> bool:
    """Whether the images of a file are to be denoised as those of a video.

    Raises:
      ZooError: they are, but the file has none, or options are given that have no meaning.
    """
    if arguments.clean not in ("images", "both") or job.kind != file_kinds.AUDIO:
        return False
    if not file_kinds.may_hold_video(job.source):
        if arguments.clean == "both":
            return False
        raise ZooError(f"{job.source} is audio without images; leave it out, or drop --clean")
    for flag in common.given(arguments, _REFUSED):
        raise ZooError(f"{job.source}: {flag} is not for the images of videos; drop it")
    return True


def hint(arguments: argparse.Namespace, job: Job) -> list[str]:
    """A note that the images of a video are as they were, where nobody said what to denoise."""
    if arguments.clean or not file_kinds.may_hold_video(job.source):
        return []
    parts = zoo.data.audio_files.other_parts(job.source)
    return ["the images are copied, --clean images denoises them"] if "video" in parts else []


def denoise(
    arguments: argparse.Namespace,
    job: Job,
    model: "zoo.resolve.Resolved | None",
    strength: float,
    advance: Callable[[int, int], None],
) -> tuple[Done, list[str]]:
    """Denoises the images of a video, and its audio with `--clean both`.

    Args:
      arguments: of the command.
      job: the file.
      model: of images; None for the default.
      strength: share of the change.
      advance: for the progress.

    Returns:
      What was done, and notes on it.

    Raises:
      ZooError: as `zoo.denoise_file`.
    """
    given = arguments
    of_images = {name: getattr(given, name) for name in ("tile", "overlap", "ensemble", "dtype")}
    of_audio = {"limit": given.limit, "profile": given.profile}
    of_audio |= {"separate_channels": given.channels == "separate"}
    report = zoo.denoise_file(
        job.source,
        job.target,
        model,
        level=None if given.sigma is None else given.sigma / 255,
        strength=strength,
        clean=given.clean,
        overwrite=given.overwrite,
        progress=advance,
        **of_images,
        **(of_audio if given.clean == "both" else {}),
    )
    height, width = report.size
    frames = "1 frame" if report.frames == 1 else f"{report.frames} frames"
    text = f"{width} x {height}, {frames}, {report.codec}, "
    text += f"sigma {report.level:.1f}" + ("" if model else f", by {report.model}")
    notes = list(report.lost)
    if report.audio:
        text += f", {AUDIO.noun} by {report.audio.model}"
        notes += report.audio.notes
    return Done(text, report.seconds), notes


def tracks(path: str) -> tuple[bool, bool]:
    """Whether a file holds video, covers left out, and whether it holds audio.

    Raises:
      ZooError: it cannot be read.
    """
    av = audio_containers.pyav(path)
    with audio_containers.intact(path, opening=True), av.open(path) as container:
        return video_files.video_track(container) is not None, bool(container.streams.audio)


def facts(path: str) -> list[tuple[str, str]]:
    """Codec, size, frames, colors and noise of the images of a video; all of them are decoded.

    Raises:
      ZooError: they are damaged, or could not be denoised.
    """
    found = video_files.survey(path)
    height, width = found.size
    rate = found.frames / found.seconds if found.seconds else 0
    try:
        estimate = zoo.inference.noise_level.estimate_level
        levels = [estimate(x) for x, *_ in found.sampled()]
        noise = f"about {255 * float(np.median(levels)):.1f}/255"
    except ZooError:
        noise = "unknown, as the frames are too small"
    colors = "full range" if found.layout.full else "limited range"
    return [
        ("video", f"{found.codec}, {found.layout.name}, {colors}"),
        ("size", f"{width} x {height}"),
        ("frames", f"{found.frames} in {found.seconds:.2f} s, {rate:.3g} a second"),
        ("noise", noise),
    ]
