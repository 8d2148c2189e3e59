"""The images of a video denoised, frame by frame, with what its neighbors show of the same."""

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.typing import DTypeLike

from zoo import files
from zoo.data import video_files, video_frames, video_writing
from zoo.errors import ZooError
from zoo.inference import temporal
from zoo.inference.denoise_audio import AudioReport, denoise_audio_file
from zoo.inference.denoise_images import check_places
from zoo.inference.image_canvas import check_strength
from zoo.inference.image_denoiser import BLIND, DEFAULTS, ImageDenoiser
from zoo.inference.noise_level import check_level, estimate_level
from zoo.resolve import Resolved, resolve

REACH = 2
"""A frame is averaged with so many before it and after it."""
# A model is given no lower level, which would be none.
_FAINTEST = 1e-4


class VideoReport(NamedTuple):
    """A video whose images are denoised.

    Attributes:
      frames: how many.
      size: height and width in pixels, as stored.
      seconds: its duration.
      level: standard deviation of the noise, given or estimated once, in 1/255; for models that
        take no level of what they remove.
      codec: of the images written.
      model: the label of the model.
      lost: parts of the input that the output lacks, in short sentences.
      audio: the report of the audio where it is denoised too.
    """

    frames: int
    size: tuple[int, int]
    seconds: float
    level: float
    codec: str
    model: str
    lost: tuple[str, ...] = ()
    audio: AudioReport | None = None


class Clip:
    """A model for all frames of a clip: one program, one noise level.

    Attributes:
      model: resolved.
      takes_level: whether it does.
      sigma: standard deviation of the noise that it removes, as a share of white.
      allowed: as of `temporal.with_neighbor`.

    Args:
      model: of images; None chooses the default for their channels.
      level: as a share of white; None estimates it.
      samples: returns frames (H, W, C), each with the next if there is one; called several times.
      options: of `ImageDenoiser`.
    """

    def __init__(
        self,
        model: Resolved | None,
        level: float | None,
        samples: Callable[[], Iterable[tuple[np.ndarray, ...]]],
        options: dict,
    ):
        first = next(iter(samples()))[0]
        channels = first.shape[-1]
        if model is None:
            model = resolve(
                (BLIND if level is None else DEFAULTS).get(channels) or DEFAULTS[channels]
            )
        self.model = model
        self._denoiser = ImageDenoiser(model, **options).steady()
        # Black and white of the format, in all frames.
        self._scale = self._denoiser.find_scales([first], (0, 1))[first.dtype]
        specification = self._denoiser.specification(channels)
        self.takes_level = specification.takes_level
        self._level = level if self.takes_level else None
        if self.takes_level and level is None:
            luma = specification.channels != 1
            found = [estimate_level(x, self._scale, luma=luma) for x, *_ in samples()]
            self._level = max(float(np.median(found)), _FAINTEST)
        # Once more, for what the model removes and what it leaves.
        removed, left = [], [0.0]
        for pair in samples():
            clean = [self.denoised(x) for x in pair]
            removed.append(float(np.std(pair[0] - clean[0])))
            left += [float(temporal.remaining(*clean))] if len(clean) == 2 else []
        self.sigma = self._level or float(np.median(removed))
        self.allowed = temporal.allowed(self.sigma, np.median(left[1:] or left))

    def denoised(self, x: np.ndarray, share: float = 1.0) -> np.ndarray:
        """A frame (H, W, C) with a share of the clip's noise."""
        level = self._level and min(max(self._level * share, _FAINTEST), 1.0)
        y = self._denoiser(x, level, None, self._scale, part_of_larger=True).image
        return np.asarray(y, np.float32)


def denoise_video_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    model: Resolved | None = None,
    *,
    level: float | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> VideoReport:
    """Denoises the images of a video of any length, in flat memory.

    Each frame is denoised. With a model that takes a level the frame as it was is then averaged
    with the two before and the two after it along the motion (see `zoo.inference.temporal`), and
    the average, of which less noise is left, is denoised with a level that is lower by as much;
    where the neighbors show other things, the first result is taken. With other models the
    denoised frames are averaged. All frames have one model, one scale of values and one noise
    level: the median of those estimated of up to 8 frames.

    Audio, subtitles, chapters, attachments and metadata are copied. Times, rotation, shape of
    pixels, pixel format and color tags are kept, and so is the codec (h264, hevc, vp8, vp9, av1,
    mpeg4, mjpeg, prores; ffv1, ffvhuff, huffyuv, utvideo, png and rawvideo without loss); others
    become h264. The options of the encoders are in `zoo.data.video_writing.CODINGS`. Videos that
    are interlaced, have alpha or are damaged are refused before the work.

    Args:
      src: the video.
      dst: the file to write, .mp4, .mov, .mkv or .webm. It appears at the end, whole, or not at
        all; its folder exists.
      model: of images; None chooses as for images: "unet-photo", or "unet-color" with a level;
        "unet-gray" for a video without color.
      level: standard deviation of the noise as a share of white; None estimates it.
      strength: share of the change that is made, 0 to 1.
      tile, overlap, ensemble, dtype: as in `zoo.denoise`.
      overwrite: whether a file at `dst`, which may be `src`, is replaced.
      progress: called with the number of frames done and of all.

    Raises:
      ZooError: `src` is missing, damaged, or holds no images that can be denoised; `dst` exists or
        cannot be written; or as `zoo.denoise`. Nothing is left behind then.
    """
    strength = check_strength(strength)
    level = None if level is None else check_level(level)
    check_places(src, dst, None)
    video_writing.check(dst)
    files.free(dst, overwrite)
    facts = video_files.survey(src)
    video_writing.check(dst, facts.codec)
    form = facts.layout
    options = {"tile": tile, "overlap": overlap, "ensemble": ensemble, "dtype": dtype}
    clip = Clip(model, level, facts.sampled, options)
    with video_writing.writing(dst, source=src, overwrite=overwrite) as put:
        noisy = ((frame, facts.colors(frame)) for frame in video_files.frames(src))
        for done, (frame, x, y) in enumerate(denoised_frames(noisy, clip), 1):
            put(video_frames.with_change(frame, strength * (y - x), form))
            if progress is not None:
                progress(done, facts.frames)
    return VideoReport(
        frames=facts.frames,
        size=facts.size,
        seconds=facts.seconds,
        level=255 * clip.sigma,
        codec=put.codec,
        model=clip.model.label,
        lost=put.lost,
    )


def denoise_video_and_audio_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    *,
    level: float | None = None,
    strength: float = 1.0,
    of_audio: Mapping[str, Any],
    of_images: Mapping[str, Any],
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> VideoReport:
    """Denoises the audio of a video, then its images, by the default models.

    Args:
      src, dst, level, strength, overwrite: as of `denoise_video_file`; the strength is of both.
      of_audio: other options of `denoise_audio_file`.
      of_images: other options of `denoise_video_file`.
      progress: called with the number of frames done and of all; the audio takes far less time.

    Raises:
      ZooError: as both.
    """
    check_places(src, dst, None)
    video_writing.check(dst)
    files.free(dst, overwrite)
    # What is wrong with the images is known before the work on the audio.
    codec = video_files.survey(src).codec
    video_writing.check(dst, codec)
    if not video_writing.holds(dst, codec):
        raise ZooError(
            f"{dst} cannot hold the {codec} of {src} until it is denoised; take clean='images', "
            "and clean='audio' of the result"
        )
    with files.scratch_folder(dst) as folder:
        between = folder / Path(dst).name
        audio = denoise_audio_file(src, between, strength=strength, **of_audio)
        report = denoise_video_file(
            between,
            dst,
            level=level,
            strength=strength,
            **of_images,
            overwrite=overwrite,
            progress=progress,
        )
    return report._replace(audio=audio)


def denoised_frames(
    frames: Iterable[tuple[object, np.ndarray]], clip: Clip
) -> Iterator[tuple[object, np.ndarray, np.ndarray]]:
    """Frames denoised with their neighbors; at most five are held.

    Args:
      frames: whatever belongs to a frame, and its colors (H, W, C).
      clip: the model.

    Yields:
      What belongs to it, its colors, and those denoised.
    """
    guided = ((frame, x, clip.denoised(x)) for frame, x in frames)
    for held, at in _windows(guided, REACH):
        frame, x, guide = held[at]
        # A model without a level takes the mean of noisy frames for one with other noise.
        which = 1 if clip.takes_level else 2
        mean = temporal.Mean.of(held[at][which])
        for number, other in enumerate(held):
            if number != at:
                mean = temporal.with_neighbor(mean, guide, other[2], other[which], clip.allowed)
        y = np.asarray(mean.image())
        if clip.takes_level and len(held) > 1:
            noise = np.asarray(mean.noise())
            share = float(np.sqrt(np.mean(np.square(noise))))
            # Where less was averaged there is more noise than the second pass is given.
            second = np.clip((1 - noise) / max(1 - max(share, 0.5), 1e-6), 0, 1)
            y = guide + second * (clip.denoised(y, share) - guide)
        yield frame, x, y if len(held) > 1 else guide


def _windows(items: Iterable, reach: int) -> Iterator[tuple[list, int]]:
    """Each item with those around it, and its place among them."""
    # None where there is none, before the first and after the last.
    held = collections.deque([None] * 2 * reach, maxlen=2 * reach + 1)
    for item in itertools.chain(items, [None] * reach):
        held.append(item)
        if held[reach] is not None:
            there = [one is not None for one in held]
            yield list(itertools.compress(held, there)), sum(there[:reach])
