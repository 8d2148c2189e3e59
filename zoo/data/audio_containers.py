"""Audio in containers that libsndfile lacks, by PyAV: m4a, aac, wma, videos, Ogg FLAC.

It is decoded forwards, from its beginning, in constant memory.
"""

import contextlib
import functools
import os
from collections.abc import Iterator

import numpy as np

from zoo.data import file_kinds
from zoo.errors import ZooError

# Durations of container and decoder differ by up to a frame of the codec or a tick of the clock;
# in seconds, and as a share.
_TOLERANCE, _SHARE = 0.5, 0.01


class ContainedAudio:
    """The first audio track of a file, with the interface of `soundfile.SoundFile`.

    Attributes:
      name: the path.
      samplerate: samples per second.
      channels: the number of channels.
      frames: samples of each channel.
      subtype: the codec, such as `"AAC"`.
      format: the container, such as `"MP4"`.
      tags: title and the like, by libsndfile's names.
      other_parts: other contents of the file, such as "video".
    """

    def __init__(self, path: str | os.PathLike):
        """Open a file.

        Raises:
          ZooError: PyAV is missing, or the file holds no audio or is damaged.
        """
        self.name = path
        self._stack = contextlib.ExitStack()
        with self._stack:
            container, track = self._stack.enter_context(_open(path))
            codec = track.codec_context
            self.samplerate, self.channels = codec.sample_rate, codec.channels
            self.subtype = codec.codec.name.upper()
            names = container.format.name.split(",")
            self.format = ("mp4" if "mp4" in names else names[0]).upper()
            self.tags = container.metadata | track.metadata
            self.other_parts = _other_parts(container, track)
            status = os.stat(path)
            self.frames = _count(os.fspath(path), status.st_mtime_ns, status.st_size)
            self._pieces = _pieces(container, track, path)
            self._held = np.zeros((0, self.channels), np.float32)
            self._stack = self._stack.pop_all()

    def __enter__(self) -> "ContainedAudio":
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def seekable(self) -> bool:
        """Whether positions can be reached without decoding; no."""
        return False

    def read(self, count: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next samples (count, C), fewer at the end."""
        held, length = [self._held], len(self._held)
        while length < count and (piece := next(self._pieces, None)) is not None:
            held.append(piece)
            length += len(piece)
        x = np.concatenate(held)
        self._held = x[count:]
        return x[:count].astype(dtype, copy=False)


def pyav(path: str | os.PathLike):
    """The package PyAV.

    Args:
      path: the file that it is needed for.

    Raises:
      ZooError: it is not installed.
    """
    try:
        import av  # noqa: PLC0415 - an extra, and only these files need it
    except ImportError:
        raise ZooError(
            f"{path} is not wav, flac, ogg or mp3; for m4a, aac, wma and videos "
            "pip install 'denoising-zoo[media]'"
        ) from None
    # Otherwise it prints oddities of a file next to our one line.
    av.logging.set_level(None)
    return av


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[tuple]:
    """The container and its first audio track."""
    av = pyav(path)
    with intact(path, opening=True), contextlib.ExitStack() as stack:
        container = stack.enter_context(av.open(os.fspath(path)))
        tracks = container.streams.audio
        if not tracks:
            if container.streams.video and file_kinds.may_hold_video(path):
                raise ZooError(f"{path} holds no audio; clean='images' denoises its images")
            raise ZooError(
                f"{path} is not wav, flac, ogg or mp3, and holds no other audio; leave it out"
            )
        codec = tracks[0].codec_context
        if codec is None or not codec.sample_rate or not codec.channels:
            raise ZooError(f"{path} holds audio that cannot be decoded; convert it to wav")
        yield container, tracks[0]


@contextlib.contextmanager
def intact(path: str | os.PathLike, *, opening: bool = False) -> Iterator[None]:
    """Turn errors of PyAV into one line.

    Args:
      path: the file that is read.
      opening: whether it is not yet known to be audio.
    """
    import av  # noqa: PLC0415

    try:
        yield
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        if opening and isinstance(error, av.error.InvalidDataError):
            raise ZooError(
                f"{path} is not wav, flac, ogg or mp3, nor otherwise readable, or lacks its end; "
                "convert it to wav, or leave it out"
            ) from None
        reason = getattr(error, "strerror", None) or "it cannot be decoded"
        raise ZooError(f"{path} is truncated or broken ({reason}); fetch it again") from None


def _pieces(container, track, path: str | os.PathLike) -> Iterator[np.ndarray]:
    """The samples of the track, in pieces (n, C) float32."""
    import av  # noqa: PLC0415

    codec = track.codec_context
    change = av.AudioResampler(format="fltp", layout=codec.layout, rate=codec.sample_rate)
    with intact(path):
        for frame in container.decode(track):
            for piece in change.resample(frame):
                yield np.ascontiguousarray(piece.to_ndarray().T)
        for piece in change.resample(None):
            yield np.ascontiguousarray(piece.to_ndarray().T)


# Stated lengths are not exact, so the samples are counted, once per file.
@functools.lru_cache(maxsize=64)
def _count(path: str, modified: int, size: int) -> int:
    """Samples of each channel.

    Raises:
      ZooError: there are far fewer than the container states.
    """
    with _open(path) as (container, track):
        rate = track.codec_context.sample_rate
        stated = float(track.duration * track.time_base) if track.duration else 0.0
        if not stated and container.duration and container.streams.audio[0] is track:
            stated = container.duration / 1e6 if len(container.streams) == 1 else 0.0
        sure = not container.format.name.startswith(("aac", "mp3", "mpegts"))
        frames = sum(len(piece) for piece in _pieces(container, track, path))
    if sure and frames / rate < stated * (1 - _SHARE) - _TOLERANCE:
        raise ZooError(
            f"{path} is truncated: {frames / rate:.1f} of {stated:.1f} s are there; fetch it again"
        )
    return frames


def is_cover(track) -> bool:
    """Whether a track of images is a cover rather than a video."""
    import av  # noqa: PLC0415

    return bool(track.disposition & av.stream.Disposition.attached_pic)


def _other_parts(container, track) -> tuple[str, ...]:
    """The contents of a file besides a track."""
    # Videos first.
    covers = sorted({is_cover(one) for one in container.streams.video})
    found = ["cover" if one else "video" for one in covers]
    others = len(container.streams.audio) - 1
    if others:
        found.append("1 other audio track" if others == 1 else f"{others} other audio tracks")
    if container.streams.subtitles:
        found.append("subtitles")
    if container.chapters():
        found.append("chapters")
    return tuple(found)
