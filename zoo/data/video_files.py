"""The images of a video, by PyAV: what it holds, and its frames one after the other."""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zoo import files
from zoo.data import audio_containers, video_frames
from zoo.data.video_frames import Layout
from zoo.errors import ZooError

# Durations of container and frames differ by a frame or a tick of the clock; in seconds, and as a
# share.
_TOLERANCE, _SHARE = 0.2, 0.01
# Of PyAV, for the side data of a track.
_OLDEST = 19
# Frames that are kept of a survey: at least half as many, evenly spaced.
_SAMPLES = 8


class Survey(NamedTuple):
    """What a video holds, all of it decoded once.

    Attributes:
      codec: such as "h264".
      layout: of all frames.
      size: height and width in pixels, as stored, before any rotation.
      frames: how many.
      seconds: from the first frame to the end of the last.
      samples: 1 to 8 frames of PyAV, evenly spaced, each with the next, if there is one.
      channels: 1 if no sample has color, else 3.
    """

    codec: str
    layout: Layout
    size: tuple[int, int]
    frames: int
    seconds: float
    samples: tuple[tuple, ...]
    channels: int

    def colors(self, frame) -> np.ndarray:
        """Colors of a frame of this video, (H, W, C), see `video_frames.to_color`; or its luma."""
        x = video_frames.to_color(frame, self.layout)
        if x.shape[-1] == self.channels:
            return x
        # A frame between the samples may have color.
        return video_frames.luma(x, self.layout)[..., None]

    def sampled(self) -> Iterator[tuple[np.ndarray, ...]]:
        """The colors of the samples, one after the other, as they need much more memory."""
        return (tuple(map(self.colors, one)) for one in self.samples)


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[tuple]:
    """The container and its first video track, covers left out.

    Raises:
      ZooError: PyAV is missing, or the file has no video that can be decoded or is damaged.
    """
    av = audio_containers.pyav(files.regular(path))
    if int(av.__version__.split(".")[0]) < _OLDEST:
        raise ZooError(
            f"the images of {path} need PyAV {_OLDEST} or newer, which has Python 3.12 or "
            "newer; pip install -U av"
        )
    with audio_containers.intact(path, opening=True), contextlib.ExitStack() as stack:
        container = stack.enter_context(av.open(os.fspath(path)))
        track = video_track(container)
        if track is None:
            raise ZooError(f"{path} holds no video, whose images could be denoised; leave it out")
        if track.codec_context is None:
            raise ZooError(f"{path} holds video that cannot be decoded; convert it to h264")
        # Their decoder leaves it out without a word.
        if track.metadata.get("alpha_mode") == "1":
            raise ZooError(
                f"{path} has frames with alpha, which are not supported; convert it, as by ffmpeg "
                "-pix_fmt yuv420p"
            )
        track.thread_type = "AUTO"
        yield container, track


def video_track(container):
    """The first video track of a container that is no cover; None where there is none."""
    tracks = container.streams.video
    return next((one for one in tracks if not audio_containers.is_cover(one)), None)


def frames(path: str | os.PathLike) -> Iterator:
    """The frames of a video, in the order of their times.

    Args:
      path: the file.

    Yields:
      Frames of PyAV, each with its time, of one size and pixel format.

    Raises:
      ZooError: as `opened`; or frames are interlaced or damaged, or change their size, or have no
        ascending times.
    """
    with opened(path) as (container, track), audio_containers.intact(path):
        first, last = None, None
        for frame in container.decode(track):
            form = (frame.height, frame.width, frame.format.name)
            first = first or form
            if frame.pts is None or (last is not None and frame.pts <= last):
                raise ZooError(
                    f"{path} has frames without ascending times; write it into a new container, as "
                    "by ffmpeg -fflags +genpts -c copy"
                )
            last, at = frame.pts, f"{float(frame.pts * frame.time_base):.2f} s"
            if frame.is_corrupt:
                raise ZooError(f"{path} is broken at {at}; fetch it again")
            if form != first:
                raise ZooError(
                    f"{path} changes its size or pixel format at {at}; cut it there, and take the "
                    "parts"
                )
            if frame.interlaced_frame:
                raise ZooError(
                    f"{path} is interlaced at {at}, and only whole frames are denoised; "
                    "deinterlace it first, as by ffmpeg -vf bwdif"
                )
            yield frame


def survey(path: str | os.PathLike) -> Survey:
    """Decodes a video once, so that what is wrong with it is known before the work.

    Raises:
      ZooError: as `frames`; or the pixel format is not supported, or the file is truncated.
    """
    count, stride, kept, end, form = 0, 1, [], 0.0, None
    with opened(path) as (container, track):
        codec = track.codec_context.codec.canonical_name
        stated = (container.duration or 0) / 1e6
        begins = (container.start_time or 0) / 1e6
        # Of a stream that is cut anywhere nobody knows the length.
        known = not container.format.name.startswith(("mpeg", "h264", "hevc"))
    for frame in frames(path):
        if form is None:
            form = video_frames.layout(frame, path)
            start = frame.time
        if kept and count % stride == 1 % stride and len(kept[-1]) == 1:
            kept[-1].append(frame)
        if count % stride == 0:
            if len(kept) == _SAMPLES:
                kept, stride = kept[::2], 2 * stride
            if count % stride == 0:
                kept.append([frame])
        count += 1
        end = frame.time + float(frame.duration * frame.time_base)
    if form is None:
        raise ZooError(f"{path} holds no frame of video; fetch it again")
    ends = max(end, _end_of_others(path)) - begins
    if known and ends < stated * (1 - _SHARE) - _TOLERANCE:
        raise ZooError(
            f"{path} is truncated: {ends:.1f} of {stated:.1f} s are there; fetch it again"
        )
    gray = all(video_frames.is_gray(one, form) for pair in kept for one in pair)
    size = (kept[0][0].height, kept[0][0].width)
    samples = tuple(map(tuple, kept))
    return Survey(codec, form, size, count, end - start, samples, 1 if gray else 3)


def _end_of_others(path: str | os.PathLike) -> float:
    """The time in seconds at which the last packet of any track ends."""
    end = 0.0
    with opened(path) as (container, _), audio_containers.intact(path):
        for packet in container.demux():
            if packet.pts is not None and packet.size:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return end
