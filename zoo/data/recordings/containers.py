"""Sound in containers that libsndfile does not know, by PyAV: m4a, aac, wma, films, Ogg FLAC.

It is decoded forwards, from its beginning, in flat memory.
"""

import contextlib
import functools
import os
from collections.abc import Iterator

import numpy as np

from zoo.errors import ZooError

# A container may count its sound up to a frame of its codec or a tick of its clock otherwise than
# the decoder does; in seconds, and as a share.
_TOLERANCE, _SHARE = 0.5, 0.01


class Contained:
    """The first audio track of a file, read as `soundfile.SoundFile` is.

    Attributes:
      name: the path.
      samplerate: samples a second.
      channels: how many.
      frames: samples of each channel.
      subtype: the codec, such as `"AAC"`.
      format: the container, such as `"MP4"`.
      words: title and the like, by libsndfile's names.
      beside: what else is in the file and is no sound of this track, in words.
    """

    def __init__(self, path: str | os.PathLike):
        """Opens a file.

        Raises:
          ZooError: PyAV is missing, or the file holds no sound or is damaged.
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
            self.words = container.metadata | track.metadata
            self.beside = _beside(container, track)
            status = os.stat(path)
            self.frames = _count(os.fspath(path), status.st_mtime_ns, status.st_size)
            self._pieces = _pieces(container, track, path)
            self._held = np.zeros((0, self.channels), np.float32)
            self._stack = self._stack.pop_all()

    def __enter__(self) -> "Contained":
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def seekable(self) -> bool:
        """Whether one can go to a place at once; no."""
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


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[tuple]:
    """The container and its first audio track."""
    try:
        import av  # noqa: PLC0415 - an extra, and only these files need it
    except ImportError:
        raise ZooError(
            f"{path} is not wav, flac, ogg or mp3; for m4a, aac, wma and the sound of films "
            "pip install 'denoising-zoo[media]'"
        ) from None
    # Otherwise it prints what is odd about a file on top of our one line.
    av.logging.set_level(None)
    with _intact(path, opening=True), contextlib.ExitStack() as stack:
        container = stack.enter_context(av.open(os.fspath(path)))
        tracks = container.streams.audio
        if not tracks:
            raise ZooError(
                f"{path} is not wav, flac, ogg or mp3, and holds no other sound; leave it out"
            )
        codec = tracks[0].codec_context
        if codec is None or not codec.sample_rate or not codec.channels:
            raise ZooError(f"{path} holds sound that cannot be decoded; convert it to wav")
        yield container, tracks[0]


@contextlib.contextmanager
def _intact(path: str | os.PathLike, *, opening: bool = False) -> Iterator[None]:
    """Turns what PyAV raises about a file into one line."""
    import av  # noqa: PLC0415

    try:
        yield
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        if opening and isinstance(error, av.error.InvalidDataError):
            raise ZooError(
                f"{path} is not wav, flac, ogg or mp3, nor else readable, or lacks its end; "
                "convert it to wav, or leave it out"
            ) from None
        told = getattr(error, "strerror", None) or "it cannot be decoded"
        raise ZooError(f"{path} is truncated or broken ({told}); fetch it again") from None


def _pieces(container, track, path: str | os.PathLike) -> Iterator[np.ndarray]:
    """The samples of the track, piece by piece (n, C) float32."""
    import av  # noqa: PLC0415

    codec = track.codec_context
    change = av.AudioResampler(format="fltp", layout=codec.layout, rate=codec.sample_rate)
    with _intact(path):
        for frame in container.decode(track):
            for piece in change.resample(frame):
                yield np.ascontiguousarray(piece.to_ndarray().T)
        for piece in change.resample(None):
            yield np.ascontiguousarray(piece.to_ndarray().T)


# What a container notes of its length is not exact, so the samples are counted, once a file.
@functools.lru_cache(maxsize=64)
def _count(path: str, modified: int, size: int) -> int:
    """Samples of each channel.

    Raises:
      ZooError: there are far fewer than the container says.
    """
    with _open(path) as (container, track):
        rate = track.codec_context.sample_rate
        told = float(track.duration * track.time_base) if track.duration else 0.0
        if not told and container.duration and container.streams.audio[0] is track:
            told = container.duration / 1e6 if len(container.streams) == 1 else 0.0
        sure = not container.format.name.startswith(("aac", "mp3", "mpegts"))
        frames = sum(len(piece) for piece in _pieces(container, track, path))
    if sure and frames / rate < told * (1 - _SHARE) - _TOLERANCE:
        raise ZooError(
            f"{path} is truncated: {frames / rate:.1f} of {told:.1f} s are there; fetch it again"
        )
    return frames


def _beside(container, track) -> tuple[str, ...]:
    """What is in a file beside a track."""
    import av  # noqa: PLC0415

    found = []
    pictures = list(container.streams.video)
    covers = [one for one in pictures if one.disposition & av.stream.Disposition.attached_pic]
    if len(pictures) > len(covers):
        found.append("video")
    if covers:
        found.append("cover")
    others = len(container.streams.audio) - 1
    if others:
        found.append("1 other audio track" if others == 1 else f"{others} other audio tracks")
    if container.streams.subtitles:
        found.append("subtitles")
    if container.chapters():
        found.append("chapters")
    return tuple(found)
