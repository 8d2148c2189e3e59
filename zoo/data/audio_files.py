"""Audio files, read whole, in blocks or in part: by soundfile, and by PyAV what that lacks.

See `zoo.data.pcm` for the arrays, and `zoo.data.audio_writing` for the way out.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zoo import files, signals
from zoo.data import audio_metadata, pcm
from zoo.data.audio_containers import ContainedAudio
from zoo.data.audio_integrity import chunks, id3_length, is_truncated, mpeg_length
from zoo.errors import ZooError

# libsndfile converts these to int16 exactly.
_FITS_INT16 = ("PCM_16", "PCM_S8", "PCM_U8")
# libsndfile reports the largest integer for a piped flac file, which states no length.
_FRAME_LIMIT = 2**48
# Samples of each channel: silence in flac, the least, takes 11 bytes for 65,535 of them.
_MOST_PER_BYTE = 2**13
_FORWARD = 2**18


class Info(NamedTuple):
    """Properties of an audio file.

    Attributes:
      sample_rate: samples per second.
      channels: the number of channels.
      frames: samples of each channel.
      subtype: the coding of a sample, as named by libsndfile: `"PCM_16"`, `"FLOAT"`, `"VORBIS"`.
      format: the container: `"WAV"`, `"WAVEX"`, `"RF64"`, `"FLAC"`, `"OGG"`, `"MP3"`.
    """

    sample_rate: int
    channels: int
    frames: int
    subtype: str
    format: str

    def length(self, sample_rate: int | None = None) -> int:
        """Samples of each channel after resampling; None for the file's own rate."""
        rate = sample_rate or self.sample_rate
        return pcm.resampled_length(self.frames, self.sample_rate, rate)


def info(path: str | os.PathLike) -> Info:
    """The properties stated by an audio file; nothing is decoded.

    Raises:
      ZooError: the file is missing, empty, truncated, holds no samples or is not an audio file.
    """
    with _opened(path) as file:
        return Info(file.samplerate, file.channels, file.frames, file.subtype, file.format)


def remarks(path: str | os.PathLike) -> tuple[str, ...]:
    """Sentences on repairs made to read a file.

    Raises:
      ZooError: as `info`.
    """
    with _opened(path) as file:
        if not isinstance(file.name, _Repaired):
            return ()
        seconds = file.frames / file.samplerate
        return (f"its header states no length; all {seconds:.1f} s that are there were read",)


def other_parts(path: str | os.PathLike) -> tuple[str, ...]:
    """Names of what a file read by PyAV holds beside its first audio track, such as "video".

    Raises:
      ZooError: as `info`.
    """
    with _opened(path) as file:
        return getattr(file, "other_parts", ())


def coded_bytes(path: str | os.PathLike) -> int:
    """The bytes of a file without the tags at its beginning."""
    with files.opened(path) as file:
        return os.path.getsize(path) - id3_length(file)


def metadata(path: str | os.PathLike) -> audio_metadata.AudioMetadata:
    """The contents of a file besides its samples.

    Raises:
      ZooError: as `info`.
    """
    with _opened(path) as file:
        return audio_metadata.read(path, file)


def read(
    path: str | os.PathLike,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    start: int = 0,
    frames: int | None = None,
    dtype: type = np.float32,
) -> np.ndarray:
    """Read an audio file, or a piece of it; its content, not its suffix, determines the format.

    `read(path, start=s, frames=n, ...)` is `read(path, ...)[s : s + n]`, but little more than
    that piece is decoded: exactly at the file's own rate, else to the last bits of float32. mp3 has
    no exact positions, and a piece may differ in those bits too.

    Args:
      path: the file: wav of 8 to 32 bits or float, flac, ogg, mp3, or another format of
        libsndfile; with PyAV m4a, aac, wma, the sound of videos and its other formats.
      sample_rate: samples per second to resample to; None keeps the file's.
      channels: 1 averages the channels, 2 repeats one; None keeps the file's.
      start: the first sample, at `sample_rate`; 0 is the beginning.
      frames: the most samples to read, at `sample_rate`; None reads to the end.
      dtype: float32, or int16, which is rounded to the nearest and clipped.

    Returns:
      The audio `(T, C)`. T is 0 where `start` is behind the end.

    Raises:
      ZooError: the file is missing, empty, truncated, broken, holds no samples, NaN or values far
        outside [-1, 1], or is not an audio file; or has other channels than `channels`.
    """
    with _opened(path) as file:
        rate, wanted = file.samplerate, sample_rate or file.samplerate
        total = pcm.resampled_length(file.frames, rate, wanted)
        if not total:
            raise ZooError(f"{path} is shorter than one sample at {wanted} Hz; leave it out")
        start = min(start, total)
        frames = total - start if frames is None else min(frames, total - start)
        plain = rate == wanted
        first, count, skip = (start, frames, 0)
        if not plain:
            first, count, skip = pcm.reach(start, frames, rate, wanted)
        count = min(count, file.frames - first)
        if not file.seekable():
            _pass_over(file, first)
        direct = plain and dtype == np.int16 and file.subtype in _FITS_INT16
        x = _decode(file, path, first, count, "int16" if direct else "float32")
    if channels is not None:
        try:
            x = pcm.to_channels(x, channels)
        except ZooError as error:
            raise ZooError(f"{path}: {error}") from None
    x = pcm.resample(x, rate, wanted)[skip : skip + frames]
    return pcm.to_int16(x) if dtype == np.int16 else x


def blocks(path: str | os.PathLike, size: int) -> Iterator[np.ndarray]:
    """Read an audio file of any length block by block, in constant memory.

    Args:
      path: the file.
      size: samples of a block; the last may be shorter.

    Yields:
      Blocks `(size, C)` float32; together they equal the result of `read`.

    Raises:
      ZooError: as `read`, when the damage is reached.
    """
    with _opened(path) as file:
        for first in range(0, file.frames, size):
            # libsndfile skips damage within an ogg file; then its position is ahead.
            if first and file.seekable() and file.tell() != first:
                raise ZooError(_damaged(path))
            yield _decode(file, path, first, min(size, file.frames - first), "float32")


@contextlib.contextmanager
def _opened(path: str | os.PathLike):
    """The open file, or the error why it cannot be read."""
    with files.opened(path) as file:
        if not file.read(1):
            raise ZooError(f"{path} is empty; fetch it again, or leave it out")
    if is_truncated(path):
        raise ZooError(f"{path} is truncated; fetch it again, or leave it out")
    with _decoder(path) as file:
        if not file.frames:
            raise ZooError(f"{path} holds no samples; fetch it again, or leave it out")
        if file.frames > min(_FRAME_LIMIT, _MOST_PER_BYTE * os.path.getsize(path)):
            raise ZooError(f"{path} does not state its length; encode it again")
        if file.channels > pcm.MOST_CHANNELS:
            raise ZooError(
                f"{path} has {file.channels} channels; split it into files of at most "
                f"{pcm.MOST_CHANNELS}"
            )
        yield file


@contextlib.contextmanager
def _decoder(path: str | os.PathLike):
    """The file opened by libsndfile, or by PyAV where that cannot read it."""
    import soundfile  # noqa: PLC0415 - only audio needs it

    with contextlib.ExitStack() as stack:
        repaired = _repaired(path)
        if repaired is not None:
            stack.enter_context(repaired)
        try:
            file = soundfile.SoundFile(repaired or os.fspath(path))
        # TypeError: soundfile expects samples without a header for suffixes such as .raw.
        except (soundfile.LibsndfileError, TypeError):
            file = ContainedAudio(path)
        else:
            total = mpeg_length(path) if file.format == "MP3" else None
            if total is not None and total != file.frames:
                file.close()
                # libsndfile reads nothing beyond its own guess.
                if total > file.frames:
                    raise ZooError(f"{path} does not state its length; encode it again")
                kind = {"frames": property(lambda _: total)}
                file = type("Counted", (soundfile.SoundFile,), kind)(os.fspath(path))
        yield stack.enter_context(file)


class _Repaired(io.FileIO):
    """A file of which some bytes are replaced while reading; the file itself is unchanged."""

    def __init__(self, path: str | os.PathLike, others: dict[int, bytes]):
        super().__init__(path)
        self._others = others

    def readinto(self, buffer) -> int:
        """Reads what fits into the buffer, as `io.FileIO` does."""
        at, view = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(view)
        for place, data in self._others.items():
            for index, byte in enumerate(data, place - at):
                if 0 <= index < count:
                    view[index] = byte
        return count


def _repaired(path: str | os.PathLike) -> _Repaired | None:
    """A wav file whose length is still 0, as left by a crashed recorder; else None."""
    with files.opened(path) as file:
        if file.read(4) != b"RIFF":
            return None
        found = {chunk.name: chunk for chunk in chunks(file) if chunk.name.isascii()}
        data, size = found.get(b"data"), os.path.getsize(path)
        if data is None or data.length or data.start >= size:
            return None
        # A file without samples may have other chunks behind them, which fill it to its end.
        after = [chunk for chunk in chunks(file) if chunk.start > data.start]
        named = all(chunk.name.isascii() and chunk.name.decode().isprintable() for chunk in after)
        if after and named and after[-1].start + after[-1].length <= size:
            return None
    lengths = {4: size - 8, data.start - 4: size - data.start}
    return _Repaired(
        path, {at: min(n, 2**32 - 1).to_bytes(4, "little") for at, n in lengths.items()}
    )


def _decode(file, path: str | os.PathLike, first: int, count: int, dtype: str) -> np.ndarray:
    """Samples of a file, `(count, C)`, checked."""
    import soundfile  # noqa: PLC0415

    if count <= 0:
        return np.zeros((0, file.channels), dtype)
    try:
        with signals.held_back():
            # Only where needed: after a second seek the position in an ogg file is inexact.
            if file.seekable() and file.tell() != first:
                file.seek(first)
            x = file.read(count, dtype=dtype, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ZooError(
            f"{path} is truncated or broken ({reason(error)}); fetch it again, or leave it out"
        ) from None
    if len(x) < count:
        raise ZooError(_damaged(path))
    return pcm.check(x, str(path))


def reason(error: Exception) -> str:
    """The reason of an error of libsndfile."""
    return getattr(error, "error_string", "").strip(" .") or "it ends early"


def _pass_over(file, count: int) -> None:
    """Decode and discard samples, of a file without seeking."""
    while count > 0:
        found = len(file.read(min(count, _FORWARD), dtype="float32", always_2d=True))
        count = count - found if found else 0


def _damaged(path: str | os.PathLike) -> str:
    return f"{path} is truncated or damaged; fetch it again, or leave it out"
